"""Faults of label maps: seg."""

import cv2
import numpy as np
from numpy.typing import NDArray

from helpers.catalogue import Condition
from helpers.conditions.ade20k import PALETTE, pack_colours
from helpers.faults.finding import Finding, Hit, Picture, again


def find_label_indices(picture: Picture, row: Condition) -> Hit | None:
    """Find class numbers that were never turned into colours."""
    labels = picture[:, :, 0]
    grey = (picture == labels[:, :, None]).all()
    if not grey or labels.max() >= len(PALETTE) or _off_palette(picture).mean() < 0.5:
        return None
    if len(np.unique(labels)) > 64:  # a dark photo
        return None
    height, width = labels.shape
    message = f"grey values from {labels.min()} to {labels.max()}: class numbers, not colours"
    code = f"image = PALETTE[np.asarray(image).reshape({height}, {width}, -1)[..., 0]]"
    fix = f"look up their colours (the files of ADE20K count from 1: subtract 1 first): `{code}`"
    return Finding("label indices", message, fix), PALETTE[labels]


def find_label_order(picture: Picture, row: Condition) -> Hit | None:
    """Find a palette in BGR."""
    now, swapped = _off_palette(picture).mean(), _off_palette(picture[:, :, ::-1]).mean()
    if now < 0.005 or swapped > now / 10:
        return None
    message = (
        f"{now:.0%} of the pixels are off the palette, {swapped:.0%} with red and blue swapped"
    )
    fix = "it is BGR: `image = to_rgb(image)[..., ::-1]`"
    return Finding("channel order", message, fix), picture[:, :, ::-1]


def find_off_palette(picture: Picture, row: Condition) -> Hit | None:
    """Find colours that are none of the 149 of ADE20K, and guess where they come from."""
    off = _off_palette(picture)
    if off.mean() < 1e-3:
        return None
    packed = pack_colours(picture)
    colours, counts = np.unique(packed[off], return_counts=True)
    message = (
        f"{off.mean():.1%} of the pixels have none of the palette's colours "
        f"({len(colours)} others, most often #{colours[counts.argmax()]:06x})"
    )
    near = counts[_palette_distance(colours) <= 8].sum() / counts.sum()
    grey = (np.ptp(picture, axis=2) <= 2).mean() > 0.99
    # Measured share of nearly right colours: photographs 0 to 0.1 (unless grey), JPEG 0.2 to 0.95.
    if len(colours) > 64 and off.mean() > 0.5 and (grey or near < 0.15):
        return Finding("photo", f"{message}: a photo", again(row, "segment it; ")), None
    # JPEG moves even flat areas, by a step or two. Measured share of all pixels that are wrong
    # although flat: JPEG 0.1 and more, resized maps up to 0.05.
    box = np.ones((3, 3), np.uint8)
    flat = off & ((cv2.dilate(picture, box) - cv2.erode(picture, box)).max(axis=2) <= 6)
    if len(colours) > 64 and flat.mean() > 0.07:
        return Finding("JPEG damage", f"{message}: JPEG", again(row, "save as PNG; ")), None
    # Wrong classes cover areas; mixed colours only line their borders.
    areas = cv2.morphologyEx(off.astype(np.uint8), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    if len(colours) > 64 or areas.sum() < 0.2 * off.sum():
        advice = "smoothed or resized; resize with nearest, as fit(image, condition='seg') does; "
        return Finding("mixed colours", message, again(row, advice)), None
    advice = "colours of another data set, or unlabelled pixels; "
    return Finding("wrong colours", message, again(row, advice)), None


def _off_palette(picture: Picture) -> NDArray[np.bool_]:
    return ~np.isin(pack_colours(picture), pack_colours(PALETTE))


def _palette_distance(packed: NDArray[np.int32]) -> NDArray[np.int16]:
    """Return the largest channel difference to the nearest colour of the palette."""
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1).astype(np.int16)
    nearest = np.full(len(colours), 255, np.int16)
    for colour in PALETTE.astype(np.int16):
        np.minimum(nearest, np.abs(colours - colour).max(axis=1), out=nearest)
    return nearest
