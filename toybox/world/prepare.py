"""From a scene to the arrays that the renderer reads: once for each scene, in NumPy.

All numbers that depend on where the viewers stand are worked out here, so that drawing is
arithmetic on whole pictures and nothing else.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toybox.world.captions import COLOURS, WALLS
from toybox.world.shapes import FACES, Array, Viewer, blocks_for, quadrics_for
from toybox.world.toys import ADE20K

if TYPE_CHECKING:
    from toybox.world.scene import Scene

WALL_SURFACES = 4
"""The first surfaces of every scene are those of the room."""

_LAMP_AXES = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
_LAMP_MARGIN = 0.12  # m of floor around the shadows, so that half-shadows fade inside the map


@dataclass(frozen=True)
class Prepared:
    """One scene as arrays: K quadrics, B blocks, S = 4 + 3 K + 6 B surfaces, M occluders.

    The lamp is a viewer that looks straight down, so its depth measures height above the floor.
    """

    quadrics: Array
    """(K, 15), seen from the camera."""
    blocks: Array
    """(B, 6, 4), seen from the camera."""
    room: Array
    """(4, 4), seen from the camera."""
    rectangles: Array
    """(K + B, 4): x0, x1, y0, y1 of each solid in ray coordinates of the camera."""
    lamp_quadrics: Array
    lamp_blocks: Array
    lamp_rectangles: Array
    window: Array
    """(4,): x0, x1, y0, y1 of all shadows in ray coordinates of the lamp."""
    surfaces: NDArray[np.float32]
    """(16, S): nine numbers of the normal, linear RGB, gloss, class, instance, 0."""
    frame: Array
    """(4, 3): rotation and origin of the camera."""
    reach: Array
    """(1,): tangent of half the angle of view."""
    lamp: Array
    """(6,): position in the world, radius, strength, sky."""
    floor: Array
    """(25,): weights of wood, checks, tiles; tile size, origin x and z; second colour; planks."""
    occluders: Array
    """(M, 5): position in the camera's frame, radius, instance."""
    edges: Array
    """(E, 2, 3): ends of all straight edges, of blocks and of the room, in the camera's frame."""


def prepare(scene: "Scene") -> Prepared:
    """Work out the arrays of a scene."""
    camera = scene.camera.viewer
    lamp = Viewer(_LAMP_AXES, np.array(scene.light.position))
    bounds = scene.geometry.bounds()
    quadrics, quadric_normals = quadrics_for(camera, scene.geometry)
    blocks, block_normals = blocks_for(camera, scene.geometry.planes)
    room, room_normals = blocks_for(camera, scene.room.planes)
    lamp_rectangles = _rectangles(lamp, bounds)
    margin = _LAMP_MARGIN / scene.light.position[1]
    window = np.stack(
        [
            *(lamp_rectangles[:, 0].min() - margin, lamp_rectangles[:, 1].max() + margin),
            *(lamp_rectangles[:, 2].min() - margin, lamp_rectangles[:, 3].max() + margin),
        ]
    )
    normals = np.concatenate(
        [-room_normals, quadric_normals.reshape(-1, 9), block_normals.reshape(-1, 9)]
    )
    balls = np.array([(*ball, instance) for instance, ball in scene.occluders])
    balls[:, :3] = (balls[:, :3] - camera.origin) @ camera.rotation.T
    return Prepared(
        quadrics=quadrics,
        blocks=blocks,
        room=room,
        rectangles=_rectangles(camera, bounds),
        lamp_quadrics=quadrics_for(lamp, scene.geometry)[0],
        lamp_blocks=blocks_for(lamp, scene.geometry.planes)[0],
        lamp_rectangles=lamp_rectangles,
        window=window,
        surfaces=np.concatenate([normals.T, _looks(scene).T]).astype(np.float32),
        frame=np.concatenate([camera.rotation, camera.origin[None]]),
        reach=np.array([scene.camera.reach]),
        lamp=np.array(
            [*scene.light.position, scene.light.radius, scene.light.strength, scene.light.sky]
        ),
        floor=_floor(scene),
        occluders=balls,
        edges=(np.concatenate([scene.geometry.edges, scene.room.edges]) - camera.origin)
        @ camera.rotation.T,
    )


def linear(rgb: tuple[float, float, float] | Array) -> Array:
    """Convert sRGB to linear light (gamma 2.2), both in [0, 1]."""
    return np.asarray(rgb, dtype=float) ** 2.2


def _rectangles(viewer: Viewer, bounds: Array) -> Array:
    """Bounding rectangles of boxes (n, 8, 3) in ray coordinates."""
    points = (bounds - viewer.origin) @ viewer.rotation.T
    rays = points[..., :2] / -points[..., 2:]
    low, high = rays.min(axis=1), rays.max(axis=1)
    return np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)


def _looks(scene: "Scene") -> Array:
    """Linear RGB, gloss, class, instance and 0 of every surface, shape (S, 7)."""
    room = scene.room
    floor = COLOURS.get(room.floor_colour, room.wood) if room.floor != "wooden" else room.wood
    if room.floor != "wooden":
        floor = tuple(0.8 * c + 0.13 for c in floor)
    gloss = {"wooden": 0.25, "checkered": 0.5, "tiled": 0.5, "plain": 0.1}[room.floor]
    wall = (*linear(WALLS[room.wall_colour]), 0.05, ADE20K["wall"], 0, 0)
    rows = [(*linear(floor), gloss, ADE20K["floor"], 0, 0), wall, wall, wall]
    labels = [ADE20K["rug"], *(o.label for o in scene.objects)]
    for paints, owners, repeat in (
        (scene.quadric_paints, scene.quadric_owners, 3),
        (scene.block_paints, scene.block_owners, FACES),
    ):
        for paint, owner in zip(paints, owners, strict=True):
            rows += [(*linear(paint.rgb), paint.gloss, labels[owner], owner, 0)] * repeat
    return np.array(rows, dtype=float)


def _floor(scene: "Scene") -> Array:
    room = scene.room
    kind = [float(room.floor == name) for name in ("wooden", "checkered", "tiled")]
    second = linear((0.94, 0.93, 0.90) if room.floor == "checkered" else (0.86, 0.85, 0.83))
    return np.array([*kind, *room.pattern, *second, *room.planks])
