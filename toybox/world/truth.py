"""What is true beyond the pixel that a ray meets: outlines, straight lines, joints."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from toybox.world.figure import JOINT_RADII, MAX_PEOPLE
from toybox.world.fuse import fused
from toybox.world.shapes import Array

if TYPE_CHECKING:
    from toybox.world.scene import Scene

_SHORTEST = 6  # pixels; shorter pieces say nothing about a direction
_ON_FACE = 0.0015  # share of the depth by which a point may miss a face and still belong to it
_JUMP = 0.02  # share of the depth by which a neighbour must miss the tangent plane
_STEP = 0.0015  # the same, for parallel faces
_CREASE = math.cos(math.radians(28))


class _Pixels(NamedTuple):
    """What is known about pixels, or about their neighbours; see `find_edges`."""

    depth: Tensor
    normals: Tensor
    surface: Tensor
    owners: Tensor
    x: Tensor
    y: Tensor

    def part(self, axis: int, start: int) -> "_Pixels":
        """All but the last (start 0) or the first (start 1) pixels along an axis."""
        return _Pixels(*(v.narrow(axis, start, v.shape[axis] - 1) for v in self))

    def slant(self, x: Tensor, y: Tensor) -> Tensor:
        """Normal times ray (x, y, -1); on a plane, depth times slant is the same everywhere."""
        return self.normals[..., 0] * x + self.normals[..., 1] * y - self.normals[..., 2]


@fused
def find_edges(
    depth: Tensor, normals: Tensor, surface: Tensor, owners: Tensor, x: Tensor, y: Tensor
) -> Tensor:
    """Mark outlines, creases and steps, one pixel wide; (N, H, W) bool.

    Between two neighbouring pixels runs an edge if one lies clearly behind the tangent plane of
    the other (an outline), if they have different owners, or if they lie on different surfaces
    that meet at more than 28 degrees (a crease) or are parallel but not in one plane (a step, such
    as the door of a house). The pixel in front is marked; where they touch, that of the surface
    with the higher number.

    Args:
        depth: (N, H, W) m.
        normals: (N, H, W, 3).
        surface: (N, H, W) number of the surface.
        owners: (N, H, W) a number that tells objects, and what the room is made of, apart.
        x: (N, 1, W) first ray coordinates.
        y: (N, H, 1) second ray coordinates.
    """
    pixels = _Pixels(depth, normals, surface, owners, x.expand_as(depth), y.expand_as(depth))
    marks = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (1, 2):
        length = depth.shape[axis] - 1
        a, b = pixels.part(axis, 0), pixels.part(axis, 1)
        found, first = _edge_between(a, b)
        marks.narrow(axis, 0, length).logical_or_(found & first)
        marks.narrow(axis, 1, length).logical_or_(found & ~first)
    return marks


def _edge_between(a: _Pixels, b: _Pixels) -> tuple[Tensor, Tensor]:
    """Whether an edge runs between two neighbours, and whether it belongs to the first."""
    gap, gap_back = _behind(a, b).abs(), _behind(b, a).abs()
    jump = (gap > _JUMP) & (gap_back > _JUMP)
    cosine = (a.normals * b.normals).sum(dim=-1)
    corner = (cosine < _CREASE) | ((cosine > 0.999) & (gap > _STEP))
    found = jump | (corner & (a.surface != b.surface)) | (a.owners != b.owners)
    return found, torch.where(jump, a.depth < b.depth, a.surface > b.surface)


def _behind(a: _Pixels, b: _Pixels) -> Tensor:
    """How far b lies behind the tangent plane of a, as a share of its depth."""
    return 1 - a.depth * a.slant(a.x, a.y) / (a.slant(b.x, b.y) * b.depth)


def find_joints(
    scenes: Sequence["Scene"], depth: Tensor, instances: Tensor, intrinsics: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Project the joints of all figures.

    Returns:
        Pixels (N, 2, 18, 2) and depth (N, 2, 18), float32, NaN where there is no figure; and
        whether each joint is visible (N, 2, 18): inside the picture, in a pixel of its own figure
        whose surface is no nearer than the flesh around the joint is thick.
    """
    count, height, width = depth.shape
    places = np.full((count, MAX_PEOPLE, 18, 3), np.nan)
    owners = np.zeros((count, MAX_PEOPLE), dtype=np.int64)
    for n, scene in enumerate(scenes):
        viewer = scene.camera.viewer
        figures = [o for o in scene.objects if o.joints is not None]
        for k, figure in enumerate(figures):
            places[n, k] = (figure.joints - viewer.origin) @ viewer.rotation.T
            owners[n, k] = figure.instance
    places = torch.from_numpy(places).to(depth.device)
    fx, fy, cx, cy = (v[:, None, None] for v in intrinsics.unbind(dim=1))
    away = -places[..., 2]
    x, y = cx + fx * places[..., 0] / away, cy - fy * places[..., 1] / away
    column, row = x.nan_to_num(-1).round().long(), y.nan_to_num(-1).round().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)
    skin = depth.flatten(1).gather(1, index).view_as(away)
    owner = instances.flatten(1).gather(1, index).view_as(away)
    same = owner == torch.from_numpy(owners).to(depth.device)[..., None]
    flesh = torch.from_numpy(JOINT_RADII).to(depth.device)
    visible = inside & same & (away - skin < flesh)
    return torch.stack([x, y], dim=-1).float(), visible, away.float()


def find_lines(
    edges: Sequence[Array], depth: Tensor, normals: Tensor, intrinsics: Tensor
) -> list[Tensor]:
    """Find the visible parts of straight edges.

    Each edge is sampled once a pixel. A point of it is visible where one of the four pixels
    around it shows a face that contains the point, that is, whose tangent plane runs through it.

    Args:
        edges: for each scene, the ends of its edges in the camera's frame, (E, 2, 3) in m.
        depth: (N, H, W) float64.
        normals: (N, H, W, 3).
        intrinsics: (N, 4).

    Returns:
        For each scene (L, 4) float32: pixel x0, y0, x1, y1, at least _SHORTEST pixels long.
    """
    height, width = depth.shape[1:]
    focal, _, cx, cy = (v[:, None, None] for v in intrinsics.unbind(dim=1))
    ends = _fill_up(edges, depth.device)
    x, y, inverse = _clip(ends, focal, cx, cy, width, height)
    steps = torch.linspace(0, 1, math.ceil(math.hypot(width, height)) + 1, device=depth.device)
    along = [(v[..., :1] + (v[..., 1:] - v[..., :1]) * steps) for v in (x, y, inverse)]
    seen = _on_a_face(*along, depth, normals, (focal, cx, cy))
    # Where a run of visible points begins and ends, in steps along the edge.
    padded = torch.nn.functional.pad(seen.to(torch.int8), (1, 1))
    change = padded[..., 1:] - padded[..., :-1]
    starts, stops = (change == 1).nonzero(), (change == -1).nonzero()
    scene, edge = starts[:, 0], starts[:, 1]
    first, last = starts[:, 2], stops[:, 2] - 1
    lines = torch.stack([v[scene, edge, at] for at in (first, last) for v in along[:2]], dim=1)
    long = (lines[:, 2:] - lines[:, :2]).square().sum(dim=1) >= _SHORTEST**2
    counts = torch.bincount(scene[long], minlength=len(depth)).tolist()
    return list(lines[long].float().split(counts))


def _fill_up(edges: Sequence[Array], device: torch.device) -> Tensor:
    """Stack lists of edges; short lists are filled with edges behind the camera."""
    most = max(len(e) for e in edges)
    ends = np.full((len(edges), most, 2, 3), 1.0)
    for n, e in enumerate(edges):
        ends[n, : len(e)] = e
    return torch.from_numpy(ends).to(device)


def _clip(ends, focal, cx, cy, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
    """Project edges and cut them at the picture's border.

    Returns:
        Pixel x, pixel y and 1 / depth of both ends, each (N, E, 2); 1 / depth is linear along a
        line of the picture. Edges outside the picture get 1 / depth = 0.
    """
    start, end = ends[..., 0, :], ends[..., 1, :]
    step = end - start
    low = torch.zeros_like(step[..., 0])
    high = torch.ones_like(low)
    # Inside is where p . n <= 0 for the four sides of the view and p . n <= -0.1 in front.
    f, cx, cy = focal[..., 0], cx[..., 0], cy[..., 0]
    sides = (
        *((f, 0, width - 1 - cx, 0), (-f, 0, cx, 0)),
        *((0, f, cy, 0), (0, -f, height - 1 - cy, 0), (0, 0, 1, -0.1)),
    )
    for a, b, c, limit in sides:
        value = a * start[..., 0] + b * start[..., 1] + c * start[..., 2] - limit
        slope = a * step[..., 0] + b * step[..., 1] + c * step[..., 2]
        at = -value / slope
        high = torch.where(slope > 0, torch.minimum(high, at), high)
        low = torch.where(slope < 0, torch.maximum(low, at), low)
        low = torch.where((slope == 0) & (value > 0), 2.0, low)
    cut = torch.stack([low, high], dim=-1)[..., None]
    points = start[..., None, :] + cut * step[..., None, :]
    inverse = torch.where((low < high)[..., None], -1 / points[..., 2], 0.0)
    x = cx[..., None] + f[..., None] * points[..., 0] * inverse
    y = cy[..., None] - f[..., None] * points[..., 1] * inverse
    return x.clamp(0, width - 1), y.clamp(0, height - 1), inverse


def _on_a_face(x, y, inverse, depth, normals, camera) -> Tensor:
    """Whether each point lies on the tangent plane of one of the four pixels around it."""
    count, height, width = depth.shape
    focal, cx, cy = camera
    focal, cx, cy = focal.float(), cx.float(), cy.float()
    x, y, inverse = x.float(), y.float(), inverse.float()
    flat_depth, flat_normals = depth.float().flatten(1), normals.flatten(1, 2)
    ray_x, ray_y = (x - cx) / focal, (cy - y) / focal
    seen = torch.zeros_like(x, dtype=torch.bool)
    scene = torch.arange(count, device=x.device)[:, None, None]
    for dx in (0, 1):
        for dy in (0, 1):
            column = (x.floor().long() + dx).clamp(0, width - 1)
            row = (y.floor().long() + dy).clamp(0, height - 1)
            index = row * width + column
            nx, ny, nz = flat_normals[scene, index].unbind(dim=-1)
            here = nx * (column - cx) / focal + ny * (cy - row) / focal - nz
            there = nx * ray_x + ny * ray_y - nz
            expected = flat_depth[scene, index] * here * inverse
            seen |= (expected - there).abs() < _ON_FACE * there.abs()
    return seen & (inverse > 0)
