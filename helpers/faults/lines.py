"""Faults of line maps: canny, hed, mlsd, scribble."""

import cv2
import numpy as np
from numpy.typing import NDArray

from helpers.catalogue import Condition
from helpers.faults.finding import Finding, Hit, Picture, again, as_rgb


def find_photo_for_lines(picture: Picture, row: Condition) -> Hit | None:
    """Find large bright areas, which no line drawing has, with shades between black and white."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    shades = ((grey > 0) & (grey < 255)).mean()
    dark = grey if grey.mean() < 127.5 else 255 - grey
    # An opening removes all that is narrower than its kernel, so lines leave nothing. Measured:
    # soft edges 0 to 23, photographs 48 to 110 (fine textures 25). The darkest twentieth is
    # below 25 in soft edges and above 45 in fine textures.
    side = round(min(grey.shape) / 16) | 1
    areas = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)).mean()
    if shades < 0.5 or (areas < 36 and np.percentile(dark, 5) < 35):
        return None
    message = (
        f"{shades:.0%} of the pixels are shades of grey and areas wider than {side} pixels "
        f"remain (mean {areas:.0f} of 255): a photo or another filled picture, not lines"
    )
    return Finding("photo", message, again(row, "extract the lines first; ")), None


def find_inverted_lines(picture: Picture, row: Condition) -> Hit | None:
    """Find dark lines on a bright ground."""
    mean = picture.mean()
    if mean <= 127.5:
        return None
    message = f"dark lines on white (mean {mean:.0f} of 255); the network reads white on black"
    fix = "invert it: `image = 255 - to_rgb(image)`"
    return Finding("inverted polarity", message, fix), 255 - picture


def find_colour(picture: Picture, row: Condition) -> Hit | None:
    """Find colour in a map that has only greys."""
    coloured = (np.ptp(picture, axis=2) > 24).sum()
    drawn = (picture.max(axis=2) > 24).sum()
    if coloured <= 0.05 * drawn:
        return None
    message = f"{coloured / drawn:.0%} of the drawn pixels are coloured; this map has only greys"
    fix = "keep the brightest channel: `image = to_rgb(to_rgb(image).max(axis=2))`"
    return Finding("colour in a grey map", message, fix), as_rgb(picture.max(axis=2))


def find_shades(picture: Picture, row: Condition) -> Hit | None:
    """Find what made a map of pure black and white grey: a soft detector, JPEG, or a resize."""
    grey = picture[:, :, 0]
    shades = ((grey > 0) & (grey < 255)).mean()
    if shades < 5e-4:
        return None
    dirt = dirt_away_from_strokes(grey)
    limit = int(grey.max()) // 2
    cut = f"image = to_rgb(255 * (to_rgb(image)[..., 0] > {limit}).astype(np.uint8))"
    message = f"{shades:.1%} of the pixels are neither black nor white"
    # Measured: soft edges 0.75 to 1, JPEG 0.03 to 0.5, resized lines 0 to 0.03 (and up to 0.27
    # when Lanczos enlarged them, which rings as JPEG does).
    if dirt > 0.6:
        message += ", and they fade away softly: a soft edge map (HED), not thin lines"
        return Finding("soft edges", message, again(row)), None
    if dirt > 0.03:
        fault, cause = "JPEG damage", f", {dirt:.0%} even 4 to 8 pixels from any line: JPEG"
        advice = "save control images as PNG; threshold this one"
    elif row.name != "scribble":
        message += ", all close to lines: smoothed or resized"
        return Finding("grey pixels", message, again(row, "do so at the final size; ")), None
    else:
        fault, cause = "grey pixels", ", all close to lines: smoothed or resized"
        advice = "resize with fit(image, condition=...) only; threshold this one"
    clean = as_rgb(np.where(grey > limit, 255, 0).astype(np.uint8))
    return Finding(fault, message + cause, f"{advice}: `{cut}`"), clean


def find_hard_edges(picture: Picture, row: Condition) -> Hit | None:
    """Find a map of hard lines where soft ones are read."""
    drawn = picture[:, :, 0] > 0
    shades = (drawn & (picture[:, :, 0] < 255)).sum() / drawn.sum()
    if shades > 0.1:
        return None
    message = f"only {shades:.0%} of the drawn pixels are grey: hard lines, such as Canny's"
    return Finding("hard edges", message, again(row, "use a soft edge detector; ")), None


def find_thick_lines(picture: Picture, row: Condition) -> Hit | None:
    """Find lines wider than one pixel (canny, mlsd) or filled areas (scribble)."""
    white = (picture[:, :, 0] > 127).astype(np.uint8)
    if row.name == "scribble":
        # The largest distance to black is half the width of the thickest stroke.
        inside = cv2.distanceTransform(np.pad(white, 1), cv2.DIST_L2, 5)
        width, limit = 2 * inside.max(), min(white.shape) / 16
        if width <= limit:
            return None
        message = f"a stroke is {width:.0f} pixels wide; plausible are up to {limit:.0f}"
        outline = "cv2.morphologyEx(to_rgb(image), cv2.MORPH_GRADIENT, np.ones((5, 5)))"
        return Finding("thick lines", message, f"draw outlines: `image = {outline}`"), None
    blocks = cv2.morphologyEx(white, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    share = blocks.sum() / max(white.sum(), 1)
    # Measured: lines one pixel wide 0 to 0.03, lines of two or more pixels 0.9 and above.
    if share < 0.3:
        return None
    message = f"{share:.0%} of the white pixels lie in 2 x 2 blocks; lines are one pixel wide"
    thin = "image = to_rgb(255 * skeletonize(to_grey(image) > 127).astype(np.uint8))"
    return Finding("thick lines", message, f"thin them (skimage.morphology): `{thin}`"), None


def dirt_away_from_strokes(grey: NDArray[np.uint8]) -> float:
    """Return the share of pixels that are not black among those 4 to 8 pixels from a stroke.

    JPEG spreads an edge over its block of 8 x 8 pixels; a resize reaches only its neighbours.
    """
    distance = cv2.distanceTransform((grey < 64).astype(np.uint8), cv2.DIST_L2, 5)
    band = (distance > 4) & (distance <= 8)
    return float(((grey > 0) & band).sum() / max(band.sum(), 1))
