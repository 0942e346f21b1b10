"""Scribbles: thick white strokes on black, drawn by a hand or made from a photo.

Three ways lead to the same kind of control image: a drawing (`from_drawing`, `from_mask`), the
soft edges of a network (`scribble_from_soft_edges`, the way of the release), and a photo alone
(`scribble`, which needs no network). Taught in notebook 02.

Sources: Zhang, Rao and Agrawala, arXiv 2302.05543, and the preprocessors released with it;
Winnemoeller, Kyprianidis and Olsen, "XDoG: An eXtended difference-of-Gaussians compendium
including advanced image stylization", Computers & Graphics 36(6), 2012.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.images import Picture, to_grey, to_map, to_rgb
from helpers.knobs import check_numbers


def scribble(
    photo: Image.Image | NDArray,
    *,
    sigma: float = 3,
    sharpness: float = 40,
    threshold: float = -0.5,
) -> Picture:
    """Draw a photo in strokes as the scribble checkpoint reads them, without a network.

    A pixel becomes ink where `sharpened_difference` falls below the threshold. That is the limit
    of `xdog` for a large `phi`: a stroke has no grey.

    Args:
        photo: anything `to_rgb` takes.
        sigma: standard deviation of the finer blur in pixels, above 0 to 100. A stroke is up to
            four times as wide, and larger means fewer strokes; 3 suits a photo of 512 pixels.
        sharpness: how much edges count against brightness, 0 or more.
        threshold: a sharpened brightness below this is ink. A photo lies in [0, 1], so below 0
            only edges become ink, and above 0 dark areas are filled too.

    Returns:
        Control image of shape (H, W, 3), uint8: white (255) strokes on black (0).

    Raises:
        TypeError: the photo is not an 8-bit picture, or a knob is not a number.
        ValueError: a knob is out of range.
    """
    check_numbers(threshold=threshold)
    brightness = to_grey(photo, name="photo") / 255
    response = sharpened_difference(brightness, sigma=sigma, sharpness=sharpness)
    return from_mask(response < threshold)


def scribble_from_soft_edges(soft_edges: Image.Image | NDArray) -> Picture:
    """Turn soft edges into strokes as the release does: thin them, blur them, cut them off.

    Args:
        soft_edges: white soft edges on black, such as the hed control image.

    Returns:
        Control image of shape (H, W, 3), uint8: white (255) strokes, 11 pixels wide or a
        little more, on black (0).
    """
    lines = thin_soft_edges(soft_edges, sigma=3, threshold=127)
    glow = cv2.GaussianBlur(lines, (0, 0), 3)
    return from_mask(glow > 4)


def from_drawing(drawing: Image.Image | NDArray) -> Picture:
    """Turn a dark drawing on white paper into a control image: ink where min(R, G, B) < 127.

    Coloured pens count as ink too, since at least one of their channels is dark. A transparent
    background is white paper.

    Args:
        drawing: anything `to_rgb` takes. A drawing that is white on black already is a control
            image; this function would invert it.
    """
    return from_mask(to_rgb(drawing, name="drawing").min(axis=2) < 127)


def from_mask(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> Picture:
    """Turn a mask of the drawn pixels, such as a canvas returns, into a control image.

    Args:
        mask: shape (H, W); booleans, or 8-bit values of which those above 127 are drawn.

    Raises:
        TypeError: neither booleans nor 8-bit values.
        ValueError: not one value a pixel, or no pixels.
    """
    if isinstance(mask, np.ndarray) and mask.dtype == bool:
        mask = mask.astype(np.uint8) * 255
    if np.ndim(mask) != 2:
        raise ValueError(f"mask: expected shape (height, width), got {np.shape(mask)}")
    return np.where(to_rgb(mask, name="mask") > 127, 255, 0).astype(np.uint8)


def xdog(
    photo: Image.Image | NDArray,
    *,
    sigma: float = 3,
    sharpness: float = 40,
    threshold: float = -0.5,
    phi: float = 10,
) -> NDArray[np.float64]:
    """Draw a photo in ink with soft borders: `soft_threshold` of `sharpened_difference`.

    The first three knobs are those of `scribble`, the last is that of `soft_threshold`.

    Returns:
        Array of shape (H, W) in [0, 1]: 0 is ink, 1 is paper.
    """
    brightness = to_grey(photo, name="photo") / 255
    response = sharpened_difference(brightness, sigma=sigma, sharpness=sharpness)
    return soft_threshold(response, threshold=threshold, phi=phi)


def sharpened_difference(
    brightness: NDArray[np.floating], *, sigma: float, sharpness: float, k: float = 1.6
) -> NDArray[np.float64]:
    """Return (1 + p) G_sigma - p G_(k sigma), with p the sharpness (XDoG, equation 7).

    G_s is the picture blurred with standard deviation s. G_sigma - G_(k sigma) is a band-pass: 0
    on flat areas, negative on the dark side of an edge, positive on the bright side. So p = 0
    leaves the blurred picture, and a large p leaves its edges.

    Args:
        brightness: shape (H, W), 0 black to 1 white.
        sigma: standard deviation of the finer blur, above 0 to 100 pixels.
        sharpness: p, 0 or more.
        k: ratio of the two blurs, above 1. Marr and Hildreth's 1.6 comes closest to a Laplacian
            of a Gaussian.

    Returns:
        Array of shape (H, W); flat areas keep their brightness.
    """
    brightness = to_map(brightness, name="brightness").astype(np.float64)
    check_numbers(sigma=sigma, sharpness=sharpness, k=k)
    if not (0 < sigma <= 100 and sharpness >= 0 and 1 < k <= 10):
        raise ValueError(
            "expected 0 < sigma <= 100, sharpness >= 0 and 1 < k <= 10, "
            f"got sigma={sigma}, sharpness={sharpness}, k={k}"
        )
    fine = cv2.GaussianBlur(brightness, (0, 0), sigma)
    coarse = cv2.GaussianBlur(brightness, (0, 0), k * sigma)
    return (1 + sharpness) * fine - sharpness * coarse


def soft_threshold(
    response: NDArray[np.floating], *, threshold: float, phi: float
) -> NDArray[np.float64]:
    """Return 1 where u >= epsilon, else 1 + tanh(phi (u - epsilon)) (XDoG, equation 5).

    Args:
        response: u, shape (H, W).
        threshold: epsilon, from where on the paper stays white.
        phi: how steeply paper turns into ink below the threshold, above 0. As phi grows, the
            result becomes 0 below the threshold and 1 above.

    Returns:
        Array of shape (H, W) in [0, 1].
    """
    response = to_map(response, name="response").astype(np.float64)
    check_numbers(threshold=threshold, phi=phi)
    if phi <= 0:
        raise ValueError(f"phi: expected a number above 0, got {phi}; 10 gives soft borders")
    return np.where(response >= threshold, 1, 1 + np.tanh(phi * (response - threshold)))


def thin_soft_edges(
    soft_edges: Image.Image | NDArray, *, sigma: float = 3, threshold: float = 127
) -> NDArray[np.uint8]:
    """Thin soft edges to lines: keep a pixel that is the largest of three along some direction.

    After a blur, a pixel is kept if neither neighbour along one of four directions (0, 45, 90,
    135 degrees) is larger, and if it is above the threshold. Unlike Canny's suppression this asks
    no gradient for the direction: any of the four will do. So an edge that runs exactly along one
    of them is not thinned, because along itself it has no larger neighbour.

    Args:
        soft_edges: white soft edges on black, anything `to_rgb` takes.
        sigma: standard deviation of the blur, above 0 to 100 pixels.
        threshold: grey level, 0 to 255, that a kept pixel exceeds after the blur.

    Returns:
        Array of shape (H, W), uint8, 255 on the lines, else 0.
    """
    check_numbers(sigma=sigma, threshold=threshold)
    if not (0 < sigma <= 100 and 0 <= threshold <= 255):
        raise ValueError(
            "expected 0 < sigma <= 100 and 0 <= threshold <= 255, "
            f"got sigma={sigma}, threshold={threshold}; the release uses 3 and 127"
        )
    values = to_grey(soft_edges, name="soft_edges").astype(np.float32)
    smooth = cv2.GaussianBlur(values, (0, 0), sigma)
    height, width = smooth.shape
    padded = np.pad(smooth, 1, constant_values=-np.inf)

    def shifted(down: int, right: int) -> NDArray[np.float32]:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    is_largest = np.zeros(smooth.shape, dtype=bool)
    for down, right in ((0, 1), (1, 1), (1, 0), (1, -1)):
        is_largest |= (smooth >= shifted(down, right)) & (smooth >= shifted(-down, -right))
    return np.where(is_largest & (smooth > threshold), 255, 0).astype(np.uint8)
