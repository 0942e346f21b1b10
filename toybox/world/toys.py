"""The toys: each function builds one kind from solids, standing at the origin on the floor y = 0.

Lengths are metres, the front looks along +z.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from toybox.world.captions import COLOURS
from toybox.world.figure import HAIRS, SKINS, build_figure, rotation, sample_pose
from toybox.world.shapes import Array, Geometry, Paint, Solids

ADE20K = {
    "wall": 0,
    "floor": 3,
    "tree": 4,
    "person": 12,
    "table": 15,
    "chair": 19,
    "car": 20,
    "house": 25,
    "rug": 28,
    "box": 41,
    "column": 42,
    "tower": 84,
    "plaything": 108,
    "ball": 119,
}
"""Classes of ADE20K that occur here, as indices from 0 to 149."""

CLASS_OF_KIND = {
    "ball": "ball",
    "cube": "box",
    "cone": "plaything",
    "cylinder": "column",
    "tower": "tower",
    "table": "table",
    "chair": "chair",
    "house": "house",
    "tree": "tree",
    "car": "car",
    "figure": "person",
}

Occluder = tuple[float, float, float, float]
"""A ball (x, y, z, radius) that stands for the toy where it keeps light from its surroundings."""


@dataclass(frozen=True)
class Toy:
    """A built toy in its own frame."""

    geometry: Geometry
    quadric_paints: list[Paint]
    block_paints: list[Paint]
    occluders: list[Occluder]
    joints: Array | None


def build_toy(kind: str, colour: str, size: str, random: Random) -> Toy:
    """Build a toy of the given kind; shape details come from `random`."""
    solids = Solids()
    joints = None
    if kind == "figure":
        joints, occluders = _figure(solids, colour, random)
    else:
        occluders = _BUILDERS[kind](solids, COLOURS[colour], size == "big", random)
    return Toy(Geometry.of(solids), solids.quadric_paints, solids.block_paints, occluders, joints)


def _mix(rgb: tuple, other: tuple, share: float) -> tuple[float, float, float]:
    return tuple(a + share * (b - a) for a, b in zip(rgb, other, strict=True))


_WOOD = (0.72, 0.50, 0.30)
_DARK = (0.14, 0.14, 0.16)
_LIGHT = (0.97, 0.93, 0.82)


def _ball(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    r = random.uniform(0.29, 0.35) if big else random.uniform(0.15, 0.19)
    solids.ball((0, r, 0), r, Paint(rgb, 0.9))
    return [(0, r, 0, r)]


def _cube(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    h = random.uniform(0.27, 0.33) if big else random.uniform(0.14, 0.18)
    solids.box((0, h, 0), (h, h, h), Paint(rgb, 0.3))
    return [(0, h, 0, 1.15 * h)]


def _cone(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    r = random.uniform(0.29, 0.34) if big else random.uniform(0.16, 0.20)
    height = r * random.uniform(2.0, 2.4)
    solids.cone((0, 0, 0), r, (0, height, 0), 0.012, Paint(rgb, 0.4))
    return [(0, 0.35 * r, 0, 0.8 * r), (0, r, 0, 0.5 * r)]


def _cylinder(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    r = random.uniform(0.22, 0.26) if big else random.uniform(0.13, 0.16)
    height = r * random.uniform(2.4, 3.0)
    solids.cone((0, 0, 0), r, (0, height, 0), r, Paint(rgb, 0.5))
    return [(0, r, 0, 1.05 * r), (0, height - r, 0, 1.05 * r)]


def _tower(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    h, tall = random.uniform(0.18, 0.21), random.uniform(0.80, 0.98)
    paint, dark = Paint(rgb, 0.3), Paint(_mix(rgb, _DARK, 0.35), 0.3)
    solids.box((0, tall / 2, 0), (h, tall / 2, h), paint, top=(0.86, 0.86))
    solids.box((0, tall + 0.05, 0), (1.12 * h, 0.05, 1.12 * h), dark)
    solids.box((0, tall + 0.23, 0), (h, 0.13, h), paint, top=(0.0, 0.0))
    solids.box((0, 0.13, h - 0.003), (0.07, 0.13, 0.012), Paint(_DARK, 0.2))
    return [(0, h, 0, 1.1 * h), (0, 3 * h, 0, h)]


def _table(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    x, z, height = (
        random.uniform(0.40, 0.50),
        random.uniform(0.28, 0.33),
        random.uniform(0.46, 0.54),
    )
    paint, leg = Paint(rgb, 0.5), Paint(_mix(rgb, _DARK, 0.25), 0.3)
    solids.box((0, height - 0.03, 0), (x, 0.03, z), paint)
    for sx in (-1, 1):
        for sz in (-1, 1):
            at = (sx * (x - 0.06), (height - 0.06) / 2, sz * (z - 0.06))
            solids.box(at, (0.034, (height - 0.06) / 2, 0.034), leg)
    return [(s * 0.5 * x, 0.75 * height, 0, 0.6 * z) for s in (-1, 1)]


def _chair(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    h, seat, back = (
        random.uniform(0.19, 0.22),
        random.uniform(0.36, 0.42),
        random.uniform(0.42, 0.5),
    )
    paint, leg = Paint(rgb, 0.5), Paint(_mix(rgb, _DARK, 0.25), 0.3)
    solids.box((0, seat, 0), (h, 0.03, h), paint)
    solids.box((0, seat + 0.03 + back * 0.62, 0.03 - h), (h, back * 0.38, 0.026), paint)
    low = (seat - 0.03) / 2
    for sx in (-1, 1):
        x = sx * (h - 0.035)
        solids.box((x, low, h - 0.035), (0.03, low, 0.03), leg)
        solids.box(
            (x, (seat + back * 0.5) / 2, 0.03 - h), (0.03, (seat + back * 0.5) / 2, 0.025), leg
        )
    return [(0, 0.7 * seat, 0, 0.8 * h), (0, seat + 0.6 * back, -h, 0.6 * h)]


def _house(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    x, z = random.uniform(0.36, 0.44), random.uniform(0.28, 0.34)
    wall, roof = random.uniform(0.19, 0.24), random.uniform(0.15, 0.19)
    pale = max(rgb) - min(rgb) < 0.1 and max(rgb) > 0.5
    roof_rgb = (0.52, 0.20, 0.16) if pale or rgb == COLOURS["black"] else _mix(rgb, _DARK, 0.55)
    solids.box((0, wall, 0), (x, wall, z), Paint(rgb, 0.25))
    solids.box(
        (0, 2 * wall + roof, 0), (x + 0.05, roof, z + 0.07), Paint(roof_rgb, 0.25), top=(1, 0)
    )
    solids.box((-0.3 * x, 0.62 * wall, z), (0.075, 0.62 * wall, 0.012), Paint(_DARK, 0.3))
    solids.box((0.42 * x, 1.15 * wall, z), (0.085, 0.075, 0.012), Paint(_LIGHT, 0.9))
    chimney = (0.5 * x, 2 * wall + 1.35 * roof, -0.25 * z)
    solids.box(chimney, (0.05, 0.75 * roof, 0.05), Paint((0.55, 0.30, 0.24), 0.2))
    return [(s * 0.5 * x, wall, 0, 1.1 * wall) for s in (-1, 1)] + [(0, 2.2 * wall, 0, z)]


def _tree(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    trunk, crown = random.uniform(0.30, 0.42), random.uniform(0.27, 0.33)
    solids.cone((0, 0, 0), 0.085, (0, trunk + 0.1, 0), 0.06, Paint((0.42, 0.26, 0.14), 0.15))
    paint = Paint(rgb, 0.15)
    if random.random() < 0.5:  # a fir: three skirts
        for n, (r, low, high) in enumerate(
            ((1.15, 0, 1.25), (0.92, 0.75, 1.95), (0.66, 1.45, 2.6))
        ):
            tint = Paint(_mix(rgb, _LIGHT, 0.05 * n), 0.15)
            solids.cone(
                (0, trunk + low * crown, 0), r * crown, (0, trunk + high * crown, 0), 0.02, tint
            )
        return [(0, trunk + 0.4 * crown, 0, crown), (0, 0.05, 0, 0.1)]
    solids.ball((0, trunk + 0.75 * crown, 0), crown, paint)
    turn = random.uniform(0, 360)
    for n in range(2):
        side = rotation("y", turn + 180 * n) @ (0.62 * crown, trunk + (0.45 + 0.2 * n) * crown, 0)
        solids.ball(side, 0.68 * crown, paint)
    solids.ball((0, trunk + 1.45 * crown, 0), 0.66 * crown, paint)
    return [(0, trunk + 0.75 * crown, 0, 1.1 * crown), (0, 0.05, 0, 0.1)]


def _car(solids: Solids, rgb: tuple, big: bool, random: Random) -> list[Occluder]:
    x, z = random.uniform(0.44, 0.52), random.uniform(0.21, 0.24)
    paint, glass = Paint(rgb, 0.9), Paint((0.20, 0.27, 0.34), 1.0)
    solids.box((0, 0.185, 0), (x, 0.095, z), paint, top=(0.95, 0.92))
    solids.box((-0.06, 0.345, 0), (0.56 * x, 0.075, 0.86 * z), glass, top=(0.70, 0.84))
    solids.box((-0.06, 0.43, 0), (0.40 * x, 0.014, 0.74 * z), paint, top=(0.9, 0.9))
    tyre, hub = Paint((0.09, 0.09, 0.10), 0.2), Paint((0.80, 0.80, 0.82), 0.9)
    for sx in (-0.62, 0.60):
        for sz in (-1, 1):
            start, end = (sx * x, 0.105, sz * (z - 0.07)), (sx * x, 0.105, sz * (z + 0.02))
            solids.cone(start, 0.105, end, 0.105, tyre)
            solids.cone(end, 0.055, (sx * x, 0.105, sz * (z + 0.03)), 0.05, hub)
    for sz in (-1, 1):
        solids.ball((x - 0.015, 0.205, sz * 0.62 * z), 0.042, Paint((1.0, 0.95, 0.75), 1.0))
    return [(s * 0.5 * x, 0.18, 0, 0.95 * z) for s in (-1, 1)]


def _figure(solids: Solids, colour: str, random: Random) -> tuple[Array, list[Occluder]]:
    rgb = COLOURS[colour]
    joints = build_figure(
        solids,
        sample_pose(random),
        shirt=Paint(rgb, 0.25),
        trousers=Paint(_mix(rgb, _DARK, 0.6 if max(rgb) > 0.2 else -0.15), 0.2),
        skin=Paint(random.choice(SKINS), 0.3),
        hair=Paint(random.choice(HAIRS), 0.35),
    )
    hips, neck = (joints[8] + joints[11]) / 2, joints[1]
    occluders = [(*joints[10], 0.09), (*joints[13], 0.09), (*hips, 0.14)]
    return joints, [*occluders, (*(0.35 * hips + 0.65 * neck), 0.17)]


_BUILDERS: dict[str, Callable[[Solids, tuple, bool, Random], list[Occluder]]] = {
    "ball": _ball,
    "cube": _cube,
    "cone": _cone,
    "cylinder": _cylinder,
    "tower": _tower,
    "table": _table,
    "chair": _chair,
    "house": _house,
    "tree": _tree,
    "car": _car,
}
