"""Pictures in and out: one type inside, and clear words for everything else.

Inside the project a picture is a NumPy array of shape (height, width, 3), uint8, RGB. `to_rgb`
is the gate: it takes what people have (Pillow images in any mode, grey or RGBA arrays) and refuses
what would go wrong silently later (floats, 16 bits, channels first).
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from helpers.catalogue import (
    PREPROCESSOR_MULTIPLE,
    Condition,
    get_condition,
)
from helpers.faults import CHECKS
from helpers.faults.arrays import mend_axes, mend_size, mend_values
from helpers.faults.finding import Finding, Picture

MAX_SIDE = 16_384
"""Longest side in pixels that `to_rgb` takes: 0.8 GB as RGB; more is nearly always a mistake."""


def to_rgb(
    image: Image.Image | NDArray,
    *,
    name: str = "image",
    background: tuple[int, int, int] = (255, 255, 255),
) -> Picture:
    """Convert a picture to RGB: grey is copied to three channels, alpha is laid on white.

    Args:
        image: a Pillow image of any 8-bit mode, or a uint8 array of shape (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4), with H and W from 1 to `MAX_SIDE`.
        name: what the caller's messages call the picture.
        background: RGB of what shows through transparent pixels.

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
            f"{_way_to_array(image)}"
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
        # Rounded, as the released code does it: colour where opaque, background elsewhere.
        alpha = image[:, :, 3:].astype(np.float32) / 255
        colour = image[:, :, :3].astype(np.float32)
        behind = np.array(background, np.float32)
        return np.rint(colour * alpha + behind * (1 - alpha)).astype(np.uint8)
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
            "infinite; fill them first, as helpers.conditions.depth.fill_missing does"
        )
    return values


def check_size(height: int, width: int) -> None:
    """Raise TypeError or ValueError unless both sides are integers from 1 to `MAX_SIDE`."""
    for side, pixels in (("height", height), ("width", width)):
        if not isinstance(pixels, int | np.integer) or isinstance(pixels, bool):
            raise TypeError(f"{side}: expected an integer, got {pixels!r}; pixels are whole")
        if not 1 <= pixels <= MAX_SIDE:
            raise ValueError(
                f"{side}: expected 1 to {MAX_SIDE} pixels, got {pixels}; scale the picture down"
            )


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
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
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

    Raises:
        TypeError: not a picture.
        ValueError: a size or a condition that there is not, or a result beyond `MAX_SIDE`, as
            for a strip of 10 x 1000 pixels.
    """
    picture = to_rgb(image)
    if condition is not None and not isinstance(condition, Condition):
        condition = get_condition(condition)
    height, width = picture.shape[:2]
    size = model_size(width, height, resolution=resolution, multiple=multiple)
    if size == (width, height):
        return picture
    _check_sides(size[1], size[0], "result of fit")
    if condition is not None:
        how = cv2.INTER_NEAREST_EXACT if condition.resize == "nearest" else cv2.INTER_LINEAR
    else:
        how = cv2.INTER_LANCZOS4 if resolution > min(width, height) else cv2.INTER_AREA
    return cv2.resize(picture, size, interpolation=how)


def check_control(
    image: Image.Image | NDArray,
    condition: str | Condition,
    *,
    channel_order: Literal["xyz", "zyx"] = "xyz",
) -> list[Finding]:
    """Look for what makes a control image mislead its ControlNet, and say how to mend it.

    A look at the pixels cannot see everything: no finding means that nothing was found.

    Args:
        image: a control image as it would go to the network, good or bad: a Pillow image, or an
            array of any numeric type with the channels last, first, or missing.
        condition: name or row of the catalogue, such as "canny".
        channel_order: of a normal map. "xyz" is the order that people look at (red left, green
            up, blue towards the viewer), "zyx" the one that the original network is fed.

    Returns:
        The faults in the order in which to mend them; an empty list if there are none.

    Raises:
        TypeError: not a picture at all.
        ValueError: no pixels, no picture's shape, an unknown condition or channel order.
    """
    row = condition if isinstance(condition, Condition) else get_condition(condition)
    if channel_order not in ("xyz", "zyx"):
        raise ValueError(f'expected channel_order "xyz" or "zyx", got {channel_order!r}')
    reverse = row.kind == "normals" and channel_order == "zyx"
    findings, picture = _read_roughly(image, row)
    if reverse:
        picture = picture[:, :, ::-1]
    for check in CHECKS[row.kind]:
        hit = check(picture, row)
        if hit is None:
            continue
        finding, picture = hit
        if finding.fault == "label indices":
            # One channel of integers is what class numbers are; only the colours are missing.
            findings = [other for other in findings if other.fault in ("axes", "size")]
        findings.append(_in_network_order(finding) if reverse else finding)
        if picture is None:
            break
    return findings


def _read_roughly(image: Image.Image | NDArray, row: Condition) -> tuple[list[Finding], Picture]:
    """Read a picture of nearly any form as RGB, and report what had to be mended for it."""
    if isinstance(image, Image.Image) and image.mode[0] in "IF":
        values = np.asarray(image)
    elif isinstance(image, Image.Image):
        values = _pillow_to_array(image, "image")
    else:
        values = image
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif" or not values.size:
        return [], to_rgb(values)  # raises, and says why
    findings = []
    values = mend_axes(values, findings)
    values = mend_values(values, row, findings)
    picture = _mend_channels(values, row, findings)
    return findings, mend_size(picture, row, findings)


def _mend_channels(values: NDArray[np.uint8], row: Condition, findings: list[Finding]) -> Picture:
    background = row.background or (0, 0, 0)
    picture = to_rgb(values, background=background)
    if values.ndim == 3 and values.shape[2] == 4:
        share = (values[:, :, 3] < 255).mean()
        message = f"an alpha channel, {share:.0%} of the pixels see-through; expected 3 channels"
        fix = f"lay it on its background: `image = to_rgb(image, background={background})`"
        findings.append(Finding("alpha channel", message, fix))
    elif picture.shape != values.shape and not findings:
        message = f"shape {values.shape}: one channel; the network takes three"
        findings.append(Finding("one channel", message, "copy it: `image = to_rgb(image)`"))
    return picture


def _in_network_order(finding: Finding) -> Finding:
    """Rewrite a fix, which is for a map in display order, for one in the network's order."""
    before, code, after = finding.fix.split("`")
    turn = "image = to_rgb(image)[..., ::-1]"
    return replace(finding, fix=f"{before}`{turn}; {code}; {turn}`{after}")


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


def _way_to_array(image: object) -> str:
    if hasattr(image, "detach"):
        return (
            "convert a tensor of shape (3, height, width) in [0, 1] with "
            "(255 * image).round().byte().permute(1, 2, 0).cpu().numpy()"
        )
    if isinstance(image, list | tuple):
        return "pass one picture at a time"
    return "open a file with helpers.images.load_image(path)"


def _check_sides(height: int, width: int, name: str) -> None:
    if min(height, width) < 1:
        raise ValueError(
            f"{name}: expected at least one pixel, got {width} x {height}; look where it was cut"
        )
    if max(height, width) > MAX_SIDE:
        raise ValueError(
            f"{name}: expected at most {MAX_SIDE} pixels a side, got {width} x {height}; "
            "scale it down first"
        )


def _cure(image: NDArray) -> str:
    if image.dtype.kind not in "uif":
        return "a mask converts with 255 * image.astype(np.uint8)"
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        return "it holds NaN or infinity: find out where they come from before converting"
    if np.issubdtype(image.dtype, np.floating) and image.size and image.max() <= 1:
        return "values in [0, 1] convert with np.rint(image * 255).astype(np.uint8)"
    if image.dtype == np.uint16:
        return "16-bit values convert with (image // 257).astype(np.uint8)"
    return "values in [0, 255] convert with np.rint(image).astype(np.uint8)"
