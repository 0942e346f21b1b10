"""Train a ControlNet: python -m toybox.controlnet CONDITION [--smoke] [--watch]

A ControlNet is a copy of the UNet's encoder that reads a control image as well, and hands its
features to the frozen UNet through convolutions that begin as zero (Zhang, Rao and Agrawala,
arXiv 2302.05543, equation 2): at first it changes nothing, and it learns from there.

Needs the runs of toybox.text_to_image and, for hed, of toybox.annotators.hed. With --watch, the
control score and the held-out loss are measured every 50 steps: the loss falls smoothly, but the
pictures begin to follow all at once ("sudden convergence", section 3.3 of the paper).
"""

import copy
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional

from helpers.catalogue import CONDITIONS, get_condition
from helpers.conditions.ade20k import PALETTE
from helpers.conditions.canny import canny_edges
from helpers.networks import load_hed_network
from helpers.runtime import dtype_argument
from helpers.scores import edge_f1
from toybox.annotators.hed import side_logits
from toybox.data import load_data, open_data
from toybox.gallery import tile
from toybox.text_to_image import (
    SCHEDULE,
    Diffusion,
    clean_latents,
    draw_pictures,
    load_diffusion_data,
)
from toybox.training import (
    Plan,
    adapt,
    draw_numbers,
    is_first_process,
    layout_for,
    read_options,
    train,
)

PLAN = Plan(steps=4000, batch=128, learning_rate=1e-3, warm_up=100, decay=0.4)
"""The learning rate must stay high until the network has found what its control image is for: with
a cosine from the first step on it learns nothing in this time."""

HINT_CHANNELS = (16, 32, 64, 96)
"""Channels of the convolutions that bring the control image to the size of the latents."""

CAPTION_DROPOUT = 0.3
"""Share of the samples without a caption: the control image has to speak for itself."""

WATCHED = "canny"
"""The condition whose control score can be measured without an annotator's weights."""

_WATCHED_SCENES, _WATCHED_STEPS = 16, 10
_SOURCE = {"depth": "depth", "seg": "labels", "hed": "photo"}


def control_images(condition: str, source: Tensor, hed: nn.Module | None = None) -> Tensor:
    """Make control images as the ControlNet reads them: (N, 3, 256, 256) in [0, 1].

    Args:
        condition: name of the condition.
        source: what `load_control_data` holds for it, a batch: depth in metres for depth,
            photos for hed, else the control images themselves, (N, H, W) or (N, H, W, 3).
        hed: the annotator's network, for hed.
    """
    if condition == "depth":
        inverse = 1 / source
        least, most = inverse.amin((1, 2), keepdim=True), inverse.amax((1, 2), keepdim=True)
        grey = ((inverse - least) / (most - least) * 255).floor() / 255
    elif condition == "hed":
        photos = source.permute(0, 3, 1, 2).float()
        grey = hed_map(hed, photos)[:, 0]
    elif source.ndim == 4:
        return source.permute(0, 3, 1, 2) / 255
    else:
        grey = source / 255
    return grey[:, None].expand(-1, 3, -1, -1)


def hed_map(network: nn.Module, photos: Tensor) -> Tensor:
    """Return the soft edges of photos (N, 3, H, W) in 0..255: (N, 1, H, W) in [0, 1], 8 bits."""
    with torch.autocast(photos.device.type, enabled=False):
        fused = torch.sigmoid(side_logits(network, photos).mean(dim=1, keepdim=True))
    return (fused * 255).floor() / 255


class ControlNetLoss(nn.Module):
    """The squared error of the noise that the UNet finds with the ControlNet's help."""

    def __init__(
        self,
        condition: str,
        base: StableDiffusionPipeline,
        data: dict[str, Tensor],
        hed: nn.Module | None,
        batch: int,
    ) -> None:
        super().__init__()
        reverse = get_condition(condition).channel_order == "zyx"
        device = data["latents"].device
        layout = layout_for(device)
        self.text_encoder = base.text_encoder.to(device).requires_grad_(False)
        self.unet = base.unet.to(device, memory_format=layout).requires_grad_(False)
        self.controlnet = ControlNetModel.from_unet(
            base.unet,
            # Maps come as they are shown; this network exchanges red and blue, as the released one
            # was fed.
            controlnet_conditioning_channel_order="bgr" if reverse else "rgb",
            conditioning_embedding_out_channels=HINT_CHANNELS,
        ).to(device, memory_format=layout)
        self.hed = hed.to(device).requires_grad_(False) if hed else None
        self.diffusion = Diffusion().to(device)
        self.condition, self.data, self.batch = condition, data, batch

    def forward(self, generator: Generator) -> Tensor:
        """Return the loss of a batch."""
        usable = self.data["usable"]
        numbers = usable[draw_numbers(len(usable), self.batch, generator)]
        steps = draw_numbers(SCHEDULE["num_train_timesteps"], self.batch, generator)
        return self.loss_of(self.data, numbers, steps, CAPTION_DROPOUT, generator)

    def loss_of(
        self,
        data: dict[str, Tensor],
        numbers: Tensor,
        steps: Tensor,
        caption_dropout: float,
        generator: Generator,
    ) -> Tensor:
        """Return the loss of these scenes at these timesteps."""
        latents, tokens = clean_latents(data, numbers, caption_dropout, generator)
        eps = torch.randn(latents.shape, generator=generator, device=generator.device)
        noisy = self.diffusion(latents, steps, eps)
        with torch.no_grad():
            words = self.text_encoder(tokens).last_hidden_state
            images = control_images(self.condition, data["source"][numbers], self.hed)
        down, middle = self.controlnet(noisy, steps, words, images, return_dict=False)
        found = self.unet(
            noisy,
            steps,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return functional.mse_loss(found.float(), eps)


def load_control_data(
    condition: str, folder: Path, runs: Path, device: torch.device
) -> dict[str, Tensor]:
    """Return the diffusion data, "source" of control images, and numbers of "usable" scenes."""
    data = load_diffusion_data(folder, runs, device)
    name = _SOURCE.get(condition, condition)
    source = load_data(folder, name, device=device)[name]
    if condition == "seg":
        source = torch.tensor(PALETTE, dtype=torch.uint8, device=device)[source.int()]
    data["source"] = source
    # There may be more photos than scenes with truth.
    data["usable"] = torch.arange(len(open_data(folder, "depth")["depth"]), device=device)
    if condition == "openpose":
        visible = torch.from_numpy(open_data(folder, "joints_visible")["joints_visible"])
        data["usable"] = torch.nonzero(visible.sum((1, 2)) > 4)[:, 0].to(device)
    return data


def control_pipeline(
    base: StableDiffusionPipeline, controlnet: ControlNetModel
) -> StableDiffusionControlNetPipeline:
    """Put a ControlNet beside the parts of the base."""
    pipeline = StableDiffusionControlNetPipeline(
        **base.components, controlnet=controlnet, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def watch(
    base: StableDiffusionPipeline,
    module: ControlNetLoss,
    data: dict[str, Tensor],
    captions: list[str],
    steps: int,
) -> dict[str, float]:
    """Measure on held-out scenes what the loss of training does not show; columns for the log."""
    device = data["latents"].device
    numbers = data["usable"][:256]
    times = torch.full_like(numbers, 700)
    with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
        loss = module.loss_of(data, numbers, times, 0.0, Generator(device).manual_seed(0))
    pictures = follow(base, module, data, captions, steps)
    edges = data["source"][numbers[: len(captions)]].cpu().numpy() > 0
    scores = [
        edge_f1(wanted, canny_edges(picture)[:, :, 0] > 0, tolerance=2)
        for wanted, picture in zip(edges, pictures, strict=True)
    ]
    return {"held_out_loss_t700": loss.item(), "control_score": float(np.mean(scores))}


def follow(
    base: StableDiffusionPipeline,
    module: ControlNetLoss,
    data: dict[str, Tensor],
    captions: list[str],
    steps: int,
) -> NDArray[np.uint8]:
    """Draw the first held-out scenes from their captions and control images."""
    numbers = data["usable"][: len(captions)]
    images = control_images(module.condition, data["source"][numbers], module.hed)
    pipeline = control_pipeline(base, module.controlnet)
    return draw_pictures(pipeline, captions, image=images.float(), num_inference_steps=steps)


def main() -> None:
    """Train, draw, save."""
    options = read_options(
        __doc__.splitlines()[0],
        positional={"condition": list(CONDITIONS)},
        held_out="held-out",
        hed="annotators-hed/hed.safetensors",
        watch=False,
    )
    if options.watch and options.condition != WATCHED:
        raise SystemExit(f"--watch: expected the condition {WATCHED}, got {options.condition}")
    base = StableDiffusionPipeline.from_pretrained(
        options.out / "text-to-image" / "base",
        safety_checker=None,
        local_files_only=True,
        **dtype_argument(torch.float32),
    )
    base.set_progress_bar_config(disable=True)
    hed = load_hed_network(options.hed) if options.condition == "hed" else None
    steps = 2 if options.smoke else 20
    held_out: dict[str, Tensor] = {}
    captions: list[str] = []

    def make_module(device: torch.device, batch: int) -> nn.Module:
        data = load_control_data(options.condition, options.data, options.out, device)
        held_out.update(load_control_data(options.condition, options.held_out, options.out, device))
        base.to(device)
        all_captions = open_data(options.held_out, "caption")["caption"]
        captions.extend(str(all_captions[n]) for n in held_out["usable"].tolist())
        return ControlNetLoss(options.condition, base, data, hed, batch)

    def measure(module: ControlNetLoss, step: int) -> dict[str, float]:
        few, fewer = (2, 2) if options.smoke else (_WATCHED_SCENES, _WATCHED_STEPS)
        return watch(base, module, held_out, captions[:few], fewer)

    def sheet(module: ControlNetLoss) -> Image.Image:
        some = captions[: 2 if options.smoke else 8]
        numbers = held_out["usable"][: len(some)]
        images = control_images(options.condition, held_out["source"][numbers], module.hed)
        shown = (images * 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        photos = open_data(options.held_out, "photo")["photo"][numbers.cpu().numpy()]
        pictures = follow(base, module, held_out, some, steps)
        return Image.fromarray(tile(np.stack([photos, shown, pictures])))

    module, folder = train(
        f"controlnet-{options.condition}",
        make_module,
        adapt(PLAN, options),
        options,
        measure=measure if options.watch else None,
        sheet=sheet,
    )
    if is_first_process():
        copy.deepcopy(module.controlnet).half().save_pretrained(folder)


if __name__ == "__main__":
    main()
