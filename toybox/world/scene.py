"""Scenes: which toys stand where, in which room, under which light, seen from where.

`sample_scene(seed)` is the only way in; the same seed gives the same scene everywhere. The world
frame has x to the right, y up and z towards the viewer; the floor is y = 0; lengths are metres.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np
import torch

from toybox.world.captions import (
    COLOURS,
    FLOORS,
    KINDS,
    SIZED,
    SIZES,
    WALLS,
    Meaning,
    Thing,
    write_caption,
)
from toybox.world.figure import rotation
from toybox.world.prepare import Prepared, prepare
from toybox.world.shapes import (
    Array,
    Geometry,
    Paint,
    Solids,
    Viewer,
    meet_block,
    meet_quadric,
)
from toybox.world.toys import ADE20K, CLASS_OF_KIND, Occluder, Toy, build_toy

_LEAST_SHARE = 0.02  # of the picture, that every object must show of itself

RUG = 0.002
"""Thickness of a rug in m: so thin that what stands on the floor below it is seen down to its
lower edges."""

ROOM_SURFACES = ("floor", "back wall", "left wall", "right wall")
"""The planes of the room, in the order of `Room.planes`."""


@dataclass(frozen=True)
class Object:
    """A toy in its place."""

    kind: str
    colour: str
    size: str
    """Big or small, or empty for kinds without a size."""
    instance: int
    """Value in the instance map: 1 for the leftmost object in the picture, and so on."""
    label: int
    """ADE20K class, 0 to 149."""
    position: tuple[float, float]
    """x and z of its origin on the floor, in m."""
    turn: float
    """Turn about the vertical, in degrees; at 0 its front looks along +z."""
    joints: Array | None
    """World coordinates of the 18 joints of a figure (18, 3), in m; None for other kinds."""


@dataclass(frozen=True)
class Room:
    """Floor and walls. Walls that are not part of the picture stand far away."""

    floor: str
    """One of FLOORS."""
    floor_colour: str
    """Empty for bare wood; on a wooden floor the colour of the rug."""
    wall_colour: str
    back: float
    left: float
    right: float
    pattern: tuple[float, float, float]
    """Size of a tile or plank in m, and the x and z of the pattern's origin in m."""
    wood: tuple[float, float, float]
    """sRGB of the wood."""
    planks: Array
    """Tone of 16 planks, around 1."""

    @property
    def planes(self) -> Array:
        """Planes n . p + h <= 0 inside, in the order of ROOM_SURFACES, shape (4, 4)."""
        return np.array(
            [[0, -1, 0, 0], [0, 0, -1, self.back], [-1, 0, 0, self.left], [1, 0, 0, -self.right]],
            dtype=float,
        )

    @property
    def edges(self) -> Array:
        """Ends of the lines where floor and walls meet, shape (5, 2, 3)."""
        near, far, up = 20.0, self.back, 8.0
        left, right = [self.left, 0, far], [self.right, 0, far]
        return np.array(
            [
                [left, right],
                [left, [self.left, up, far]],
                [right, [self.right, up, far]],
                [left, [self.left, 0, near]],
                [right, [self.right, 0, near]],
            ],
            dtype=float,
        )


@dataclass(frozen=True)
class Light:
    """A lamp that hangs far above, and the light of the sky through it all."""

    position: tuple[float, float, float]
    """World coordinates in m."""
    radius: float
    """Radius of the lamp in m: a large lamp makes wide half-shadows."""
    strength: float
    sky: float
    """Brightness of the light that comes from everywhere."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; the picture is square and ray coordinates run from -reach to reach."""

    viewer: Viewer
    reach: float
    """Tangent of half the angle of view."""

    def intrinsics(self, size: int) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in pixels, with pixel centres at integer coordinates."""
        focal = size / (2 * self.reach)
        return focal, focal, (size - 1) / 2, (size - 1) / 2


@dataclass(frozen=True)
class Scene:
    """Everything there is to know about one picture, before it is drawn."""

    seed: int
    meaning: Meaning
    objects: tuple[Object, ...]
    room: Room
    light: Light
    camera: Camera
    geometry: Geometry
    """All solids in the world frame, first those of object 1, then of object 2, ..."""
    quadric_paints: tuple[Paint, ...]
    block_paints: tuple[Paint, ...]
    quadric_owners: Array
    """Instance of each quadric, shape (K,); 0 for the rug."""
    block_owners: Array
    occluders: tuple[tuple[int, Occluder], ...]
    """(instance, ball) of what keeps light from its surroundings."""

    @cached_property
    def caption(self) -> str:
        """The scene in words."""
        return write_caption(self.meaning)

    @cached_property
    def prepared(self) -> Prepared:
        """The arrays that the renderer reads."""
        return prepare(self)


def sample_scene(seed: int) -> Scene:
    """Draw the scene with number `seed`, any integer from 0; the same number, the same scene.

    Every named object is visible: a scene in which one hides too much is drawn again.

    Raises:
        TypeError: the seed is not an integer.
        ValueError: the seed is negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"expected an integer as seed, got {type(seed).__name__}; use int(seed)")
    if seed < 0:
        raise ValueError(f"expected a seed of at least 0, got {seed}")
    random = Random(int(seed))
    while True:
        scene = _try_scene(int(seed), random)
        if scene is not None and _all_visible(scene):
            return scene


def _try_scene(seed: int, random: Random) -> Scene | None:
    things = _choose_things(random)
    toys = [build_toy(t.kind, t.colour, t.size, random) for t in things]
    turns = [_choose_turn(t.kind, random) for t in things]
    placed = _place(toys, turns, random)
    if placed is None:
        return None
    camera = _choose_camera(placed, random)
    if min(_box_share(camera, p.box) for p in placed) < 1.2 * _LEAST_SHARE:
        return None
    middles = [np.concatenate([g.centres, g.corners.mean(axis=1)]).mean(axis=0) for g in placed]
    order = sorted(range(len(toys)), key=lambda k: _across(camera.viewer, middles[k]))
    room = _choose_room([things[k].colour for k in order], placed, camera, random)
    light = Light(
        position=(
            random.choice((-1, 1)) * random.uniform(1.2, 3.2),
            random.uniform(5.0, 6.5),
            random.uniform(1.2, 3.6),
        ),
        radius=random.uniform(0.25, 0.5),
        strength=random.uniform(0.88, 1.00),
        sky=random.uniform(0.50, 0.60),
    )
    objects, pieces = [], []
    for instance, k in enumerate(order, start=1):
        shift = placed[k].shift
        joints = toys[k].joints
        if joints is not None:
            joints = joints @ rotation("y", turns[k]).T + shift
        kind = things[k].kind
        objects.append(
            Object(
                *(kind, things[k].colour, things[k].size, instance),
                label=ADE20K[CLASS_OF_KIND[kind]],
                position=(shift[0], shift[2]),
                turn=turns[k],
                joints=joints,
            )
        )
        pieces.append((instance, toys[k], placed[k].geometry, turns[k], shift))
    meaning = Meaning(
        tuple(things[k] for k in order), room.floor, room.floor_colour, room.wall_colour
    )
    return _assemble(seed, meaning, tuple(objects), room, light, camera, pieces, random)


def _choose_things(random: Random) -> list[Thing]:
    count = random.choices((1, 2, 3, 4), (0.18, 0.37, 0.32, 0.13))[0]
    figures = min(random.choices((0, 1, 2), (0.40, 0.47, 0.13))[0], count)
    kinds = ["figure"] * figures
    kinds += random.choices(
        KINDS[:-1], (3, 3, 2, 2, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5), k=count - figures
    )
    things: list[Thing] = []
    for kind in kinds:
        colours = list(COLOURS)
        if kind == "tree":
            colours = ["green", "green", "green", "orange", "yellow", "pink", "red"]
        # Two things of one kind never share a colour, so that a caption tells them apart.
        taken = {t.colour for t in things if t.kind == kind}
        colour = random.choice([c for c in colours if c not in taken])
        things.append(Thing(kind, colour, random.choice(SIZES) if kind in SIZED else ""))
    return things


def _choose_turn(kind: str, random: Random) -> float:
    if kind == "figure":
        return random.uniform(0, 360) if random.random() < 0.15 else random.gauss(0, 32)
    if kind in ("house", "chair", "tower"):
        return random.choice((-1, 1)) * random.uniform(12, 45)
    return random.uniform(0, 360)


@dataclass(frozen=True)
class _Placed:
    """A toy's solids in the world, and how far its origin moved."""

    geometry: Geometry
    shift: Array
    box: Array
    """Corners of the boxes of its solids, shape (n, 3)."""

    @property
    def centres(self) -> Array:
        return self.geometry.centres

    @property
    def corners(self) -> Array:
        return self.geometry.corners


def _place(toys: Sequence[Toy], turns: Sequence[float], random: Random) -> list[_Placed] | None:
    """Put toys on the floor so that the circles around them keep apart; None if they do not fit."""
    spread = (0.1, 0.55, 0.85, 1.05)[len(toys) - 1]
    placed, circles = [], []
    for toy, turn in zip(toys, turns, strict=True):
        matrix = rotation("y", turn)
        bounds = toy.geometry.bounds().reshape(-1, 3) @ matrix.T
        middle = (bounds.max(axis=0) + bounds.min(axis=0)) / 2
        flat = bounds[:, [0, 2]] - middle[[0, 2]]
        radius = math.sqrt((flat * flat).sum(axis=1).max())
        for _ in range(40):
            x, z = random.uniform(-spread, spread) * 1.15, random.uniform(-spread, spread) * 0.8
            if all(math.hypot(x - a, z - b) > radius + r + 0.04 for a, b, r in circles):
                break
        else:
            return None
        circles.append((x, z, radius))
        shift = np.array([x - middle[0], 0.0, z - middle[2]])
        placed.append(_Placed(toy.geometry.moved(matrix, shift), shift, bounds + shift))
    return placed


def _across(viewer: Viewer, point: Array) -> float:
    """First ray coordinate of a point: larger is farther right in the picture."""
    right, _, back = viewer.rotation @ (point - viewer.origin)
    return right / -back


def _choose_camera(placed: Sequence[_Placed], random: Random) -> Camera:
    """Look at the toys from the front, as near as keeps all of them in the picture."""
    reach = random.uniform(0.40, 0.48)
    matrix = rotation("x", random.uniform(9, 26)) @ rotation("y", -random.uniform(-24, 24))
    points = np.concatenate([p.box for p in placed])
    x, y, z = matrix @ points.T
    target = np.array([(x.max() + x.min()) / 2, (y.max() + y.min()) / 2, 0.0])
    # |x| <= fill * reach * (distance - z) for every point, and the same for y.
    fill = random.uniform(0.80, 0.92)
    sides = np.maximum(np.abs(x - target[0]), np.abs(y - target[1]))
    distance = max((sides / (fill * reach) + z).max(), 1.7)
    target[0] += random.uniform(-0.08, 0.08) * reach * distance * (1 - fill) * 4
    target[1] += random.uniform(0.0, 0.05) * reach * distance
    target[2] = distance
    return Camera(Viewer(matrix, matrix.T @ target), reach)


def _box_share(camera: Camera, points: Array) -> float:
    """Share of the picture that the rectangle around some points takes."""
    x, y, z = camera.viewer.rotation @ (points - camera.viewer.origin).T
    x, y = x / -z, y / -z
    return (x.max() - x.min()) * (y.max() - y.min()) / (2 * camera.reach) ** 2


def _choose_room(
    colours: Sequence[str], placed: Sequence[_Placed], camera: Camera, random: Random
) -> Room:
    points = np.concatenate([p.box for p in placed])
    low, high = points.min(axis=0), points.max(axis=0)
    eye = camera.viewer.origin
    free = [c for c in COLOURS if c not in colours]
    floor = random.choices(FLOORS, (0.40, 0.22, 0.18, 0.20))[0]
    rug = floor == "wooden" and random.random() < 0.35
    if floor == "checkered":
        free = [c for c in free if c != "white"]
    side = [15.0, 15.0]
    if random.random() < 0.7:
        k = int(random.random() < 0.5)
        side[k] = max(-low[0] if k == 0 else high[0], (1 - 2 * k) * -eye[0]) + random.uniform(
            0.15, 0.7
        )
    tone = random.uniform(-0.06, 0.06)
    return Room(
        floor=floor,
        floor_colour=random.choice(free) if floor != "wooden" or rug else "",
        wall_colour=random.choice(list(WALLS)),
        back=low[2] - random.uniform(0.15, 1.0),
        left=-side[0],
        right=side[1],
        pattern=(
            random.uniform(0.13, 0.17) if floor == "wooden" else random.uniform(0.30, 0.42),
            random.uniform(0, 1),
            random.uniform(0, 1),
        ),
        wood=random.choice(((0.80, 0.60, 0.39), (0.70, 0.48, 0.29), (0.88, 0.73, 0.53))),
        planks=np.array([1 + tone + random.uniform(-0.10, 0.10) for _ in range(16)]),
    )


def _assemble(seed, meaning, objects, room, light, camera, pieces, random) -> Scene:
    """Join the solids of all toys, and of the rug, into one scene."""
    parts = [geometry for _, _, geometry, _, _ in pieces]
    quadric_paints = [p for _, toy, *_ in pieces for p in toy.quadric_paints]
    block_paints = [p for _, toy, *_ in pieces for p in toy.block_paints]
    quadric_owners = [n for n, toy, *_ in pieces for _ in toy.quadric_paints]
    block_owners = [n for n, toy, *_ in pieces for _ in toy.block_paints]
    if room.floor == "wooden" and room.floor_colour:
        rug = _rug(room, pieces, random)
        parts.append(Geometry.of(rug))
        quadric_paints += rug.quadric_paints
        block_paints += rug.block_paints
        quadric_owners += [0] * len(rug.quadric_paints)
        block_owners += [0] * len(rug.block_paints)
    occluders = []
    for instance, toy, _, turn, shift in pieces:
        matrix = rotation("y", turn)
        for *centre, radius in toy.occluders:
            occluders.append((instance, (*(matrix @ centre + shift), radius)))
    return Scene(
        *(seed, meaning, objects, room, light, camera),
        geometry=Geometry.concatenate(parts),
        quadric_paints=tuple(quadric_paints),
        block_paints=tuple(block_paints),
        quadric_owners=np.array(quadric_owners, dtype=np.int64),
        block_owners=np.array(block_owners, dtype=np.int64),
        occluders=tuple(occluders),
    )


def _rug(room: Room, pieces: Sequence[tuple], random: Random) -> Solids:
    """A round or square rug around the middle of the toys."""
    points = np.concatenate([g.bounds().reshape(-1, 3) for _, _, g, _, _ in pieces])
    x, _, z = (points.max(axis=0) + points.min(axis=0)) / 2
    spread = (points.max(axis=0) - points.min(axis=0)) / 2
    wide = min(spread[0] * random.uniform(0.9, 1.2) + 0.1, 3.0)
    deep = max(spread[2] * random.uniform(0.9, 1.1) + 0.1, 0.5 * wide)
    deep = min(deep, z - room.back - 0.05)
    wide = min(wide, x - room.left - 0.05, room.right - x - 0.05)
    rgb = COLOURS[room.floor_colour]
    soft = tuple(0.86 * c + 0.1 for c in rgb)
    solids = Solids()
    if random.random() < 0.5:
        solids.box((x, RUG / 2, z), (wide, RUG / 2, deep), Paint(soft, 0.0))
        solids.edges[-1] = solids.edges[-1][-4:]  # those of its top, or each would count twice
    else:
        r = min(wide, deep) * 1.1
        r = min(r, z - room.back - 0.05, x - room.left - 0.05, room.right - x - 0.05)
        solids.cone((x, 0, z), r, (x, RUG, z), r, Paint(soft, 0.0))
    return solids


def _all_visible(scene: Scene, *, cells: int = 12) -> bool:
    """Look at the scene with cells x cells rays: does every object show enough of itself?"""
    if len(scene.objects) == 1:
        return True
    axis = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells * 2 - 1
    x = (axis * scene.camera.reach)[None, None, :]
    y = (axis * scene.camera.reach)[None, :, None]
    coefficients = torch.from_numpy(scene.prepared.quadrics).T[..., None, None]
    depth_q, hit_q, _ = meet_quadric(coefficients, x, y)
    planes = torch.from_numpy(scene.prepared.blocks).permute(1, 2, 0)[..., None, None]
    depth_b, hit_b, _ = meet_block(planes, x, y)
    depth = torch.where(torch.cat([hit_q, hit_b]), torch.cat([depth_q, depth_b]), math.inf)
    owners = torch.from_numpy(np.concatenate([scene.quadric_owners, scene.block_owners]))
    alone = torch.stack([depth[owners == o.instance].amin(dim=0) for o in scene.objects])
    nearest = alone.amin(dim=0)
    there = alone.isfinite()
    seen = (there & (alone == nearest)).sum(dim=(1, 2))
    whole = there.sum(dim=(1, 2))
    return bool(((seen >= 0.65 * whole) & (seen >= _LEAST_SHARE * cells * cells)).all())
