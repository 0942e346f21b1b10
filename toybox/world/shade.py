"""From depth and surfaces to light: colours, soft shadows, and the photo.

The model is a classic one: the light of the sky from all sides, dimmed near other toys; a lamp
with Lambert's cosine and a soft shadow; a highlight after Blinn; and a faint mirror of the sky at
grazing angles after Schlick. All of it is continuous in the depth, so that a last bit of rounding
cannot change a pixel by more than one step.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from toybox.world.fuse import fused
from toybox.world.prepare import WALL_SURFACES

TAPS = 12
"""Looks at the shadow map for one point."""

_SKIRTING = 0.11  # m, height of the board at the foot of the walls
_BIAS = 0.008  # m: a blocker must be this much higher than the point it shades
_SOFT = 0.012  # m over which the comparison fades from lit to shaded


class Points(NamedTuple):
    """Where rays meet surfaces: x, y and z as separate (N, H, W) tensors, m and unit vectors."""

    seen: list[Tensor]
    """In the camera's frame; the camera is the origin."""
    normals: list[Tensor]
    """In the camera's frame."""
    world: list[Tensor]
    world_normals: list[Tensor]


@fused
def locate(looks: Tensor, depth: Tensor, x: Tensor, y: Tensor, frame: Tensor) -> Points:
    """Find points and normals from the depth.

    Args:
        looks: (16, N, H, W) columns of `Prepared.surfaces`.
        depth: (N, H, W) float32, m.
        x: (N, 1, W) first ray coordinates, float32.
        y: (N, H, 1) second ray coordinates, float32.
        frame: (N, 4, 3) rotation and origin of the camera.
    """
    seen = [depth * x, depth * y, -depth]
    xx, yy, zz, xy, xz, yz, sx, sy, sz = looks[:9]
    normals = _unit(
        [
            _dot([xx, xy, xz], seen, sx),
            _dot([xy, yy, yz], seen, sy),
            _dot([xz, yz, zz], seen, sz),
        ]
    )
    columns = [[frame[:, i, k, None, None] for i in range(3)] for k in range(3)]
    origin = [frame[:, 3, k, None, None] for k in range(3)]
    world = [_dot(c, seen, o) for o, c in zip(origin, columns, strict=True)]
    return Points(seen, normals, world, [_dot(c, normals) for c in columns])


def shadow_taps(count: int) -> list[tuple[float, float]]:
    """Spread points evenly over the unit disc, along a sunflower spiral (Vogel, 1979)."""
    golden = math.pi * (3 - math.sqrt(5))
    radii = [math.sqrt((k + 0.5) / count) for k in range(count)]
    return [(r * math.cos(k * golden), r * math.sin(k * golden)) for k, r in enumerate(radii)]


def soft_shadow(heights: Tensor, window: Tensor, lamp: Tensor, points: Points) -> Tensor:
    """Share of the lamp that each point sees, 0 to 1: percentage-closer soft shadows.

    A point looks up how high the toys around it reach (the blockers), makes its half-shadow as
    wide as the lamp looks past them, and counts how many of TAPS looks at the map find nothing
    above the plane through the point. Reeves, Salesin and Cook, "Rendering antialiased shadows
    with depth maps" (1987); Fernando, "Percentage-closer soft shadows" (2005).

    Args:
        heights: (N, R, R) height in m of what the lamp sees along each of its rays.
        window: (N, 4) bounds x0, x1, y0, y1 of the map in ray coordinates of the lamp.
        lamp: (N, 6) position, radius, ...
        points: where the surfaces are.
    """
    lookup = _prepare_lookup(_blockers(heights), window, lamp, points)
    # Interpolation is linear, so what is the same for all points is taken off the map once.
    clearance = (heights - lamp[:, 1, None, None] - _BIAS) / _SOFT
    lit = torch.zeros_like(lookup.u)
    for tap in torch.tensor(shadow_taps(TAPS), device=heights.device):
        lit = _look_once(lit, clearance, lookup, tap)
    return lit / TAPS


class _Lookup(NamedTuple):
    """What a look at the shadow map needs to know about each point, all (N, H, W)."""

    u: Tensor
    """Place in the map, from -1 to 1 from border to border."""
    v: Tensor
    step_u: Tensor
    """How far the half-shadow reaches, in the same unit."""
    step_v: Tensor
    fall: Tensor
    """Height of the lamp above the point, in units of _SOFT."""
    facing: Tensor
    """Normal times ray of the lamp, below 0."""
    turn_u: Tensor
    """How much `facing` changes over the half-shadow."""
    turn_v: Tensor


@fused
def _prepare_lookup(blockers: Tensor, window: Tensor, lamp: Tensor, points: Points) -> _Lookup:
    lx, ly, lz, radius = (lamp[:, k, None, None] for k in range(4))
    x0, x1, y0, y1 = (window[:, k, None, None] for k in range(4))
    wide, high = 2 / (x1 - x0), 2 / (y1 - y0)
    (px, py, pz), (nx, ny, nz) = points.world, points.world_normals
    fall = ly - py
    x, y = (px - lx) / fall, (lz - pz) / fall
    u, v = (x - x0) * wide - 1, 1 - (y - y0) * high  # rows of the map grow downwards
    gap = (_look(blockers, u, v) - py).clamp(min=0)
    spread = radius * gap / ((fall - gap).clamp(min=0.5) * fall) + 0.0012
    facing = (nx * x - ny - nz * y).clamp(max=-1e-3)
    return _Lookup(
        *(u, v, spread * wide, -spread * high),
        *(fall / _SOFT, facing, nx * spread, -nz * spread),
    )


@fused
def _look_once(lit: Tensor, clearance: Tensor, at: _Lookup, tap: Tensor) -> Tensor:
    """Add 1 to `lit` where one look finds nothing above the plane through the point."""
    du, dv = tap[0], tap[1]
    u, v = torch.addcmul(at.u, at.step_u, du), torch.addcmul(at.v, at.step_v, dv)
    # Along the neighbouring ray, the tangent plane is `facing / there` times as far away.
    there = torch.addcmul(torch.addcmul(at.facing, at.turn_u, du), at.turn_v, dv)
    farther = (at.facing / there.clamp(max=-1e-3)).clamp(0.8, 1.25)
    above = torch.addcmul(_look(clearance, u, v), at.fall, farther)
    return lit + (1 - above).clamp(0, 1)


def _blockers(heights: Tensor) -> Tensor:
    """Mean height of what stands around each place of the map, (N, R, R)."""
    size = heights.shape[-1]
    kernel = max(3, size // 14 | 1)
    there = (heights > 0.02).to(heights.dtype)
    stacked = torch.stack([heights * there, there], dim=1)
    for shape in ((kernel, 1), (1, kernel)):
        padding = (shape[0] // 2, shape[1] // 2)
        stacked = functional.avg_pool2d(stacked, shape, stride=1, padding=padding)
    return stacked[:, 0] / stacked[:, 1].clamp(min=1e-3)


def _look(picture: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Interpolate `picture` (N, R, R) at map coordinates u, v, each (N, H, W)."""
    grid = torch.stack([u, v], dim=1).permute(0, 2, 3, 1)  # whole planes are copied faster
    found = functional.grid_sample(
        picture[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found[:, 0]


@fused
def paint_room(looks: Tensor, surface: Tensor, floor: Tensor, points: Points) -> list[Tensor]:
    """Colours of all surfaces, with the pattern of the floor and a board at the foot of the walls.

    Args:
        looks: (16, N, H, W) columns of `Prepared.surfaces`.
        surface: (N, H, W) numbers of the surfaces.
        floor: (N, 25) as in `Prepared.floor`.
        points: where the surfaces are.

    Returns:
        Linear red, green and blue, each (N, H, W).
    """
    base = [looks[9], looks[10], looks[11]]
    x, y, z = points.world
    wall = (surface > 0) & (surface < WALL_SURFACES)
    board = ((_SKIRTING - y) * 150).clamp(0, 1) * wall
    joint = (1 - (y - _SKIRTING).abs() * 110).clamp(0, 1) * wall
    walls = [(c + board * (0.82 - c)) * (1 - 0.35 * joint) for c in base]
    tiles = floor_colours(floor, base, x, z)
    return [torch.where(surface == 0, t, w) for t, w in zip(tiles, walls, strict=True)]


def floor_colours(floor: Tensor, base: list[Tensor], x: Tensor, z: Tensor) -> list[Tensor]:
    """Colours of the floor at world coordinates x and z, each (N, H, W), linear RGB.

    Args:
        floor: (N, 25) as in `Prepared.floor`.
        base: first colour, three tensors that broadcast to (N, H, W).
        x: world x in m.
        z: world z in m.
    """
    wood, checks, tiles, size, shift_x, shift_z = (floor[:, k, None, None] for k in range(6))
    second = [floor[:, 6 + k, None, None] for k in range(3)]
    a, b = x / size + shift_x, z / size + shift_z
    # Distance from the nearest joint between tiles, 0 to 0.5 of a tile.
    to_a, to_b = 0.5 - (a - a.floor() - 0.5).abs(), 0.5 - (b - b.floor() - 0.5).abs()
    sign = 1 - 2 * torch.remainder(a.floor() + b.floor(), 2)
    check = 0.5 + 0.5 * (sign * torch.minimum(to_a, to_b) * 80).clamp(-1, 1)
    joint = (1.6 - torch.minimum(to_a, to_b) * 55).clamp(0, 1)
    mix = checks * check + tiles * joint
    # Planks lie along x. Each has its own tone; a dark gap hides where the tone jumps.
    number = torch.remainder(b.floor(), 16).long()
    tone = torch.gather(floor[:, 9:], 1, number.flatten(1)).view_as(b)
    phase = tone * 40
    grain = torch.sin(b * 31 + 2.2 * torch.sin(a * 0.9 + phase) + phase)
    grain = grain + 0.6 * torch.sin(b * 67 + 1.7 * torch.sin(a * 1.7 - phase))
    gap = (1.3 - to_b * 42).clamp(0, 1)
    plank = (tone + 0.028 * grain) * (1 - gap) + 0.45 * gap
    shade = wood * plank + (1 - wood)
    return [(c + mix * (s - c)) * shade for c, s in zip(base, second, strict=True)]


def ambient_occlusion(occluders: Tensor, points: Points, instances: Tensor) -> Tensor:
    """Share of the sky's light that is left, (N, H, W).

    A ball of radius r at distance d hides cos(angle) r^2 / d^2 of the sky from a surface (the form
    factor of a sphere). It is faded out to reach zero at four radii.

    Args:
        occluders: (N, M, 5) x, y and z in the camera's frame, radius and instance of each ball.
        points: where the surfaces are.
        instances: (N, H, W); a toy does not hide the sky from itself.
    """
    light = torch.ones_like(instances)
    for ball in occluders.transpose(0, 1).contiguous():
        light = _hide_behind(light, ball, points, instances)
    return light


@fused
def _hide_behind(light: Tensor, ball: Tensor, points: Points, instances: Tensor) -> Tensor:
    cx, cy, cz, radius, instance = (c[:, None, None] for c in ball.unbind(dim=1))
    away = [centre - p for centre, p in zip((cx, cy, cz), points.seen, strict=True)]
    square = _dot(away, away) + 1e-9
    cosine = (_dot(away, points.normals) * square.rsqrt()).clamp(min=0)
    share = (radius * radius / square).clamp(max=1)
    fade = (1 - square / (16 * radius * radius)).clamp(min=0)
    return light * (1 - 0.85 * cosine * share * fade * (instances != instance))


@fused
def light_up(
    base: list[Tensor],
    gloss: Tensor,
    points: Points,
    shadow: Tensor,
    open_sky: Tensor,
    lamp: Tensor,
    ground: Tensor,
    frame: Tensor,
) -> Tensor:
    """Add up the light that leaves each point towards the camera; linear RGB (N, 3, H, W).

    Args:
        base: colour of the surfaces, linear RGB, three tensors (N, H, W).
        gloss: (N, H, W), 0 to 1.
        points: where the surfaces are.
        shadow: (N, H, W) share of the lamp that is seen.
        open_sky: (N, H, W) share of the sky that is seen.
        lamp: (N, 6) position, radius, strength, sky.
        ground: (N, 3) linear colour that the floor throws back.
        frame: (N, 4, 3) rotation and origin of the camera.
    """
    normals = points.world_normals
    to_lamp = _unit([lamp[:, k, None, None] - points.world[k] for k in range(3)])
    facing = _dot(to_lamp, normals).clamp(min=0)
    key = lamp[:, 4, None, None] * facing * shadow
    sky = lamp[:, 5, None, None] * open_sky
    up = 0.5 + 0.5 * normals[1]
    to_eye = _unit([frame[:, 3, k, None, None] - points.world[k] for k in range(3)])
    grazing = 1 - _dot(to_eye, normals).clamp(0, 1)
    fresnel = gloss * (0.02 + 0.35 * grazing * grazing * grazing * grazing)
    # Blinn: the normal of a mirror that would show the lamp lies half-way.
    half = _unit([e + t for e, t in zip(to_eye, to_lamp, strict=True)])
    shine = _dot(half, normals).clamp(0, 1)
    for _ in range(5):  # to the power of 32
        shine = shine * shine
    highlight = 0.55 * gloss * shine * shadow * (facing * 20).clamp(max=1) + 1.2 * fresnel * sky
    channels = []
    for k, colour in enumerate(base):
        around = sky * (_SKY[k] * up + ground[:, k, None, None] * (1 - up))
        channels.append(colour * (around + _LAMP[k] * key) + highlight)
    return torch.stack(channels, dim=1)


@fused
def develop(light: Tensor) -> Tensor:
    """Average the light around each pixel and encode it: (N, 3, 2S+1, 2S+1) to (N, S, S, 3) uint8.

    Rays run through the centres, sides and corners of pixels; a tent filter (1, 2, 1) / 4 in each
    direction weighs them, which takes the stairs out of slanted outlines.
    """
    # Above 0.55 the curve bends, so that white toys keep their shading.
    light = torch.where(light > 0.55, 1 - 0.45 * torch.exp((0.55 - light) / 0.45), light)
    rows = light[:, :, 0:-2:2] + 2 * light[:, :, 1:-1:2] + light[:, :, 2::2]
    mean = (rows[..., 0:-2:2] + 2 * rows[..., 1:-1:2] + rows[..., 2::2]) / 16
    encoded = mean ** (1 / 2.2)
    return (encoded * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


_SKY = (0.98, 1.0, 1.04)
_LAMP = (1.04, 1.0, 0.93)


def _dot(a: list[Tensor], b: list[Tensor], start: Tensor | None = None) -> Tensor:
    """Return start + a . b; each product and its sum are one pass over the picture."""
    first = a[0] * b[0] if start is None else torch.addcmul(start, a[0], b[0])
    return torch.addcmul(torch.addcmul(first, a[1], b[1]), a[2], b[2])


def _unit(v: list[Tensor]) -> list[Tensor]:
    length = _dot(v, v).clamp(min=1e-12).rsqrt()
    return [c * length for c in v]
