"""The depth buffer: which surface does each ray meet first, and how far away?

Solids are drawn one after another into a picture of depths; a solid replaces what lies behind it.
On the CPU each solid is evaluated only inside the rectangle that bounds it. On a GPU whole batches
are drawn at once, the rectangles of different scenes share nothing, and each step is compiled into
one kernel instead.
"""

import math

import torch
from torch import Tensor

from toybox.world.fuse import fused
from toybox.world.prepare import WALL_SURFACES
from toybox.world.shapes import FACES, leave_room, meet_block, meet_quadric


@fused
def draw_room(planes: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Start a depth buffer with the floor and the walls.

    Args:
        planes: (N, 4, 4) coefficients of the planes.
        x: (N, 1, W) first ray coordinates, float64.
        y: (N, H, 1) second ray coordinates, float64.

    Returns:
        Depth (N, H, W) in m, and the number of the surface (N, H, W), int32.
    """
    return leave_room(_columns(planes), x, y)


def draw_solids(
    depth: Tensor,
    surface: Tensor,
    x: Tensor,
    y: Tensor,
    quadrics: Tensor,
    blocks: Tensor,
    rectangles: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Draw all solids into a depth buffer and return it.

    Args:
        depth: (N, H, W), may be overwritten.
        surface: (N, H, W), may be overwritten.
        x: (N, 1, W) first ray coordinates, float64.
        y: (N, H, 1) second ray coordinates, float64.
        quadrics: (N, K, 15).
        blocks: (N, B, 6, 4).
        rectangles: (K + B, 4) bounds in ray coordinates if N = 1; None draws whole pictures.
    """
    draw = _draw_whole if rectangles is None else _draw_inside
    return draw(depth, surface, x, y, quadrics, blocks, rectangles)


def _draw_whole(depth, surface, x, y, quadrics, blocks, _) -> tuple[Tensor, Tensor]:
    count, device = len(depth), depth.device
    first = WALL_SURFACES
    for solids, draw, faces in ((quadrics, _draw_quadric, 3), (blocks, _draw_block, FACES)):
        solids = solids.transpose(0, 1).contiguous()
        firsts = first + faces * torch.arange(len(solids), dtype=torch.int32, device=device)
        firsts = firsts[:, None].repeat(1, count)
        for solid, number in zip(solids, firsts, strict=True):
            depth, surface = draw(depth, surface, x, y, solid, number)
        first += faces * len(solids)
    return depth, surface


@fused
def _draw_quadric(depth, surface, x, y, solid, first) -> tuple[Tensor, Tensor]:
    found = meet_quadric(_columns(solid), x, y)
    return _nearer(depth, surface, *found, first[:, None, None])


@fused
def _draw_block(depth, surface, x, y, solid, first) -> tuple[Tensor, Tensor]:
    found = meet_block([_columns(plane) for plane in solid.unbind(dim=1)], x, y)
    return _nearer(depth, surface, *found, first[:, None, None])


def _nearer(depth, surface, t, hit, face, first) -> tuple[Tensor, Tensor]:
    closer = hit & (t < depth)
    return torch.where(closer, t, depth), torch.where(closer, face + first, surface)


def _columns(tensor: Tensor) -> list:
    """Split (N, m) or (N, n, m) into coefficients that broadcast over (N, H, W)."""
    if tensor.ndim == 3:
        return [_columns(row) for row in tensor.unbind(dim=1)]
    return [c[:, None, None] for c in tensor.unbind(dim=1)]


def _draw_inside(depth, surface, x, y, quadrics, blocks, rectangles) -> tuple[Tensor, Tensor]:
    windows = iter(_windows(rectangles, x, y))
    first = WALL_SURFACES
    for solids, meet, faces in ((quadrics, meet_quadric, 3), (blocks, meet_block, FACES)):
        for solid in solids[0].tolist():
            rows, columns = next(windows)
            if rows.start < rows.stop and columns.start < columns.stop:
                inside = depth[:, rows, columns], surface[:, rows, columns]
                found = meet(solid, x[:, :, columns], y[:, rows, :])
                for old, new in zip(inside, _nearer(*inside, *found, first), strict=True):
                    old.copy_(new)
            first += faces
    return depth, surface


def _windows(rectangles: Tensor, x: Tensor, y: Tensor) -> list[tuple[slice, slice]]:
    """Rows and columns whose rays can meet each solid."""
    columns, rows = x[0, 0], -y[0, :, 0]  # y falls from row to row
    x0, x1, y0, y1 = rectangles.contiguous().unbind(dim=1)
    edges = (
        torch.searchsorted(rows, -y1.contiguous()).tolist(),
        torch.searchsorted(rows, -y0.contiguous(), right=True).tolist(),
        torch.searchsorted(columns, x0.contiguous()).tolist(),
        torch.searchsorted(columns, x1.contiguous(), right=True).tolist(),
    )
    return [(slice(a, b), slice(c, d)) for a, b, c, d in zip(*edges, strict=True)]


NEVER_QUADRIC = (*(0.0,) * 5, 1.0, *(0.0,) * 3, 1.0, *(0.0,) * 3, -1.0, 1.0)
"""Coefficients that no ray meets (t^2 + 1 = 0): what short lists are filled with in a batch."""
NEVER_PLANE = (0.0, 0.0, 1.0, -math.inf)
"""A plane that no ray is inside of; a block made of it is never met."""
