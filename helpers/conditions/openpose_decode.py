"""From the maps of a pose network to people, by part affinity fields.

The network answers two questions on a coarse grid: where is joint j (a heat map for each of the
18 joints), and which way does limb c run here (a field of 2-vectors for each of the 19 limbs).
Decoding turns the answers into people in four steps:

1. `find_peaks`: the joints are the tops of the smoothed heat maps.
2. `score_limbs`: two joints belong together if the field between them points from one to the
   other; `line_integral` measures that.
3. `match_limbs`: every joint takes part in at most one limb of a kind, the best score first.
4. `assemble_people`: limbs that share a joint belong to the same person.

Enlarging a map to the picture's size and smoothing it are linear and act on rows and columns
separately, so both together are two small matrix products with operators computed once
(`Resampling`). Heat maps are enlarged only where they can hold a peak, and fields only at the
pixels that a line integral visits.

Source: Cao, Simon, Wei and Sheikh, "Realtime Multi-Person 2D Pose Estimation using Part Affinity
Fields" (arXiv 1611.08050, equation numbers below; the longer version is arXiv 1812.08008). Written
from the paper; the constants that it leaves open are those that the released checkpoints were
used with. The OpenPose programs may not be used commercially, and no code of theirs is here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from helpers.conditions.openpose import People, to_people
from helpers.conditions.skeleton import JOINTS, LIMBS
from helpers.images import MAX_SIDE, check_size

STRIDE = 8
"""Pixels of the network's input that share one cell of its maps."""

FIELD_X = (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26)
"""Channel of the x component of each limb's field; y comes next. The network's own order."""

MAX_PEAKS = 128
"""Joints of a kind that are looked at; the strongest stay. It bounds time and memory on noise."""

Peaks = NDArray[np.float64]
"""Joints found, of one kind: shape (n, 3), x and y in pixels and the heat map's value."""

Match = tuple[int, int, float]
"""A limb: which start, which end (rows of `Peaks`), and its score."""

Field = Callable[[NDArray, NDArray], NDArray]
"""A vector field: takes x and y of any shape, returns x and y components, shape (2, ...)."""


def maps_from_people(
    people: ArrayLike,
    size: tuple[int, int],
    *,
    rows: int = 23,
    sigma: float = 1.25,
    half_width: float = 1.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the maps that a perfect network would give: equations 6 to 9.

    Taught in notebook 07. Limbs reach `half_width` beyond their joints, so that one shorter than
    a cell still leaves a mark.

    Args:
        people: shape (P, 18, 2) or (P, 18, 3), in pixels of the picture, NaN where missing.
        size: height and width of the picture, in pixels.
        rows: height of the maps in cells. The released network gives 23 (it sees the picture
            184 pixels high), or 46 at twice that scale.
        sigma: width of the heat maps' bells in cells: exp(-distance^2 / sigma^2).
        half_width: of the limbs in the fields, in cells.

    Returns:
        Heat maps, shape (19, rows, columns), float32, the last one the background; and fields,
        shape (38, rows, columns), float32.

    Raises:
        TypeError: joints that are not real numbers, or rows or a size that are not integers.
        ValueError: another number of joints, or a size or knob out of range.
    """
    joints = to_people(people)[:, :, :2]
    height, width = _checked_size(size)
    if not isinstance(rows, int | np.integer):
        raise TypeError(f"rows: expected an integer, got {rows!r}; cells are whole")
    if not (rows > 0 and sigma > 0 and half_width > 0):
        raise ValueError(
            "expected rows, sigma and half_width above 0, "
            f"got {rows}, {sigma} and {half_width}; all three are in cells"
        )
    shape = map_shape(rows, (height, width))
    seen_height, seen_width = network_size(rows, (height, width))
    cells_per_pixel = np.array([seen_width / width, seen_height / height]) / STRIDE
    cells = (joints + 0.5) * cells_per_pixel - 0.5  # centres lie half a unit from the edges
    bells = [_highest_bell(_seen(cells[:, j]), shape, sigma) for j in range(len(JOINTS))]
    background = 1 - np.max(bells, axis=0)
    fields = np.zeros((2 * len(LIMBS), *shape), dtype=np.float32)
    for limb, channel in zip(LIMBS, FIELD_X, strict=True):
        ends = _seen(cells[:, limb].reshape(-1, 4)).reshape(-1, 2, 2)
        fields[channel : channel + 2] = _mean_limb_field(ends, shape, half_width)
    return np.stack([*bells, background]).astype(np.float32), fields


def decode_pose(heatmaps: NDArray, fields: NDArray, size: tuple[int, int]) -> People:
    """Find the people in the maps of a pose network.

    Taught in notebook 07. On sound maps the people and joints are those of controlnet_aux, to the
    pixel; tests/test_openpose.py compares them, benchmarks/pose_decoding.py times both.

    Args:
        heatmaps: shape (18 or 19, rows, columns), float32 or float64; a 19th map, the background,
            is not used.
        fields: shape (38, rows, columns), float32 or float64; x and y of a limb in the channels
            `FIELD_X` and the one after.
        size: height and width of the picture in pixels. The network saw it at 8 * rows pixels
            high, in proportion, padded at the right to a multiple of 8.

    Returns:
        Shape (P, 18, 3): x, y in whole pixels of the picture and the heat map's value there; NaN
        where a joint is missing. (0, 18, 3) if there is nobody.

    Raises:
        TypeError: not floating-point arrays.
        ValueError: wrong shapes, values that are not finite, or a size that does not fit.
    """
    heatmaps = _checked_maps(heatmaps, "heatmaps", (len(JOINTS), len(JOINTS) + 1))
    fields = _checked_maps(fields, "fields", (2 * len(LIMBS),))
    if heatmaps.shape[1:] != fields.shape[1:]:
        raise ValueError(
            f"fields: expected the height and width of the heat maps, {heatmaps.shape[1:]}, "
            f"got {fields.shape[1:]}; give both outputs of the same run"
        )
    height, width = _checked_size(size)
    enlarge, smooth = _resampling(heatmaps.shape[1:], (height, width))
    peaks = [_joints_of_a_kind(heat, enlarge, smooth) for heat in heatmaps[: len(JOINTS)]]
    matches = []
    for (start, end), channel in zip(LIMBS, FIELD_X, strict=True):
        field = partial(enlarge.at, fields[channel : channel + 2])
        scores = score_limbs(field, peaks[start][:, :2], peaks[end][:, :2], height=height)
        matches.append(match_limbs(scores))
    return assemble_people(peaks, matches)


def find_peaks(heatmap: NDArray, *, threshold: float = 0.1) -> NDArray[np.intp]:
    """Return x, y of the pixels above `threshold` that no upper, lower, left or right one tops.

    Taught in notebook 07. Of two equal neighbours the lower or right one counts, so a tie is
    found once.

    Args:
        heatmap: shape (H, W), smoothed, so that noise makes no peaks.
        threshold: in units of the map.

    Returns:
        Shape (n, 2), integers, row by row.
    """
    _check_axes(heatmap, "heatmap", (None, None))
    peak = heatmap > threshold
    down = heatmap[1:] >= heatmap[:-1]  # does the map rise on the way to the next row?
    right = heatmap[:, 1:] >= heatmap[:, :-1]
    peak[1:] &= down
    peak[:-1] &= ~down
    peak[:, 1:] &= right
    peak[:, :-1] &= ~right
    y, x = np.divmod(np.flatnonzero(peak), heatmap.shape[1])
    return np.column_stack([x, y])


def line_integral(
    field: Field, starts: NDArray, ends: NDArray, *, samples: int = 10
) -> NDArray[np.float64]:
    """Project the field on the straight line between every start and every end: equation 10.

    Taught in notebook 07. The mean over the last axis is the integral E of the paper: 1 where
    the field is a unit vector along the line everywhere, 0 where it vanishes or is square to it.

    Args:
        field: gives the vectors at whole pixels.
        starts: shape (n, 2), x and y of joints.
        ends: shape (m, 2), x and y of joints.
        samples: points on each line, both joints included: equation 11.

    Returns:
        Shape (n, m, samples): the component of the field along the line at each point.
    """
    _check_axes(starts, "starts", (None, 2))
    _check_axes(ends, "ends", (None, 2))
    start, end = starts[:, None], ends[None]
    direction = (end - start) / _distance(starts, ends)[:, :, None]
    points = np.rint(np.linspace(start, end, samples, axis=2)).astype(np.intp)
    along_x, along_y = field(points[..., 0], points[..., 1])
    return along_x * direction[:, :, None, 0] + along_y * direction[:, :, None, 1]


def score_limbs(
    field: Field, starts: NDArray, ends: NDArray, *, height: float
) -> NDArray[np.float64]:
    """Score every pair of a start and an end; 0 where they cannot be a limb.

    Taught in notebook 07. The score is the line integral less a penalty for lines longer than half
    the picture's height. It is 0 if that is negative, or if the field is below 0.05 in two or
    more of the ten points: an arm does not cross empty space.

    Args:
        field: as in `line_integral`.
        starts: shape (n, 2), x and y of joints in pixels.
        ends: shape (m, 2), x and y of joints in pixels.
        height: of the picture, in pixels.

    Returns:
        Shape (n, m).
    """
    projections = line_integral(field, starts, ends)
    penalty = np.minimum(0.5 * height / _distance(starts, ends) - 1, 0)
    score = projections.mean(axis=2) + penalty
    supported = (projections > 0.05).mean(axis=2) > 0.8
    return np.where(supported, np.maximum(score, 0), 0)


def match_limbs(scores: NDArray) -> list[Match]:
    """Pair starts with ends greedily: the best score first, no joint twice: equations 12 to 14.

    Taught in notebook 07.

    Args:
        scores: shape (n, m); pairs that score 0 are never made.
    """
    _check_axes(scores, "scores", (None, None))
    starts, ends = np.nonzero(scores > 0)
    positive = scores[starts, ends]
    matches: list[Match] = []
    used_starts, used_ends = set(), set()
    for pair in np.argsort(-positive, kind="stable"):
        start, end = int(starts[pair]), int(ends[pair])
        if start not in used_starts and end not in used_ends:
            matches.append((start, end, float(positive[pair])))
            used_starts.add(start)
            used_ends.add(end)
    return matches


def assemble_people(peaks: Sequence[Peaks], matches: Sequence[Sequence[Match]]) -> People:
    """Join limbs that share a joint into people.

    Taught in notebook 07. Limbs are taken in the order of `LIMBS`. One that touches nobody begins
    a new person; one that touches a person adds its end; one that touches two, with no kind of
    joint in common, makes them one. People with fewer than 4 joints, or with a mean score (joints
    and limbs, by joint) below 0.4, are dropped.

    Args:
        peaks: for each of the 18 joints, the places found.
        matches: for each of the 19 limbs, the pairs of places.

    Returns:
        Shape (P, 18, 3), as from `decode_pose`.
    """
    if (len(peaks), len(matches)) != (len(JOINTS), len(LIMBS)):
        raise ValueError(
            f"expected peaks of {len(JOINTS)} joints and matches of {len(LIMBS)} limbs, got "
            f"{len(peaks)} and {len(matches)}; give an empty one where nothing was found"
        )
    people: list[_Person] = []
    for kind, (a, b) in enumerate(LIMBS):
        for start, end, limb_score in matches[kind]:
            touched = [p for p in people if p.joints.get(a) == start or p.joints.get(b) == end]
            gain = limb_score + peaks[b][end, 2]
            if not touched:
                people.append(_Person({a: start, b: end}, gain + peaks[a][start, 2]))
            elif len(touched) > 1 and touched[0].joints.keys().isdisjoint(touched[1].joints):
                touched[0].joints |= touched[1].joints
                touched[0].score += touched[1].score + limb_score
                people.remove(touched[1])
            elif touched[0].joints.get(b) != end:
                touched[0].joints[b] = end
                touched[0].score += gain
    kept = [p for p in people if len(p.joints) >= 4 and p.score / len(p.joints) >= 0.4]
    found = np.full((len(kept), len(JOINTS), 3), np.nan)
    for row, person in zip(found, kept, strict=True):
        for joint, place in person.joints.items():
            row[joint] = peaks[joint][place]
    return found


@dataclass(eq=False)
class _Person:
    """A person under construction: which place each joint has, and the sum of all scores."""

    joints: dict[int, int]
    score: float


@dataclass(frozen=True)
class Resampling:
    """A linear map from the network's grid to pixels of the picture: rows @ values @ columns.T."""

    rows: NDArray[np.float32]
    """Shape (height, rows of the grid)."""
    columns: NDArray[np.float32]
    """Shape (width, columns of the grid)."""

    def at(self, values: NDArray, x: NDArray, y: NDArray) -> NDArray[np.float32]:
        """Values at the pixels (x, y) of any shape, for maps of shape (..., rows, columns)."""
        return np.einsum("...k,...k->...", (self.rows @ values)[..., y, :], self.columns[x])

    def peaks(self, values: NDArray, threshold: float) -> NDArray[np.intp]:
        """Peaks of the enlarged map, as `find_peaks` gives them, without enlarging all of it.

        A weighted sum is at most the sum of the weights' sizes times the values' sizes. Rows and
        columns that cannot pass the threshold by this bound are left out, except those next to
        one that can, with which it is compared.
        """
        half = self.rows @ values
        size = np.abs(half)
        weight = np.abs(self.columns)
        y = _with_neighbours(size.max(axis=1) * weight.sum(axis=1).max() > threshold)
        x = _with_neighbours(weight @ size.max(axis=0) > threshold)
        found = find_peaks(half[y] @ self.columns[x].T, threshold=threshold)
        return np.column_stack([x[found[:, 0]], y[found[:, 1]]])


@lru_cache(maxsize=8)
def _resampling(cells: tuple[int, int], size: tuple[int, int]) -> tuple[Resampling, Resampling]:
    """The map to the picture's size, and the same followed by a Gaussian of 3 pixels."""
    expected = map_shape(cells[0], size)
    if cells != expected:
        raise ValueError(
            f"size: a picture of {size[1]} x {size[0]} has maps of {expected[0]} rows and "
            f"{expected[1]} columns, got {cells}; give (height, width) of the picture that the "
            "network saw"
        )
    network_input = network_size(cells[0], size)
    # Seen from the released code: Lanczos where the picture is larger than the network's input,
    # averages where it is smaller.
    how = cv2.INTER_LANCZOS4 if sum(size) >= sum(network_input) else cv2.INTER_AREA
    plain = [
        _resize_operator(count, seen, side, how)
        for count, seen, side in zip(cells, network_input, size, strict=True)
    ]
    smooth = [gaussian_filter1d(operator, sigma=3, axis=0) for operator in plain]
    return (
        Resampling(*(operator.astype(np.float32) for operator in plain)),
        Resampling(*(operator.astype(np.float32) for operator in smooth)),
    )


def _resize_operator(cells: int, seen: int, side: int, how: int) -> NDArray[np.float64]:
    """The matrix (side, cells) that enlarges a column of cells: what the steps do to the identity.

    The steps: 8 times larger by Lanczos, cut to the part that is picture, scaled to the picture.
    """
    identity = np.eye(cells)
    enlarged = cv2.resize(identity, (cells, STRIDE * cells), interpolation=cv2.INTER_LANCZOS4)
    return cv2.resize(enlarged[:seen], (cells, side), interpolation=how).reshape(side, cells)


def _joints_of_a_kind(heat: NDArray, enlarge: Resampling, smooth: Resampling) -> Peaks:
    """Peaks of one heat map with their values, the `MAX_PEAKS` strongest."""
    pixels = smooth.peaks(heat, 0.1)
    values = enlarge.at(heat, pixels[:, 0], pixels[:, 1])
    peaks = np.column_stack([pixels, values])
    if len(peaks) > MAX_PEAKS:
        strongest = np.sort(np.argsort(-values, kind="stable")[:MAX_PEAKS])
        peaks = peaks[strongest]
    return peaks


def _highest_bell(centres: NDArray, shape: tuple[int, int], sigma: float) -> NDArray[np.float64]:
    """Equations 6 and 7: a bell on every centre (n, 2), the highest where they overlap."""
    y, x = np.indices(shape)
    centre_x, centre_y = centres.T[:, :, None, None]
    bells = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / sigma**2)
    bells[bells < 1e-6] = 0  # denormal numbers would slow down whatever reads the maps
    return bells.max(axis=0, initial=0)


def _mean_limb_field(
    ends: NDArray, shape: tuple[int, int], half_width: float
) -> NDArray[np.float64]:
    """Equations 8 and 9: unit vectors on the limbs (n, 2, 2), the mean where they overlap."""
    y, x = np.indices(shape)
    total, count = np.zeros((2, *shape)), np.zeros(shape)
    for start, end in ends:
        length = math.dist(start, end)
        if length == 0:
            continue
        dx, dy = (end - start) / length
        along = (x - start[0]) * dx + (y - start[1]) * dy
        across = np.abs((x - start[0]) * dy - (y - start[1]) * dx)
        on_limb = (along >= -half_width) & (along <= length + half_width) & (across <= half_width)
        total += on_limb * np.reshape([dx, dy], (2, 1, 1))
        count += on_limb
    return total / np.maximum(count, 1)


def _distance(starts: NDArray, ends: NDArray) -> NDArray[np.float64]:
    """Distance from every start to every end, shape (n, m); never 0, so that it can divide."""
    return np.maximum(np.linalg.norm(ends[None] - starts[:, None], axis=2), 0.001)


def _with_neighbours(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the flags that are set, and of those next to them."""
    return np.flatnonzero(np.convolve(flags, [1, 1, 1], "same"))


def _seen(rows: NDArray) -> NDArray:
    """The rows without NaN."""
    return rows[~np.isnan(rows).any(axis=1)]


def network_size(rows: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width, before padding, at which the network saw the picture."""
    scale = STRIDE * rows / size[0]
    # Cut, not rounded, as the released code does: 700 * (184 / 700) may be one pixel short.
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def map_shape(rows: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the maps of a picture."""
    columns = math.ceil(network_size(rows, size)[1] / STRIDE)
    if max(rows, columns) > MAX_SIDE // STRIDE:
        raise ValueError(
            f"expected maps of at most {MAX_SIDE // STRIDE} cells a side, got {rows} x {columns} "
            f"for a picture of {size[1]} x {size[0]}; use fewer rows or a less narrow picture"
        )
    return rows, columns


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = size
    except (TypeError, ValueError):
        raise TypeError(
            f"size: expected (height, width), got {size!r}; give picture.shape[:2]"
        ) from None
    check_size(height, width)
    return int(height), int(width)


def _check_axes(array: NDArray, name: str, axes: tuple[int | None, ...]) -> None:
    """Raise unless it is an array with axes of these lengths; None stands for any."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(array).__name__}")
    shape = array.shape
    if len(shape) != len(axes) or any(a not in (None, n) for a, n in zip(axes, shape, strict=True)):
        expected = ", ".join("any" if axis is None else str(axis) for axis in axes)
        raise ValueError(f"{name}: expected an array of shape ({expected}), got {shape}")


def _checked_maps(maps: NDArray, name: str, channels: tuple[int, ...]) -> NDArray[np.float32]:
    if not isinstance(maps, np.ndarray) or maps.dtype not in (np.float32, np.float64):
        got = maps.dtype if isinstance(maps, np.ndarray) else type(maps).__name__
        raise TypeError(
            f"{name}: expected a NumPy array of float32 or float64, got {got}; convert a tensor "
            "with tensor.float().cpu().numpy()"
        )
    if maps.ndim != 3 or maps.shape[0] not in channels or not maps.size:
        raise ValueError(
            f"{name}: expected shape ({' or '.join(map(str, channels))}, rows, columns), got "
            f"{maps.shape}; take one picture of a batch with maps[0], channels first"
        )
    if max(maps.shape) * STRIDE > MAX_SIDE:
        raise ValueError(
            f"{name}: expected at most {MAX_SIDE // STRIDE} cells a side, got {maps.shape}; "
            "give the maps as the network made them, not enlarged"
        )
    if not np.isfinite(maps).all():
        raise ValueError(
            f"{name}: expected finite values, got NaN or infinity; run the network in float32"
        )
    return maps.astype(np.float32, copy=False)
