"""Models shaped like the toybox and like Stable Diffusion 1.5, with few and random weights.

They are built in about a second and draw noise. What they are for: every call that the real
weights meet (files, names, shapes, arguments) is met by these.
"""

import json
import os
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from transformers import (
    BitConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    ConvNextConfig,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
    PreTrainedModel,
    SegformerImageProcessor,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)
from transformers.image_processing_utils import BaseImageProcessor

from helpers.catalogue import BASE_MODEL, CONDITIONS
from helpers.conditions.ade20k import CLASSES
from helpers.pipelines import CLIP_VOCABULARY
from helpers.runtime import import_controlnet_aux, without_loading_bars
from helpers.weights import sha256
from toybox.manifest import write_manifest
from toybox.tokenizer import make_tokenizer

LEVELS = 4
CHANNELS = (8,) * LEVELS
TEXT_SIZE = 8
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CLIP_TOKENS = 77
COMMIT = "0" * 40


def tiny_toybox(folder: Path) -> Path:
    """Write a toybox of random weights, manifest included, and return its folder."""
    torch.manual_seed(0)
    unet = tiny_unet()
    with without_loading_bars():
        tiny_base(unet, make_tokenizer()).save_pretrained(folder / "base")
    for name in CONDITIONS:
        order = "bgr" if name == "normal" else "rgb"
        tiny_controlnet(unet, order).save_pretrained(folder / "controlnet" / name)
    write_manifest(folder, {"autoencoder": {"steps": 0}})
    return folder


def tiny_sd15(cache: Path, *, conditions: tuple[str, ...] = ("canny",)) -> None:
    """Fill a cache of the hub with random weights under the names of the real repositories."""
    torch.manual_seed(0)
    unet = tiny_unet()
    controlnets = {name: tiny_controlnet(unet, "rgb") for name in conditions}
    save_as_release(cache, tiny_base(unet, as_large_as_clip(make_tokenizer())), controlnets)


def save_as_release(
    cache: Path, base: StableDiffusionPipeline, controlnets: dict[str, ControlNetModel]
) -> None:
    """Write models into a cache of the hub, in the files and under the names of the release."""
    base.register_modules(scheduler=PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1))
    base.register_modules(feature_extractor=CLIPImageProcessor())
    snapshot = cached_repository(cache, BASE_MODEL)
    with without_loading_bars():
        base.save_pretrained(snapshot)
    _save_as_clip(base.tokenizer, snapshot / "tokenizer")
    # The released folder has a safety checker of 1.2 GB, which must not be asked for.
    index = json.loads((snapshot / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (snapshot / "model_index.json").write_text(json.dumps(index))
    for name, controlnet in controlnets.items():
        controlnet.save_pretrained(cached_repository(cache, CONDITIONS[name].checkpoint))
    _move_to_blobs(cache)


def tiny_annotators(cache: Path) -> None:
    """Add the annotators of the release: small networks of the same classes, random weights.

    The networks of controlnet_aux have one size each. With these weights they find nobody and no
    straight line.
    """
    torch.manual_seed(0)
    for name, network, processor in (
        ("depth", _tiny_dpt(), DPTImageProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3)),
        ("seg", _tiny_upernet(), SegformerImageProcessor()),
    ):
        snapshot = cached_repository(cache, CONDITIONS[name].annotator_checkpoint)
        _save_as_pickle(network, processor, snapshot)
    aux = import_controlnet_aux()
    from controlnet_aux.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large

    snapshot = cached_repository(cache, CONDITIONS["hed"].annotator_checkpoint)
    snapshot.mkdir(parents=True)
    torch.save(_half(aux.hed.ControlNetHED_Apache2()), snapshot / "ControlNetHED.pth")
    torch.save(_half(MobileV2_MLSD_Large()), snapshot / "mlsd_large_512_fp32.pth")
    # Its file names layers without the block that they belong to.
    body = _half(aux.open_pose.body.bodypose_model())
    body = {name.partition(".")[2]: weight for name, weight in body.items()}
    torch.save(body, snapshot / "body_pose_model.pth")
    _move_to_blobs(cache)


def tiny_unet() -> UNet2DConditionModel:
    """Return a UNet of four levels and two layers a block: 13 residuals, as in SD 1.5."""
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=CHANNELS,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 2, "DownBlock2D"),
        up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * 2, "UpBlock2D"),
        layers_per_block=2,
        norm_num_groups=4,
        cross_attention_dim=TEXT_SIZE,
        attention_head_dim=2,
    )


def tiny_controlnet(unet: UNet2DConditionModel, channel_order: str) -> ControlNetModel:
    """Return a ControlNet whose zero convolutions are not zero, so that it has an effect."""
    net = ControlNetModel.from_unet(
        unet,
        controlnet_conditioning_channel_order=channel_order,
        conditioning_embedding_out_channels=(4, 4, 4, 4),
    )
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.5)
    # With the usual small weights nothing of the map would be left after all these layers.
    hint = net.controlnet_cond_embedding
    for layer in (hint.conv_in, *hint.blocks):
        torch.nn.init.kaiming_normal_(layer.weight)
    torch.nn.init.normal_(hint.conv_out.weight, std=2)
    return net


def tiny_base(unet: UNet2DConditionModel, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """Return the text-to-image pipeline round `unet`."""
    autoencoder = AutoencoderKL(
        block_out_channels=CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * LEVELS,
        up_block_types=("UpDecoderBlock2D",) * LEVELS,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=256,
    )
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_SIZE,
        intermediate_size=4 * TEXT_SIZE,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=UniPCMultistepScheduler(**NOISE, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def as_large_as_clip(tokenizer: CLIPTokenizer) -> CLIPTokenizer:
    """Add tokens that no text has, because the two models are told apart by their number."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    unused = {f"<{number}>": number for number in range(len(tokenizer), CLIP_VOCABULARY)}
    merges = [tuple(pair) for pair in model["merges"]]
    return CLIPTokenizer(model["vocab"] | unused, merges, model_max_length=CLIP_TOKENS)


def _save_as_clip(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the vocabulary in two files, as the release does."""
    (folder / "tokenizer.json").unlink()
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"]), ""]
    (folder / "merges.txt").write_text("\n".join(merges), encoding="utf-8")


def _tiny_dpt() -> DPTForDepthEstimation:
    """Return a depth network like MiDaS' hybrid: a transformer on top of convolutions."""
    stages = BitConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 32],
        depths=[1, 1, 1],
        layer_type="bottleneck",
        global_padding="same",
        embedding_dynamic_padding=True,
        num_groups=4,
        out_features=["stage1", "stage2", "stage3"],
    )
    return DPTForDepthEstimation(
        DPTConfig(
            is_hybrid=True,
            backbone_config=stages,
            backbone_featmap_shape=[1, 32, 24, 24],
            hidden_size=16,
            intermediate_size=16,
            num_attention_heads=2,
            neck_hidden_sizes=[8, 16, 16, 16],
            neck_ignore_stages=[0, 1],
            fusion_hidden_size=8,
            initializer_range=0.3,  # the depth is then in the thousands, like that of the release
            use_auxiliary_head=False,
        )
    )


def _tiny_upernet() -> UperNetForSemanticSegmentation:
    """Return a segmenter like the released one, for the 150 classes of ADE20K."""
    stages = ConvNextConfig(
        depths=[1] * 4,
        hidden_sizes=[8] * 4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return UperNetForSemanticSegmentation(
        UperNetConfig(
            backbone_config=stages,
            hidden_size=8,
            num_labels=len(CLASSES),
            use_auxiliary_head=False,
        )
    )


def _save_as_pickle(network: PreTrainedModel, processor: BaseImageProcessor, folder: Path) -> None:
    """Write the files of a release from before safetensors."""
    network.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")


def _half(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: weight.half() if weight.is_floating_point() else weight
        for name, weight in network.state_dict().items()
    }


def cached_repository(cache: Path, repository: str) -> Path:
    """Return the folder in which the hub's cache keeps the files of a repository."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    return folder / "snapshots" / COMMIT


def _move_to_blobs(cache: Path) -> None:
    """Leave links in the snapshots, as the hub does: the bytes lie in blobs, named by their sum."""
    if os.name != "posix":  # links need rights on Windows, and the hub keeps plain files there
        return
    for snapshot in cache.glob("models--*/snapshots/*"):
        blobs = snapshot.parents[1] / "blobs"
        blobs.mkdir(exist_ok=True)
        for path in sorted(snapshot.rglob("*")):
            if path.is_file() and not path.is_symlink():
                blob = path.replace(blobs / sha256(path))
                path.symlink_to(os.path.relpath(blob, path.parent))
