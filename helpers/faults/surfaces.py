"""Faults of maps of surfaces: depth and normals."""

import cv2
import numpy as np
from numpy.typing import NDArray

from helpers.catalogue import Condition
from helpers.faults.finding import Finding, Hit, Picture, again, detail_of


def find_photo_for_depth(picture: Picture, row: Condition) -> Hit | None:
    """Find fine detail, which depth maps do not have, or colour."""
    coloured = (np.ptp(picture, axis=2) > 24).mean()
    detail = detail_of(picture)
    if detail < 2 and coloured < 0.01:
        return None
    shades = len(np.unique((picture >> 4).astype(np.int32) @ np.int32([256, 16, 1])))
    # A colour map is a curve: it meets at most 75 cells of 16 levels; photographs meet 170 up.
    if detail >= 2 or shades > 150:
        message = f"fine detail everywhere (median Laplacian {detail:.0f}): a photo, not depth"
        return Finding("photo", message, again(row, "estimate the depth first; ")), None
    message = f"{coloured:.0%} of the pixels are coloured: depth drawn with a colour map"
    return Finding("colour in a grey map", message, again(row, "take the numbers; ")), None


def find_few_levels(picture: Picture, row: Condition) -> Hit | None:
    """Find a mask or a posterised map in place of depth."""
    levels = len(np.unique(picture[:, :, 0]))
    if levels >= 16:
        return None
    message = f"{levels} grey levels: a mask or a line drawing, not depth"
    return Finding("few levels", message, again(row)), None


def find_low_contrast(picture: Picture, row: Condition) -> Hit | None:
    """Find depth that was not stretched from black to white."""
    least, most = int(picture.min()), int(picture.max())
    if most - least >= 64:
        return None
    message = f"greys from {least} to {most}; the farthest point is 0 and the nearest 255"
    fix = "stretch it: `image = cv2.normalize(to_rgb(image), None, 0, 255, cv2.NORM_MINMAX)`"
    stretched = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    return Finding("low contrast", message, fix), stretched


def find_inverted_depth(picture: Picture, row: Condition) -> Hit | None:
    """Find depth whose top is much nearer than its bottom, where the ground usually is."""
    quarter = max(1, len(picture) // 4)
    top, bottom = picture[:quarter].mean(), picture[-quarter:].mean()
    if top - bottom < 48:
        return None
    message = (
        f"the top (mean {top:.0f}) is nearer than the bottom (mean {bottom:.0f}): near is black?"
    )
    fix = "white is near; unless this is a ceiling, invert it: `image = 255 - to_rgb(image)`"
    return Finding("inverted polarity", message, fix), 255 - picture


def find_photo_for_normals(picture: Picture, row: Condition) -> Hit | None:
    """Find a picture without the colours of directions: a photo, or a grey map."""
    detail = detail_of(picture)
    if (np.ptp(picture, axis=2) > 24).mean() < 0.01 and detail < 2:
        message = "no colour: a depth map, or one of its gradients"
        return Finding("grey map", message, again(row)), None
    drawn = picture.max(axis=2) > 3
    wrong = (np.abs(_lengths(picture) - 1) > 0.1)[drawn].mean()
    facing = max((picture[drawn][:, channel] >= 120).mean() for channel in (0, 2))
    if wrong < 0.3 or facing > 0.98:
        return None
    message = f"{wrong:.0%} of the pixels are no direction in space: a photo, not normals"
    return Finding("photo", message, again(row, "estimate the depth first; ")), None


def find_black_background(picture: Picture, row: Condition) -> Hit | None:
    """Find black where a renderer saw nothing; the flat colour says that."""
    black = picture.max(axis=2) <= 3
    if black.mean() < 0.01:
        return None
    mean = picture[~black].mean(axis=0)
    flat = row.background if mean[2] >= mean[0] else row.background[::-1]
    message = f"{black.mean():.0%} of the pixels are black, which is no direction"
    code = f"image = to_rgb(image); image[image.max(axis=2) <= 3] = {flat}"
    filled = np.where(black[:, :, None], np.uint8(flat), picture)
    return Finding("black background", message, f"make it flat: `{code}`"), filled


def find_normal_order(picture: Picture, row: Condition) -> Hit | None:
    """Find z in the red channel: z faces the viewer, so its channel never falls below 127."""
    away = [(picture[:, :, channel] < 120).mean() for channel in (0, 2)]
    brighter = picture[:, :, 0].mean() - picture[:, :, 2].mean() > 40
    if away[0] > 0.01 or (away[1] <= 0.01 and not brighter):
        return None
    message = (
        f"the channel where z belongs falls below 127 in {away[1]:.0%} of the pixels, which z "
        f"never does, and the one where x belongs in {away[0]:.0%}: red and blue look exchanged"
    )
    fix = (
        "swap red and blue: `image = to_rgb(image)[..., ::-1]`; or pass the other channel_order "
        '("xyz" is what people look at, "zyx" what the network is fed)'
    )
    return Finding("channel order", message, fix), picture[:, :, ::-1]


def find_facing_away(picture: Picture, row: Condition) -> Hit | None:
    """Find surfaces that a camera cannot see: normals in the coordinates of the world."""
    away = (picture[:, :, 2] < 120).mean()
    if away < 0.02:
        return None
    message = f"{away:.0%} of the normals face away from the viewer: world, not camera, coordinates"
    return Finding("facing away", message, again(row)), None


def find_wrong_lengths(picture: Picture, row: Condition) -> Hit | None:
    """Find vectors that were not divided by their length."""
    lengths = _lengths(picture)
    long, short = (lengths > 1.1).mean(), (lengths < 0.8).mean()
    # A resize mixes directions and shortens some vectors (up to 0.08 of all); it lengthens none.
    # Unscaled slopes: 0.008 to 0.08 of all are too long.
    if long < 0.004 and short < 0.15:
        return None
    message = f"{long:.1%} of the vectors are longer than 1.1 and {short:.1%} shorter than 0.8"
    code = (
        "n = to_rgb(image) / 127.5 - 1; n /= np.linalg.norm(n, axis=2, keepdims=True); "
        "image = np.rint(127.5 * n + 127.5).astype(np.uint8)"
    )
    n = picture / np.float32(127.5) - 1
    unit = np.rint(127.5 * n / np.maximum(lengths, 1e-6)[:, :, None] + 127.5).astype(np.uint8)
    return Finding("not unit length", message, f"normalise them: `{code}`"), unit


def find_axis_sign(picture: Picture, row: Condition) -> Hit | None:
    """Find one axis that points the other way, as in the normal maps of renderers.

    The slopes of a surface belong together: d/dy of the slope in x is d/dx of the slope in y.
    With the sign of one axis flipped the two are opposite.
    """
    n = picture / np.float32(127.5) - 1
    slopes = np.clip(n[:, :, :2] / np.maximum(n[:, :, 2:], 0.1), -3, 3)
    slopes = cv2.GaussianBlur(slopes, (0, 0), 2)
    first = cv2.Sobel(slopes[:, :, 0], cv2.CV_32F, 0, 1)
    second = cv2.Sobel(slopes[:, :, 1], cv2.CV_32F, 1, 0)
    strength = float(np.sqrt((first**2).sum() * (second**2).sum()))
    agreement = float((first * second).sum()) / max(strength, 1e-6)
    if strength / first.size < 1e-4 or agreement > -0.3:
        return None
    message = f"the slopes in x and y contradict each other (correlation {agreement:.2f})"
    fix = (
        "one axis is flipped; red is left here and right in most renderers: "
        "`image = to_rgb(image); image[..., 0] = 255 - image[..., 0]`"
    )
    return Finding("axis sign", message, fix), None


def _lengths(picture: Picture) -> NDArray[np.float32]:
    return np.linalg.norm(picture / np.float32(127.5) - 1, axis=2)
