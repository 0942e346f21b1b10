"""Normal maps: the released recipe, the physically right normal, and the colours of both.

A normal says which way a surface faces. Here it is a unit vector (x, y, z) in the camera's frame:
x to the RIGHT, y UP, z TOWARDS the viewer. The colours of the released checkpoint count the first
axis to the left: (R, G, B) = 127.5 + 127.5 (-x, y, z), so red is left, green is up, blue is near.

The recipe is the normal annotator released with ControlNet (arXiv 2302.05543), as its model card
gives it. The right normal follows from the pinhole camera. Taught in notebook 06.
"""

import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from helpers.conditions.depth import Camera
from helpers.images import Picture, to_map, to_rgb

RECIPE_Z = 2 * math.pi
"""The third component of every vector before it is scaled to unit length: a constant."""

BACKGROUND_THRESHOLD = 0.4
"""Below this normalised inverse depth a pixel is background; the detector's own default is 0.1."""

Normals = NDArray[np.floating]
"""Unit vectors, shape (H, W, 3): x right, y up, z towards the viewer."""

_LARGEST_DEPTH = 1e16
_BAND_VALUES = 1 << 16  # rows worked on together: few enough to stay in the cache of a core


def normal_map_step_by_step(
    depth: NDArray[np.floating], *, background_threshold: float = BACKGROUND_THRESHOLD
) -> Picture:
    """Return the recipe's normal map; one step of the recipe is one line of code.

    `normal_map` gives the same bytes several times faster. This is the one to read.

    Args:
        depth: inverse depth, shape (H, W), at least 2 x 2, in the units of the depth network.
            The strength of the result depends on this unit and on the size of the map.
        background_threshold: 0 to 1. Where the depth, normalised to [0, 1], is below it, the
            surface is set to face the viewer.

    Returns:
        Shape (H, W, 3), uint8, in display order: red left, green up, blue towards the viewer.
    """
    depth = _recipe_depth(depth, background_threshold)
    normalised = depth - np.min(depth)
    if np.max(normalised) > 0:
        normalised /= np.max(normalised)
    background = normalised < background_threshold
    x = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3)
    x[background] = 0
    y = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3)
    y[background] = 0
    z = np.ones_like(x) * RECIPE_Z
    vectors = np.stack([x, y, z], axis=2)
    vectors /= np.sum(vectors**2, axis=2, keepdims=True) ** 0.5
    return (vectors * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


def normal_map(
    depth: NDArray[np.floating], *, background_threshold: float = BACKGROUND_THRESHOLD
) -> Picture:
    """Return the recipe's normal map: the bytes of `normal_map_step_by_step`, faster.

    Same arithmetic in the same order, but on three planes instead of an array of vectors, in
    place, and in bands of rows that stay in the processor's cache. Arguments and result are those
    of `normal_map_step_by_step`; benchmarks/normal_maps.py compares the two.
    """
    depth = _recipe_depth(depth, background_threshold)
    height, width = depth.shape
    # cv2.threshold asks for "greater than"; the recipe keeps what is not below.
    below = float(np.nextafter(_foreground_from(depth, background_threshold), np.float32(-np.inf)))
    colours = np.empty((height, width, 3), np.uint8)
    rows = min(height, max(1, _BAND_VALUES // width))
    planes = np.empty((4, rows + 2, width), np.float32)
    bytes_ = np.empty((3, rows, width), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # The Sobel kernel looks one row beyond the band, where there is one.
        above, beneath = min(top, 1), min(height - bottom, 1)
        source = depth[top - above : bottom + beneath]
        band = slice(above, above + bottom - top)
        work = planes[:, : len(source)]
        cv2.Sobel(source, cv2.CV_32F, 1, 0, dst=work[0], ksize=3)
        cv2.Sobel(source, cv2.CV_32F, 0, 1, dst=work[1], ksize=3)
        x, y, z, length = work[:, band]
        foreground = cv2.threshold(source[band], below, 1, cv2.THRESH_BINARY, dst=z)[1]
        x *= foreground
        y *= foreground
        np.multiply(x, x, out=length)
        length += np.multiply(y, y, out=z)
        length += np.float32(RECIPE_Z) ** 2
        np.sqrt(length, out=length)
        z[:] = RECIPE_Z
        for component, channel in zip((x, y, z), bytes_[:, : bottom - top], strict=True):
            component /= length
            component *= 127.5
            component += 127.5
            np.copyto(channel, component, casting="unsafe")
        cv2.merge(tuple(bytes_[:, : bottom - top]), colours[top:bottom])
    return colours


def camera_normals(inverse_depth: NDArray[np.floating], camera: Camera) -> Normals:
    r"""Return the normals of the surface that a known camera sees.

    A plane n . P = h, seen through u = fx X/Z + cx and v = fy Y/Z + cy, has the inverse depth
    q = 1/Z = n . ((u - cx)/fx, (v - cy)/fy, 1) / h, which is affine in u and v. Its two slopes
    therefore give the plane back, without an error:

        n  ~  (fx q_u,  fy q_v,  q - (u - cx) q_u - (v - cy) q_v)

    Only the direction counts, so q may have any positive scale. It may not have an unknown shift.

    Args:
        inverse_depth: shape (H, W), at least 3 x 3, finite, positive: 1/Z in any unit.
        camera: the pinhole camera of exactly this picture; see `Camera.scaled`.

    Returns:
        Unit vectors, shape (H, W, 3), float64: x right, y up, z towards the viewer.

    Raises:
        ValueError: the inverse depth is not positive somewhere.
    """
    q = to_map(inverse_depth, name="inverse depth", least=3).astype(np.float64)
    if not q.min() > 0:
        raise ValueError(
            f"expected inverse depth above 0 everywhere, got {q.min():.3g}; the depth networks "
            "give it up to an unknown shift, which has to be found first (notebook 05)"
        )
    q_v, q_u = np.gradient(q)
    v, u = np.indices(q.shape)
    left = camera.fx * q_u
    up = camera.fy * q_v
    towards = q - (u - camera.cx) * q_u - (v - camera.cy) * q_v
    vectors = np.stack([-left, up, towards], axis=2)
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def encode_normals(normals: Normals) -> Picture:
    """Return the colours of normals, in display order: 127.5 + 127.5 (-x, y, z), cut to a byte.

    Args:
        normals: shape (H, W, 3), finite, float32 or float64; x right, y up, z towards the viewer.
    """
    planes = _normal_planes(normals)
    colours = np.stack([-planes[0], planes[1], planes[2]], axis=2) * 127.5 + 127.5
    return colours.clip(0, 255).astype(np.uint8)


def decode_normals(colours: Picture) -> Normals:
    """Return the unit vectors of a normal map in display order; `encode_normals` backwards.

    The middle of each byte's range is used, so a component is right to 1/255.
    """
    vectors = (to_rgb(colours, name="normal map").astype(np.float64) + 0.5) / 127.5 - 1
    vectors[:, :, 0] *= -1
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def angles_between(first: Normals, second: Normals) -> NDArray[np.float64]:
    """Return the angle between two fields of unit vectors, pixel by pixel.

    Args:
        first: shape (H, W, 3).
        second: the same shape.

    Returns:
        Degrees, shape (H, W), 0 to 180.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = np.stack(_normal_planes(first), axis=2), np.stack(_normal_planes(second), axis=2)
    if a.shape != b.shape:
        raise ValueError(
            f"expected two fields of one shape, got {a.shape} and {b.shape}; resize one of them"
        )
    # atan2 of sine and cosine stays exact where the cosine alone is flat, near 0 and 180 degrees.
    sine = np.linalg.norm(np.cross(a, b), axis=2)
    return np.degrees(np.arctan2(sine, np.sum(a * b, axis=2)))


def reverse_channels(colours: Picture) -> Picture:
    """Exchange red and blue: display order (x, y, z) to the network's (z, y, x), and back."""
    return np.ascontiguousarray(to_rgb(colours, name="normal map")[:, :, ::-1])


def order_for_pipeline(
    colours: Picture, *, network_order: Literal["xyz", "zyx"], config_order: Literal["rgb", "bgr"]
) -> Picture:
    """Return a normal map with its channels as `StableDiffusionControlNetPipeline` must get it.

    The released network was fed (z, y, x): its demo shows the map and then reverses the channels.
    diffusers reverses them inside the model if its configuration says so, and only then.

    Args:
        colours: a normal map in display order (x, y, z).
        network_order: what the network was trained on: "zyx" for the released checkpoint.
        config_order: `controlnet.config.controlnet_conditioning_channel_order` as loaded.

    Raises:
        ValueError: an order that does not exist.
    """
    if network_order not in ("xyz", "zyx") or config_order not in ("rgb", "bgr"):
        raise ValueError(
            "expected network_order 'xyz' or 'zyx' and config_order 'rgb' or 'bgr', "
            f"got {network_order!r} and {config_order!r}; "
            "read the second from controlnet.config.controlnet_conditioning_channel_order"
        )
    reversed_inside = config_order == "bgr"
    must_arrive_reversed = network_order == "zyx"
    if reversed_inside != must_arrive_reversed:
        return reverse_channels(colours)
    return to_rgb(colours, name="normal map")


def _recipe_depth(depth: NDArray[np.floating], threshold: float) -> NDArray[np.float32]:
    if not 0 <= threshold <= 1:
        raise ValueError(
            f"expected a background threshold from 0 to 1, got {threshold}; "
            "it is compared with depth normalised to [0, 1]"
        )
    depth = to_map(depth, name="depth", least=2)
    if not np.abs(depth).max() < _LARGEST_DEPTH:
        raise ValueError(
            f"expected depth values below {_LARGEST_DEPTH:.0e}, got {np.abs(depth).max():.3g}; "
            "their squares leave the range of 32-bit numbers: choose a larger unit"
        )
    return np.ascontiguousarray(depth, dtype=np.float32)


def _foreground_from(depth: NDArray[np.float32], threshold: float) -> np.float32:
    """Return the smallest depth that the recipe does not call background.

    Comparing raw depths with it saves a subtraction and a division a pixel. The rounding of the
    recipe's own comparison decides the last bit, so the guess is moved until both agree.
    """
    lowest = depth.min()
    spread = depth.max() - lowest
    if threshold == 0 or spread == 0:
        return np.float32(-np.inf)
    cut = lowest + np.float32(threshold) * spread

    def is_background(value: np.float32) -> bool:
        return bool((value - lowest) / spread < threshold)

    while not is_background(below := np.nextafter(cut, np.float32(-np.inf))) and below > -np.inf:
        cut = below
    while is_background(cut) and cut < np.inf:
        cut = np.nextafter(cut, np.float32(np.inf))
    return cut


def _normal_planes(normals: Normals) -> tuple[NDArray[np.floating], ...]:
    if not isinstance(normals, np.ndarray) or normals.ndim != 3 or normals.shape[2] != 3:
        got = getattr(normals, "shape", type(normals).__name__)
        raise ValueError(
            f"expected normals of shape (height, width, 3), got {got}; "
            "colours become normals with decode_normals"
        )
    return tuple(to_map(normals[:, :, axis], name="normals") for axis in range(3))
