"""Train the straight-line annotator: python -m toybox.annotators.mlsd [--smoke]

M-LSD (Gu et al., arXiv 2106.00186): a map says where the middles of lines are, and four more say
how far it is from there to both ends. The network is that of the release, of which five of nine
output channels are ever read; the lines are the true ones of the world.

As in the release the network looks at 512 pixels, so that a cell of its maps is a pixel of a photo
of 256. What is written to disk is calibrated: the released threshold of 0.1 is the best one.
"""

import copy
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from helpers.conditions.mlsd import (
    Lines,
    decode_tri_points,
    detect_lines_lsd,
    detect_lines_mlsd,
    draw_lines,
)
from helpers.images import fit
from helpers.networks import load_mlsd_network, new_mlsd_network, save_network
from helpers.scores import lines_matched
from toybox.annotators import augment
from toybox.data import SIZE, held_out, load_data, open_data
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

PLAN = Plan(steps=2500, batch=32, learning_rate=2e-3)

SEEN = 2 * SIZE
"""Side in pixels of what the network looks at; its maps have half of that."""

SHORTEST = 10
"""Lines shorter than this are not learned, in pixels of the photo."""

UNIT = 32.0
"""In training the network gives displacements in units of so many cells: AdamW moves all weights
equally far, and numbers up to 128 would take it long to reach."""

ENDS_WEIGHT = 0.1
"""Of the error of the ends, in cells, beside that of the centres."""

_CENTRE_ROW = 7
"""Channel of the last layer that becomes the first of the output: the release drops seven."""

SCORE = 0.1
"""The released detector takes a cell for a centre if its score is larger."""

TRIED_SCORES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
"""What is tried instead."""

HELD_OUT_SCENES = 256
TUNING_SCENES = 128
"""Training scenes that tell the best threshold."""

COUNTED_PHOTOS = 2048
"""Photos from which batch normalisation takes its statistics at the end."""


class MlsdLoss(nn.Module):
    """How wrong the centres of lines are, and the displacements there."""

    def __init__(self, network: nn.Module, data: dict[str, Tensor], batch: int) -> None:
        super().__init__()
        device = data["photo"].device
        layout = layout_for(device)
        self.network = network.to(device, memory_format=layout).train()
        self.data = data | {"enlarge": enlargement().to(device)}
        self.batch = batch

    def forward(self, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, and its two parts."""
        chosen = draw_numbers(len(self.data["photo"]), self.batch, generator)
        photos = augment(self.data["photo"][chosen], generator)
        cells, displacements, real = tri_points(self.data["lines"][chosen])
        maps = self.network(network_input(photos, self.data["enlarge"])).float()
        index, offsets, weights = neighbourhoods(cells, real)
        wanted = torch.zeros_like(maps[:, 0]).flatten(1).scatter_reduce(1, index, weights, "amax")
        centres = focal_loss(maps[:, 0].flatten(1), wanted)
        there = maps[:, 1:5].flatten(2).gather(2, index[:, None].expand(-1, 4, -1))
        towards = (displacements[:, :, None] - offsets.repeat(1, 2)).flatten(1, 2).mT
        errors = functional.smooth_l1_loss(UNIT * there, towards, reduction="none").mean(dim=1)
        ends = (weights * errors).sum() / weights.sum().clamp(min=1)
        return centres + ENDS_WEIGHT * ends, {"centres": centres.detach(), "ends": ends.detach()}


def enlargement() -> Tensor:
    """Return A, (SEEN, SIZE), such that A P A^T is a photo P enlarged as the detector does it."""
    return torch.from_numpy(
        cv2.resize(np.eye(SIZE, dtype=np.float32), (SIZE, SEEN), interpolation=cv2.INTER_LANCZOS4)
    )


def network_input(photos: Tensor, enlarge: Tensor) -> Tensor:
    """Return what the detector would feed the network.

    Args:
        photos: (N, 3, SIZE, SIZE) in [0, 1].
        enlarge: `enlargement()`, on the photos' device.

    Returns:
        (N, 4, SEEN, SEEN) in [-1, 1]: the enlarged photos and a channel of ones, which the
        release scales like a grey level, to 1 / 127.5 - 1.
    """
    with torch.autocast(photos.device.type, enabled=False):
        large = (enlarge @ photos @ enlarge.T).clamp(0, 1)
    return functional.pad(2 * large - 1, (0, 0, 0, 0, 0, 1), value=1 / 127.5 - 1)


def tri_points(lines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `helpers.conditions.mlsd.encode_tri_points` writes on maps of SIZE x SIZE cells.

    The ends of each line are first put in order, along a direction across which few lines of the
    world run: a network cannot learn which end is first if it is the one here and the other there.

    Args:
        lines: (N, L, 4), pixels of the photo, NaN behind the last.

    Returns:
        Cells (N, L, 2), x and y of the centres, int64; displacements (N, L, 4) from there to the
        ends, in cells; and (N, L) bool, whether this is a line that is long enough, and the last
        in its cell.
    """
    lines = in_order(lines)
    real = (lines[..., 2:] - lines[..., :2]).norm(dim=-1) >= SHORTEST  # false for NaN
    lines = lines.nan_to_num()
    cells = ((lines[..., :2] + lines[..., 2:]) / 2).round().long()
    same = (cells[:, :, None] == cells[:, None]).all(dim=-1)
    covered = (same & real[:, None]).triu(diagonal=1).any(dim=2)
    return cells, lines - cells.repeat(1, 1, 2), real & ~covered


def in_order(lines: Tensor) -> Tensor:
    """Return lines (..., 4) with the end first where 2 x + y is least: left to right, or down."""
    along = 2 * lines[..., 0::2] + lines[..., 1::2]
    turned = (along[..., :1] > along[..., 1:]).expand_as(lines)
    return torch.where(turned, lines.roll(2, dims=-1), lines)


def neighbourhoods(cells: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the 3 x 3 cells round each centre: a peak one cell off must mean the same line.

    Args:
        cells: (N, L, 2), x and y.
        real: (N, L).

    Returns:
        Number of the cell on the map, row by row, (N, 9 L); offsets from the centre (9, 2); and
        weights exp(-d^2 / 2), with d the distance from the centre, (N, 9 L); 0 where there is no
        line or no cell.
    """
    steps = torch.arange(-1, 2, device=cells.device)
    offsets = torch.cartesian_prod(steps, steps)
    around = cells[:, :, None] + offsets
    inside = ((around >= 0) & (around < SIZE)).all(dim=-1) & real[:, :, None]
    weights = inside * torch.exp(-offsets.square().sum(dim=1) / 2)
    x, y = around.clamp(0, SIZE - 1).unbind(dim=-1)
    return (y * SIZE + x).flatten(1), offsets, weights.flatten(1)


def focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the focal loss of peaks, a line (Zhou et al., arXiv 1904.07850, equation 1).

    Cells that are decided weigh little, and so do cells beside a peak.

    Args:
        logits: (N, cells).
        wanted: (N, cells) in [0, 1], 1 at centres.
    """
    found = torch.sigmoid(logits)
    peak = wanted == 1
    at_peak = (1 - found) ** 2 * functional.logsigmoid(logits)
    elsewhere = (1 - wanted) ** 4 * found**2 * functional.logsigmoid(-logits)
    return -torch.where(peak, at_peak, elsewhere).sum() / peak.sum().clamp(min=1)


def initialised(network: nn.Module) -> nn.Module:
    """Let centres begin as rare as they are (Lin et al., "Focal Loss", arXiv 1708.02002)."""
    nn.init.constant_(network.block23.conv3.bias[_CENTRE_ROW], -4.6)
    return network


@torch.no_grad()
def as_released(network: nn.Module, photos: NDArray[np.uint8]) -> nn.Module:
    """Return a trained network whose displacements are in cells, ready to be used.

    The averaged weights never saw the statistics that batch normalisation kept during training;
    they are counted anew.

    Args:
        network: with averaged weights.
        photos: (N, SIZE, SIZE, 3) of training.
    """
    released = copy.deepcopy(network)
    device = next(released.parameters()).device
    enlarge = enlargement().to(device)
    parts = np.array_split(photos, math.ceil(len(photos) / PLAN.batch))
    update_bn((network_input(_to_batch(part, device), enlarge) for part in parts), released)
    last = released.block23.conv3
    rows = slice(_CENTRE_ROW + 1, _CENTRE_ROW + 5)
    last.weight[rows] *= UNIT
    last.bias[rows] *= UNIT
    return released.eval()


@torch.no_grad()
def calibrate(network: nn.Module, tuning: dict[str, NDArray]) -> float:
    """Move the scores of a network so that the best threshold becomes `SCORE`.

    Args:
        network: as released; its last bias is changed.
        tuning: "photo" and "lines" of training scenes.

    Returns:
        The threshold that was best before.
    """
    device = next(network.parameters()).device
    enlarge = enlargement().to(device)
    f1 = {score: [] for score in TRIED_SCORES}
    for photo, padded in zip(tuning["photo"], tuning["lines"], strict=True):
        maps = network(network_input(_to_batch(photo[None], device), enlarge))[0].cpu().numpy()
        wanted = padded[~np.isnan(padded[:, 0])]
        for score in TRIED_SCORES:
            found = decode_tri_points(maps[0], maps[1:5], min_score=score)
            f1[score].append(lines_matched(wanted, found)["f1"])
    best = max(TRIED_SCORES, key=lambda score: np.mean(f1[score]))
    network.block23.conv3.bias[_CENTRE_ROW] += _logit(SCORE) - _logit(best)
    return best


def find_lines(network: nn.Module, photo: NDArray[np.uint8]) -> Lines:
    """Return the lines of a photo of side SIZE, in its pixels, as the released detector does."""
    return detect_lines_mlsd(fit(photo, resolution=SEEN), network) * (SIZE / SEEN)


def scores(path: Path, views: Views) -> dict[str, float]:
    """Score the network in a file: the share of line length that is right, and that is found.

    "lsd_f1" is what OpenCV's line segment detector reaches, which needs no weights.
    """
    network = load_mlsd_network(path).to(views.photo.device)
    rows = []
    for photo, lines in zip(views.photo.cpu().numpy(), views.lines, strict=True):
        wanted, found = lines.cpu().numpy(), find_lines(network, photo)
        row = lines_matched(wanted, found)
        row["f1_within_2_pixels"] = lines_matched(wanted, found, distance=2)["f1"]
        row["lsd_f1"] = lines_matched(wanted, detect_lines_lsd(photo, min_length=SHORTEST))["f1"]
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} | {
        "scenes": len(rows)
    }


def make_sheet(network: nn.Module, views: Views) -> Image.Image:
    """Return photos, the lines found, and the true ones, a row each."""
    photos = views.photo.cpu().numpy()
    found = [draw_lines(find_lines(network, photo), SIZE, SIZE) for photo in photos]
    true = [draw_lines(lines.cpu().numpy(), SIZE, SIZE) for lines in views.lines]
    return Image.fromarray(tile(np.stack([photos, np.stack(found), np.stack(true)])))


def _to_batch(photos: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Turn photos (N, H, W, 3) into (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(photos).to(device).permute(0, 3, 1, 2) / 255


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def main() -> None:
    """Train, write the network and its scores."""
    options = read_options(__doc__.splitlines()[0])
    if options.smoke:
        options.batch = options.batch or 1  # a CPU takes seconds for a picture of 512 pixels
    views = held_out(4 if options.smoke else HELD_OUT_SCENES, lines=True)
    training = open_data(options.data, "photo", "lines")
    counted = training["photo"][: 4 if options.smoke else COUNTED_PHOTOS]

    def make_module(device: torch.device, batch: int) -> MlsdLoss:
        data = load_data(options.data, "photo", "lines", device=device)
        return MlsdLoss(initialised(new_mlsd_network()), data, batch)

    module, folder = train(
        "annotators-mlsd",
        make_module,
        adapt(PLAN, options),
        options,
        sheet=lambda loss: make_sheet(as_released(loss.network, counted), views.pick(range(4))),
    )
    if is_first_process():
        network = as_released(module.network, counted)
        scenes = 2 if options.smoke else TUNING_SCENES
        threshold = calibrate(network, {name: array[:scenes] for name, array in training.items()})
        save_network(network, folder / "mlsd.safetensors")
        table = scores(folder / "mlsd.safetensors", views) | {"threshold": threshold}
        write_scores(folder, table)


if __name__ == "__main__":
    main()
