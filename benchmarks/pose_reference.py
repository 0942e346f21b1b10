"""Poses to decode, and controlnet_aux to decode them: what the pose benchmark and tests share."""

import types
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from helpers.conditions.openpose import People
from helpers.runtime import import_controlnet_aux

# fmt: off
FIGURE = np.array([
    (0.00, 0.07), (0.00, 0.18),                     # nose, neck
    (-0.11, 0.18), (-0.15, 0.34), (-0.17, 0.48),    # right arm
    (0.11, 0.18), (0.15, 0.34), (0.17, 0.48),       # left arm
    (-0.07, 0.50), (-0.08, 0.74), (-0.09, 0.97),    # right leg
    (0.07, 0.50), (0.08, 0.74), (0.09, 0.97),       # left leg
    (-0.03, 0.04), (0.03, 0.04), (-0.07, 0.06), (0.07, 0.06),
])
"""The 18 joints of somebody who stands facing us, 1 high."""
# fmt: on


def random_people(
    count: int, size: tuple[int, int], rng: np.random.Generator, *, tall: float = 0.3
) -> People:
    """Place figures, each on its own cell of a grid, with random limbs: shape (count, 18, 2).

    Args:
        count: of people.
        size: height and width of the picture in pixels.
        rng: where the randomness comes from.
        tall: height of a figure as a share of the picture's height; large ones overlap.
    """
    height, width = size
    across = int(np.ceil(np.sqrt(count)))
    down = int(np.ceil(count / across))
    place = np.arange(count)
    cell = np.array([width / across, height / down])
    corner = np.stack([place % across, place // across], axis=1) * cell
    middle = corner + rng.uniform((0.4, 0.05), (0.6, 0.15), (count, 2)) * cell
    tall_in_pixels = rng.uniform(0.8, 1.0, count) * tall * height
    joints = FIGURE + rng.normal(0, 0.02, (count, *FIGURE.shape))
    return middle[:, None] + joints * tall_in_pixels[:, None, None]


def controlnet_aux_decoder(heatmaps: NDArray, fields: NDArray) -> Callable[[NDArray], People]:
    """Return controlnet_aux's body detector with a network that always answers with these maps.

    Its box size is a constant inside the function. Maps of more than 23 rows belong to a larger
    box, so the function is rebuilt with that constant.
    """
    Body = import_controlnet_aux().open_pose.body.Body

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.device = torch.nn.Parameter(torch.zeros(1))

        def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen = tuple(side // 8 for side in picture.shape[2:])
            if seen != heatmaps.shape[1:]:
                raise ValueError(f"the picture asks for maps {seen}, got {heatmaps.shape[1:]}")
            return torch.from_numpy(fields)[None], torch.from_numpy(heatmaps)[None]

    body = Body.__new__(Body)
    body.model = Network()
    code = Body.__call__.__code__
    box = tuple(16 * heatmaps.shape[1] if c == 368 else c for c in code.co_consts)
    detect = types.FunctionType(code.replace(co_consts=box), Body.__call__.__globals__)

    def decode(picture: NDArray) -> People:
        candidates, subset = detect(body, picture)
        people = np.full((len(subset), 18, 3), np.nan)
        for person, row in zip(people, subset, strict=True):
            seen = row[:18] >= 0
            person[seen] = candidates[row[:18][seen].astype(int), :3]
        return people

    return decode
