"""Pictures in and out: one type inside, and clear words for everything else.

Inside the project a picture is a NumPy array of shape (height, width, 3), uint8, RGB. `to_rgb`
is the gate: it takes what people have (Pillow images in any mode, grey or RGBA arrays) and refuses
what would go wrong silently later (floats, 16 bits, channels first).
"""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from helpers.catalogue import PREPROCESSOR_MULTIPLE, Condition, get_condition

MAX_SIDE = 16_384
"""Longest side in pixels that `to_rgb` takes: 0.8 GB as RGB; beyond it is nearly always a mistake."""

Picture = NDArray[np.uint8]
"""An RGB picture: shape (height, width, 3), uint8, 0 to 255."""


def to_rgb(image: Image.Image | NDArray, *, name: str = "image") -> Picture:
    """Convert a picture to RGB: grey is copied to three channels, alpha is laid on white.

    Args:
        image: a Pillow image of any 8-bit mode, or a uint8 array of shape (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4), with H and W from 1 to `MAX_SIDE`.
        name: what the caller's messages call the picture.

    Returns:
        A new contiguous array of shape (H, W, 3), uint8.

    Raises:
        TypeError: not a picture, or numbers that are not 8-bit.
        ValueError: no pixels, too many pixels, or axes in another order.
    """
    if isinstance(image, Image.Image):
        image = _pillow_to_array(image, name)
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"{name}: expected a Pillow image or a NumPy array, got {type(image).__name__}; "
            "open a file with helpers.images.load_image(path)"
        )
    if image.dtype != np.uint8:
        raise TypeError(f"{name}: expected 8-bit values (uint8), got {image.dtype}; {_cure(image)}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"{name}: expected shape (height, width) or (height, width, 1, 3 or 4), "
            f"got {image.shape}; move the channels last, one picture at a time"
        )
    _check_sides(*image.shape[:2], name)
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] == 4:
        # Rounded, as the released code does it: colour where opaque, white where transparent.
        alpha = image[:, :, 3:].astype(np.float32) / 255
        colour = image[:, :, :3].astype(np.float32)
        return np.rint(colour * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.array(image, order="C")


def to_grey(image: Image.Image | NDArray, *, name: str = "image") -> NDArray[np.uint8]:
    """Return the luma of a picture, shape (H, W), uint8: 0.299 R + 0.587 G + 0.114 B (BT.601)."""
    return cv2.cvtColor(to_rgb(image, name=name), cv2.COLOR_RGB2GRAY)


def to_map(values: NDArray, *, name: str = "map", least: int = 1) -> NDArray[np.floating]:
    """Check one number a pixel, such as a depth map, and return it unchanged if it is sound.

    Args:
        values: array of shape (H, W), float32 or float64, every value finite. A float16 array
            or a tensor must be converted first.
        name: what the caller's messages call the map.
        least: the smallest side that the caller can work with, in pixels.

    Raises:
        TypeError: not a floating-point array.
        ValueError: wrong number of axes, too small, too large, or values that are not finite.
    """
    if not isinstance(values, np.ndarray) or values.dtype not in (np.float32, np.float64):
        got = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise TypeError(
            f"{name}: expected a NumPy array of float32 or float64, got {got}; "
            "convert it with np.asarray(values, dtype=np.float32)"
        )
    if values.ndim != 2:
        raise ValueError(
            f"{name}: expected shape (height, width), got {values.shape}; "
            "remove axes of length one with .squeeze()"
        )
    _check_sides(*values.shape, name)
    if min(values.shape) < least:
        raise ValueError(
            f"{name}: expected at least {least} x {least} values, got {values.shape}; "
            "use a larger map"
        )
    missing = values.size - np.count_nonzero(np.isfinite(values))
    if missing:
        raise ValueError(
            f"{name}: expected finite values, got {missing} of {values.size} that are NaN or "
            "infinite; fill them first, for example with the farthest finite value"
        )
    return values


def load_image(path: str | os.PathLike) -> Picture:
    """Read a picture file as RGB, turned upright as its EXIF note says.

    Raises:
        FileNotFoundError: nothing lies at `path`.
        ValueError: the file is not a picture, is cut off, or is too large.
        TypeError: the picture has 16 bits or floating-point values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a picture file, found none at {path}; check the path")
    try:
        with Image.open(path) as image:
            _check_sides(image.height, image.width, str(path))
            return to_rgb(ImageOps.exif_transpose(image), name=str(path))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(
            f"{path}: expected a complete picture (PNG, JPEG, WebP, ...), "
            f"but it cannot be read: {error}; download or export it again"
        ) from error


def model_size(
    width: int, height: int, *, resolution: int = 512, multiple: int = PREPROCESSOR_MULTIPLE
) -> tuple[int, int]:
    """Return the (width, height) that the released preprocessors would scale a picture to.

    The shorter side becomes `resolution`, then each side is rounded to a multiple, so the shape
    of the picture may change by a few percent: 480 x 640 becomes 512 x 704.

    Raises:
        ValueError: a side, the resolution or the multiple is not positive.
    """
    if min(width, height, resolution, multiple) < 1:
        raise ValueError(
            "expected positive width, height, resolution and multiple, "
            f"got {width}, {height}, {resolution}, {multiple}; check the order of the arguments"
        )
    factor = resolution / min(width, height)

    def rounded(side: int) -> int:
        return max(multiple, round(side * factor / multiple) * multiple)

    return rounded(width), rounded(height)


def fit(
    image: Image.Image | NDArray,
    *,
    resolution: int = 512,
    multiple: int = PREPROCESSOR_MULTIPLE,
    condition: str | Condition | None = None,
) -> Picture:
    """Scale a picture to a size that the model takes.

    Args:
        image: anything `to_rgb` takes.
        resolution: the shorter side of the result in pixels, before rounding to `multiple`.
        multiple: both sides of the result are multiples of this.
        condition: name or row of the catalogue, if the picture is a control image. Its resize
            rule is used: `nearest` never mixes colours. Photos (None) are averaged when they
            shrink and interpolated (Lanczos) when they grow.

    Returns:
        Array of shape (height, width, 3), uint8.
    """
    picture = to_rgb(image)
    if isinstance(condition, str):
        condition = get_condition(condition)
    height, width = picture.shape[:2]
    size = model_size(width, height, resolution=resolution, multiple=multiple)
    if size == (width, height):
        return picture
    if condition is not None:
        how = cv2.INTER_NEAREST_EXACT if condition.resize == "nearest" else cv2.INTER_LINEAR
    else:
        how = cv2.INTER_AREA if resolution < min(width, height) else cv2.INTER_LANCZOS4
    return cv2.resize(picture, size, interpolation=how)


def _pillow_to_array(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":
        raise TypeError(
            f"{name}: expected 8 bits a channel, got Pillow mode {image.mode!r}; "
            "scale the values to 0..255 and convert to uint8 first"
        )
    _check_sides(image.height, image.width, name)
    # Palette, CMYK, LA, 1-bit, ...: Pillow knows how; transparency is kept so that it can be
    # laid on white.
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _check_sides(height: int, width: int, name: str) -> None:
    if min(height, width) < 1:
        raise ValueError(f"{name}: expected at least one pixel, got {width} x {height}")
    if max(height, width) > MAX_SIDE:
        raise ValueError(
            f"{name}: expected at most {MAX_SIDE} pixels a side, got {width} x {height}; "
            "scale it down first"
        )


def _cure(image: NDArray) -> str:
    if not np.issubdtype(image.dtype, np.number):
        return "convert it with image.astype(np.uint8) if True and False were meant as 1 and 0"
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        return "it holds NaN or infinity: find out where they come from before converting"
    if np.issubdtype(image.dtype, np.floating) and image.size and image.max() <= 1:
        return "values in [0, 1] convert with np.rint(image * 255).astype(np.uint8)"
    if image.dtype == np.uint16:
        return "16-bit values convert with (image // 257).astype(np.uint8)"
    return "values in [0, 255] convert with np.rint(image).astype(np.uint8)"
