"""How well a picture follows its control: one score a condition.

The annotator that made the control looks at the picture again, and two *measurements* are compared:
the one that was wanted and the one that is found. Measurements come before any drawing:

canny, scribble  bool (H, W), true on an edge or a stroke
hed              float (H, W), soft edges in [0, 1]
depth            float (H, W), inverse depth up to scale and shift; larger is nearer
normal           float (H, W, 3), unit normals as in `helpers.conditions.normal`
mlsd             float (L, 4), rows x0, y0, x1, y1 in pixels
openpose         float (P, 18, 2), joints in pixels, NaN where one is not seen
seg              whole numbers (H, W), classes of ADE20K

A score is NaN where the control says nothing that could be followed, as a pose without people. No
edges and no lines do say something: that the picture should be plain. A score alone says little,
so `gap_closed` puts it between a floor and a ceiling.

Every function raises TypeError for what is no measurement of its kind, and ValueError for two of
different shapes, for values out of range and for knobs out of range; the message says which.

ControlNet++ is Li et al., "ControlNet++: Improving Conditional Controls with Efficient Consistency
Feedback" (arXiv 2404.07987). It measures canny, hed, depth and seg; the others are defined here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from helpers.conditions.depth import depth_image
from helpers.conditions.mlsd import Lines, line_lengths, to_lines
from helpers.conditions.normal import Normals, angles_between
from helpers.conditions.openpose import to_people
from helpers.conditions.seg import Labels, to_labels
from helpers.conditions.skeleton import JOINTS
from helpers.images import to_map
from helpers.knobs import check_numbers

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, the finest first (Wang et al. 2003)."""

WINDOW = 11
"""Side of the Gaussian window of SSIM, in pixels; its standard deviation is 1.5."""

SMALLEST_SIDE = WINDOW * 2 ** (len(MS_SSIM_WEIGHTS) - 1)
"""The window must fit into a picture halved four times: 176 pixels."""

PCK_SHARE = 0.1
"""A joint is right within this share of the person's size."""

RESAMPLES = 10_000
"""Draws of the bootstrap in `gap_closed`."""

_COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    # COCO has no neck. It lies between the shoulders, and people mark it about as well as them.
    "neck": 0.079,
}

SIGMAS = np.array([_COCO_SIGMAS[joint.split()[-1]] for joint in JOINTS])
"""How far people differ when they mark a joint, as a share of the person's scale, shape (18,)."""


# Edges: canny and scribble.


def edge_f1(wanted: NDArray[np.bool_], found: NDArray[np.bool_], *, tolerance: float = 2) -> float:
    """Return the F1 of two edge maps, where an edge may be off by a few pixels.

    Precision is the share of found pixels that have a wanted one within the tolerance, recall the
    share of wanted pixels that have a found one, and F1 = 2 P R / (P + R). With a tolerance of 0
    this is the F1 of ControlNet++, to which an edge moved by one pixel is no edge at all.

    Args:
        wanted: shape (H, W), booleans.
        found: the same shape.
        tolerance: largest distance between the centres of two pixels, 0 or more.

    Returns:
        0 to 1. Two maps without edges agree, 1; if only one has edges, 0.
    """
    _check_mask(wanted, "wanted")
    _check_mask(found, "found")
    _check_same_shape(wanted, found)
    check_numbers(tolerance=tolerance)
    if tolerance < 0:
        raise ValueError(f"tolerance: expected 0 pixels or more, got {tolerance}")
    if not (wanted.any() and found.any()):
        return float(wanted.any() == found.any())
    precision = np.mean(_distance_to(wanted)[found] <= tolerance)
    recall = np.mean(_distance_to(found)[wanted] <= tolerance)
    return _f1(precision, recall)


def _distance_to(edges: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance of every pixel to the nearest edge, in pixels."""
    return cv2.distanceTransform(np.uint8(1) - edges, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _f1(precision: float, recall: float) -> float:
    """Return the harmonic mean; 0 where both are 0."""
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


# Soft edges: hed.


def ms_ssim(wanted: NDArray[np.floating], found: NDArray[np.floating]) -> float:
    r"""Return the multi-scale structural similarity of two soft edge maps.

    With l and cs the means of the luminance and the contrast-structure map (`ssim_maps`) and
    w_j the weights of the five scales, each half the size of the one before:

        MS-SSIM = mean(l_5 cs_5)^w_5 * product over j < 5 of mean(cs_j)^w_j

    as in Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality
    assessment" (Asilomar 2003). A negative mean counts as 0. This is the measure
    of ControlNet++ for soft edges.

    Args:
        wanted: shape (H, W), each side at least `SMALLEST_SIDE`, values from 0 to 1.
        found: the same shape.

    Returns:
        0 to 1; 1 for equal maps.
    """
    scales = [(_to_soft_edges(wanted, "wanted"), _to_soft_edges(found, "found"))]
    _check_same_shape(wanted, found)
    while len(scales) < len(MS_SSIM_WEIGHTS):
        scales.append(tuple(_halve(edges) for edges in scales[-1]))
    maps = [ssim_maps(*pair) for pair in scales]
    factors = [contrast_structure.mean() for _, contrast_structure in maps]
    factors[-1] = np.mean(maps[-1][0] * maps[-1][1])
    return math.prod(
        max(float(factor), 0.0) ** weight
        for factor, weight in zip(factors, MS_SSIM_WEIGHTS, strict=True)
    )


def ssim_maps(
    x: NDArray[np.floating], y: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return luminance and contrast-structure, whose product is the SSIM map of Wang et al. 2004.

        l  = (2 mu_x mu_y + C1) / (mu_x^2 + mu_y^2 + C1)
        cs = (2 sigma_xy + C2) / (sigma_x^2 + sigma_y^2 + C2)

    Means and (co)variances are weighted by a Gaussian window; C1 = 0.01^2 and C2 = 0.03^2.

    Args:
        x: shape (H, W), values from 0 to 1.
        y: the same shape.

    Returns:
        Two maps of shape (H - 10, W - 10): pixels whose whole window lies in the picture.
    """

    def local_mean(values: NDArray[np.floating]) -> NDArray[np.floating]:
        border = WINDOW // 2
        return cv2.GaussianBlur(values, (WINDOW, WINDOW), 1.5)[border:-border, border:-border]

    mu_x, mu_y = local_mean(x), local_mean(y)
    variances = local_mean(x * x) - mu_x**2 + local_mean(y * y) - mu_y**2
    covariance = local_mean(x * y) - mu_x * mu_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _halve(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = values.shape[0] // 2, values.shape[1] // 2
    blocks = values[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return blocks.mean(axis=(1, 3))


# Depth.


def align(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> NDArray[np.float64]:
    r"""Return s d + t, the found depth d on the scale of the wanted one w, by least squares.

        minimise over s >= 0 and t:  sum of (s d + t - w)^2
        s = max(0, cov(d, w) / var(d)),  t = mean(w) - s mean(d)

    Monocular networks give inverse depth up to a scale and a shift, so only what is left after
    both were fitted is an error (Ranftl et al., "Towards Robust Monocular Depth Estimation",
    arXiv 1907.01341). A scale below 0 would forgive a picture in which near and far
    are exchanged; it is not allowed here. Taught in notebook 05.

    Args:
        found: shape (H, W). A constant map becomes the mean of `wanted`.
        wanted: the same shape.

    Returns:
        Array of shape (H, W), in the unit of `wanted`.
    """
    _check_maps(wanted, found)
    d, w = found.astype(np.float64), wanted.astype(np.float64)
    deviation = d - d.mean()
    variance = np.mean(deviation**2)
    if not variance > 0:
        return np.full(d.shape, w.mean())
    scale = max(0.0, np.mean(deviation * (w - w.mean())) / variance)
    return scale * deviation + w.mean()


def depth_rmse(wanted: NDArray[np.floating], found: NDArray[np.floating]) -> float:
    """Return the root mean square error of depth, after `align`, as a share of the depth range.

    The wanted depth is first scaled to [0, 1]. Any positive scale and any shift of either map
    leaves the result as it is. One outlier in the wanted depth enlarges its range and makes every
    error small: clip it first.

    Args:
        wanted: inverse depth, shape (H, W).
        found: the same shape, with a scale and shift of its own.

    Returns:
        0 to 0.5; NaN if the wanted depth is constant. A found map that knows nothing, a constant,
        gives the standard deviation of the wanted one.
    """
    _check_maps(wanted, found)
    w = wanted.astype(np.float64)
    if not np.ptp(w) > 0:
        return math.nan
    normalised = (w - w.min()) / np.ptp(w)
    error = align(found, normalised) - normalised
    return float(np.sqrt(np.mean(error**2)))


def depth_rmse_8bit(wanted: NDArray[np.floating], found: NDArray[np.floating]) -> float:
    """Return the depth error as ControlNet++ takes it, in grey levels.

    The wanted map is scaled from its minimum and maximum to 0..255, the found one by its maximum
    alone, and both are cut to bytes. So a shift of the found depth counts as an error, although
    the depth network never knew it: a map whose minimum is not 0 does not even match itself.
    Made for non-negative depth; below 0 is black.

    Args:
        wanted: inverse depth, shape (H, W).
        found: the same shape.

    Returns:
        0 to 255; NaN if the wanted depth is constant.
    """
    _check_maps(wanted, found)
    if not np.ptp(wanted) > 0:
        return math.nan
    label = depth_image(wanted.astype(np.float64))[:, :, 0].astype(np.float64)
    d = found.astype(np.float64).clip(min=0)
    prediction = np.floor(d / d.max() * 255) if d.any() else d
    return float(np.sqrt(np.mean((prediction - label) ** 2)))


# Normals.


def normal_angle(
    wanted: Normals, found: Normals, foreground: NDArray[np.bool_] | None = None
) -> float:
    """Return the mean angle between wanted and found normals on the foreground.

    Args:
        wanted: unit normals, shape (H, W, 3).
        found: the same shape.
        foreground: shape (H, W), booleans; by default where `wanted` is not the flat background
            (0, 0, 1), which the recipe of the release writes wherever it sees no surface.

    Returns:
        Degrees, 0 to 180; NaN if nothing is foreground.
    """
    _check_same_shape(wanted, found)
    degrees = angles_between(wanted, found)
    for name, normals in (("wanted", wanted), ("found", found)):
        lengths = np.linalg.norm(normals, axis=2)
        if not (np.abs(lengths - 1) < 0.01).all():
            raise ValueError(
                f"{name}: expected unit normals, got lengths from {lengths.min():.3g} to "
                f"{lengths.max():.3g}; colours become normals with decode_normals"
            )
    if foreground is None:
        foreground = np.hypot(wanted[:, :, 0], wanted[:, :, 1]) > 1e-3
    _check_mask(foreground, "foreground")
    _check_same_shape(degrees, foreground, names=("normals", "foreground"))
    return float(degrees[foreground].mean()) if foreground.any() else math.nan


# Straight lines: mlsd.


def lines_matched(
    wanted: Lines, found: Lines, *, angle: float = 10, distance: float = 4
) -> dict[str, float]:
    """Return how much of the length of the wanted lines was found, and the other way round.

    A point of one line is covered if a line of the other set passes within the distance and runs
    in nearly the same direction; which end is first does not matter. Points are taken once a
    pixel. Recall is the covered share of the wanted length, precision that of the found length.
    Length is compared, not lines one by one, since detectors break one wall into two lines, and
    that is no fault of the picture.

    Args:
        wanted: shape (L, 4), L may be 0. Lines that are a point are ignored.
        found: shape (M, 4), M may be 0.
        angle: largest angle between two directions, in degrees above 0 to 90.
        distance: largest distance from a point to a line segment, in pixels above 0; the default
            is about 1 % of the diagonal of a picture of 256 pixels.

    Returns:
        "f1", "precision" and "recall", each 0 to 1. No lines in both: 1; in one only: 0.
    """
    check_numbers(angle=angle, distance=distance)
    if not (0 < angle <= 90 and distance > 0):
        raise ValueError(
            "expected an angle above 0 to 90 degrees and a distance above 0 pixels, "
            f"got {angle} and {distance}; equal lines differ by the rounding of their numbers"
        )
    asked, shown = (_without_points(to_lines(lines)) for lines in (wanted, found))
    if not (len(asked) and len(shown)):
        return dict.fromkeys(("f1", "precision", "recall"), float(len(asked) == len(shown)))
    precision = _covered_share(shown, asked, angle=angle, distance=distance)
    recall = _covered_share(asked, shown, angle=angle, distance=distance)
    return {"f1": _f1(precision, recall), "precision": precision, "recall": recall}


def _without_points(lines: Lines) -> NDArray[np.float64]:
    """Leave out what is too short to have a direction."""
    return lines[line_lengths(lines) > 1e-3].astype(np.float64)


def _covered_share(lines: Lines, others: Lines, *, angle: float, distance: float) -> float:
    """Return the share of the length of all lines that is covered by `others`."""
    directions, other_directions = _directions(lines), _directions(others)
    lengths = line_lengths(lines)
    covered = []
    for line, direction, length in zip(lines, directions, lengths, strict=True):
        turn = np.abs(direction - other_directions)
        parallel = others[np.minimum(turn, 180 - turn) <= angle]
        count = math.ceil(length)
        along = (np.arange(count)[:, None] + 0.5) / count
        points = line[:2] + along * (line[2:] - line[:2])
        covered.append(np.mean((_distances(points, parallel) <= distance).any(axis=1)))
    return float(np.average(covered, weights=lengths))


def _directions(lines: Lines) -> NDArray[np.float64]:
    """Return the direction of each line in degrees, 0 to 180, whichever end is first."""
    x, y = (lines[:, 2:] - lines[:, :2]).T
    return np.degrees(np.arctan2(y, x)) % 180


def _distances(points: NDArray[np.floating], lines: Lines) -> NDArray[np.float64]:
    """Return the distance of n points (n, 2) to L line segments (L, 4), shape (n, L)."""
    starts, spans = lines[:, :2], lines[:, 2:] - lines[:, :2]
    offsets = points[:, None] - starts
    along = (offsets * spans).sum(axis=2) / (spans**2).sum(axis=1)
    nearest = along.clip(0, 1)[:, :, None] * spans
    return np.linalg.norm(offsets - nearest, axis=2)


# People: openpose.


def pose_scores(wanted: ArrayLike, found: ArrayLike) -> dict[str, float]:
    """Return PCK and OKS: how many joints of the wanted people are right, and how nearly.

    PCK is the share of wanted joints found within `PCK_SHARE` of the person's size, the longer
    side of the box round the wanted joints; for somebody who stands this is the height (Yang and
    Ramanan, "Articulated Human Detection with Flexible Mixtures of Parts", PAMI 2013).

    OKS is the similarity of COCO (keypoint evaluation), the mean over a person's wanted joints of

        exp(-d^2 / (2 A k^2)),  k = 2 sigma

    and then over people. d is the distance in pixels, sigma that of `SIGMAS`. COCO takes for A
    the area of the person's outline. Joints have none; the area of their box stands in, which is
    smaller than the person's box. People are about a quarter as wide as tall, so the box is not
    taken to be thinner than that.

    Wanted and found people are matched one to one, so that joints lie as near as possible. A joint
    that is not found, or whose person is not, is wrong. People nobody wanted cost nothing.

    Args:
        wanted: shape (P, 18, 2 or 3), NaN where a joint is not seen. People with fewer than two
            joints have no size and are left out.
        found: shape (Q, 18, 2 or 3).

    Returns:
        "pck" and "oks", each 0 to 1; NaN if no person is wanted.
    """
    everybody = to_people(wanted, name="wanted")[:, :, :2]
    shown = to_people(found, name="found")[:, :, :2]
    has_size = _box_sides(everybody).max(axis=1) > 0
    asked = everybody[has_size]
    if not len(asked):
        return {"pck": math.nan, "oks": math.nan}
    boxes = _box_sides(asked)
    sizes = boxes.max(axis=1)
    areas = sizes * np.maximum(boxes.min(axis=1), sizes / 4)
    seen = ~np.isnan(asked).any(axis=2)
    distances = _distances_of_matched(asked, shown, seen, sizes)
    similarity = np.exp(-(distances**2) / (2 * areas[:, None] * (2 * SIGMAS) ** 2))
    return {
        "pck": float(np.mean((distances <= PCK_SHARE * sizes[:, None])[seen])),
        "oks": float(np.mean(similarity, axis=1, where=seen).mean()),
    }


def _box_sides(people: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return width and height of the box round the joints, shape (P, 2); below 0 for none."""
    hidden = np.isnan(people).any(axis=2, keepdims=True)
    right_bottom = np.where(hidden, -np.inf, people).max(axis=1)
    return right_bottom - np.where(hidden, np.inf, people).min(axis=1)


def _distances_of_matched(
    asked: NDArray[np.float64],
    shown: NDArray[np.float64],
    seen: NDArray[np.bool_],
    sizes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Match people and return how far each joint is off, shape (P, 18), infinity if missing."""
    pairs = np.linalg.norm(asked[:, None] - shown, axis=3)
    distances = np.where(np.isnan(pairs), np.inf, pairs)
    # A joint farther than the person is large is lost, however far; so it cannot outvote others.
    shares = np.minimum(distances / sizes[:, None, None], 1)
    rows, columns = linear_sum_assignment(np.mean(shares, axis=2, where=seen[:, None]))
    matched = np.full(seen.shape, np.inf)
    matched[rows] = distances[rows, columns]
    return matched


# Classes: seg.


def mean_iou(wanted: Labels, found: Labels) -> float:
    """Return the intersection over union of each class that is wanted, averaged.

    Only classes that occur in `wanted` are averaged. A class that was found but never wanted
    already costs the classes whose pixels it took; to count it as a class of IoU 0 as well would
    let one stray pixel weigh as much as the whole sky.

    Args:
        wanted: shape (H, W), whole numbers 0 to 149.
        found: the same shape.

    Returns:
        0 to 1.
    """
    w, f = to_labels(wanted), to_labels(found)
    _check_same_shape(wanted, found)
    ious = [
        np.count_nonzero((w == label) & (f == label))
        / np.count_nonzero((w == label) | (f == label))
        for label in np.unique(w)
    ]
    return float(np.mean(ious))


# A score between its floor and its ceiling.


@dataclass(frozen=True)
class GapClosed:
    """How far scores get from their floor to their ceiling: 0 is the floor, 1 the ceiling."""

    share: float
    low: float
    """Lower end of the 95 % interval; -infinity if floor and ceiling cannot be told apart."""
    high: float
    """Upper end of the 95 % interval."""
    scenes: int
    """Number of scenes that count."""


def gap_closed(
    scores: ArrayLike, foreign: ArrayLike, ceiling: ArrayLike, *, seed: int = 0
) -> GapClosed:
    """Return (mean score - mean floor) / (mean ceiling - mean floor) over scenes.

    It does not matter whether higher or lower scores are better, as long as all three are scores
    of one kind. The interval is the percentile bootstrap (Efron and Tibshirani, "An Introduction
    to the Bootstrap", 1993, chapter 13): scenes are drawn again with replacement, each with its
    three numbers, and the middle 95 % of the results are kept. If the middle 95 % of the drawn
    gaps hold 0, floor and ceiling cannot be told apart and the interval is unbounded.

    Args:
        scores: one a scene, shape (N,): the control against the picture made from it.
        foreign: the floor, shape (N,): the control against a picture of another scene.
        ceiling: shape (N,): the control against the photo from which it came, as the annotator
            sees it.
        seed: of the draws, of which there are `RESAMPLES`.

    Raises:
        TypeError: not real numbers.
        ValueError: lengths that differ, an infinite score, fewer than 2 scenes after those with
            NaN in any of the three were left out, or a ceiling equal to the floor.
    """
    scenes = _scene_table(scores=scores, foreign=foreign, ceiling=ceiling)
    score, floor, top = scenes.mean(axis=0)
    if math.isclose(floor, top, rel_tol=1e-9):
        raise ValueError(
            f"expected a ceiling that differs from the floor, got {top:.4g} for both; "
            "this score cannot tell a control from a foreign one"
        )
    draws = np.random.default_rng(seed).multinomial(
        len(scenes), np.full(len(scenes), 1 / len(scenes)), size=RESAMPLES
    )
    drawn_score, drawn_floor, drawn_top = (draws @ scenes).T / len(scenes)
    gap, way = drawn_top - drawn_floor, drawn_score - drawn_floor
    low_gap, high_gap = np.quantile(gap, (0.025, 0.975))
    low, high = -math.inf, math.inf
    if low_gap * high_gap > 0:
        low, high = np.quantile(way[gap != 0] / gap[gap != 0], (0.025, 0.975)).tolist()
    return GapClosed(float((score - floor) / (top - floor)), low, high, len(scenes))


def _scene_table(**columns: ArrayLike) -> NDArray[np.float64]:
    """Return the scenes that have all three numbers, shape (N, 3)."""
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{name}: expected real numbers, got {array.dtype}; one score a scene")
        if array.ndim != 1:
            raise ValueError(f"{name}: expected shape (scenes,), got {array.shape}")
        if np.isinf(array).any():
            raise ValueError(f"{name}: expected finite scores or NaN, got infinity")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected one score a scene in each list, got lengths {lengths}")
    table = np.stack([array.astype(np.float64) for array in arrays.values()], axis=1)
    complete = table[~np.isnan(table).any(axis=1)]
    if len(complete) < 2:
        raise ValueError(
            f"expected at least 2 scenes without NaN, got {len(complete)} of {len(table)}; "
            "measure more scenes"
        )
    return complete


# The table.


@dataclass(frozen=True, kw_only=True)
class Score:
    """How a picture is measured against its control."""

    name: str
    """Of the headline, as a figure would call it."""
    unit: str
    better: Literal["higher", "lower"]
    headline: str
    """Key of the number that counts, such as for `gap_closed`; the others stand beside it."""
    measure: Callable[..., dict[str, float]]
    """Takes (wanted, found); that of normals also the keyword `foreground`."""


SCORES: dict[str, Score] = {
    "canny": Score(
        name="edge F1 within 2 pixels",
        unit="0 to 1",
        better="higher",
        headline="f1",
        measure=lambda wanted, found: {
            "f1": edge_f1(wanted, found, tolerance=2),
            "f1_strict": edge_f1(wanted, found, tolerance=0),
        },
    ),
    "depth": Score(
        name="RMSE after alignment",
        unit="share of the depth range",
        better="lower",
        headline="rmse",
        measure=lambda wanted, found: {
            "rmse": depth_rmse(wanted, found),
            "rmse_8bit": depth_rmse_8bit(wanted, found),
        },
    ),
    "hed": Score(
        name="multi-scale SSIM",
        unit="0 to 1",
        better="higher",
        headline="ms_ssim",
        measure=lambda wanted, found: {"ms_ssim": ms_ssim(wanted, found)},
    ),
    "mlsd": Score(
        name="F1 of line length",
        unit="0 to 1",
        better="higher",
        headline="f1",
        measure=lines_matched,
    ),
    "normal": Score(
        name="mean angle",
        unit="degrees",
        better="lower",
        headline="angle",
        measure=lambda wanted, found, *, foreground=None: {
            "angle": normal_angle(wanted, found, foreground)
        },
    ),
    "openpose": Score(
        name="PCK at 10 % of the size",
        unit="0 to 1",
        better="higher",
        headline="pck",
        measure=pose_scores,
    ),
    "scribble": Score(
        name="stroke F1 within 2 pixels",
        unit="0 to 1",
        better="higher",
        headline="f1",
        measure=lambda wanted, found: {"f1": edge_f1(wanted, found, tolerance=2)},
    ),
    "seg": Score(
        name="mean IoU",
        unit="0 to 1",
        better="higher",
        headline="miou",
        measure=lambda wanted, found: {"miou": mean_iou(wanted, found)},
    ),
}
"""One score a condition, by the name of the condition."""


# What comes in.


def _check_mask(mask: NDArray[np.bool_], name: str) -> None:
    if not isinstance(mask, np.ndarray) or mask.dtype != bool:
        got = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
        raise TypeError(
            f"{name}: expected a NumPy array of booleans, got {got}; "
            "a control image becomes one with image[:, :, 0] > 127"
        )
    to_map(mask.astype(np.float32), name=name)


def _check_maps(wanted: NDArray[np.floating], found: NDArray[np.floating]) -> None:
    to_map(wanted, name="wanted")
    to_map(found, name="found")
    _check_same_shape(wanted, found)


def _to_soft_edges(edges: NDArray[np.floating], name: str) -> NDArray[np.float64]:
    to_map(edges, name=name, least=SMALLEST_SIDE)
    if edges.min() < 0 or edges.max() > 1:
        raise ValueError(
            f"{name}: expected soft edges from 0 to 1, got {edges.min():.3g} to "
            f"{edges.max():.3g}; divide grey levels by 255"
        )
    return edges.astype(np.float64)


def _check_same_shape(
    first: NDArray, second: NDArray, *, names: tuple[str, str] = ("wanted", "found")
) -> None:
    if np.shape(first) != np.shape(second):
        raise ValueError(
            f"expected {names[0]} and {names[1]} of one shape, got {np.shape(first)} and "
            f"{np.shape(second)}; measure both at one size"
        )
