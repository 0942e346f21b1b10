"""Depth as the depth checkpoint reads it: grey, white is near, black is far.

Monocular networks and stereo pairs both give *inverse* depth (1/Z, up to a scale and, for the
networks, an unknown shift). Inverse depth is the natural quantity here: over a plane it is an
affine function of the pixel position, while depth itself is not.

Taught in notebook 05; notebook 06 builds on it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import resize

from helpers.images import Picture, to_map


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: the point (X, Y, Z) is seen at u = fx X/Z + cx, v = fy Y/Z + cy.

    X points right, Y down, Z forward. All four numbers are in pixels; pixel centres have integer
    coordinates.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def scaled(self, factor: float) -> "Camera":
        """Return the camera of the picture resized by `factor` (same corners, other pixels)."""
        return Camera(
            self.fx * factor,
            self.fy * factor,
            (self.cx + 0.5) * factor - 0.5,
            (self.cy + 0.5) * factor - 0.5,
        )


def depth_image(inverse_depth: NDArray[np.floating]) -> Picture:
    """Return the control image of the depth checkpoint: 255 (d - min d) / (max d - min d).

    Args:
        inverse_depth: shape (H, W), finite, in any unit; larger is nearer.

    Returns:
        Grey as RGB, shape (H, W, 3), uint8; white is near. A constant map gives black.
    """
    d = to_map(inverse_depth, name="inverse depth")
    normalised = d - d.min()
    if normalised.max() > 0:
        normalised /= normalised.max()
    grey = (normalised * 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def inverse_depth_from_disparity(
    disparity: NDArray[np.floating], *, focal_length: float, baseline: float, offset: float = 0.0
) -> NDArray[np.floating]:
    """Return 1/Z of a rectified stereo pair: (disparity + offset) / (focal length x baseline).

    Args:
        disparity: shape (H, W), pixels, finite; fill holes first with `fill_missing`.
        focal_length: pixels.
        baseline: distance between the two cameras; its unit is the unit of the depth.
        offset: horizontal distance of the two principal points, in pixels.

    Returns:
        Inverse depth, shape (H, W), one over the unit of `baseline`.

    Raises:
        ValueError: focal length or baseline is not positive, or a point lies behind the camera.
    """
    d = to_map(disparity, name="disparity")
    if not (focal_length > 0 and baseline > 0):
        raise ValueError(
            "expected a positive focal length and baseline, "
            f"got {focal_length} and {baseline}; read them from the calibration file"
        )
    if not (lowest := float(d.min()) + offset) > 0:
        raise ValueError(
            f"expected disparity + offset above 0 everywhere, got {lowest:.3g}; "
            "swap the left and the right picture, or fill holes with fill_missing first"
        )
    return (d + offset) / (focal_length * baseline)


def fill_missing(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a copy where NaN and infinity are replaced by the nearest finite value.

    Measured maps have holes where one camera sees what the other does not.

    Raises:
        ValueError: not one value is finite.
    """
    finite = np.isfinite(values) if isinstance(values, np.ndarray) else None
    if finite is None or not np.issubdtype(values.dtype, np.floating):
        to_map(values)  # says what is wrong with it
    if not finite.any():
        raise ValueError(
            f"expected at least one finite value, got none in {values.shape}; "
            "check how the map was read"
        )
    if finite.all():
        return values.copy()
    nearest = ndimage.distance_transform_edt(~finite, return_distances=False, return_indices=True)
    return values[tuple(nearest)]


def resize_map(values: NDArray[np.floating], *, resolution: int = 384) -> NDArray[np.floating]:
    """Scale a map so that its shorter side has `resolution` values, linearly, without aliasing.

    The gradient of a map shrinks as the map grows. Whatever is computed from gradients needs one
    size, and 384 is the size at which the released depth and normal annotators work.

    Raises:
        ValueError: `resolution` is below 1.
    """
    values = to_map(values)
    if resolution < 1:
        raise ValueError(f"expected a resolution of at least 1 pixel, got {resolution}")
    factor = resolution / min(values.shape)
    height, width = (max(1, round(side * factor)) for side in values.shape)
    # Averaging over areas would leave steps in a plane, and gradients see steps.
    return resize(values, (height, width), order=1, mode="edge", anti_aliasing=factor < 1)
