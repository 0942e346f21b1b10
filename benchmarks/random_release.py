"""Stable Diffusion 1.5 with random weights, under the names of the release.

The networks have the architecture and the size of the release, to the parameter. Speed and memory
do not depend on what the weights are, and neither does whether two ways of running agree. What the
pictures show does: they show noise.
"""

import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from tiny_models import as_large_as_clip, save_as_release

from helpers.runtime import default_device
from toybox.tokenizer import make_tokenizer

PARAMETERS = {
    "unet": 859_520_964,
    "controlnet": 361_279_120,
    "vae": 83_653_863,
    "text_encoder": 123_060_480,
}
"""Of the release."""


def write_random_release(cache: Path, conditions: tuple[str, ...]) -> None:
    """Fill a cache of the hub with 16-bit random weights: 2.1 GB, and 0.7 GB for each condition."""
    torch.manual_seed(0)
    tokenizer = as_large_as_clip(make_tokenizer())
    with torch.device(default_device()):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        nets = {name: _controlnet(unet) for name in conditions}
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            sample_size=512,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                projection_dim=768,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    parts = {"unet": unet, "vae": vae, "text_encoder": text_encoder}
    for name, part in (parts | {"controlnet": next(iter(nets.values()))}).items():
        count = sum(weight.numel() for weight in part.parameters())
        if count != PARAMETERS[name]:
            raise RuntimeError(f"{name}: expected {PARAMETERS[name]} parameters, got {count}")
    for part in (*parts.values(), *nets.values()):
        nn.Module.half(part)
    base = StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=PNDMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    save_as_release(cache, base, nets)


def _controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """Return a ControlNet that has an effect: the layers that begin at zero do not."""
    net = ControlNetModel.from_unet(unet)
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        nn.init.normal_(layer.weight, std=0.02)
    nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.05)
    return net
