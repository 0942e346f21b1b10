"""Draw scenes: a photo of each, and everything that is true about it.

    views = render([sample_scene(seed) for seed in range(4)], size=256)
    views.photo    # (4, 256, 256, 3), uint8

Rays run through the corners, the sides and the centre of every pixel. The photo averages them; the
truth (depth, normals, labels, ...) is what the central ray alone meets, so it is never mixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from toybox.world import raster, shade
from toybox.world.fuse import fusing
from toybox.world.prepare import WALL_SURFACES, Prepared
from toybox.world.scene import Scene
from toybox.world.shapes import FACES
from toybox.world.truth import find_edges, find_joints, find_lines

_OCCLUDERS = 16  # the most that a scene has; a fixed number, as kernels are compiled for it
MAP_SIZE = 256
"""Side of the shadow map in texels."""

_AT_ONCE = 64  # scenes drawn together on a GPU; a fixed number, because kernels are compiled for it


@dataclass(frozen=True)
class Views:
    """What a camera sees of N scenes: tensors on one device, the batch first.

    Pixel (x, y) has its centre at the integer coordinates x (column) and y (row). The camera's
    frame has x to the right, y up and z towards the viewer.
    """

    photo: Tensor
    """(N, H, W, 3) uint8, sRGB, anti-aliased."""
    depth: Tensor
    """(N, H, W) float32, m along the optical axis, greater than 0, finite."""
    normals: Tensor
    """(N, H, W, 3) float32, unit normals of the surfaces in the camera's frame."""
    labels: Tensor
    """(N, H, W) int64, ADE20K classes from 0 to 149 (`toybox.world.ADE20K`)."""
    instances: Tensor
    """(N, H, W) int64: 0 the room, k the k-th object of the scene."""
    edges: Tensor
    """(N, H, W) bool: outlines of what hides something, and creases; one pixel wide."""
    joints: Tensor
    """(N, 2, 18, 2) float32: pixel x and y of the figures' joints; NaN where there is no figure."""
    joints_visible: Tensor
    """(N, 2, 18) bool: inside the picture and hidden by nothing but the skin around the joint."""
    joints_depth: Tensor
    """(N, 2, 18) float32: depth of the joints in m; NaN where there is no figure."""
    lines: list[Tensor]
    """N tensors (L, 4) float32: pixel x0, y0, x1, y1 of the visible parts of straight edges."""
    intrinsics: Tensor
    """(N, 4) float64: fx, fy, cx, cy in pixels. The point at depth d in pixel (x, y) is
    d ((x - cx) / fx, (cy - y) / fy, -1)."""

    def __len__(self) -> int:
        return len(self.photo)

    def pick(self, numbers: Sequence[int]) -> "Views":
        """The views with these numbers, in this order."""
        index = torch.as_tensor(list(numbers), device=self.photo.device)
        picked = {f.name: getattr(self, f.name)[index] for f in fields(Views) if f.name != "lines"}
        return Views(**picked, lines=[self.lines[k] for k in numbers])

    @staticmethod
    def concatenate(pieces: Sequence["Views"]) -> "Views":
        """Join batches of one picture size."""
        if len(pieces) == 1:
            return pieces[0]
        names = [f.name for f in fields(Views) if f.name != "lines"]
        joined = {name: torch.cat([getattr(piece, name) for piece in pieces]) for name in names}
        return Views(**joined, lines=[lines for piece in pieces for lines in piece.lines])


def render(
    scenes: Scene | Sequence[Scene],
    *,
    size: int = 256,
    device: str | torch.device = "cpu",
    lines: bool = True,
    compile: bool = False,
) -> Views:
    """Draw one scene or several.

    The same code runs on CPU and GPU and gives the same photo to one step of 255; a scene looks
    the same alone and in a batch.

    Args:
        scenes: what `sample_scene` returns, or a list of that.
        size: width and height of the pictures in pixels, 8 to 2048.
        device: "cpu", "cuda", "cuda:1", ...
        lines: whether to look for straight lines; without, `Views.lines` holds empty tensors.
        compile: use torch.compile on a GPU. The first call then takes minutes, and all
            calls of the same size after it are several times faster. On the CPU it does nothing.

    Raises:
        TypeError: something else than scenes, or a size that is not an integer.
        ValueError: no scenes, a size out of range, or a device that is not there.
    """
    scenes = _check_scenes(scenes)
    _check_size(size)
    device = _check_device(device)
    with torch.no_grad():
        if device.type == "cpu":
            pieces = [_draw([scene], size, device, lines) for scene in scenes]
            return Views.concatenate(pieces)
        with fusing("inductor" if compile else None):
            return _draw_batches(scenes, size, device, lines, compile)


def _draw_batches(
    scenes: list[Scene], size: int, device: torch.device, lines: bool, compile: bool
) -> Views:
    """Draw on a GPU. Scenes of a batch all take the time of the fullest, so like goes with like."""
    solids = [scene.geometry for scene in scenes]  # a block takes twice the time of a quadric
    order = sorted(
        range(len(scenes)), key=lambda k: len(solids[k].centres) + 2 * len(solids[k].planes)
    )
    pieces = []
    for start in range(0, len(scenes), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        # Kernels are compiled for batches of one size; a short one is filled up.
        filled = some + some[-1:] * (_AT_ONCE - len(some)) if compile else some
        views = _draw([scenes[k] for k in filled], size, device, lines)
        pieces.append(views if len(filled) == len(some) else views.pick(range(len(some))))
    return Views.concatenate(pieces).pick(np.argsort(order))


def _check_scenes(scenes: Scene | Sequence[Scene]) -> list[Scene]:
    scenes = [scenes] if isinstance(scenes, Scene) else scenes
    if not isinstance(scenes, list | tuple) or not all(isinstance(s, Scene) for s in scenes):
        raise TypeError(
            f"expected a scene or a list of scenes, got {type(scenes).__name__}; "
            "make scenes with toybox.world.sample_scene(seed)"
        )
    if not scenes:
        raise ValueError("expected at least one scene, got an empty list")
    return list(scenes)


def _check_size(size: int) -> None:
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TypeError(
            f"expected the size as an integer, got {type(size).__name__}; use int(size)"
        )
    if not 8 <= size <= 2048:
        raise ValueError(f"expected a size from 8 to 2048 pixels, got {size}")


def _check_device(device: str | torch.device) -> torch.device:
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise ValueError(
            f"expected a device of this machine such as 'cpu' or 'cuda', got {device!r}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    return device


def _draw(scenes: list[Scene], size: int, device: torch.device, lines: bool) -> Views:
    batch = _Batch.of([s.prepared for s in scenes], device)
    bounded = len(scenes) == 1 and device.type == "cpu"
    grid = torch.arange(2 * size + 1, dtype=torch.float64, device=device)
    x = batch.reach[:, None] * (grid - size) / size  # (N, 1, W)
    y = -x.transpose(1, 2)
    depth, surface = raster.draw_room(batch.room, x, y)
    depth, surface = raster.draw_solids(
        *(depth, surface, x, y, batch.quadrics, batch.blocks),
        batch.rectangles[0] if bounded else None,
    )
    heights = _draw_heights(batch, bounded)
    looks = _gather(batch.surfaces, surface)
    points = shade.locate(looks, depth.float(), x.float(), y.float(), batch.frame)
    light = _light(batch, looks, surface, points, heights)
    # From here on only the rays through the centres of pixels count.
    x, y, depth, surface = x[:, :, 1::2], y[:, 1::2], depth[:, 1::2, 1::2], surface[:, 1::2, 1::2]
    normals = torch.stack([n[:, 1::2, 1::2] for n in points.normals], dim=-1)
    labels, instances = (looks[k, :, 1::2, 1::2].long() for k in (13, 14))
    intrinsics = torch.tensor([s.camera.intrinsics(size) for s in scenes], dtype=torch.float64)
    intrinsics = intrinsics.to(device)
    joints, joints_visible, joints_depth = find_joints(scenes, depth, instances, intrinsics)
    if lines:
        found = find_lines([s.prepared.edges for s in scenes], depth, normals, intrinsics)
    else:
        found = [torch.zeros((0, 4), device=device) for _ in scenes]
    return Views(
        photo=shade.develop(light),
        depth=depth.float(),
        normals=normals,
        labels=labels,
        instances=instances,
        edges=find_edges(
            depth.float(), normals, surface, 150 * instances + labels, x.float(), y.float()
        ),
        joints=joints,
        joints_visible=joints_visible,
        joints_depth=joints_depth,
        lines=found,
        intrinsics=intrinsics,
    )


def _draw_heights(batch: "_Batch", bounded: bool) -> Tensor:
    """What the lamp sees, as heights above the floor in m: (N, MAP_SIZE, MAP_SIZE) float32."""
    texels = torch.arange(MAP_SIZE, dtype=torch.float64, device=batch.window.device)
    texels = (texels + 0.5) / MAP_SIZE
    x0, x1, y0, y1 = (batch.window[:, k, None, None] for k in range(4))
    x, y = x0 + (x1 - x0) * texels, (y1 + (y0 - y1) * texels).transpose(1, 2)
    floor = batch.lamp[:, 1, None, None].double()
    depth = floor.repeat(1, MAP_SIZE, MAP_SIZE)
    depth, _ = raster.draw_solids(
        *(depth, torch.zeros_like(depth, dtype=torch.int32), x, y),
        *(batch.lamp_quadrics, batch.lamp_blocks),
        batch.lamp_rectangles[0] if bounded else None,
    )
    return (floor - depth).float()


def _light(
    batch: "_Batch", looks: Tensor, surface: Tensor, points: shade.Points, heights: Tensor
) -> Tensor:
    """Light towards the camera along every ray, linear RGB (N, 3, G, G)."""
    return shade.light_up(
        shade.paint_room(looks, surface, batch.floor, points),
        looks[12],
        points,
        shade.soft_shadow(heights, batch.window.float(), batch.lamp, points),
        shade.ambient_occlusion(batch.occluders, points, looks[14]),
        batch.lamp,
        0.25 + 0.6 * batch.surfaces[:, 9:12, 0],
        batch.frame,
    )


def _gather(table: Tensor, surface: Tensor) -> Tensor:
    """Look up the columns of table (N, C, S) at surface (N, H, W); returns (C, N, H, W)."""
    count, channels, surfaces = table.shape
    flat = table.transpose(0, 1).reshape(channels, count * surfaces)
    first = torch.arange(count, device=table.device) * surfaces
    index = (surface + first[:, None, None]).flatten()
    return flat.index_select(1, index).view(channels, *surface.shape)


@dataclass(frozen=True)
class _Batch:
    """Prepared scenes stacked, shorter lists filled with solids that no ray meets."""

    quadrics: Tensor
    blocks: Tensor
    room: Tensor
    rectangles: Tensor
    lamp_quadrics: Tensor
    lamp_blocks: Tensor
    lamp_rectangles: Tensor
    window: Tensor
    surfaces: Tensor
    frame: Tensor
    reach: Tensor
    lamp: Tensor
    floor: Tensor
    occluders: Tensor

    @staticmethod
    def of(scenes: Sequence[Prepared], device: torch.device) -> "_Batch":
        if len(scenes) == 1:
            (one,) = scenes
            arrays = {f.name: getattr(one, f.name)[None] for f in fields(_Batch)}
        else:
            arrays = _fill(scenes)
        for name in ("frame", "lamp", "floor", "occluders"):  # for shading
            arrays[name] = arrays[name].astype(np.float32)
        return _Batch(**{name: torch.from_numpy(a).to(device) for name, a in arrays.items()})


def _fill(scenes: Sequence[Prepared]) -> dict[str, np.ndarray]:
    n = len(scenes)
    quadrics = max(len(s.quadrics) for s in scenes)
    blocks = max(len(s.blocks) for s in scenes)
    arrays = {
        name: np.stack([getattr(s, name) for s in scenes])
        for name in ("room", "window", "frame", "reach", "lamp", "floor")
    }
    for name in ("quadrics", "lamp_quadrics"):
        arrays[name] = np.tile(np.array(raster.NEVER_QUADRIC), (n, quadrics, 1))
    for name in ("blocks", "lamp_blocks"):
        arrays[name] = np.tile(np.array(raster.NEVER_PLANE), (n, blocks, FACES, 1))
    middle = WALL_SURFACES + 3 * quadrics
    arrays["surfaces"] = np.zeros((n, 16, middle + FACES * blocks), dtype=np.float32)
    arrays["occluders"] = np.tile([0.0, 0.0, 1e3, 1e-3, -1.0], (n, _OCCLUDERS, 1))
    arrays["rectangles"] = arrays["lamp_rectangles"] = np.zeros((1, 0, 4))
    for k, s in enumerate(scenes):
        for name in ("quadrics", "lamp_quadrics", "blocks", "lamp_blocks", "occluders"):
            values = getattr(s, name)
            arrays[name][k, : len(values)] = values
        cut = WALL_SURFACES + 3 * len(s.quadrics)
        arrays["surfaces"][k, :, :cut] = s.surfaces[:, :cut]
        arrays["surfaces"][k, :, middle : middle + s.surfaces.shape[1] - cut] = s.surfaces[:, cut:]
    return arrays
