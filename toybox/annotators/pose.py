"""Train the pose annotator: python -m toybox.annotators.pose [--smoke]

`helpers.pose_network.PoseNetwork` learns the maps that `maps_from_people` draws, from the joints
that can be seen: one that is hidden has no bell, and limbs that end in it no field (Cao et al.,
arXiv 1611.08050, equations 6 to 9).
"""

from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional

from helpers.annotators import find_people
from helpers.conditions.openpose import draw_skeleton
from helpers.conditions.openpose_decode import FIELD_X, STRIDE
from helpers.conditions.skeleton import LIMBS
from helpers.networks import save_network
from helpers.pose_network import PoseNetwork, load_pose_network
from helpers.scores import pose_scores
from toybox.annotators import augment
from toybox.data import SIZE, held_out, load_data
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

ROWS, RELEASED_ROWS = 46, 23
"""Height of the maps: ours, and that of controlnet_aux, which shrinks every photo to 184 pixels."""

EVERY = 4
"""One photo in so many is shown at the released size too."""

FIGURE_WEIGHT = 20.0
"""How much more a cell counts on a figure. Nearly all cells are empty, and an answer of zero
everywhere would be nearly right. A hidden joint counts like one that is seen: were it less, the
network would see joints where it should not."""

HELD_OUT_SCENES = 256


class PoseLoss(nn.Module):
    """Weighted squares of what is wrong in heat maps and fields."""

    def __init__(self, network: nn.Module, data: dict[str, Tensor], batch: int) -> None:
        super().__init__()
        self.network = network.to(data["photo"].device)
        self.data = data
        visible = data["joints_visible"]
        self.with_people = visible.any(dim=2).any(dim=1).nonzero().flatten()
        self.batch = batch

    def forward(self, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, and its parts at our size.

        Two scenes in five have no figure; one photo in four is enough to learn that.
        """
        anywhere = draw_numbers(len(self.data["photo"]), self.batch // 4, generator)
        among_people = draw_numbers(len(self.with_people), self.batch - self.batch // 4, generator)
        chosen = torch.cat([anywhere, self.with_people[among_people]])
        photos = augment(self.data["photo"][chosen], generator)
        joints, visible = self.data["joints"][chosen], self.data["joints_visible"][chosen]
        bells, limbs = self.errors(photos, joints, visible, ROWS)
        small_bells, small_limbs = self.errors(
            photos[::EVERY], joints[::EVERY], visible[::EVERY], RELEASED_ROWS
        )
        loss = bells + limbs + (small_bells + small_limbs) / EVERY
        return loss, {"bells": bells.detach(), "limbs": limbs.detach()}

    def errors(
        self, photos: Tensor, joints: Tensor, visible: Tensor, rows: int
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted mean squares of heat maps and of fields."""
        found = self.network(to_network(photos, rows))
        fields, heatmaps = (answer.float() for answer in found)
        seen = torch.where(visible[..., None], joints, torch.nan)
        true_heatmaps, true_fields = pose_targets(seen, SIZE, rows)
        whole_heatmaps, whole_fields = pose_targets(joints, SIZE, rows)
        figure = torch.maximum(1 - whole_heatmaps[:, -1], whole_fields.abs().amax(dim=1))
        weight = 1 + FIGURE_WEIGHT * figure[:, None]
        return (
            (weight * (heatmaps - true_heatmaps) ** 2).mean(),
            (weight * (fields - true_fields) ** 2).mean(),
        )


def to_network(photos: Tensor, rows: int) -> Tensor:
    """Turn square photos (N, 3, H, W) in [0, 1] into what the network reads, 8 x `rows` high."""
    size = (STRIDE * rows, STRIDE * rows)
    sized = functional.interpolate(photos, size=size, mode="bicubic", antialias=True)
    return sized.flip(1).clamp(0, 1) * 255 / 256 - 0.5


def pose_targets(
    joints: Tensor, size: int, rows: int, *, sigma: float = 1.25, half_width: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the maps of `maps_from_people` for a batch of square pictures.

    Args:
        joints: (N, P, 18, 2) in pixels, NaN where missing.
        size: side of the pictures in pixels.
        rows: side of the maps in cells.
        sigma: as in `maps_from_people`.
        half_width: as in `maps_from_people`.

    Returns:
        Heat maps (N, 19, rows, rows) and fields (N, 38, rows, rows).
    """
    cells = (joints + 0.5) * (rows / size) - 0.5
    grid = torch.arange(rows, device=joints.device, dtype=joints.dtype)
    x, y = grid[None, :], grid[:, None]

    def part(values: Tensor) -> Tensor:
        return values[..., None, None]

    to_x, to_y = x - part(cells[..., 0]), y - part(cells[..., 1])
    bells = torch.exp(-(to_x**2 + to_y**2) / sigma**2).nan_to_num(0)
    bells = torch.where(bells < 1e-6, 0, bells).amax(dim=1)
    background = 1 - bells.amax(dim=1, keepdim=True)

    starts, ends, order = _indices(joints.device)
    span = cells[:, :, ends] - cells[:, :, starts]
    length = span.norm(dim=-1)
    direction = span / length[..., None]
    dx, dy = part(direction[..., 0]), part(direction[..., 1])
    from_x, from_y = to_x[:, :, starts], to_y[:, :, starts]
    along = from_x * dx + from_y * dy
    across = (from_x * dy - from_y * dx).abs()
    # Whatever is compared with NaN is false: a limb that lacks a joint, or is a point, is nowhere.
    on_limb = (along >= -half_width) & (along <= part(length) + half_width) & (across <= half_width)
    count = on_limb.sum(dim=1).clamp(min=1)
    mean_x, mean_y = ((on_limb * d.nan_to_num(0)).sum(dim=1) / count for d in (dx, dy))
    fields = torch.stack([mean_x, mean_y], dim=2).flatten(1, 2)
    return torch.cat([bells, background], dim=1), fields[:, order]


@cache
def _indices(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the joints where limbs start, where they end, and the network's order of fields.

    Limb by limb, x before y, is ours. They stay on the device: a CUDA graph cannot fetch them.
    """
    starts, ends = zip(*LIMBS, strict=True)
    order = np.argsort([channel + k for channel in FIELD_X for k in (0, 1)]).tolist()
    return tuple(torch.tensor(index, device=device) for index in (starts, ends, order))


def scores(network: nn.Module, views: Views) -> dict[str, float]:
    """Score a network on scenes: PCK and OKS of `helpers.scores`, at our size and the released.

    "invented" is the share of scenes without people in which somebody was found.
    """
    table: dict[str, float] = {"scenes": len(views)}
    for name, rows in (("", ROWS), ("_184", RELEASED_ROWS)):
        results, invented = [], []
        for photo, wanted in zip(views.photo.cpu().numpy(), _visible(views), strict=True):
            found = find_people(photo, network=network, rows=rows)
            if np.isnan(wanted).all():
                invented.append(len(found) > 0)
            else:
                results.append(list(pose_scores(wanted, found).values()))
        pck, oks = np.nanmean(results, axis=0)
        table |= {f"pck{name}": float(pck), f"oks{name}": float(oks)}
        table[f"invented{name}"] = float(np.mean(invented)) if invented else 0.0
    return table


def make_sheet(loss: PoseLoss, views: Views) -> Image.Image:
    """Return photos, the people found, and the true ones, a row each."""
    photos = views.photo.cpu().numpy()
    found = [find_people(photo, network=loss.network, rows=ROWS) for photo in photos]
    rows = [
        list(photos),
        [draw_skeleton(people, SIZE, SIZE) for people in found],
        [draw_skeleton(people, SIZE, SIZE) for people in _visible(views)],
    ]
    return Image.fromarray(tile(rows))


def _visible(views: Views) -> np.ndarray:
    """Return the joints that can be seen, (N, 2, 18, 2)."""
    return torch.where(views.joints_visible[..., None], views.joints, torch.nan).cpu().numpy()


def main() -> None:
    """Train, write the network and its scores."""
    options = read_options(__doc__.splitlines()[0])
    plan = adapt(PLAN, options)
    views = held_out(4 if options.smoke else HELD_OUT_SCENES)

    def make_module(device: torch.device, batch: int) -> PoseLoss:
        data = load_data(options.data, "photo", "joints", "joints_visible", device=device)
        return PoseLoss(PoseNetwork(), data, batch)

    module, folder = train(
        "annotators-pose",
        make_module,
        plan,
        options,
        sheet=lambda loss: make_sheet(loss, views.pick(range(4))),
    )
    if is_first_process():
        save_network(module.network, folder / "pose.safetensors")
        network = load_pose_network(folder / "pose.safetensors")
        table = scores(network.to(views.photo.device), views)
        write_scores(folder, table)


if __name__ == "__main__":
    main()
