"""Train the soft-edge annotator: python -m toybox.annotators.hed [--smoke]

Holistically-nested edge detection (Xie and Tu, arXiv 1504.06375): each of five scales says for
itself where edges are, and the mean of their logits is the answer. Learned from the true outlines
and creases of the world, it passes over planks, checks and shadows, which Canny marks as well.

It learns from photos in [0, 1] and to give edges more weight than they have. What is written to
disk reads 0 to 255, as `HEDdetector` feeds it, and grey is the probability of an edge.
"""

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional

from helpers.conditions.canny import canny_edges
from helpers.conditions.scribble import thin_soft_edges
from helpers.networks import load_hed_network, new_hed_network, save_network
from helpers.runtime import import_controlnet_aux
from helpers.scores import edge_f1, ms_ssim
from toybox.annotators import augment
from toybox.data import held_out, load_data, open_data
from toybox.gallery import tile
from toybox.training import (
    Plan,
    adapt,
    draw_numbers,
    is_first_process,
    layout_for,
    read_options,
    train,
    write_scores,
)
from toybox.world import Views

PLAN = Plan(steps=3000, batch=64, learning_rate=3e-3)

SOFTNESS = 1.0
"""Standard deviation of a soft edge, in pixels."""

EDGE_WEIGHT = 0.95
"""Of edges in the loss; all else has 1 - EDGE_WEIGHT. Since about this share of the pixels is all
else, both sides count alike (Xie and Tu, equation 2)."""

HELD_OUT_SCENES = 256
TUNING_SCENES = 64
"""Training scenes on which the threshold is chosen with which held-out scenes are scored."""

THRESHOLDS = range(10, 200, 10)


class HedLoss(nn.Module):
    """Weighted cross-entropy of every side output and of their mean."""

    def __init__(self, network: nn.Module, data: dict[str, Tensor], batch: int) -> None:
        super().__init__()
        device = data["photo"].device
        layout = layout_for(device)
        self.network = network.to(device, memory_format=layout)
        self.data, self.batch = data, batch

    def forward(self, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, and the part of the mean."""
        numbers = draw_numbers(len(self.data["photo"]), self.batch, generator)
        photos = augment(self.data["photo"][numbers], generator)
        wanted = soft_edges(self.data["edges"][numbers])
        sides = side_logits(self.network, photos).float()
        fused = weighted_cross_entropy(sides.mean(dim=1), wanted)
        each = weighted_cross_entropy(sides, wanted[:, None].expand_as(sides))
        return fused + each, {"fused": fused.detach()}


def soft_edges(edges: Tensor) -> Tensor:
    """Return exp(-d^2 / (2 s^2)), with d the distance to the nearest edge and s `SOFTNESS`.

    Args:
        edges: (N, H, W), true on an edge, one pixel wide.

    Returns:
        (N, H, W) float32 in [0, 1]; 0 from 3 pixels on.
    """
    soft = edges.float()
    reach = 2
    offsets = range(-reach, reach + 1)
    # The largest of products is the product of the largest: one axis at a time.
    for axis in (1, 2):
        padding = (reach, reach) if axis == 2 else (0, 0, reach, reach)
        padded = functional.pad(soft, padding)
        shifted = [
            math.exp(-(offset**2) / (2 * SOFTNESS**2))
            * padded.narrow(axis, reach + offset, soft.shape[axis])
            for offset in offsets
        ]
        soft = torch.stack(shifted).amax(dim=0)
    return soft


def side_logits(network: nn.Module, photos: Tensor) -> Tensor:
    """Return the five side outputs of photos (N, 3, H, W), enlarged: (N, 5, H, W)."""
    size = photos.shape[2:]
    sides = [
        functional.interpolate(side, size, mode="bilinear", align_corners=False)
        for side in network(photos)
    ]
    return torch.cat(sides, dim=1)


def weighted_cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean cross-entropy, edges weighted by EDGE_WEIGHT, the rest by what is left."""
    edge, other = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    return -(EDGE_WEIGHT * wanted * edge + (1 - EDGE_WEIGHT) * (1 - wanted) * other).mean()


def initialised(network: nn.Module) -> nn.Module:
    """Draw weights that keep numbers at one size from layer to layer (He et al. 2015)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    nn.init.constant_(network.norm, 0.5)
    return network


@torch.no_grad()
def as_released(network: nn.Module) -> nn.Module:
    """Return a trained network that reads 0..255 and whose grey is the probability of an edge.

    The first layer takes up the 255. With edges weighted by w, the loss is least at the logit
    log(p / (1 - p)) + log(w / (1 - w)) for a pixel that is an edge with probability p; the biases
    of the side outputs take up the second term.
    """
    released = copy.deepcopy(network)
    released.norm *= 255
    released.block1.convs[0].weight /= 255
    for number in range(1, 6):
        side = getattr(released, f"block{number}").projection
        side.bias -= math.log(EDGE_WEIGHT / (1 - EDGE_WEIGHT))
    return released


def find_soft_edges(network: nn.Module, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what the released detector makes of a square photo, (H, W), at the photo's size."""
    detector = import_controlnet_aux().HEDdetector(network)
    side = len(photo)
    grey = detector(photo, detect_resolution=side, image_resolution=side, output_type="np")
    return grey[:, :, 0]


def scores(path: Path, tuning: dict[str, NDArray], views: Views) -> dict[str, float]:
    """Score the network in a file.

    "f1" is that of thinned edges above a threshold, as far as 2 pixels off; "canny_f1" is what
    Canny reaches with the thresholds of the release; "ms_ssim" compares with the true soft edges.

    Args:
        path: of the weights.
        tuning: "photo" and "edges" of the scenes on which the threshold is chosen.
        views: the scenes that are scored.
    """
    network = load_hed_network(path).to(views.photo.device)
    soft = [find_soft_edges(network, photo) for photo in tuning["photo"]]
    threshold = max(THRESHOLDS, key=lambda grey: _mean_f1(tuning["edges"], soft, grey))
    photos, edges = views.photo.cpu().numpy(), views.edges.cpu().numpy()
    soft = [find_soft_edges(network, photo) for photo in photos]
    wanted = soft_edges(views.edges).cpu().numpy()
    canny = [canny_edges(photo)[:, :, 0] > 0 for photo in photos]
    return {
        "f1": _mean_f1(edges, soft, threshold),
        "canny_f1": float(np.mean([*map(edge_f1, edges, canny)])),
        "ms_ssim": float(np.mean([ms_ssim(w, f / 255) for w, f in zip(wanted, soft, strict=True)])),
        "threshold": threshold,
        "scenes": len(photos),
    }


def _mean_f1(
    wanted: NDArray[np.bool_], soft: Sequence[NDArray[np.uint8]], threshold: float
) -> float:
    found = [thin_soft_edges(grey, sigma=SOFTNESS, threshold=threshold) > 0 for grey in soft]
    return float(np.mean([*map(edge_f1, wanted, found)]))


def make_sheet(loss: HedLoss, views: Views) -> Image.Image:
    """Return photos, the soft edges found, and the true ones, a row each."""
    network = as_released(loss.network)
    photos = views.photo.cpu().numpy()
    found = np.stack([find_soft_edges(network, photo) for photo in photos])
    true = (soft_edges(views.edges) * 255).byte().cpu().numpy()
    rows = [photos, *(np.repeat(grey[..., None], 3, axis=3) for grey in (found, true))]
    return Image.fromarray(tile(np.stack(rows)))


def main() -> None:
    """Train, write the network and its scores."""
    options = read_options(__doc__.splitlines()[0])
    views = held_out(4 if options.smoke else HELD_OUT_SCENES)

    def make_module(device: torch.device, batch: int) -> HedLoss:
        data = load_data(options.data, "photo", "edges", device=device)
        return HedLoss(initialised(new_hed_network()), data, batch)

    module, folder = train(
        "annotators-hed",
        make_module,
        adapt(PLAN, options),
        options,
        sheet=lambda loss: make_sheet(loss, views.pick(range(4))),
    )
    if is_first_process():
        save_network(as_released(module.network), folder / "hed.safetensors")
        tuning = open_data(options.data, "photo", "edges")
        count = 4 if options.smoke else TUNING_SCENES
        tuning = {name: array[:count] for name, array in tuning.items()}
        table = scores(folder / "hed.safetensors", tuning, views)
        write_scores(folder, table)


if __name__ == "__main__":
    main()
