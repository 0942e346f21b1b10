"""Train the depth annotator: python -m toybox.annotators.depth [--smoke]

A DPT-Hybrid (Ranftl, Bochkovskiy and Koltun, "Vision Transformers for Dense Prediction", arXiv
2103.13413), the kind that made the depth maps of the released checkpoint, 200 times smaller. Its
first stages are convolutions, so it learns edges in a minute where a plain vision transformer
needs hours; transformer layers on top see the whole room.

It learns inverse depth in 1/m. What is written to disk gives `DEPTH_UNIT` times that, the unit in
which the normal recipe works.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor, nn
from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

from helpers.annotators import depth_annotator
from helpers.conditions.depth import depth_image
from helpers.scores import align, depth_rmse
from toybox.annotators import augment, ready_to_compile, save_pretrained
from toybox.data import DEPTH_UNIT, SIZE, held_out, load_data
from toybox.gallery import tile
from toybox.training import (
    Plan,
    adapt,
    draw_numbers,
    is_first_process,
    read_options,
    train,
    write_scores,
)
from toybox.world import Views

PLAN = Plan(steps=4000, batch=64, learning_rate=1e-3)

STEM = 32
STAGES = (48, 96, 160)
"""Channels of the convolutional stages, at 1/4, 1/8 and 1/16 of the picture's size."""

HIDDEN, LAYERS = 160, 4
"""Of the transformer."""

FUSION = 48
"""Channels in which the four levels are put together again."""

SCALES = 4
"""Sizes at which gradients are compared: all pixels, every second, every fourth, ..."""

MEAN_INVERSE_DEPTH = 0.4
"""Of the world, in 1/m. The last layer begins there: its ReLU would not let it up from below 0."""

HELD_OUT_SCENES = 256


def new_network() -> DPTForDepthEstimation:
    """Return an untrained network, for square pictures of side `SIZE`."""
    backbone = {
        "model_type": "bit",
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
        "embedding_size": STEM,
        "hidden_sizes": list(STAGES),
        "depths": [2, 2, 2],
        "num_groups": 8,
        "out_features": ["stage1", "stage2", "stage3"],
    }
    config = DPTConfig(
        is_hybrid=True,
        backbone_config=backbone,
        backbone_featmap_shape=(1, STAGES[2], SIZE // 16, SIZE // 16),
        image_size=SIZE,
        patch_size=16,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        # The first two count stages of the backbone; the last two, layers of the transformer.
        backbone_out_indices=(0, 1, LAYERS // 2 - 1, LAYERS - 1),
        neck_hidden_sizes=(STAGES[0], STAGES[1], HIDDEN, HIDDEN),
        reassemble_factors=(1, 1, 1, 0.5),
        fusion_hidden_size=FUSION,
        use_auxiliary_head=False,
    )
    network = DPTForDepthEstimation(config)
    # Nothing depends on these two. Without gradients, training on several GPUs would wait for them.
    network.dpt.layernorm.requires_grad_(False)
    network.neck.fusion_stage.layers[0].residual_layer1.requires_grad_(False)
    nn.init.constant_(_last_layer(network).bias, MEAN_INVERSE_DEPTH)
    return network


def new_processor() -> DPTImageProcessor:
    """Return what makes the network's input from a picture of any size, and says so on disk."""
    return DPTImageProcessor(
        size={"height": SIZE, "width": SIZE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


class DepthLoss(nn.Module):
    """How far the inverse depth of photos is from the truth, and how blurred its edges are."""

    def __init__(self, network: nn.Module, data: dict[str, Tensor], batch: int) -> None:
        super().__init__()
        self.network = network.to(data["photo"].device)
        self.data = data
        self.batch = batch

    def forward(self, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, and the mean error in 1/m."""
        chosen = draw_numbers(len(self.data["photo"]), self.batch, generator)
        photos = augment(self.data["photo"][chosen], generator)
        error = predict(self.network, photos) - 1 / self.data["depth"][chosen].float()
        size = error.abs().mean()
        return size + gradient_error(error), {"l1": size.detach()}


def predict(network: nn.Module, photos: Tensor) -> Tensor:
    """Return inverse depth (N, H, W), float32, of photos (N, 3, H, W) in [0, 1]."""
    return network(pixel_values=2 * photos - 1).predicted_depth.float()


def gradient_error(error: Tensor) -> Tensor:
    """Return how much an error (N, H, W) changes from pixel to pixel, at `SCALES` sizes.

    An edge of the right height in the right place leaves no change, a blurred one leaves two
    (Ranftl et al., "Towards Robust Monocular Depth Estimation", arXiv 1907.01341, equation 11).
    """
    sizes = [error[:, :: 2**k, :: 2**k] for k in range(SCALES)]
    return sum(e.diff(dim=1).abs().mean() + e.diff(dim=2).abs().mean() for e in sizes)


@torch.no_grad()
def save(network: DPTForDepthEstimation, folder: Path) -> None:
    """Write the network, with the unit of its output folded into its last layer."""
    scaled = copy.deepcopy(network)
    for weights in _last_layer(scaled).parameters():
        weights *= DEPTH_UNIT
    save_pretrained(scaled, new_processor(), folder)


def scores(folder: Path, views: Views) -> dict[str, float]:
    """Score the network in a folder on scenes.

    "abs_rel" is the mean of |Z' - Z| / Z, with 1/Z' the inverse depth found after `align`;
    "rmse" is that of `helpers.scores`.
    """
    measure = depth_annotator(folder, views.photo.device)
    rows = []
    for photo, depth in zip(views.photo.cpu().numpy(), views.depth.cpu().numpy(), strict=True):
        found, wanted = measure(photo), 1 / depth
        aligned = align(found, wanted).clip(min=wanted.min() / 2)
        rows.append((np.mean(np.abs(wanted / aligned - 1)), depth_rmse(wanted, found)))
    abs_rel, rmse = np.mean(rows, axis=0)
    return {"abs_rel": float(abs_rel), "rmse": float(rmse), "scenes": len(rows)}


@torch.no_grad()
def make_sheet(loss: DepthLoss, views: Views) -> Image.Image:
    """Return photos, the inverse depth found, and the true one, a row each."""
    photos = views.photo.permute(0, 3, 1, 2).float() / 255
    found = predict(loss.network, photos.to(loss.data["photo"].device)).cpu().numpy()
    true = 1 / views.depth.cpu().numpy()
    rows = [views.photo.cpu().numpy(), map(depth_image, found), map(depth_image, true)]
    return Image.fromarray(tile([list(row) for row in rows]))


def _last_layer(network: DPTForDepthEstimation) -> nn.Conv2d:
    return [layer for layer in network.head.modules() if isinstance(layer, nn.Conv2d)][-1]


def main() -> None:
    """Train, write the network and its scores."""
    options = read_options(__doc__.splitlines()[0])
    plan = adapt(PLAN, options)
    views = held_out(4 if options.smoke else HELD_OUT_SCENES)

    def make_module(device: torch.device, batch: int) -> DepthLoss:
        data = load_data(options.data, "photo", "depth", device=device)
        return DepthLoss(ready_to_compile(new_network()), data, batch)

    module, folder = train(
        "annotators-depth",
        make_module,
        plan,
        options,
        sheet=lambda loss: make_sheet(loss, views.pick(range(4))),
    )
    if is_first_process():
        save(module.network, folder / "depth")
        table = scores(folder / "depth", views)
        write_scores(folder, table)


if __name__ == "__main__":
    main()
