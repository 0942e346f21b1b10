"""The parts of the model have Stable Diffusion's shape, and learn from what is later shown."""

import copy
import json
import shutil

import numpy as np
import pytest
import tiny_models
import torch
from diffusers import ControlNetModel, DDPMScheduler
from torch import nn

from helpers.annotators import draw_control, load_annotator
from helpers.catalogue import CONDITIONS
from helpers.conditions.normal import encode_normals
from helpers.networks import load_hed_network, new_hed_network, save_network
from helpers.pipelines import generate, load_pipeline
from helpers.runtime import without_loading_bars
from toybox import autoencoder as autoencoder_training
from toybox import text_to_image
from toybox.annotators.hed import initialised
from toybox.autoencoder import (
    AutoencoderLoss,
    load_autoencoder,
    new_autoencoder,
    psnr,
    reconstruct,
    to_network,
    with_frozen_encoder,
)
from toybox.controlnet import (
    ControlNetLoss,
    control_images,
    control_pipeline,
    follow,
    hed_map,
    load_control_data,
)
from toybox.data import SIZE, open_data, training_controls, truth_of
from toybox.manifest import collect, write_manifest
from toybox.scoreboard import true_measurement
from toybox.text_to_image import (
    CAPTION_DROPOUT,
    SCHEDULE,
    Diffusion,
    TextToImageLoss,
    cache_latents,
    clean_latents,
    draw_pictures,
    latents_name,
    load_diffusion_data,
    make_pipeline,
    new_scheduler,
    new_text_encoder,
    new_unet,
    tokenize,
)
from toybox.tokenizer import MAX_TOKENS, make_tokenizer
from toybox.world import render, sample_scene

# How diffusers' schedulers turn tensors into arrays.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CPU = torch.device("cpu")
# The second and the third scene have a person; the last has a photo and no truth.
SEEDS = (1_000_003, 1_000_001, 1_000_002, 1_000_000)
WITH_TRUTH = 3


@pytest.fixture(scope="module")
def views():
    return render([sample_scene(seed) for seed in SEEDS], size=SIZE)


@pytest.fixture(scope="module")
def data_folder(views, tmp_path_factory):
    """Training data of four scenes, three of them with truth, written without other processes."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for number in range(WITH_TRUTH):
        truth = truth_of(views, number)
        normals = encode_normals(views.normals[number].numpy())
        # Always of the even kind, so that the normals are those of the camera.
        rows.append(truth | training_controls(0, views.photo[number].numpy(), truth, normals))
    for name in rows[0]:
        np.save(folder / f"{name}.npy", np.stack([row[name] for row in rows]))
    np.save(folder / "photo.npy", views.photo.numpy())
    np.save(folder / "caption.npy", np.array([sample_scene(seed).caption for seed in SEEDS]))
    return folder


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    return tiny_models.tiny_base(tiny_models.tiny_unet(), make_tokenizer())


@pytest.fixture(scope="module")
def runs(base, tmp_path_factory):
    """A folder of runs in which the autoencoder and the base lie."""
    folder = tmp_path_factory.mktemp("runs")
    with without_loading_bars():
        base.vae.save_pretrained(folder / "autoencoder")
        base.save_pretrained(folder / "text-to-image" / "base")
    return folder


@pytest.fixture
def latents_data():
    generator = torch.Generator().manual_seed(0)
    return {
        "latents": torch.randn(3, 4, 32, 32, generator=generator).half(),
        "tokens": tokenize(np.array(["a red cube", "a blue car", "a green tree"])),
        "no_tokens": tokenize(np.array([""])),
        "source": torch.randint(256, (3, SIZE, SIZE), dtype=torch.uint8, generator=generator),
        "usable": torch.arange(3),
    }


def control_loss(condition, base, data, batch=2):
    torch.manual_seed(1)
    return ControlNetLoss(condition, base, data, None, batch)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The autoencoder.


@torch.no_grad()
def test_a_photo_becomes_four_channels_eight_times_smaller_and_back():
    network = new_autoencoder()
    latents = network.encode(torch.zeros(1, 3, SIZE, SIZE)).latent_dist.mean
    assert latents.shape == (1, 4, 32, 32)
    assert network.decode(latents).sample.shape == (1, 3, SIZE, SIZE)


def test_networks_read_photos_from_minus_one_to_one():
    photo = torch.tensor([0, 51, 255], dtype=torch.uint8).repeat(1, 2, 2, 1)
    read = to_network(photo)
    assert read.shape == (1, 3, 2, 2)
    torch.testing.assert_close(read[0, :, 0, 0], torch.tensor([-1.0, -0.6, 1.0]))


class Identity(nn.Module):
    """An autoencoder that changes nothing, or adds a constant."""

    device, dtype = CPU, torch.float32

    def __init__(self, added=0.0):
        super().__init__()
        self.added = added

    def encode(self, x):
        mean = x.clone()
        latents = type("Latents", (), {"mean": mean, "std": 0 * mean, "kl": lambda: mean[:, 0] * 0})
        return type("Encoded", (), {"latent_dist": latents})

    def decode(self, x):
        return type("Decoded", (), {"sample": x + self.added})


def test_what_loses_nothing_gives_every_photo_back():
    photos = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), np.uint8)
    assert np.array_equal(reconstruct(Identity(), photos, batch=2), photos)
    brighter = reconstruct(Identity(2 / 255), photos)
    assert np.array_equal(brighter, photos.astype(int).clip(0, 254) + 1)


def test_the_noise_of_an_untrained_autoencoder_is_smaller_than_what_it_says():
    with torch.no_grad():
        latents = new_autoencoder().encode(torch.rand(2, 3, 64, 64) * 2 - 1).latent_dist
    noise = latents.std.mean(dim=(0, 2, 3))
    assert (noise < latents.mean.std(dim=(0, 2, 3))).all(), "a channel would stay empty"


def test_the_loss_of_the_autoencoder_is_zero_for_what_changes_nothing():
    photos = torch.randint(256, (3, 16, 16, 3), dtype=torch.uint8, generator=seeded())
    loss, _ = AutoencoderLoss(Identity(), photos, 4)(seeded())
    assert loss.item() == 0
    # A constant has no gradient: L1 and twice the square are left.
    loss, values = AutoencoderLoss(Identity(0.2), photos, 4)(seeded())
    assert loss.item() == pytest.approx(0.2 + 2 * 0.04, rel=1e-5)
    assert values["psnr"].item() == pytest.approx(20.0, rel=1e-5)


def test_decibels_of_known_errors():
    wanted = np.full((3, 8, 8, 3), 100, np.uint8)
    found = wanted.copy()
    found[0] += 1
    found[1, :4] -= 10
    found[2, 0, 0, 0] = 0
    expected = [255**2 / 1, 255**2 / 50, 255**2 / (10_000 / 192)]
    np.testing.assert_allclose(psnr(found, wanted), 10 * np.log10(expected))


def test_the_decoder_learns_on_while_latents_stay_what_they_were(base, views):
    network = with_frozen_encoder(copy.deepcopy(base.vae))
    before = network.encode(to_network(views.photo)).latent_dist.mean
    optimizer = torch.optim.SGD([w for w in network.parameters() if w.requires_grad], 0.1)
    loss, _ = AutoencoderLoss(network, views.photo, 2)(seeded())
    loss.backward()
    optimizer.step()
    assert torch.equal(network.encode(to_network(views.photo)).latent_dist.mean, before)
    with torch.no_grad():
        again, _ = AutoencoderLoss(network, views.photo, 2)(seeded())
    assert again < loss


def test_scaled_latents_have_a_standard_deviation_of_one(base, views):
    factor = autoencoder_training._scaling_factor(base.vae, views.photo.numpy())
    with torch.no_grad():
        latents = base.vae.encode(to_network(views.photo)).latent_dist.mean
    assert (latents * factor).std().item() == pytest.approx(1, rel=1e-4)


# Text and UNet.


def test_the_added_noise_is_that_of_diffusers():
    latents, eps = (torch.randn(8, 4, 32, 32, generator=seeded(seed)) for seed in (0, 1))
    steps = torch.tensor([0, 1, 10, 250, 500, 700, 998, 999])
    expected = DDPMScheduler(**SCHEDULE).add_noise(latents, eps, steps)
    torch.testing.assert_close(Diffusion()(latents, steps, eps), expected)
    sampler = new_scheduler()
    assert torch.equal(sampler.alphas_cumprod, Diffusion().alpha_bar)


def test_the_noise_of_the_timesteps_is_that_of_stable_diffusion():
    beta = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    np.testing.assert_allclose(Diffusion().alpha_bar, np.cumprod(1 - beta), rtol=1e-4)


class Oracle(nn.Module):
    """A UNet that knows that there is nothing in the latents but noise."""

    def forward(self, noisy, steps, words, return_dict):
        assert words.shape == (len(noisy), MAX_TOKENS, 8)
        return (noisy / (1 - Diffusion().alpha_bar[steps]).sqrt().view(-1, 1, 1, 1),)


class Silent(nn.Module):
    def forward(self, noisy, steps, words, return_dict):
        return (torch.zeros_like(noisy),)


def test_the_loss_is_the_mean_squared_error_of_the_noise(base, latents_data):
    data = latents_data | {"latents": torch.zeros(3, 4, 32, 32)}
    with torch.no_grad():
        nothing_missed = TextToImageLoss(base.text_encoder, Oracle(), data, 64)(seeded())
        all_missed = TextToImageLoss(base.text_encoder, Silent(), data, 64)(seeded())
    assert nothing_missed.item() < 1e-9
    assert all_missed.item() == pytest.approx(1, abs=0.01)


def test_the_loss_depends_on_the_generator_alone(base, latents_data):
    loss = TextToImageLoss(base.text_encoder, base.unet, latents_data, 2)
    with torch.no_grad():
        first = loss(seeded(1))
        torch.manual_seed(99)
        assert torch.equal(first, loss(seeded(1)))
        assert not torch.equal(first, loss(seeded(2)))


@pytest.mark.parametrize("share", [0, CAPTION_DROPOUT, 1])
def test_a_share_of_the_captions_is_left_empty(latents_data, share):
    numbers = torch.arange(3).repeat(1000)
    latents, tokens = clean_latents(latents_data, numbers, share, seeded())
    assert torch.equal(latents, latents_data["latents"][numbers].float())
    empty = (tokens == latents_data["no_tokens"]).all(1)
    assert empty.float().mean().item() == pytest.approx(share, abs=0.02 * (0 < share < 1))
    assert torch.equal(tokens[~empty], latents_data["tokens"][numbers][~empty])


@torch.no_grad()
def test_the_real_networks_fit_together():
    words = new_text_encoder(len(make_tokenizer()))(tokenize(np.array(["a red cube"])))[0]
    assert words.shape == (1, MAX_TOKENS, 128)
    unet = new_unet()
    noisy, step = torch.randn(1, 4, 32, 32, generator=seeded()), torch.tensor([500])
    assert unet(noisy, step, words).sample.shape == noisy.shape
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 64, 96))
    down, middle = net(noisy, step, words, torch.rand(1, 3, SIZE, SIZE), return_dict=False)
    assert len(down) + 1 == 13
    sides = [one.shape[-1] for one in (*down, middle)]
    assert sides == [32, 32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 4]


def test_pictures_have_one_seed_each(base):
    captions = ["a red cube", "a blue car"]
    few = {"num_inference_steps": 1, "height": 64, "width": 64}
    pipeline = make_pipeline(base.vae, base.text_encoder, base.unet)
    both = draw_pictures(pipeline, captions, **few)
    assert both.shape == (2, 64, 64, 3)
    assert both.dtype == np.uint8
    alone = draw_pictures(pipeline, captions[:1], **few)
    assert np.abs(both[0].astype(int) - alone[0]).max() <= 2
    assert np.abs(both[0].astype(int) - both[1]).max() > 20


# Latents.


@pytest.fixture
def photos_folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    photos = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    np.save(folder / "photo.npy", photos)
    return folder


def test_latents_are_the_scaled_means_of_all_photos(photos_folder, runs):
    cache_latents(photos_folder, runs / "autoencoder", CPU)
    name = latents_name(photos_folder, runs / "autoencoder")
    data = open_data(photos_folder, "photo", name)
    network = load_autoencoder(runs / "autoencoder")
    with torch.no_grad():
        mean = network.encode(to_network(torch.from_numpy(data["photo"]))).latent_dist.mean
    expected = (mean * network.config.scaling_factor).half().numpy()
    assert data[name].shape == (5, 4, 32, 32)
    assert data[name].dtype == np.float16
    np.testing.assert_allclose(data[name], expected, rtol=2e-3, atol=1e-3)
    assert not list(photos_folder.glob("*.part"))


def test_photos_are_encoded_once_for_each_autoencoder(photos_folder, runs, tmp_path, monkeypatch):
    loaded = []

    def load(folder):
        loaded.append(folder)
        return load_autoencoder(folder)

    monkeypatch.setattr(text_to_image, "load_autoencoder", load)
    first = runs / "autoencoder"
    name = latents_name(photos_folder, first)
    (photos_folder / f"{name}.part").write_bytes(b"what an interruption left")
    for _ in range(2):
        cache_latents(photos_folder, first, CPU)
    assert loaded == [first]
    before = open_data(photos_folder, name)[name].copy()
    other = tmp_path / "other"
    shutil.copytree(first, other)
    network = load_autoencoder(first)
    network.encoder.conv_in.bias.data += 1
    network.save_pretrained(other)
    assert latents_name(photos_folder, other) != name
    cache_latents(photos_folder, other, CPU)
    assert loaded == [first, other]
    assert np.array_equal(open_data(photos_folder, name)[name], before)


def test_new_photos_get_new_latents(photos_folder, runs):
    cache_latents(photos_folder, runs / "autoencoder", CPU)
    np.save(photos_folder / "photo.npy", np.zeros((3, SIZE, SIZE, 3), np.uint8))
    cache_latents(photos_folder, runs / "autoencoder", CPU)
    name = latents_name(photos_folder, runs / "autoencoder")
    assert len(np.load(photos_folder / f"{name}.npy")) == 3


def test_latents_and_tokens_belong_to_the_same_scenes(data_folder, runs):
    data = load_diffusion_data(data_folder, runs, CPU)
    assert data["latents"].shape == (4, 4, 32, 32)
    captions = [sample_scene(seed).caption for seed in SEEDS]
    assert torch.equal(data["tokens"], tokenize(np.array(captions)))
    assert torch.equal(data["no_tokens"], tokenize(np.array([""])))


# The ControlNet.


@torch.no_grad()
def test_at_first_a_controlnet_changes_nothing(base, latents_data):
    module = control_loss("canny", base, latents_data)
    noisy, steps = latents_data["latents"].float(), torch.tensor([0, 500, 999])
    words = base.text_encoder(latents_data["tokens"]).last_hidden_state
    images = control_images("canny", latents_data["source"])
    down, middle = module.controlnet(noisy, steps, words, images, return_dict=False)
    assert len(down) + 1 == 13
    assert not any(one.any() for one in (*down, middle))
    alone = base.unet(noisy, steps, words).sample
    helped = base.unet(
        noisy,
        steps,
        words,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
    ).sample
    assert torch.equal(alone, helped)


def gradients_of(module):
    module.zero_grad()
    module(seeded()).backward()
    return {
        name: bool(weight.grad is not None and weight.grad.any())
        for name, weight in module.named_parameters()
    }


def test_the_first_gradient_reaches_only_the_zero_convolutions(base, latents_data):
    module = control_loss("canny", base, latents_data)
    zero = ("controlnet.controlnet_down_blocks", "controlnet.controlnet_mid_block")
    for name, reached in gradients_of(module).items():
        assert reached == name.startswith(zero), name


def test_the_second_reaches_the_copy_and_the_third_the_layers_of_the_control_image(
    base, latents_data
):
    module = control_loss("canny", base, latents_data)
    optimizer = torch.optim.SGD(module.controlnet.parameters(), 0.1)
    hint = "controlnet.controlnet_cond_embedding"
    reached = []
    for _ in range(3):
        reached.append(gradients_of(module))
        optimizer.step()
    # The last convolution that brings the control image in begins as zero, too.
    first_hint, last_hint = f"{hint}.conv_in.weight", f"{hint}.conv_out.weight"
    copied = "controlnet.down_blocks.1.resnets.0.conv1.weight"
    assert [one[copied] for one in reached] == [False, True, True]
    assert [one[last_hint] for one in reached] == [False, True, True]
    assert [one[first_hint] for one in reached] == [False, False, True]


def test_only_the_controlnet_is_trained_and_begins_as_a_copy(base, latents_data):
    module = control_loss("canny", base, latents_data)
    trained = {name for name, one in module.named_parameters() if one.requires_grad}
    every = {f"controlnet.{name}" for name, _ in module.controlnet.named_parameters()}
    assert trained == every
    copy = module.controlnet.state_dict()
    shared = {name: one for name, one in base.unet.state_dict().items() if name in copy}
    assert any(name.startswith("mid_block") for name in shared)
    assert all(torch.equal(copy[name], one) for name, one in shared.items())
    assert copy["conv_in.weight"].data_ptr() != shared["conv_in.weight"].data_ptr()


def test_the_loss_of_a_controlnet_depends_on_the_generator_alone(base, latents_data):
    module = control_loss("canny", base, latents_data)
    with torch.no_grad():
        assert torch.equal(module(seeded(1)), module(seeded(1)))
        assert not torch.equal(module(seeded(1)), module(seeded(2)))


def test_only_usable_scenes_are_drawn(base, latents_data):
    latents_data["usable"] = torch.tensor([1])
    latents_data["latents"][[0, 2]] = torch.nan
    loss = control_loss("canny", base, latents_data, batch=16)(seeded())
    assert torch.isfinite(loss)


# Control images.


def levels(images):
    """Return control images (N, 3, H, W) in [0, 1] as pictures, and check that they are bytes."""
    scaled = images.float() * 255
    assert (scaled - scaled.round()).abs().max() < 1e-3
    assert images.min() >= 0
    assert images.max() <= 1
    return scaled.round().byte().permute(0, 2, 3, 1).numpy()


# depth_image cuts a grey level where control_images rounds it.
@pytest.mark.parametrize(
    ("condition", "apart"),
    [("canny", 0), ("depth", 1), ("mlsd", 0), ("openpose", 0), ("seg", 0), ("normal", 0)],
)
def test_a_network_learns_from_what_draw_control_shows_it(
    condition, apart, data_folder, runs, views
):
    data = load_control_data(condition, data_folder, runs, CPU)
    shown = levels(control_images(condition, data["source"][:WITH_TRUTH]))
    for number in range(WITH_TRUTH):
        if condition == "normal":
            wanted = views.normals[number].numpy()
        else:
            annotator = load_annotator("canny")
            wanted = true_measurement(condition, views, number, annotator)
        expected = draw_control(condition, wanted, SIZE, SIZE)
        assert np.abs(shown[number].astype(int) - expected).max() <= apart
    assert len(np.unique(shown)) > 1


def test_scribbles_are_black_and_white(data_folder, runs):
    data = load_control_data("scribble", data_folder, runs, CPU)
    assert set(np.unique(levels(control_images("scribble", data["source"])))) == {0, 255}


def test_soft_edges_are_those_of_the_annotator_within_a_grey_level(views, tmp_path, data_folder):
    torch.manual_seed(0)
    (tmp_path / "annotators").mkdir()
    path = tmp_path / "annotators" / "hed.safetensors"
    save_network(initialised(new_hed_network()), path)
    write_manifest(tmp_path, {})
    annotate = load_annotator("hed", folder=tmp_path, device="cpu")
    network = load_hed_network(path)
    photos = views.photo[:2]
    with torch.no_grad():
        shown = levels(control_images("hed", photos, network))
        alone = hed_map(network, photos.permute(0, 3, 1, 2).float())
    assert np.array_equal(shown[..., :1], levels(alone))
    assert shown.std() > 1
    for picture, photo in zip(shown, photos.numpy(), strict=True):
        expected = draw_control("hed", annotate(photo), SIZE, SIZE)
        difference = np.abs(picture.astype(int) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


def test_scenes_without_truth_or_without_a_person_are_not_usable(data_folder, runs, views):
    for condition in CONDITIONS:
        data = load_control_data(condition, data_folder, runs, CPU)
        seen = views.joints_visible.sum((1, 2)) > 4
        expected = [n for n in range(WITH_TRUTH) if condition != "openpose" or seen[n]]
        assert data["usable"].tolist() == expected
        assert len(data["source"]) > max(expected)
        assert 0 < len(expected) < len(SEEDS)


def record_hint(controlnet):
    """Return a list that gets every control image that reaches the first layer."""
    seen = []
    layer = controlnet.controlnet_cond_embedding.conv_in
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    return seen


@pytest.mark.parametrize("condition", list(CONDITIONS))
def test_only_normals_are_read_with_red_and_blue_exchanged(condition, base, latents_data):
    module = control_loss(condition, base, latents_data)
    order = module.controlnet.config.controlnet_conditioning_channel_order
    assert order == ("bgr" if condition == "normal" else "rgb")


@pytest.mark.parametrize("condition", ["normal", "canny"])
def test_training_and_generate_feed_a_network_the_same_bits(
    condition, base, runs, data_folder, tmp_path, latents_data
):
    source = load_control_data(condition, data_folder, runs, CPU)["source"][:1]
    data = latents_data | {"source": source, "usable": torch.arange(1)}
    module = control_loss(condition, base, data, batch=1)
    in_training = record_hint(module.controlnet)
    with torch.no_grad():
        module(seeded())
    run = tmp_path / "runs" / f"controlnet-{condition}"
    module.controlnet.save_pretrained(run)
    shutil.copytree(runs / "text-to-image", tmp_path / "runs" / "text-to-image")
    weights = tmp_path / "weights"
    collect(tmp_path / "runs", weights)
    write_manifest(weights, {})
    pipeline = load_pipeline(condition, folder=weights, device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    in_use = record_hint(pipeline.controlnet)
    picture = levels(control_images(condition, source))[0]
    generate(pipeline, "a red cube", picture, steps=1)
    assert torch.equal(in_training[0][0], in_use[0][0])
    # Sheets and watched scores go a third way, past `generate`.
    in_sheets = record_hint(module.controlnet)
    follow(base, module, data, ["a red cube"], 1)
    assert torch.equal(in_training[0][0], in_sheets[0][0])


def test_the_pipeline_of_a_part_shares_the_networks_of_the_base(base, latents_data):
    module = control_loss("canny", base, latents_data)
    pipeline = control_pipeline(base, module.controlnet)
    assert pipeline.unet is base.unet
    assert pipeline.controlnet is module.controlnet


# From runs to weights.


@pytest.fixture
def small_runs(tmp_path):
    """Runs of a ControlNet and of two annotators, as files of a few bytes."""
    runs = tmp_path / "runs"
    files = {
        "text-to-image/base/unet/config.json": json.dumps({"_name_or_path": "/home/me", "a": 1}),
        "text-to-image/base/unet/diffusion_pytorch_model.safetensors": "unet",
        "text-to-image/log.csv": "step",
        "controlnet-canny/config.json": json.dumps({"b": 2}),
        "controlnet-canny/diffusion_pytorch_model.safetensors": "canny",
        "controlnet-canny/sheet.png": "sheet",
        "controlnet-canny/state/model.safetensors": "state",
        "annotators-depth/depth/config.json": "{}",
        "annotators-depth/depth/model.safetensors": "depth",
        "annotators-depth/scores.json": "{}",
        "annotators-hed/hed.safetensors": "hed",
    }
    for name, text in files.items():
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        (runs / name).write_text(text)
    return runs


def below(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_weights_are_collected_and_nothing_else(small_runs, tmp_path):
    collect(small_runs, tmp_path / "weights")
    assert below(tmp_path / "weights") == {
        "base/unet/config.json",
        "base/unet/diffusion_pytorch_model.safetensors",
        "controlnet/canny/config.json",
        "controlnet/canny/diffusion_pytorch_model.safetensors",
        "annotators/depth/config.json",
        "annotators/depth/model.safetensors",
        "annotators/hed.safetensors",
    }
    unet, canny = (tmp_path / "weights" / part for part in ("base/unet", "controlnet/canny"))
    assert json.loads((unet / "config.json").read_text()) == {"a": 1}
    assert json.loads((canny / "config.json").read_text()) == {"b": 2}


def test_a_collected_part_replaces_the_old_one_and_keeps_the_others(small_runs, tmp_path):
    weights = tmp_path / "weights"
    collect(small_runs, weights)
    (weights / "annotators" / "depth" / "of_an_older_run.json").write_text("{}")
    shutil.rmtree(small_runs / "controlnet-canny")
    (small_runs / "annotators-hed" / "hed.safetensors").write_text("better")
    collect(small_runs, weights)
    assert (weights / "annotators" / "hed.safetensors").read_text() == "better"
    assert "controlnet/canny/config.json" in below(weights)
    assert "annotators/depth/of_an_older_run.json" not in below(weights)
