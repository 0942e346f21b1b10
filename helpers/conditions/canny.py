"""Canny edges: thin white lines where a photo changes abruptly.

`canny_edges` is the function to use; it calls `cv2.Canny`. The stages of the detector stand below
it in NumPy, and `canny_by_hand` joins them to the same picture, pixel for pixel. Taught in
notebook 01.

Source: Canny, "A Computational Approach to Edge Detection", IEEE Transactions on Pattern Analysis
and Machine Intelligence 8(6), 1986. Where the paper leaves a choice, OpenCV's is taken.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.images import Picture, to_map, to_rgb
from helpers.knobs import check_numbers

HORIZONTAL, FALLING, VERTICAL, RISING = range(4)
"""What `direction` returns. Falling runs from top left to bottom right: y grows downwards."""

TAN_22_5 = 13573
"""tan 22.5 degrees = sqrt(2) - 1 as OpenCV keeps it, in units of 1/32768."""

MAX_THRESHOLD = 32767
"""Largest threshold that `cv2.Canny` treats alike for both ways to measure a gradient."""


def canny_edges(
    photo: Image.Image | NDArray,
    *,
    low: float = 100,
    high: float = 200,
    blur_sigma: float = 0,
    l2: bool = False,
) -> Picture:
    """Draw the edges of a photo as the canny checkpoint reads them.

    Args:
        photo: anything `to_rgb` takes.
        low: an edge goes on where the gradient is stronger than this.
        high: an edge must be stronger than this somewhere. No gradient is stronger than 1530
            (1140 with `l2`), so from there on nothing is found.
        blur_sigma: standard deviation in pixels of a Gaussian blur before all else. Canny's paper
            asks for one; `cv2.Canny` has none, so 0 gives the control images of the release.
        l2: measure a gradient by its length instead of |dx| + |dy|.

    Returns:
        Control image of shape (H, W, 3), uint8: white (255) edges on black (0).

    Raises:
        TypeError: the photo is not an 8-bit picture, or a knob is not a number.
        ValueError: not 0 <= low <= high <= `MAX_THRESHOLD`, or the blur is out of range.
    """
    _check_thresholds(low, high)
    smooth = gaussian_blur(photo, sigma=blur_sigma)
    return to_rgb(cv2.Canny(smooth, float(low), float(high), L2gradient=bool(l2)))


def canny_by_hand(
    photo: Image.Image | NDArray,
    *,
    low: float = 100,
    high: float = 200,
    blur_sigma: float = 0,
    l2: bool = False,
) -> Picture:
    """Return the same control image as `canny_edges`, made by the stages below."""
    smooth = gaussian_blur(photo, sigma=blur_sigma)
    dx, dy = strongest_gradient(smooth, l2=l2)
    thin = non_maximum_suppression(gradient_magnitude(dx, dy, l2=l2), direction(dx, dy))
    edges = hysteresis(thin, low=low, high=high)
    return to_rgb(np.where(edges, 255, 0).astype(np.uint8))


def gaussian_blur(photo: Image.Image | NDArray, *, sigma: float) -> Picture:
    """Smooth a photo with a Gaussian of standard deviation `sigma` pixels, 0 (none) to 100.

    Returns:
        Array of shape (H, W, 3), uint8.

    Raises:
        TypeError: the photo is not an 8-bit picture, or `sigma` is not a number.
        ValueError: `sigma` is out of range.
    """
    picture = to_rgb(photo, name="photo")
    check_numbers(sigma=sigma)
    if not 0 <= sigma <= 100:
        raise ValueError(f"sigma: expected 0 to 100 pixels, got {sigma}; 0 means no blur")
    if sigma == 0:
        return picture
    return cv2.GaussianBlur(picture, (0, 0), float(sigma), borderType=cv2.BORDER_REPLICATE)


def sobel(channel: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the gradient of one channel by Sobel's 3 x 3 masks.

    Each mask takes a difference (-1, 0, 1) along one axis and a sum (1, 2, 1) along the other, so
    a step of 1 grey level gives 4 and a ramp of 1 a pixel gives 8. Beyond the border the outermost
    pixels go on.

    Args:
        channel: array of shape (H, W), uint8, such as `to_grey(photo)` or `photo[:, :, 0]`.

    Returns:
        (dx, dy), each of shape (H, W), int32, from -1020 to 1020: dx > 0 where the picture gets
        brighter to the right, dy > 0 where it gets brighter downwards.

    Raises:
        TypeError: not an array of 8-bit values.
        ValueError: not one channel, or without pixels.
    """
    to_rgb(channel, name="channel")
    if not isinstance(channel, np.ndarray) or channel.ndim != 2:
        raise ValueError(
            "channel: expected an array of shape (height, width), got a picture of several "
            "channels; take one, as in photo[:, :, 0], or helpers.images.to_grey(photo)"
        )
    padded = np.pad(channel.astype(np.int32), 1, mode="edge")
    across = padded[:, 2:] - padded[:, :-2]
    down = padded[2:, :] - padded[:-2, :]
    dx = across[:-2, :] + 2 * across[1:-1, :] + across[2:, :]
    dy = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    return dx, dy


def gradient_magnitude(dx: NDArray, dy: NDArray, *, l2: bool = False) -> NDArray:
    """Return how strong each gradient is: |dx| + |dy|, or sqrt(dx^2 + dy^2) with `l2`.

    The sum needs no square root, but a diagonal edge scores up to sqrt(2) times its length.
    """
    _check_maps(dx=dx, dy=dy)
    if l2:
        return np.sqrt(np.square(dx, dtype=np.float64) + np.square(dy, dtype=np.float64))
    return np.abs(dx) + np.abs(dy)


def strongest_gradient(
    photo: Image.Image | NDArray, *, l2: bool = False
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the gradient (dx, dy), at each pixel that of the channel where it is strongest.

    Two colours of equal brightness have an edge between them, which a grey picture would lose.
    Where channels are equally strong, the first of red, green and blue is taken.
    """
    picture = to_rgb(photo, name="photo")
    gradients = [sobel(picture[:, :, channel]) for channel in range(3)]
    strengths = [gradient_magnitude(dx, dy, l2=l2) for dx, dy in gradients]
    winner = np.argmax(strengths, axis=0)
    dx, dy = (np.choose(winner, parts) for parts in zip(*gradients, strict=True))
    return dx, dy


def direction(dx: NDArray[np.integer], dy: NDArray[np.integer]) -> NDArray[np.int64]:
    """Round the way along which each gradient points to a multiple of 45 degrees.

    Args:
        dx: whole numbers of shape (H, W), as `sobel` returns them.
        dy: likewise.

    Returns:
        Array of shape (H, W): `HORIZONTAL`, `FALLING`, `VERTICAL` or `RISING`. Opposite
        gradients point along the same way. Where both are 0 the value means nothing.
    """
    _check_maps(dx=dx, dy=dy)
    if not (np.issubdtype(dx.dtype, np.integer) and np.issubdtype(dy.dtype, np.integer)):
        raise TypeError(
            f"expected whole numbers, got {dx.dtype} and {dy.dtype}; take dx and dy from sobel"
        )
    # OpenCV compares whole numbers: |dy| / |dx| with tan 22.5 and tan 67.5 = tan 22.5 + 2.
    run, rise = np.abs(dx.astype(np.int64)), np.abs(dy.astype(np.int64)) << 15
    flat = rise < TAN_22_5 * run
    steep = rise > (TAN_22_5 + (2 << 15)) * run
    opposite_signs = (dx < 0) != (dy < 0)
    return np.select([flat, steep, opposite_signs], [HORIZONTAL, VERTICAL, RISING], FALLING)


def non_maximum_suppression(magnitude: NDArray, directions: NDArray[np.integer]) -> NDArray:
    """Thin edges to one pixel: keep a magnitude only where it beats both neighbours on its way.

    The neighbours are those along the gradient, so across the edge. Outside the picture the
    magnitude is 0. On a plateau two pixels wide, OpenCV keeps the first for horizontal and
    vertical gradients (`>` before, `>=` after) and neither for diagonal ones.

    Args:
        magnitude: shape (H, W), from `gradient_magnitude`.
        directions: shape (H, W), from `direction`.

    Returns:
        Array like `magnitude`, 0 where it was suppressed.
    """
    _check_maps(magnitude=magnitude, directions=directions)
    if not np.isin(directions, (HORIZONTAL, FALLING, VERTICAL, RISING)).all():
        raise ValueError("directions: expected 0, 1, 2 or 3 everywhere; take them from direction")
    height, width = magnitude.shape
    padded = np.pad(magnitude, 1)

    def shifted(down: int, right: int) -> NDArray:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    # In the order HORIZONTAL, FALLING, VERTICAL, RISING.
    before = np.choose(directions, [shifted(*at) for at in ((0, -1), (-1, -1), (-1, 0), (-1, 1))])
    after = np.choose(directions, [shifted(*at) for at in ((0, 1), (1, 1), (1, 0), (1, -1))])
    straight = (directions == HORIZONTAL) | (directions == VERTICAL)
    wins_after = np.where(straight, magnitude >= after, magnitude > after)
    return np.where((magnitude > before) & wins_after, magnitude, 0)


def hysteresis(thin: NDArray, *, low: float, high: float) -> NDArray[np.bool_]:
    """Keep each chain of pixels above `low` that has at least one pixel above `high`.

    Pixels are in one chain if they touch at a side or a corner.

    Args:
        thin: shape (H, W), from `non_maximum_suppression`.
        low: a pixel at or below this is no edge.
        high: a chain without a pixel above this is noise.

    Returns:
        Array of shape (H, W), True on edges.
    """
    _check_maps(thin=thin)
    _check_thresholds(low, high)
    candidates = (thin > low).astype(np.uint8)
    chain_count, chain = cv2.connectedComponents(candidates, connectivity=8)
    is_edge = np.zeros(chain_count, dtype=bool)
    is_edge[chain[thin > high]] = True
    return is_edge[chain]


def _check_thresholds(low: float, high: float) -> None:
    check_numbers(low=low, high=high)
    if not 0 <= low <= high <= MAX_THRESHOLD:
        raise ValueError(
            f"expected 0 <= low <= high <= {MAX_THRESHOLD}, got low={low} and high={high}; "
            "the release uses 100 and 200"
        )


def _check_maps(**maps: NDArray) -> None:
    for name, values in maps.items():
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
            got = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
            raise TypeError(f"{name}: expected a NumPy array of numbers, got {got}")
        to_map(values.astype(np.float64), name=name)
    shapes = {name: values.shape for name, values in maps.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"expected arrays of one shape, got {shapes}")
