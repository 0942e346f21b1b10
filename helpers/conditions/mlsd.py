"""Straight lines: the walls, windows and table tops of a photo, one pixel wide.

Two detectors return lines as rows (x0, y0, x1, y1): the line segment detector of OpenCV, which
needs no weights, and M-LSD, the network that the release uses. `draw_lines` turns either into a
control image. How M-LSD says "there is a line" in numbers is written out in `encode_tri_points`
and `decode_tri_points`. Taught in notebook 04.

A photo without lines gives an array of shape (0, 4) and a black control image. Broken input, or a
network that returns nonsense, raises instead: black must mean "no lines" and nothing else.

Sources: Gu et al., "Towards Light-weight and Real-time Line Segment Detection" (M-LSD), arXiv
2106.00186, whose tri-points come from Huang et al., "TP-LSD", arXiv 2009.05505; Grompone von Gioi
et al., "LSD: a Line Segment Detector", Image Processing On Line 2, 2012.
"""

from numbers import Integral
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.catalogue import PREPROCESSOR_MULTIPLE
from helpers.images import MAX_SIDE, Picture, check_size, to_grey, to_map, to_rgb
from helpers.knobs import check_numbers

if TYPE_CHECKING:
    from torch import nn

Lines = NDArray[np.floating]
"""Line segments: shape (L, 4), each row x0, y0, x1, y1 in pixels, (0, 0) the top left pixel."""

SURE = 10.0
"""Logit that `encode_tri_points` writes at a centre; its sigmoid is 0.99995."""


def straight_lines(photo: Image.Image | NDArray, *, min_length: float = 20) -> Picture:
    """Draw the straight lines of a photo as the mlsd checkpoint reads them, without a network.

    Args:
        photo: anything `to_rgb` takes.
        min_length: shorter lines are left out, in pixels.

    Returns:
        Control image of shape (H, W, 3), uint8: white (255) lines on black (0).
    """
    picture = to_rgb(photo, name="photo")
    return draw_lines(detect_lines_lsd(picture, min_length=min_length), *picture.shape[:2])


def detect_lines_lsd(photo: Image.Image | NDArray, *, min_length: float = 20) -> Lines:
    """Find line segments with OpenCV's LSD, which groups pixels of one gradient direction.

    Args:
        photo: anything `to_rgb` takes.
        min_length: shorter segments are left out, in pixels.

    Returns:
        Array of shape (L, 4), float32; L is 0 if there are no lines.

    Raises:
        TypeError: the photo is not an 8-bit picture, or `min_length` is not a number.
        ValueError: the photo is empty or too large, or `min_length` is negative.
    """
    _check_at_least_zero(min_length=min_length)
    found = cv2.createLineSegmentDetector().detect(to_grey(photo, name="photo"))[0]
    lines = np.empty((0, 4), np.float32) if found is None else found.reshape(-1, 4)
    return lines[line_lengths(lines) >= min_length]


def detect_lines_mlsd(
    photo: Image.Image | NDArray,
    network: "nn.Module",
    *,
    top_k: int = 200,
    min_score: float = 0.1,
    min_length: float = 0.1,
) -> Lines:
    """Find line segments with an M-LSD network.

    Args:
        photo: anything `to_rgb` takes, with sides that are multiples of 64.
        network: takes (1, 4, H, W), the channels red, green, blue and ones, in [-1, 1]; returns
            (1, C, H/2, W/2), of which channel 0 is the centre and 1 to 4 the displacements.
            `controlnet_aux.MLSDdetector.from_pretrained(...).model` is one.
        top_k: as in `decode_tri_points`.
        min_score: as in `decode_tri_points`.
        min_length: as in `decode_tri_points`, so in cells of two pixels.

    Returns:
        Array of shape (L, 4) in pixels of the photo, the surest line first.

    Raises:
        TypeError: the photo is not an 8-bit picture.
        ValueError: a side is no multiple of 64, or the network returns NaN or too few channels.
    """
    import torch

    picture = to_rgb(photo, name="photo")
    height, width = picture.shape[:2]
    if height % PREPROCESSOR_MULTIPLE or width % PREPROCESSOR_MULTIPLE:
        raise ValueError(
            f"photo: expected sides that are multiples of {PREPROCESSOR_MULTIPLE}, "
            f"got {width} x {height}; scale it with helpers.images.fit(photo, multiple=64)"
        )
    # The release appends the ones before it scales 0..255 to -1..1, so they arrive as -0.992.
    ones = np.ones((height, width, 1), np.uint8)
    channels = np.concatenate([picture, ones], axis=2).transpose(2, 0, 1).astype(np.float32)
    batch = torch.from_numpy(channels / 127.5 - 1)[None]
    device = next((weight.device for weight in network.parameters()), None)
    with torch.no_grad():
        maps = network(batch.to(device))[0].float().cpu().numpy()
    lines = decode_tri_points(
        maps[0], maps[1:5], top_k=top_k, min_score=min_score, min_length=min_length
    )
    return lines * (height / maps.shape[1])


def decode_tri_points(
    centre_logits: NDArray[np.floating],
    displacements: NDArray[np.floating],
    *,
    top_k: int = 200,
    min_score: float = 0.1,
    min_length: float = 0.1,
) -> Lines:
    """Read lines from the maps of M-LSD: at each sure centre, two arrows lead to the two ends.

    Of the local maxima of sigmoid(centre) the best `top_k` are taken; a centre at cell (x, y)
    with displacements (dx0, dy0, dx1, dy1) means the line from (x + dx0, y + dy0) to
    (x + dx1, y + dy1). Centre and ends are the three points of a tri-point.

    Args:
        centre_logits: shape (H, W), larger where the middle of a line is more probable.
        displacements: shape (4, H, W), in cells: x and y to one end, x and y to the other.
        top_k: how many centres are looked at, at least 1.
        min_score: a centre must be more probable than this.
        min_length: a line must be longer than this, in cells. At the release's 0.1 every line is.

    Returns:
        Array of shape (L, 4) in cells, the surest line first; L is 0 if nothing passes.

    Raises:
        TypeError: not arrays of floats.
        ValueError: the shapes do not fit together, or values are not finite.
    """
    _check_tri_points(centre_logits, displacements)
    _check_at_least_zero(min_score=min_score, min_length=min_length)
    if not isinstance(top_k, Integral) or top_k < 1:
        raise ValueError(f"top_k: expected a whole number above 0, got {top_k!r}")
    scores = 1 / (1 + np.exp(-np.clip(centre_logits, -80, 80)))
    peak_scores = np.where(is_local_maximum(scores), scores, 0)
    best = np.argsort(-peak_scores, axis=None, kind="stable")[:top_k]
    y, x = np.unravel_index(best, scores.shape)
    lines = (np.stack([x, y, x, y]) + displacements[:, y, x]).T
    return lines[(peak_scores[y, x] > min_score) & (line_lengths(lines) > min_length)]


def encode_tri_points(
    lines: Lines, height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Write lines as the maps from which `decode_tri_points` reads them back.

    Args:
        lines: shape (L, 4), in cells; the middle of each must lie on the maps. Of several lines
            with their middle in one cell only the last survives.
        height: rows of the maps.
        width: columns of the maps.

    Returns:
        Centre logits of shape (H, W) and displacements of shape (4, H, W), float32.

    Raises:
        ValueError: the middle of a line lies outside the maps.
    """
    check_size(height, width)
    lines = to_lines(lines)
    x, y = np.rint((lines[:, :2] + lines[:, 2:]) / 2).astype(int).T
    if not ((x >= 0) & (x < width) & (y >= 0) & (y < height)).all():
        raise ValueError(
            f"expected lines with their middle on the {width} x {height} map, got one outside; "
            "the order of a row is x0, y0, x1, y1"
        )
    centre_logits = np.full((height, width), -SURE, np.float32)
    displacements = np.zeros((4, height, width), np.float32)
    centre_logits[y, x] = SURE
    displacements[:, y, x] = lines.T - np.stack([x, y, x, y])
    return centre_logits, displacements


def is_local_maximum(scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return True where none of the eight neighbours is larger, shape (H, W)."""
    return scores == cv2.dilate(to_map(scores, name="scores"), np.ones((3, 3), np.uint8))


def draw_lines(lines: Lines, height: int, width: int) -> Picture:
    """Draw line segments in white on black, one pixel wide and without grey borders.

    The ends are cut to whole pixels and what lies outside the picture is left out, as in the
    release.

    Args:
        lines: shape (L, 4), L may be 0.
        height: of the picture, in pixels.
        width: of the picture, in pixels.

    Returns:
        Control image of shape (height, width, 3), uint8.

    Raises:
        TypeError: `lines` is not an array of numbers, or the size not whole numbers.
        ValueError: `lines` has another shape or is not finite, or the size is out of range.
    """
    check_size(height, width)
    control_image = np.zeros((height, width, 3), np.uint8)
    for x0, y0, x1, y1 in to_lines(lines).astype(int).tolist():
        cv2.line(control_image, (x0, y0), (x1, y1), (255, 255, 255), thickness=1)
    return control_image


def line_lengths(lines: Lines) -> NDArray[np.floating]:
    """Return the length of each line in pixels, shape (L,)."""
    return np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1])


def to_lines(lines: Lines) -> Lines:
    """Check lines, rows x0, y0, x1, y1 of finite numbers, and return them unchanged."""
    if not isinstance(lines, np.ndarray) or lines.dtype.kind not in "iuf":
        got = lines.dtype if isinstance(lines, np.ndarray) else type(lines).__name__
        raise TypeError(f"lines: expected a NumPy array of numbers, got {got}")
    if lines.ndim != 2 or lines.shape[1] != 4:
        raise ValueError(
            f"lines: expected shape (L, 4), each row x0, y0, x1, y1; got {lines.shape}"
        )
    if not (np.abs(lines) <= 10 * MAX_SIDE).all():
        raise ValueError(
            f"lines: expected finite coordinates up to {10 * MAX_SIDE} in size, got others; "
            "look for NaN or a wrong scale"
        )
    return lines


def _check_tri_points(centre_logits: NDArray, displacements: NDArray) -> None:
    to_map(centre_logits, name="centre_logits")
    expected = (4, *centre_logits.shape)
    if np.shape(displacements) != expected:
        raise ValueError(
            f"displacements: expected shape {expected} to go with the centres, "
            f"got {np.shape(displacements)}"
        )
    for index, displacement in enumerate(displacements):
        to_map(displacement, name=f"displacements[{index}]")


def _check_at_least_zero(**numbers: float) -> None:
    check_numbers(**numbers)
    for name, value in numbers.items():
        if value < 0:
            raise ValueError(f"{name}: expected 0 or more, got {value}")
