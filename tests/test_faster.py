"""What is faster draws the same picture, up to rounding; what is approximate says so."""

import copy

import huggingface_hub
import numpy as np
import pytest
import tiny_models
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny, DDIMScheduler, UniPCMultistepScheduler
from diffusers.models import MultiControlNetModel
from PIL import Image
from torch import nn

from helpers import faster
from helpers.faster import (
    TabulatedUniPC,
    constants_kept,
    make_fast,
    reuse_features,
    step_table,
    use_tiny_autoencoder,
)
from helpers.pipelines import generate, load_pipeline
from helpers.placement import MEMORY_MODES

SIDE = 64
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

pytestmark = [
    pytest.mark.filterwarnings("error::DeprecationWarning"),
    pytest.mark.filterwarnings("error::FutureWarning"),
    # How diffusers' schedulers turn tensors into arrays.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # What torch's own compiler imports.
    pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning"),
]

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(scope="module")
def toybox(tmp_path_factory):
    return tiny_models.tiny_toybox(tmp_path_factory.mktemp("toybox"))


@pytest.fixture(scope="module")
def load(toybox):
    def load_quietly(condition="canny"):
        pipeline = load_pipeline(condition, folder=toybox, device="cpu")
        pipeline.set_progress_bar_config(disable=True)
        for network in (*faster.controlnets(pipeline), pipeline.unet):
            for name, layer in network.named_modules():
                if name.endswith("attn2.to_v"):  # random weights hardly hear the prompt
                    layer.weight.data *= 3000
        return pipeline

    return load_quietly


def some_map(seed=0, height=SIDE, width=SIDE):
    coarse = np.random.default_rng(seed).integers(0, 2, (height // 8, width // 8), np.uint8)
    return np.kron(coarse, np.full((8, 8), 255, np.uint8))


def draw(pipeline, prompt="a red ball", control_image=None, **knobs):
    control_image = some_map() if control_image is None else control_image
    result = generate(pipeline, prompt, control_image, **({"steps": 4} | knobs))
    return np.stack(result.pictures).astype(int)


def draw_plainly(pipeline, prompt="a red ball", control_image=None, **knobs):
    """Draw by the pipeline of diffusers itself."""
    several = isinstance(pipeline.controlnet, MultiControlNetModel)
    control_image = some_map() if control_image is None else control_image
    seeds = knobs.get("seed", 0)
    seeds = seeds if isinstance(seeds, list) else [seeds]
    images = [
        Image.fromarray(image if image.ndim == 3 else np.dstack([image] * 3))
        for image in (control_image if several else [control_image])
    ]
    pictures = pipeline(
        prompt if isinstance(prompt, list) else [prompt] * len(seeds),
        image=[images] * len(seeds) if several else images * len(seeds),
        negative_prompt=[knobs.get("negative_prompt", "")] * len(seeds),
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        num_inference_steps=knobs.get("steps", 4),
        guidance_scale=knobs.get("guidance_scale", 4.0),
        controlnet_conditioning_scale=float(knobs.get("conditioning_scale", 1.0)),
        control_guidance_end=knobs.get("control_end", 1.0),
    )
    return np.stack([np.array(picture) for picture in pictures.images]).astype(int)


def calls_of(module):
    """Return a list that grows by the length of the batch at each call of a module."""
    seen = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    return seen


# UniPC as a table.


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"prediction_type": "v_prediction", "timestep_spacing": "trailing"},
        {"solver_order": 3},
        {"use_karras_sigmas": True},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    ],
    ids=str,
)
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_the_table_takes_the_steps_of_diffusers(config, steps):
    theirs = UniPCMultistepScheduler(**NOISE, **config)
    ours = TabulatedUniPC.from_config(theirs.config)
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(2, 4, 8, 8, generator=generator)
    latents = {theirs: first, ours: first}
    for scheduler in latents:
        scheduler.set_timesteps(steps)
    assert torch.equal(theirs.timesteps, ours.timesteps)
    for timestep in theirs.timesteps:
        prediction = torch.randn(first.shape, generator=generator)
        for scheduler, sample in latents.items():
            latents[scheduler] = scheduler.step(prediction, timestep, sample).prev_sample
        torch.testing.assert_close(latents[ours], latents[theirs], rtol=1e-4, atol=1e-4)
    assert ours.step_index == steps


def test_the_steps_can_be_given_by_their_noise():
    theirs = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    ours = TabulatedUniPC.from_config(theirs.config)
    sample = torch.ones(1, 4, 8, 8)
    latents = []
    for scheduler in (theirs, ours):
        scheduler.set_timesteps(sigmas=np.array([0.9, 0.5, 0.1]))
        new = sample
        for timestep in scheduler.timesteps:
            new = scheduler.step(sample / 2, timestep, new).prev_sample
        latents.append(new)
    torch.testing.assert_close(*latents, rtol=1e-4, atol=1e-4)


def test_a_table_begins_at_the_beginning():
    scheduler = TabulatedUniPC(**NOISE)
    scheduler.set_timesteps(5)
    scheduler.set_begin_index(2)
    with pytest.raises(
        ValueError, match="expected to begin with the first step, got begin_index=2"
    ):
        scheduler.step(torch.ones(1, 4, 8, 8), scheduler.timesteps[2], torch.ones(1, 4, 8, 8))


def test_no_step_knows_a_prediction_of_the_future():
    table = step_table(UniPCMultistepScheduler(**NOISE), 10)
    assert table.shape == (10, 11)
    assert not table.triu(diagonal=2).any()
    assert table[:, 0].all()


def test_a_scheduler_that_is_not_linear_has_no_table():
    scheduler = UniPCMultistepScheduler(**NOISE, thresholding=True)
    with pytest.raises(ValueError, match=r"expected a scheduler that is linear, got .*threshold"):
        step_table(scheduler, 5)


# Work that is done once.


def test_constants_are_computed_once_a_call_and_forgotten_afterwards(load, monkeypatch):
    pipeline = load()
    net, unet = pipeline.controlnet, pipeline.unet
    keys = unet.down_blocks[1].attentions[0].transformer_blocks[0].attn2.to_k
    hint, weights, linear = calls_of(net.controlnet_cond_embedding.conv_in), [], F.linear
    monkeypatch.setattr(F, "linear", lambda x, w, b=None: (weights.append(w), linear(x, w, b))[1])

    def work():
        hint.clear(), weights.clear()
        inputs = {"image": torch.zeros(1, 3, SIDE, SIDE), "output_type": "latent"}
        pipeline("a red ball", num_inference_steps=5, **inputs)
        return len(hint), sum(weight is keys.weight for weight in weights)

    before = [dict(vars(module)) for module in (keys, net, unet)]
    assert work() == (5, 5)
    with constants_kept(pipeline):
        assert work() == (1, 1)
    assert [dict(vars(module)) for module in (keys, net, unet)] == before
    assert work() == (5, 5)


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"guidance_scale": 1.0},
        {"seed": [1, 2, 3], "prompt": ["a red ball", "a blue cube", "a green cone"]},
        {"conditioning_scale": 0.4, "control_end": 0.5, "negative_prompt": "blue"},
        {"control_image": some_map(3, 40, 72)},
    ],
    ids=["plain", "no guidance", "batch", "scale", "size"],
)
def test_less_work_makes_the_same_picture(load, knobs):
    slow, fast = load(), make_fast(load())
    assert np.abs(draw_plainly(slow, **knobs) - draw(fast, **knobs)).max() <= 1
    assert np.array_equal(draw_plainly(slow, **knobs), draw(slow, **knobs)) or "seed" in knobs


def test_the_prompt_is_heard(load):
    pipeline = load()
    assert np.abs(draw(pipeline) - draw(pipeline, prompt="a blue cube")).max() > 4
    assert np.abs(draw(pipeline) - draw(pipeline, negative_prompt="blue cube")).max() > 4


def test_less_work_makes_the_same_picture_with_two_conditions(load):
    slow, fast = load(["canny", "normal"]), make_fast(load(["canny", "normal"]))
    colours = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for images in ([some_map(), colours], [some_map(1), colours[::-1]]):
        plain = draw_plainly(slow, control_image=images)
        assert np.array_equal(draw(slow, control_image=images), plain)
        assert np.abs(draw(fast, control_image=images) - plain).max() <= 1


def test_constants_are_kept_to_the_bit_in_16_bits_too(toybox):
    pipeline = load_pipeline("canny", folder=toybox, device="cpu", dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    knobs = {"conditioning_scale": 0.7, "guidance_scale": 4.0}
    assert np.array_equal(draw_plainly(pipeline, **knobs), draw(pipeline, **knobs))


def test_constants_can_be_kept_round_several_calls(load):
    pipeline = load()
    before = draw(pipeline)
    with constants_kept(pipeline):
        assert np.array_equal(draw(pipeline), before)
        assert not np.array_equal(draw(pipeline, prompt="a blue cube"), before)
    assert np.array_equal(draw_plainly(pipeline), before)


def test_what_the_halves_of_a_guided_batch_share_is_computed_once(load):
    fast = make_fast(load())
    first, deep = fast.unet.down_blocks[0].resnets[0], fast.unet.mid_block.resnets[0]
    shared, own = calls_of(first.conv1), calls_of(deep.conv1)
    draw(fast, seed=[1, 2])
    assert (set(shared), set(own)) == ({2}, {4})
    shared.clear(), own.clear()
    draw(fast, guidance_scale=1.0)
    assert (set(shared), set(own)) == ({1}, {1})


def test_a_pipeline_is_made_fast_once(load):
    with pytest.raises(ValueError, match="expected a pipeline as load_pipeline returns it"):
        make_fast(make_fast(load()))


def test_only_unipc_is_made_fast(load):
    pipeline = load()
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    with pytest.raises(ValueError, match=r"expected the scheduler UniPC.*, got DDIMScheduler"):
        make_fast(pipeline)
    assert not faster.is_fast(pipeline)


def test_a_fast_pipeline_stays_whole_when_its_scheduler_is_replaced(load):
    slow, fast = load(), make_fast(load())
    for pipeline in (slow, fast):
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    for _ in range(2):
        assert np.abs(draw_plainly(slow) - draw(fast)).max() <= 1
        assert np.abs(draw_plainly(slow) - draw_plainly(fast)).max() <= 1


def test_latents_that_were_changed_between_steps_are_refused(load):
    def halve(pipeline, step, timestep, tensors):
        return {"latents": tensors["latents"] / 2}

    with pytest.raises(ValueError, match="expected the latents that the last step returned"):
        make_fast(load())(
            "a red ball",
            image=torch.zeros(1, 3, SIDE, SIDE),
            num_inference_steps=3,
            callback_on_step_end=halve,
        )


# Compilation. "eager" traces the networks as any compiler does, and then runs them as they are.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.GroupNorm(4, 12), (2, 12, 5, 7)),
        (nn.GroupNorm(4, 12, eps=1e-6), (2, 12, 9)),
        (nn.Linear(12, 7), (2, 5, 12)),
        (nn.Conv2d(12, 7, 1), (2, 12, 5, 7)),
        (nn.Conv2d(12, 7, 1, stride=2, bias=False), (2, 12, 5, 7)),
    ],
    ids=str,
)
def test_layers_that_suit_the_compiler_compute_the_same(layer, size, dtype):
    generator = torch.Generator().manual_seed(0)
    layer = copy.deepcopy(layer)
    for weight in layer.parameters():
        nn.init.normal_(weight, generator=generator)
    layer.to(dtype)
    exact = copy.deepcopy(layer).double()
    faster._suit_the_compiler(layer)
    for offset in (0, 0.5, 30):
        given = (torch.randn(size, generator=generator) + offset).to(dtype)
        expected = exact(given.double()).detach()
        # 16 bits round the product, and then the sum; 32 bits the square of the offset.
        error = 4 * torch.finfo(dtype).eps + 2e-7 * offset**2
        answer = layer(given).detach()
        assert answer.dtype == dtype
        close = float(error * expected.abs().max())
        torch.testing.assert_close(answer.double(), expected, rtol=0, atol=close)
    assert layer(torch.full(size, 100.0, dtype=dtype)).isfinite().all()


def test_only_another_size_is_compiled_again(load, capsys):
    slow, fast = load(), make_fast(load(), compiler="eager")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()

    def graphs():
        return torch._dynamo.utils.counters["stats"]["unique_graphs"]

    draw(fast)
    assert (
        capsys.readouterr().out
        == f"compiling for 1 x {SIDE} x {SIDE} pixels, once; it takes minutes\n"
    )
    first = graphs()
    assert first == 4  # text, ControlNet, UNet and decoder, each whole
    for knobs in (
        {"prompt": "a blue cube"},
        {"seed": 5},
        {"conditioning_scale": 0.5},
        {"conditioning_scale": 0},
        {"control_image": some_map(7)},
        {"steps": 6, "guidance_scale": 3.0, "control_end": 0.5},
    ):
        assert np.abs(draw_plainly(slow, **knobs) - draw(fast, **knobs)).max() <= 1
        assert graphs() == first
        assert not capsys.readouterr().out
    draw(fast, seed=[1, 2])
    assert capsys.readouterr().out.startswith(f"compiling for 2 x {SIDE} x {SIDE} pixels")
    assert graphs() == 2 * first
    kept = fast.unet.down_blocks[1].attentions[0].transformer_blocks[0].attn2.to_k
    address = kept.kept.data_ptr()
    assert np.abs(draw(fast, seed=5) - draw_plainly(slow, seed=5)).max() <= 1
    draw(fast, seed=[1, 2])
    assert kept.kept.data_ptr() == address  # where CUDA graphs look for it
    assert graphs() == 2 * first
    draw(fast, seed=[1, 2], guidance_scale=1.0)  # as large as one picture with guidance
    assert capsys.readouterr().out.startswith(f"compiling for 2 x {SIDE} x {SIDE} pixels")


# Approximations.


def test_features_are_reused_in_every_second_step(load):
    slow, rested = load(), reuse_features(load(), every=2)
    networks = (
        rested.controlnet.conv_in,
        rested.unet.mid_block.resnets[0].conv1,
        rested.unet.conv_in,
    )
    control, deep, shallow = map(calls_of, networks)
    difference = np.abs(draw(slow, steps=5) - draw(rested, steps=5)).mean()
    assert 0 < difference < 20
    assert (len(control), len(deep), len(shallow)) == (3, 3, 5)
    assert np.array_equal(draw(slow, steps=1), draw(rested, steps=1))
    # The count begins anew with each picture, and another size is no trouble.
    assert np.array_equal(draw(rested, steps=5), draw(rested, steps=5))
    assert draw(rested, control_image=some_map(0, 128, 64), seed=[1, 2]).shape == (2, 128, 64, 3)


def test_features_are_reused_by_a_fast_pipeline_too(load):
    slow, fast = reuse_features(load(), every=3), reuse_features(make_fast(load()), every=3)
    assert np.abs(draw(slow, steps=7) - draw(fast, steps=7)).max() <= 1


def test_a_pipeline_is_made_fast_before_it_reuses_features(load):
    with pytest.raises(ValueError, match="call make_fast first and reuse_features afterwards"):
        make_fast(reuse_features(load()))


def test_features_are_reused_by_a_compiled_pipeline_too(load):
    torch._dynamo.reset()
    rested = reuse_features(load())
    fast = reuse_features(make_fast(load(), compiler="eager"))
    for knobs in ({"steps": 4}, {"steps": 5, "seed": 3}):
        assert np.abs(draw(rested, **knobs) - draw(fast, **knobs)).max() <= 1


def test_features_are_reused_in_one_way(load):
    with pytest.raises(ValueError, match="expected a pipeline that does not reuse features yet"):
        reuse_features(reuse_features(load()), every=3)


def test_rest_needs_steps_between(load):
    with pytest.raises(ValueError, match="every: expected a whole number from 2, got 1"):
        reuse_features(load(), every=1)


def test_a_tiny_autoencoder_takes_the_place_of_the_large_one(load, tmp_path):
    torch.manual_seed(0)
    AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    ).save_pretrained(tmp_path)
    pipeline = use_tiny_autoencoder(load(), str(tmp_path))
    assert isinstance(pipeline.vae, AutoencoderTiny)
    assert draw(pipeline).shape == draw(make_fast(pipeline)).shape == (1, SIDE, SIDE, 3)


def test_without_its_weights_the_tiny_autoencoder_says_what_to_download(
    load, tmp_path, monkeypatch
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"(?s)once; got .*hf download madebyollin/taesd"):
        use_tiny_autoencoder(load())


def test_the_toybox_has_no_use_for_the_tiny_autoencoder():
    with pytest.raises(ValueError, match=r"expected a pipeline of .* by 0\.18215, got one with"):
        use_tiny_autoencoder(load_pipeline("canny", device="cpu"))


# On a GPU, with the trained toybox.


@needs_gpu
@pytest.mark.filterwarnings("default")  # torch's compiler warns of Triton
def test_on_a_gpu_the_fast_picture_is_the_eager_one_up_to_rounding(capsys):
    slow, fast = load_pipeline("canny"), make_fast(load_pipeline("canny"))
    for pipeline in (slow, fast):
        pipeline.set_progress_bar_config(disable=True)
    for seed in range(8):
        knobs = {
            "prompt": ["a red ball on a wooden floor", "a blue cube"][seed % 2],
            "control_image": some_map(seed, 256, 256),
            "seed": seed,
            "steps": 20,
            "conditioning_scale": [1.0, 0.7][seed % 2],
        }
        difference = np.abs(draw(slow, **knobs) - draw(fast, **knobs)).mean()
        print(f"mean absolute difference {difference:.3f} of 255")
        assert difference <= 2
    assert capsys.readouterr().out.count("compiling") == 1


@needs_gpu
@pytest.mark.parametrize("memory", MEMORY_MODES)
def test_on_a_gpu_every_mode_of_memory_draws_the_same_bits(memory):
    pictures = []
    for mode in ("all", memory):
        pipeline = load_pipeline("canny", memory=mode)
        pipeline.set_progress_bar_config(disable=True)
        for _ in range(2):
            pictures.append(draw(pipeline, control_image=some_map(0, 256, 256)))
        assert faster.is_offloaded(pipeline) == (mode != "all")
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


@needs_gpu
def test_on_a_gpu_xformers_draws_the_picture_of_sdpa():
    xformers = pytest.importorskip("xformers.ops")
    try:
        q = torch.zeros(1, 8, 1, 8, device="cuda", dtype=torch.float16)
        xformers.memory_efficient_attention(q, q, q)
    except NotImplementedError as error:
        pytest.skip(f"xformers was built for another torch: {str(error).splitlines()[0]}")
    pictures = [
        draw(load_pipeline("canny", attention=name), control_image=some_map(0, 256, 256))
        for name in ("sdpa", "xformers")
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() <= 2
