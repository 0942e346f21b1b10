"""Solids: what toys are made of, and where a ray meets them.

Two families are enough for every toy:

- a quadric, cut by two parallel planes: ball, ellipsoid, cylinder, cone, limb;
- a block, the inside of at most six planes: box, roof, pyramid.

A viewer (the camera, and the lamp that casts the shadows) sits at the origin of its own frame, x to
the right, y up, z towards itself, and looks along -z. The ray through (x, y) holds the points
p = t (x, y, -1), so the ray parameter t *is* the depth along the optical axis. Along a ray a
quadric is A t^2 + 2 B t + C, with A, B and C polynomials in x and y; a plane is linear. Both need
only a handful of numbers for each solid, prepared once for each viewer by `quadrics_for` and
`blocks_for`.

Everything here is float64. Whether a ray that grazes an outline hits or misses then does not depend
on the processor, and the CPU and the GPU draw the same picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = NDArray[np.float64]
Number = float | Tensor
"""One solid's coefficient: a float, or a tensor that broadcasts over a batch of pictures."""

FACES = 6
"""Planes of a block; a shape with fewer faces is filled with planes that cut nothing."""

_CUBE = np.array(list(np.ndindex(2, 2, 2))) * 2.0 - 1  # the corners of a cube
_NEAR = 0.05  # metres in front of the viewer; nothing stands nearer


class Paint(NamedTuple):
    """The look of a surface: colour as sRGB in [0, 1], and gloss from 0 (felt) to 1 (lacquer)."""

    rgb: tuple[float, float, float]
    gloss: float = 0.4


class Viewer(NamedTuple):
    """Where rays start: rows of `rotation` are right, up and back (unit, world), origin in m."""

    rotation: Array
    origin: Array


@dataclass
class Solids:
    """Solids in one frame, in metres; each method adds one. The lists grow in step.

    A quadric is the set where `signs` . (X^2, Y^2, Z^2, 1) <= 0 and low <= Y <= high, with
    (X, Y, Z) the coordinates of a point along the columns of `frames`, from `centres`.
    """

    frames: list = field(default_factory=list)
    centres: list = field(default_factory=list)
    signs: list = field(default_factory=list)
    slabs: list = field(default_factory=list)
    """(low, high, half width of the bounding box in X and Z), all in the solid's coordinates."""
    quadric_paints: list[Paint] = field(default_factory=list)
    planes: list = field(default_factory=list)
    """(6, 4) arrays n, h: inside is n . p + h <= 0."""
    corners: list = field(default_factory=list)
    """(8, 3) arrays: the corners of the block, repeated if there are fewer than eight."""
    edges: list = field(default_factory=list)
    """(E, 2, 3) arrays: the straight edges of the block, end to end."""
    block_paints: list[Paint] = field(default_factory=list)

    def ellipsoid(
        self,
        centre: ArrayLike,
        radii: Sequence[float],
        paint: Paint,
        *,
        rotation: Array | None = None,
        low: float = -1.0,
    ) -> None:
        """Add an ellipsoid; `low` above -1 keeps only the part with Y >= low, Y in [-1, 1]."""
        frame = np.diag(radii) if rotation is None else rotation * np.asarray(radii)
        self._quadric(frame, centre, (1, 1, 1, -1), (low, 1.0, 1.0), paint)

    def ball(self, centre: ArrayLike, radius: float, paint: Paint) -> None:
        """Add a ball."""
        self.ellipsoid(centre, (radius, radius, radius), paint)

    def cone(
        self,
        start: ArrayLike,
        r_start: float,
        end: ArrayLike,
        r_end: float,
        paint: Paint,
        *,
        flat: float = 1.0,
        across: ArrayLike | None = None,
    ) -> None:
        """Add a solid with straight sides from disc to disc: cylinder, cone or frustum.

        With `flat` below 1 the discs are ellipses, `flat` times thinner at right angles to the
        unit vector `across`, which itself is at right angles to the axis.
        """
        if r_start > r_end:  # the tip of the cone lies beyond the narrow end
            start, r_start, end, r_end = end, r_end, start, r_start
        (ax, ay, az), (bx, by, bz) = map(float, start), map(float, end)
        dx, dy, dz = bx - ax, by - ay, bz - az
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        axis = (dx / length, dy / length, dz / length)
        side, other = _perpendicular(axis) if across is None else (across, cross(across, axis))
        slope = (r_end - r_start) / length
        if slope < 1e-6:
            scale, tip, signs, wide = r_end, 0.0, (1, 0, 1, -1), 1.0
        else:
            scale, tip, signs = slope, r_start / slope, (1, -1, 1, 0)
            wide = tip + length
        frame = np.array(
            [[s * scale, a, o * scale * flat] for s, a, o in zip(side, axis, other, strict=True)]
        )
        centre = (ax - tip * axis[0], ay - tip * axis[1], az - tip * axis[2])
        self._quadric(frame, centre, signs, (tip, tip + length, wide), paint)

    def limb(
        self, start: ArrayLike, r_start: float, end: ArrayLike, r_end: float, paint: Paint
    ) -> None:
        """Add the cone that touches the balls (start, r_start) and (end, r_end) without a step."""
        start, end = np.asarray(start), np.asarray(end)
        axis = end - start
        length = math.sqrt(axis @ axis)
        axis = axis / length
        sine = (r_start - r_end) / length
        cosine = math.sqrt(1 - sine * sine)
        self.cone(
            start + r_start * sine * axis,
            r_start * cosine,
            end + r_end * sine * axis,
            r_end * cosine,
            paint,
        )

    def box(
        self,
        centre: ArrayLike,
        half: Sequence[float],
        paint: Paint,
        *,
        rotation: Array | None = None,
        top: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """Add a box with the half sides `half`.

        `top` scales the upper face in x and z, so (1, 0) is a gable roof with its ridge along x,
        (0, 0) a pyramid and (0.8, 0.9) a frustum.
        """
        hx, hy, hz = half
        tx, tz = hx * top[0], hz * top[1]
        corners = np.array(
            [
                [-hx, -hy, -hz],
                [hx, -hy, -hz],
                [hx, -hy, hz],
                [-hx, -hy, hz],
                [-tx, hy, -tz],
                [tx, hy, -tz],
                [tx, hy, tz],
                [-tx, hy, tz],
            ]
        )
        lean_x, lean_z = (hx - tx) / (2 * hy), (hz - tz) / (2 * hy)
        mid_x, mid_z = (hx + tx) / 2, (hz + tz) / 2
        ux, uz = math.hypot(1, lean_x), math.hypot(1, lean_z)
        normals = np.array(
            [
                [1 / ux, lean_x / ux, 0],
                [-1 / ux, lean_x / ux, 0],
                [0, lean_z / uz, 1 / uz],
                [0, lean_z / uz, -1 / uz],
                [0, 1, 0],
                [0, -1, 0],
            ]
        )
        offsets = np.array([-mid_x / ux, -mid_x / ux, -mid_z / uz, -mid_z / uz, -hy, -hy])
        if rotation is not None:
            corners, normals = corners @ rotation.T, normals @ rotation.T
        centre = np.asarray(centre, dtype=float)
        corners = corners + centre
        offsets = offsets - normals @ centre
        self.planes.append(np.concatenate([normals, offsets[:, None]], axis=1))
        self.corners.append(corners)
        self.edges.append(corners[_box_edges(tx > 0, tz > 0)])
        self.block_paints.append(paint)

    def _quadric(self, frame, centre, signs, slab, paint) -> None:
        self.frames.append(frame)
        self.centres.append(np.asarray(centre, dtype=float))
        self.signs.append(signs)
        self.slabs.append(slab)
        self.quadric_paints.append(paint)


def _perpendicular(axis: tuple[float, float, float]) -> tuple[tuple, tuple]:
    """Two unit vectors that make a right angle with `axis` and with each other."""
    x, y, z = axis
    if abs(y) < 0.9:
        length = math.hypot(x, z)
        side = (-z / length, 0.0, x / length)
    else:
        length = math.hypot(y, z)
        side = (0.0, z / length, -y / length)
    return side, cross(axis, side)


def cross(a: ArrayLike, b: ArrayLike) -> tuple[float, float, float]:
    """Return the cross product of two vectors of length 3."""
    (x, y, z), (u, v, w) = a, b
    return y * w - z * v, z * u - x * w, x * v - y * u


def _box_edges(wide: bool, deep: bool) -> list[tuple[int, int]]:
    """Pairs of corner numbers; a top that is a ridge or a point has fewer edges."""
    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 5), (2, 6), (3, 7)]
    if wide:
        edges += [(4, 5)]
    if deep:
        edges += [(5, 6)]
    if wide and deep:
        edges += [(6, 7), (7, 4)]
    return edges


@dataclass(frozen=True)
class Geometry:
    """Solids as arrays: K quadrics and B blocks; see `Solids` for the meaning."""

    frames: Array
    centres: Array
    signs: Array
    slabs: Array
    planes: Array
    corners: Array
    edges: Array

    @staticmethod
    def of(solids: Solids) -> "Geometry":
        """Stack the lists of `solids`."""
        return Geometry(
            frames=np.array(solids.frames).reshape(-1, 3, 3),
            centres=np.array(solids.centres).reshape(-1, 3),
            signs=np.array(solids.signs, dtype=float).reshape(-1, 4),
            slabs=np.array(solids.slabs).reshape(-1, 3),
            planes=np.array(solids.planes).reshape(-1, FACES, 4),
            corners=np.array(solids.corners).reshape(-1, 8, 3),
            edges=np.concatenate([np.zeros((0, 2, 3)), *solids.edges]),
        )

    @staticmethod
    def concatenate(pieces: Sequence["Geometry"]) -> "Geometry":
        """Join several sets of solids that live in one frame."""
        names = Geometry.__dataclass_fields__
        return Geometry(**{n: np.concatenate([getattr(p, n) for p in pieces]) for n in names})

    def moved(self, rotation: Array, shift: Array) -> "Geometry":
        """The same solids after p -> rotation p + shift."""
        normals = self.planes[..., :3] @ rotation.T
        offsets = self.planes[..., 3] - normals @ shift
        return Geometry(
            frames=rotation @ self.frames,
            centres=self.centres @ rotation.T + shift,
            signs=self.signs,
            slabs=self.slabs,
            planes=np.concatenate([normals, offsets[..., None]], axis=-1),
            corners=self.corners @ rotation.T + shift,
            edges=self.edges @ rotation.T + shift,
        )

    def bounds(self) -> Array:
        """Corners of a bounding box of each solid, shape (K + B, 8, 3)."""
        low, high, reach = self.slabs.T
        half = np.stack([reach, (high - low) / 2, reach], axis=1)
        local = _CUBE * half[:, None]
        local[:, :, 1] += ((high + low) / 2)[:, None]
        boxes = local @ self.frames.transpose(0, 2, 1) + self.centres[:, None]
        return np.concatenate([boxes, self.corners])


def quadrics_for(viewer: Viewer, solids: Geometry) -> tuple[Array, Array]:
    """Prepare the quadrics for the rays of one viewer.

    Returns:
        Coefficients (K, 15) for `meet_quadric`, and (K, 3, 9) for the normals of the three
        surfaces of each solid (side, low end, high end): the normal at p points along S p + s,
        stored as S (xx, yy, zz, xy, xz, yz) and s (x, y, z).
    """
    count = len(solids.centres)
    inverse = np.linalg.inv(solids.frames)
    to_local = np.zeros((count, 4, 4))
    to_local[:, :3, :3] = inverse @ viewer.rotation.T
    to_local[:, :3, 3] = (inverse @ (viewer.origin - solids.centres)[..., None])[..., 0]
    to_local[:, 3, 3] = 1
    form = to_local.transpose(0, 2, 1) @ (solids.signs[:, :, None] * to_local)
    # An ellipsoid that is not cut gets an axis of length zero, so its ends lie at infinity.
    cut = (solids.signs.sum(axis=1) != 2) | (solids.slabs[:, 0] > -1)
    axis = to_local[:, 1] * cut[:, None]
    low = np.where(cut, solids.slabs[:, 0] - axis[:, 3], -1.0)
    high = np.where(cut, solids.slabs[:, 1] - axis[:, 3], 1.0)
    q = form
    coefficients = np.stack(
        [
            *(q[:, 0, 0], q[:, 1, 1], 2 * q[:, 0, 1], -2 * q[:, 0, 2], -2 * q[:, 1, 2], q[:, 2, 2]),
            *(q[:, 0, 3], q[:, 1, 3], -q[:, 2, 3], q[:, 3, 3]),
            *(axis[:, 0], axis[:, 1], -axis[:, 2], low, high),
        ],
        axis=1,
    )
    normals = np.zeros((count, 3, 9))
    normals[:, 0, :6] = form[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    normals[:, 0, 6:] = form[:, :3, 3]
    normals[:, 1, 6:] = -axis[:, :3]
    normals[:, 2, 6:] = axis[:, :3]
    return coefficients, normals


def blocks_for(viewer: Viewer, planes: Array) -> tuple[Array, Array]:
    """Prepare planes (..., 4) for the rays of one viewer.

    Returns:
        Coefficients (..., 4) for `meet_block`, and (..., 9) for the normals, as `quadrics_for`.
    """
    normals = planes[..., :3] @ viewer.rotation.T
    offsets = planes[..., 3] + planes[..., :3] @ viewer.origin
    coefficients = np.concatenate([normals, -offsets[..., None]], axis=-1)
    coefficients[..., 2] *= -1
    table = np.zeros((*planes.shape[:-1], 9))
    table[..., 6:] = normals
    return coefficients, table


def meet_quadric(
    coefficients: Sequence[Number], x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter a cut quadric.

    Args:
        coefficients: the 15 numbers of one solid from `quadrics_for`.
        x: first ray coordinate, float64, shape (..., 1, W).
        y: second ray coordinate, float64, shape (..., H, 1).

    Returns:
        Depth (..., H, W), meaningful where the second result, hit, is true; and the surface that
        is met: 0 side, 1 low end, 2 high end.
    """
    (xx, yy, xy, x1, y1, one, bx, by, b1, c, nx, ny, n1, low, high) = coefficients
    a = (xx * x + x1) * x + one + ((yy * y + y1) * y + (xy * y) * x)
    b = (bx * x + b1) + by * y
    along = (nx * x + n1) + ny * y
    a = torch.where(a.abs() < 1e-12, 1e-12, a)
    discriminant = b * b - a * c
    root = discriminant.clamp(min=0).sqrt()
    first, second = (-b - root) / a, (root - b) / a
    # Where a < 0 the ray runs inside a cone. It enters where the right half of the double cone
    # begins, or has been inside from the start; `second` is then the smaller root.
    opens = a < 0
    far = along > 0
    enter = torch.where(opens, torch.where(far, first, -math.inf), first)
    leave = torch.where(opens, torch.where(far, math.inf, second), second)
    low_end, high_end = low / along, high / along
    cap = torch.minimum(low_end, high_end)
    leave = torch.minimum(leave, torch.maximum(low_end, high_end))
    depth = torch.maximum(enter, cap)
    hit = (discriminant > 0) & (depth < leave) & (depth > _NEAR)
    surface = torch.where(enter >= cap, 0, 2 - far.to(torch.int32))
    return depth, hit, surface


def meet_block(
    planes: Sequence[Sequence[Number]], x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter a block; as `meet_quadric`, with the number of the face as surface."""
    enter = leave = surface = None
    for number, (nx, ny, n1, offset) in enumerate(planes):
        slope = (nx * x + n1) + ny * y
        t = offset / slope
        facing = slope < 0
        t_in = torch.where(facing, t, -math.inf)
        t_out = torch.where(facing, math.inf, t)
        if enter is None:
            enter, leave, surface = t_in, t_out, torch.zeros_like(t_in, dtype=torch.int32)
            continue
        surface = torch.where(t_in > enter, number, surface)
        enter = torch.maximum(enter, t_in)
        leave = torch.minimum(leave, t_out)
    return enter, (enter < leave) & (enter > _NEAR), surface


def leave_room(planes: Sequence[Sequence[Number]], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays from inside a room meet its floor or a wall: depth and number of the plane."""
    depth = surface = None
    for number, (nx, ny, n1, offset) in enumerate(planes):
        slope = (nx * x + n1) + ny * y
        t = torch.where(slope > 0, offset / slope, math.inf)
        if depth is None:
            depth, surface = t, torch.zeros_like(t, dtype=torch.int32)
            continue
        surface = torch.where(t < depth, number, surface)
        depth = torch.minimum(depth, t)
    return depth, surface
