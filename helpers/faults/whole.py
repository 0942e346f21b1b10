"""Faults that any control image may have."""

import numpy as np

from helpers.catalogue import PIPELINE_MULTIPLE, Condition
from helpers.faults.finding import Finding, Hit, Picture, again


def find_border(picture: Picture, row: Condition) -> Hit | None:
    """Find a white margin on all four sides, as a saved figure has it."""
    coloured = (picture < 250).any(axis=2)
    rows = np.flatnonzero(coloured.mean(axis=1) > 0.5)
    columns = np.flatnonzero(coloured.mean(axis=0) > 0.5)
    if not rows.size or not columns.size:
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    height, width = coloured.shape
    margins = (top, height - bottom, left, width - right)
    outside = coloured.sum() - coloured[top:bottom, left:right].sum()
    # Tick labels may lie in the margin; a map that is bright at its rim has no such margin.
    if min(margins) < 0.02 * max(height, width) or outside > 0.1 * (
        coloured.size - (bottom - top) * (right - left)
    ):
        return None
    message = (
        f"a white margin of {margins[0]} to {margins[1]} pixels above and below and {margins[2]} "
        f"to {margins[3]} at the sides, as a saved figure has it"
    )
    bottom -= (bottom - top) % PIPELINE_MULTIPLE
    right -= (right - left) % PIPELINE_MULTIPLE
    fix = (
        f"cut it off: `image = to_rgb(image)[{top}:{bottom}, {left}:{right}]`; save control "
        "images with Image.fromarray(image).save(path), not with a plotting library"
    )
    return Finding("border", message, fix), picture[top:bottom, left:right]


def find_uniform(picture: Picture, row: Condition) -> Hit | None:
    """Find a picture of one colour: nothing was detected, or nothing was drawn."""
    spread = np.ptp(picture.reshape(-1, 3), axis=0).max()
    if spread >= 8:
        return None
    red, green, blue = (round(value) for value in picture.reshape(-1, 3).mean(axis=0))
    message = f"every pixel is ({red}, {green}, {blue}); the picture says nothing"
    advice = {
        "canny": "lower the thresholds and ",
        "mlsd": "lower the thresholds (the released detector hides its errors) and ",
        "openpose": "no person was found, or the photo already was a skeleton; ",
    }.get(row.name, "")
    fault = "empty" if row.background == (0, 0, 0) else "uniform"
    return Finding(fault, message, again(row, advice)), None
