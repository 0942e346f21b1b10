"""The words of a check: a fault, what was measured, and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from helpers.catalogue import Condition

Picture = NDArray[np.uint8]
"""An RGB picture: shape (height, width, 3), uint8, 0 to 255."""

Fault = Literal[
    # of the array
    "axes", "data type", "value range", "not finite", "one channel", "alpha channel", "size",
    # of any control image
    "border", "empty", "uniform", "photo", "inverted polarity", "JPEG damage", "channel order",
    # of lines
    "colour in a grey map", "soft edges", "hard edges", "grey pixels", "thick lines",
    # of depth and normals
    "few levels", "low contrast", "grey map", "black background", "facing away",
    "not unit length", "axis sign",
    # of skeletons and labels
    "wrong colours", "mixed colours", "label indices",
]  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One fault of a control image.

    Attributes:
        fault: short name that stays the same from version to version.
        message: what is wrong, with the number that was measured.
        fix: what to do, with a line of code between backticks. The line takes the control image
            as `image` and leaves the better one in `image`; `photo`, `depth` (inverse depth),
            `people` and `labels` stand for what the control image was made from.
    """

    fault: Fault
    message: str
    fix: str


Hit = tuple[Finding, Picture | None]
"""A finding, and the picture without its fault; None where no repair is possible."""
Check = Callable[[Picture, Condition], Hit | None]

_REMAKE = {
    "canny": ("helpers.conditions.canny", "canny_edges(photo)"),
    "depth": ("helpers.conditions.depth", "depth_image(depth)"),
    "hed": (
        "controlnet_aux",
        'np.asarray(HEDdetector.from_pretrained("lllyasviel/Annotators")(photo))',
    ),
    "mlsd": ("helpers.conditions.mlsd", "straight_lines(photo)"),
    "normal": ("helpers.conditions.normal", "normal_map(depth)"),
    "openpose": ("helpers.conditions.openpose", "draw_skeleton(people, *photo.shape[:2])"),
    "scribble": ("helpers.conditions.scribble", "scribble(photo)"),
    "seg": ("helpers.conditions.seg", "labels_to_colours(labels)"),
}


def again(row: Condition, advice: str = "") -> str:
    """Return the advice to make the control image anew, with the line that does it."""
    module, code = _REMAKE[row.name]
    return f"{advice}make it again ({module}): `image = {code}`"


def as_rgb(grey: NDArray[np.uint8]) -> Picture:
    """Copy a grey map of shape (H, W) to three channels."""
    return np.repeat(grey[:, :, None], 3, axis=2)


def detail_of(picture: Picture) -> float:
    """Return the median absolute Laplacian at 384 pixels.

    Measured: depth maps 0 or 1, photographs 2 to 31.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    scale = min(1, 384 / min(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(np.median(np.abs(cv2.Laplacian(small, cv2.CV_16S))))
