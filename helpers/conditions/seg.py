"""Segmentation maps: every pixel carries the colour of its class, exactly.

Labels are class numbers 0 to 149 of ADE20K (`helpers.conditions.ade20k`). `labels_to_colours`
paints them as the seg checkpoint reads them, `colours_to_labels` reads them back. A colour that
is off the palette by 1 is no class at all, so a map must be scaled with "nearest" and saved as
PNG. Taught in notebook 08.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.conditions.ade20k import CLASSES, PALETTE, pack_colours
from helpers.images import Picture, to_map, to_rgb

Labels = NDArray[np.integer]
"""Class numbers 0 to 149, shape (H, W)."""

ROAD, SKYSCRAPER = CLASSES.index("road"), CLASSES.index("skyscraper")


class LegendEntry(NamedTuple):
    """One class of a label map."""

    name: str
    colour: tuple[int, int, int]
    share: float
    """Of all pixels, from 0 to 1."""


def labels_to_colours(labels: Labels) -> Picture:
    """Paint each pixel in the colour of its class: the control image is palette[label].

    Args:
        labels: shape (H, W), whole numbers 0 to 149.

    Returns:
        Control image of shape (H, W, 3), uint8.

    Raises:
        TypeError: the labels are not whole numbers.
        ValueError: wrong shape, no pixels, or a number that is no class.
    """
    return PALETTE[to_labels(labels)]


def colours_to_labels(
    control_image: Image.Image | NDArray,
    *,
    road_or_skyscraper: Literal["road", "skyscraper"] = "road",
) -> NDArray[np.uint8]:
    """Read the class of each pixel from its colour: the inverse of `labels_to_colours`.

    Args:
        control_image: a segmentation map, anything `to_rgb` takes.
        road_or_skyscraper: which class (140, 140, 140) means. The two share it, so their map
            cannot tell them apart, and neither can the checkpoint. Road covers more of ADE20K.

    Returns:
        Labels of shape (H, W), uint8.

    Raises:
        TypeError: the control image is not an 8-bit picture.
        ValueError: some colours belong to no class, or the choice is neither of the two.
    """
    if road_or_skyscraper not in ("road", "skyscraper"):
        raise ValueError(f'expected "road" or "skyscraper", got {road_or_skyscraper!r}')
    labels, exact = _look_up(control_image)
    if not exact.all():
        off_palette = exact.size - np.count_nonzero(exact)
        raise ValueError(
            f"control_image: expected the {len(CLASSES)} colours of ADE20K only, got "
            f"{off_palette} of {exact.size} pixels ({off_palette / exact.size:.1%}) with others; "
            'scale it with "nearest", save it as PNG, or repair it with nearest_class'
        )
    if road_or_skyscraper == "skyscraper":
        labels[labels == ROAD] = SKYSCRAPER
    return labels


def off_palette_share(control_image: Image.Image | NDArray) -> float:
    """Return the share of pixels, 0 to 1, whose colour belongs to no class."""
    _, exact = _look_up(control_image)
    return 1 - float(np.mean(exact))


def nearest_class(control_image: Image.Image | NDArray) -> tuple[NDArray[np.uint8], float]:
    """Repair a damaged map: give each pixel the class whose colour is nearest in RGB.

    This is a guess. A mixed colour may be nearest to a third class, as the middle of sky and
    building is to "bag", so a repaired map can have seams of classes that were never there.

    Args:
        control_image: a segmentation map, anything `to_rgb` takes.

    Returns:
        Labels of shape (H, W), uint8, never "skyscraper", and the share of pixels, 0 to 1, whose
        colour had to be changed. Of equally near classes the first is taken.
    """
    picture = to_rgb(control_image, name="control_image")
    codes, inverse = np.unique(pack_colours(picture), return_inverse=True)
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    nearest = np.empty(len(codes), np.uint8)
    for start in range(0, len(codes), 65_536):
        some = slice(start, start + 65_536)
        nearest[some] = _squared_distances(colours[some]).argmin(axis=1)
    return nearest[inverse].reshape(picture.shape[:2]), off_palette_share(picture)


def legend(labels: Labels) -> list[LegendEntry]:
    """List the classes of a label map, the largest first.

    Args:
        labels: shape (H, W), whole numbers 0 to 149.

    Returns:
        One (name, colour, share) for each class that occurs; the shares add up to 1.
    """
    labels = to_labels(labels)
    counts = np.bincount(labels.ravel(), minlength=len(CLASSES))
    order = np.argsort(-counts, kind="stable")
    return [
        LegendEntry(CLASSES[k], tuple(PALETTE[k].tolist()), counts[k] / labels.size)
        for k in order[: np.count_nonzero(counts)].tolist()
    ]


def _look_up(control_image: Image.Image | NDArray) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the label of each pixel, road for the shared colour, and where it is exact."""
    codes = pack_colours(to_rgb(control_image, name="control_image"))
    known, first_class = np.unique(pack_colours(PALETTE), return_index=True)
    position = np.searchsorted(known, codes).clip(max=len(known) - 1)
    return first_class[position].astype(np.uint8), known[position] == codes


def _squared_distances(colours: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the squared RGB distances of N colours to the 150 classes, shape (N, 150)."""
    # |c - p|^2 = |c|^2 - 2 c.p + |p|^2 needs one matrix product, and float32 holds the whole
    # numbers that occur here exactly.
    c, p = colours.astype(np.float32), PALETTE.astype(np.float32)
    return (c**2).sum(axis=1)[:, None] - 2 * c @ p.T + (p**2).sum(axis=1)


def to_labels(labels: Labels) -> Labels:
    """Check a map of ADE20K classes from 0 to 149, shape (H, W), and return it unchanged."""
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        got = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise TypeError(f"labels: expected a NumPy array of whole numbers, got {got}")
    to_map(labels.astype(np.float32), name="labels")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= len(CLASSES):
        raise ValueError(
            f"labels: expected 0 to {len(CLASSES) - 1}, got {low} to {high}; the annotation files "
            "of ADE20K count from 1 (subtract 1), and 255 often marks unlabelled pixels"
        )
    return labels
