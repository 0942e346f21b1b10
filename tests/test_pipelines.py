"""A seed is a picture, a control image controls, and both models are loaded by the same lines."""

import json
import shutil
import socket

import diffusers
import huggingface_hub
import numpy as np
import pytest
import tiny_models
import torch
import transformers
from diffusers import StableDiffusionPipeline, UniPCMultistepScheduler
from PIL import Image

from helpers.catalogue import BASE_MODEL, CONDITIONS, get_model
from helpers.pipelines import condition_of, generate, load_pipeline, model_of, unknown_words
from helpers.runtime import without_loading_bars
from toybox.tokenizer import make_tokenizer

pytestmark = [
    pytest.mark.filterwarnings("error"),
    # How diffusers' schedulers turn tensors into arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SIDE = 64
QUICK = {"steps": 3}


@pytest.fixture(scope="module")
def toybox(tmp_path_factory):
    return tiny_models.tiny_toybox(tmp_path_factory.mktemp("toybox"))


@pytest.fixture(scope="module")
def load(toybox):
    def load_quietly(condition):
        pipeline = load_pipeline(condition, folder=toybox)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return load_quietly


@pytest.fixture(scope="module")
def canny(load):
    return load("canny")


@pytest.fixture(scope="module")
def both(load):
    return load(["canny", "depth"])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    """Not offline by agreement: whoever tries to reach the network fails."""

    def refuse(*address, **_):
        raise AssertionError(f"the network was asked for {address}")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def some_map(seed=0, height=SIDE, width=SIDE):
    coarse = np.random.default_rng(seed).integers(0, 2, (height // 8, width // 8), np.uint8)
    return np.kron(coarse, np.full((8, 8), 255, np.uint8))


def levels_apart(first, second):
    return np.abs(first.astype(int) - second).max()


def test_one_seed_gives_one_picture_whatever_was_generated_before(canny):
    first = generate(canny, "a red ball", some_map(), seed=3, **QUICK).picture
    generate(canny, "a blue cube", some_map(1), seed=[4, 5], steps=2, guidance_scale=1)
    torch.manual_seed(99)
    again = generate(canny, "a red ball", some_map(), seed=3, **QUICK).picture
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)


def test_a_batch_equals_its_single_pictures_within_two_levels(canny):
    prompts = ["a red ball", "a blue cube", "a green cone"]
    maps = [some_map(seed) for seed in range(3)]
    batch = generate(canny, prompts, maps, seed=[7, 8, 9], **QUICK)
    for picture, prompt, one_map, seed in zip(
        batch.pictures, prompts, maps, batch.seeds, strict=True
    ):
        single = generate(canny, prompt, one_map, seed=seed, **QUICK).picture
        assert levels_apart(picture, single) <= 2


def test_the_picture_is_that_of_the_plain_call_of_diffusers(canny):
    ours = generate(canny, "a red ball", some_map(), seed=5, steps=4, guidance_scale=3).picture
    theirs = canny(
        "a red ball",
        image=Image.fromarray(some_map()).convert("RGB"),
        generator=torch.Generator().manual_seed(5),
        num_inference_steps=4,
        guidance_scale=3,
    )
    assert np.array_equal(ours, np.array(theirs.images[0]))


def test_other_seeds_prompts_and_negative_prompts_give_other_pictures(canny):
    def draw(prompt="a red ball", **knobs):
        return generate(canny, prompt, some_map(), **QUICK, **knobs).picture

    pictures = [draw(), draw(seed=1), draw("a blue cube"), draw(negative_prompt="blue")]
    pictures += [draw(guidance_scale=9)]
    assert len({picture.tobytes() for picture in pictures}) == 5


def test_several_seeds_may_be_a_range(canny):
    result = generate(canny, "a red ball", some_map(), seed=range(2), **QUICK)
    assert result.seeds == [0, 1]
    assert levels_apart(*result.pictures) > 50


def test_the_control_image_changes_the_picture(canny):
    first = generate(canny, "a red ball", some_map(0), **QUICK).picture
    second = generate(canny, "a red ball", some_map(1), **QUICK).picture
    assert levels_apart(first, second) > 5


def test_with_scale_zero_the_picture_is_that_of_the_model_without_a_controlnet(canny):
    parts = {name: part for name, part in canny.components.items() if name != "controlnet"}
    alone = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    alone.set_progress_bar_config(disable=True)
    expected = alone(
        "a red ball",
        height=SIDE,
        width=SIDE,
        generator=torch.Generator().manual_seed(0),
        num_inference_steps=3,
        guidance_scale=4.0,
    )
    result = generate(canny, "a red ball", some_map(), conditioning_scale=0, **QUICK)
    assert np.array_equal(result.picture, np.array(expected.images[0]))


def test_a_control_that_ends_early_counts_less(canny):
    def draw(**knobs):
        return generate(canny, "a red ball", some_map(), steps=4, **knobs).picture

    none, half, full = draw(conditioning_scale=0), draw(control_end=0.5), draw()
    assert levels_apart(none, half) > 0
    assert levels_apart(half, full) > 0
    assert np.array_equal(draw(control_start=0.3, control_end=0.4), none)


def test_several_conditions_keep_their_order(both, canny, load):
    images = [some_map(0), some_map(1)]
    first = generate(both, "a red ball", images, conditioning_scale=[1, 0], **QUICK).picture
    second = generate(both, "a red ball", images, conditioning_scale=[0, 1], **QUICK).picture
    alone = [
        generate(canny, "a red ball", images[0], **QUICK).picture,
        generate(load("depth"), "a red ball", images[1], **QUICK).picture,
    ]
    assert [condition_of(net).name for net in both.controlnet.nets] == ["canny", "depth"]
    assert np.array_equal(first, alone[0])
    assert np.array_equal(second, alone[1])
    assert levels_apart(first, second) > 5


def test_several_conditions_make_several_pictures(both):
    images = [[some_map(0), some_map(1)], some_map(2)]
    batch = generate(both, "a red ball", images, seed=[1, 2], **QUICK)
    for number in range(2):
        pair = [images[0][number], images[1]]
        single = generate(both, "a red ball", pair, seed=number + 1, **QUICK).picture
        assert levels_apart(batch.pictures[number], single) <= 2


def test_a_list_of_one_condition_takes_a_list_of_one_image(load, canny):
    listed = generate(load(["canny"]), "a red ball", [some_map()], **QUICK).picture
    alone = generate(canny, "a red ball", some_map(), conditioning_scale=[1], **QUICK).picture
    assert np.array_equal(listed, alone)


def test_a_normal_map_reaches_the_network_in_its_order_whatever_the_configuration_says(load):
    normal = load("normal")
    colours = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)

    def draw(image, order):
        normal.controlnet.register_to_config(controlnet_conditioning_channel_order=order)
        return generate(normal, "a red ball", image, **QUICK).picture

    reversed_inside = draw(colours, "bgr")
    assert np.array_equal(draw(colours, "rgb"), reversed_inside)
    assert not np.array_equal(draw(colours[:, :, ::-1], "rgb"), reversed_inside)


def test_other_maps_are_handed_over_as_they_are(canny):
    colours = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    result = generate(canny, "a red ball", colours, **QUICK)
    plain = canny(
        "a red ball",
        image=Image.fromarray(colours),
        generator=torch.Generator().manual_seed(0),
        num_inference_steps=3,
        guidance_scale=4.0,
    )
    assert np.array_equal(result.picture, np.array(plain.images[0]))


def test_the_settings_make_the_same_picture_again(canny):
    result = generate(
        canny,
        "a red ball",
        some_map(),
        seed=np.int64(6),
        steps=2,
        conditioning_scale=0.7,
        control_end=0.8,
        negative_prompt="blue",
    )
    settings = json.loads(json.dumps(result.settings))
    again = generate(canny, control_image=some_map(), **settings)
    assert np.array_equal(again.picture, result.picture)
    assert again.settings == result.settings
    assert result.seconds > 0


def test_the_only_picture_is_asked_for_when_there_are_two(canny):
    result = generate(canny, "a red ball", some_map(), seed=[0, 1], **QUICK)
    with pytest.raises(ValueError, match=r"expected one picture, there are 2; take them from"):
        _ = result.picture


def test_any_form_of_picture_and_any_multiple_of_8_will_do(canny):
    grey = some_map(height=40, width=72)
    forms = [grey, np.dstack([grey] * 3), Image.fromarray(grey), Image.fromarray(grey).convert("1")]
    pictures = [generate(canny, "a red ball", form, **QUICK).picture for form in forms]
    assert pictures[0].shape == (40, 72, 3)
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"control_image": some_map()[:60]}, "multiples of 8, got 64 x 60; scale .*fit"),
        (
            {"control_image": [some_map(), some_map(0, 32)], "seed": [0, 1]},
            "one size, got 64 x 32 and 64 x 64",
        ),
        ({"control_image": [some_map()] * 2, "seed": [0, 1, 2]}, "one length.*3 for seed"),
        ({"prompt": ["a", "a"], "seed": [0, 1, 2]}, "one length.*2 for prompt, 1 for negative"),
        ({"prompt": []}, "one length.*0 for prompt"),
        ({"seed": -1}, r"seed: expected a whole number from 0 .*got -1"),
        ({"seed": 1.0}, r"seed: expected a whole number from 0 .*got 1\.0"),
        ({"seed": 2**64}, "seed: expected a whole number"),
        ({"steps": 0}, "steps: expected a whole number from 1, got 0"),
        ({"steps": 2.5}, "steps: expected a whole number"),
        ({"control_start": 0.5, "control_end": 0.5}, "control_start < control_end .*scale=0"),
        ({"control_end": 1.5}, "control_end <= 1"),
        ({"conditioning_scale": [1.0, 1.0]}, "one for each condition, 1 in all; got 2"),
        ({"guidance_scale": float("nan")}, "guidance_scale: expected a finite number"),
        ({"control_image": some_map()[None, None]}, "control image: expected shape"),
    ],
)
def test_wrong_values_are_answered_with_what_was_expected(canny, arguments, message):
    usual = {"prompt": "a red ball", "control_image": some_map(), "steps": 2}
    with pytest.raises(ValueError, match=message):
        generate(canny, **usual | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": None}, "expected prompts as strings, got NoneType"),
        ({"negative_prompt": None}, "expected prompts as strings, got NoneType; an empty one"),
        ({"control_image": np.zeros((SIDE, SIDE, 3))}, "control image: expected 8-bit"),
        ({"control_image": [[some_map()]]}, "control image: expected a Pillow image"),
        ({"conditioning_scale": "1"}, "expected the conditioning scale as a number"),
        ({"guidance_scale": "4"}, "guidance_scale: expected a number"),
    ],
)
def test_wrong_types_are_answered_with_what_was_expected(canny, arguments, message):
    usual = {"prompt": "a red ball", "control_image": some_map(), "steps": 2}
    with pytest.raises(TypeError, match=message):
        generate(canny, **usual | arguments)


def test_every_condition_needs_its_control_image_and_scale(both):
    with pytest.raises(ValueError, match=r"expected a list of 2 control images, .*got 1"):
        generate(both, "a red ball", some_map(), **QUICK)
    with pytest.raises(ValueError, match="one for each condition, 2 in all; got 1"):
        generate(both, "a red ball", [some_map()] * 2, conditioning_scale=[1.0], **QUICK)


def test_a_picture_that_is_not_finite_is_no_picture(load):
    broken = load("canny")
    with torch.no_grad():
        broken.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"load the pipeline with dtype=torch\.float32"):
        generate(broken, "a red ball", some_map(), **QUICK)


def test_words_that_the_toybox_does_not_know_are_named_once(canny):
    with pytest.warns(UserWarning, match=r"has no word for fast, dragon, café: it knows") as seen:
        generate(canny, "A red, fast DRAGON, dragon", some_map(), negative_prompt="café", **QUICK)
    ours = [warning for warning in seen if warning.category is UserWarning]
    assert [warning.filename for warning in ours] == [__file__]


def test_a_word_is_known_if_it_is_one_token():
    tokenizer = make_tokenizer()
    assert unknown_words(tokenizer, "A red  BALL on\na wooden floor, cream wall") == []
    assert unknown_words(tokenizer, "a redball on 面") == ["redball", "面"]
    assert unknown_words(tokenizer, "") == []


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_of_the_toybox_loads_without_a_network_and_in_silence(
    toybox, name, no_network, capfd
):
    pipeline = load_pipeline(name, folder=toybox)
    assert condition_of(pipeline.controlnet) is CONDITIONS[name]
    assert model_of(pipeline).name == "toybox"
    assert pipeline.unet.dtype == pipeline.text_encoder.dtype == torch.float32
    assert pipeline.device == torch.device("cpu")
    assert not any(capfd.readouterr())


def test_another_dtype_reaches_every_part(toybox):
    pipeline = load_pipeline("canny", device="cpu", dtype=torch.bfloat16, folder=toybox)
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.controlnet)
    assert {part.dtype for part in parts} == {torch.bfloat16}


def test_slices_change_nothing_and_tiles_only_a_picture_of_several(toybox, canny):
    wide = some_map(0, 64, 512)
    pictures = {}
    for decoder in ("whole", "slices", "tiles"):
        pipeline = load_pipeline("canny", folder=toybox, decoder=decoder)
        pipeline.set_progress_bar_config(disable=True)
        small = generate(pipeline, "a red ball", some_map(), seed=[1, 2], **QUICK).pictures
        pictures[decoder] = np.stack(small), generate(pipeline, "a", wide, **QUICK).picture
    assert levels_apart(pictures["whole"][0], pictures["slices"][0]) <= 2
    assert np.array_equal(pictures["slices"][0], pictures["tiles"][0])
    assert np.array_equal(pictures["whole"][1], pictures["slices"][1])
    assert levels_apart(pictures["slices"][1], pictures["tiles"][1]) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_stable_diffusion_draws_in_both_number_formats_of_a_cpu(hub, dtype):
    tiny_models.tiny_sd15(hub)
    with without_loading_bars():
        pipeline = load_pipeline("canny", model="sd15", device="cpu", dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.unet.dtype == dtype
    assert generate(pipeline, "a dragon", some_map(), **QUICK).picture.shape == (SIDE, SIDE, 3)


def test_the_progress_bar_is_drawn_unless_it_is_switched_off(toybox, capfd, monkeypatch):
    pipeline = load_pipeline("canny", folder=toybox)
    generate(pipeline, "a red ball", some_map(), **QUICK)
    assert "3/3" in capfd.readouterr().err
    pipeline.set_progress_bar_config(disable=True)
    generate(pipeline, "a red ball", some_map(), **QUICK)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    generate(load_pipeline("canny", folder=toybox), "a red ball", some_map(), **QUICK)
    assert not any(capfd.readouterr())


def test_loading_bars_come_back():
    packages = (diffusers.utils.logging, transformers.utils.logging)
    before = [package.is_progress_bar_enabled() for package in packages]
    with without_loading_bars():
        assert not any(package.is_progress_bar_enabled() for package in packages)
    assert [package.is_progress_bar_enabled() for package in packages] == before


def test_a_damaged_file_of_the_toybox_is_named_before_anything_is_drawn(toybox, tmp_path):
    shutil.copytree(toybox, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "controlnet" / "hed" / "diffusion_pytorch_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    load_pipeline("canny", folder=tmp_path)
    with pytest.raises(ValueError, match=r"hed.diffusion_pytorch_model\.safetensors: its bytes"):
        load_pipeline(["canny", "hed"], folder=tmp_path)


def test_stable_diffusion_is_loaded_by_the_names_of_its_repositories(hub, toybox, capsys):
    tiny_models.tiny_sd15(hub, conditions=("canny", "normal"))
    with without_loading_bars():
        pipeline = load_pipeline(
            ["canny", "normal"], model="sd15", device="cpu", dtype=torch.float32
        )
    said = "CPU, float32, all weights stay on the device, attention of sdpa, all pictures"
    assert capsys.readouterr().out.startswith(said)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.config._name_or_path == BASE_MODEL
    assert [condition_of(net).name for net in pipeline.controlnet.nets] == ["canny", "normal"]
    assert model_of(pipeline).name == "sd15"
    assert isinstance(pipeline.scheduler, UniPCMultistepScheduler)
    assert pipeline.scheduler.config.beta_schedule == "scaled_linear"
    assert pipeline.safety_checker is None
    result = generate(pipeline, "a fast dragon", [some_map(), some_map(1)], **QUICK)
    assert result.settings["guidance_scale"] == 7.5
    assert result.picture.shape == (SIDE, SIDE, 3)


def test_without_weights_or_network_the_error_says_what_to_download(hub):
    checkpoint = CONDITIONS["canny"].checkpoint
    expected = rf"(?s)5\.7 GB of weights.*download {BASE_MODEL}.*download {checkpoint}.*toybox"
    with pytest.raises(FileNotFoundError, match=expected):
        load_pipeline("canny", model="sd15")
    tiny_models.tiny_sd15(hub, conditions=("depth",))
    with pytest.raises(FileNotFoundError, match=expected):
        load_pipeline("canny", model="sd15")


def test_a_download_that_stopped_half_way_is_told_in_the_same_words(hub):
    tiny_models.tiny_sd15(hub)
    for path in hub.rglob("unet/*.safetensors"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"(?s)5\.7 GB.*got .*HF_HUB_OFFLINE=0"):
        load_pipeline("canny", model="sd15")


def test_unknown_names_are_answered_with_those_there_are(toybox):
    with pytest.raises(ValueError, match=r"expected one of canny, .*got 'pose'"):
        load_pipeline("pose", folder=toybox)
    with pytest.raises(ValueError, match="expected the model toybox or sd15; got 'sdxl'"):
        load_pipeline("canny", model="sdxl", folder=toybox)
    with pytest.raises(ValueError, match="at least one condition"):
        load_pipeline([], folder=toybox)


def test_the_models_differ_in_size_and_home():
    assert (get_model("toybox").resolution, get_model("sd15").resolution) == (256, 512)
    assert not get_model("toybox").on_hub
