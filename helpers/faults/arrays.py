"""Faults of the array itself: its axes, its numbers, its size.

Each function takes what came, adds what it finds to `findings` and returns it mended.
"""

import numpy as np
from numpy.typing import NDArray

from helpers.catalogue import PIPELINE_MULTIPLE, Condition
from helpers.faults.finding import Finding, Picture


def mend_axes(values: NDArray, findings: list[Finding]) -> NDArray:
    """Put the channels last and drop a batch axis."""
    shape = values.shape
    code = "np.asarray(image)"
    if values.ndim == 4:
        values, code = values[0], f"{code}[0]"
    if values.ndim == 3 and values.shape[0] in (1, 3, 4) and values.shape[2] not in (1, 3, 4):
        values, code = np.moveaxis(values, 0, -1), f"np.moveaxis({code}, 0, -1)"
    if values.shape != shape:
        message = f"shape {shape}; expected (height, width, 3), one picture at a time"
        findings.append(Finding("axes", message, f"channels last, no batch axis: `image = {code}`"))
    return values


def mend_values(values: NDArray, row: Condition, findings: list[Finding]) -> NDArray[np.uint8]:
    """Scale numbers of any type to uint8 from 0 to 255."""
    finite = np.isfinite(values)
    low, high = _value_range(values[finite], row)
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values
    code = "np.asarray(image, dtype=float)"
    if not finite.all():
        fault = "not finite"
        message = f"{values.size - finite.sum()} of {values.size} values are NaN or infinite"
        # The lowest value is the farthest in an inverse depth, and no line in a line map.
        code = f"np.nan_to_num({code}, nan={low}, posinf={low}, neginf={low})"
        values = np.where(finite, values, low)
    else:
        fault = "value range" if values.dtype == np.uint8 else "data type"
        message = f"{values.dtype} from {values.min()} to {values.max()}"
    message += "; expected uint8 from 0 to 255"
    code = f"to_rgb(np.rint(np.interp({code}, ({low}, {high}), (0, 255))).astype(np.uint8))"
    findings.append(Finding(fault, message, f"scale and round: `image = {code}`"))
    return np.rint(np.interp(values, (low, high), (0, 255))).astype(np.uint8)


def _value_range(values: NDArray, row: Condition) -> tuple[float, float]:
    """Return the values that mean black and white, as far as one can tell."""
    if not values.size:
        return 0, 1
    least, most = values.min().item(), values.max().item()
    if values.dtype.kind in "ui" and row.kind == "labels" and least >= 0 and most <= 255:
        return 0, 255
    if values.dtype == np.uint8 and (most > 1 or most == 0):
        return 0, 255
    if least >= 0 and most <= 1:
        return 0, 1
    if least >= -1 and most <= 1:
        return -1, 1
    if least >= 0 and most <= 255 and row.kind != "depth":
        return 0, 255
    if values.dtype == np.uint16 and row.kind != "depth":
        return 0, 65535
    return least, max(most, least + 1)


def mend_size(picture: Picture, row: Condition, findings: list[Finding]) -> Picture:
    """Report sides that the pipeline would change; the picture stays as it is."""
    height, width = picture.shape[:2]
    floor = [side // PIPELINE_MULTIPLE * PIPELINE_MULTIPLE for side in (width, height)]
    if floor == [width, height]:
        return picture
    message = f"{width} x {height} pixels; sides must be multiples of {PIPELINE_MULTIPLE}"
    if min(floor) == 0:
        fix = f'enlarge it: `image = fit(image, condition="{row.name}")`'
    else:
        message += f", and the pipeline would squeeze it to {floor[0]} x {floor[1]} silently"
        fix = f"cut the rest off: `image = to_rgb(image)[: {floor[1]}, : {floor[0]}]`"
    findings.append(Finding("size", message, fix))
    return picture
