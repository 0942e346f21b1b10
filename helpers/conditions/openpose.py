"""Human pose: the skeleton that the openpose checkpoint reads, drawn as its authors drew it.

People are float arrays of shape (P, 18, 2), or (P, 18, 3) with a score: one row a person, one
(x, y) in pixels a joint, in the order of `JOINTS`. A joint that is not seen is NaN. Left and right
are the person's own.

How people are found in the maps of a network is in `helpers.conditions.openpose_decode`.

Sources: the drawing rules of the preprocessors released with Zhang, Rao and Agrawala, "Adding
Conditional Control to Text-to-Image Diffusion Models" (arXiv 2302.05543), versions 1.0 and 1.1,
written down here as facts; the joints and limbs of Cao, Simon, Wei and Sheikh, "Realtime
Multi-Person 2D Pose Estimation using Part Affinity Fields" (arXiv 1611.08050). The OpenPose
programs may not be used commercially, and no code of theirs is here.
"""

import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.conditions.skeleton import COLOURS, DRAWN_LIMBS, JOINTS, LIMBS
from helpers.images import MAX_SIDE, Picture, check_size

People = NDArray[np.float64]
"""Joints of people: shape (P, 18, 2) or (P, 18, 3), x, y in pixels and a score, NaN if unseen."""

RADIUS = 4
"""Of a joint's disc, and half the width of a limb, in pixels at every picture size."""

Style = Literal["1.0", "1.1"]


def draw_skeleton(people: ArrayLike, height: int, width: int, *, style: Style = "1.0") -> Picture:
    """Draw people as the coloured skeletons that the openpose checkpoint was trained on.

    Taught in notebook 07. Joints and limbs partly outside the picture are cut at its border.

    Args:
        people: shape (P, 18, 2) or (P, 18, 3), in pixels, NaN where a joint is missing. Any
            scores are ignored. No person (P = 0) gives a black picture.
        height: of the picture, in pixels, 1 to `MAX_SIDE`.
        width: of the picture, in pixels, 1 to `MAX_SIDE`.
        style: "1.0", which `sd-controlnet-openpose` learnt: first all joints, then each limb laid
            over them, 40 % old and 60 % new. "1.1", which later checkpoints learnt and
            controlnet_aux draws: person by person, limbs at 60 % brightness and bright joints
            on top.

    Returns:
        Array of shape (height, width, 3), uint8, RGB.

    Raises:
        TypeError: joints that are not real numbers, or sides that are not integers.
        ValueError: another number of joints, infinite joints or joints far outside, a size
            outside 1 to `MAX_SIDE`, or an unknown style.
    """
    joints = to_people(people)[:, :, :2]
    check_size(height, width)
    if style not in ("1.0", "1.1"):
        raise ValueError(
            f'style: expected "1.0" or "1.1", got {style!r}; sd-controlnet-openpose reads "1.0"'
        )
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    if style == "1.0":
        _draw_joints(canvas, joints)
        for limb in range(DRAWN_LIMBS):
            for person in joints:
                _draw_limb(canvas, person, limb, old=0.4, new=0.6)
    else:
        for person in joints:
            for limb in range(DRAWN_LIMBS):
                _draw_limb(canvas, person, limb, old=0, new=0.6)
            _draw_joints(canvas, person[None])
    return canvas


def to_people(people: ArrayLike, *, name: str = "people") -> People:
    """Check joints and return them as a float64 array of shape (P, 18, 2) or (P, 18, 3).

    Raises:
        TypeError: not real numbers.
        ValueError: another shape, or a coordinate that is infinite or farther than `MAX_SIDE`
            from the picture's corner.
    """
    array = np.asarray(people)
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"{name}: expected real numbers, got {array.dtype}; write a missing joint as NaN"
        )
    if array.ndim != 3 or array.shape[1] != len(JOINTS) or array.shape[2] not in (2, 3):
        raise ValueError(
            f"{name}: expected shape (people, {len(JOINTS)}, 2 or 3), got {array.shape}; "
            "one person needs an axis in front (person[None]), nobody is np.empty((0, 18, 2)), "
            "and other skeletons (COCO 17, BODY 25) must be reordered as in JOINTS"
        )
    joints = array.astype(np.float64)
    if (np.abs(joints[:, :, :2]) > MAX_SIDE).any():
        raise ValueError(
            f"{name}: expected joints in pixels, within {MAX_SIDE} of the corner, or NaN, got "
            f"{np.nanmax(np.abs(joints[:, :, :2]))}; write a joint that is not seen as NaN"
        )
    return joints


def _draw_joints(canvas: Picture, joints: People) -> None:
    for joint, colour in enumerate(COLOURS):
        for x, y in joints[:, joint]:
            if not math.isnan(x + y):
                cv2.circle(canvas, (int(x), int(y)), RADIUS, colour, thickness=-1)


def _draw_limb(canvas: Picture, person: People, limb: int, *, old: float, new: float) -> None:
    """Lay one limb over the canvas: `old` of what is there and `new` of the limb's colour."""
    ends = person[list(LIMBS[limb])]
    if np.isnan(ends).any():
        return
    ellipse = _ellipse(*ends)
    # Only the box round the ellipse is touched: blending the whole canvas gives the same picture.
    left, top = np.maximum(ellipse.min(axis=0), 0)
    right, bottom = np.maximum(ellipse.max(axis=0) + 1, 0)
    box = canvas[top:bottom, left:right]
    if box.size == 0:
        return
    inside = np.zeros(box.shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(inside, ellipse - (left, top), 1)
    blended = cv2.addWeighted(box, old, np.full_like(box, COLOURS[limb]), new, 0)
    np.copyto(box, blended, where=inside[:, :, None] == 1)


def _ellipse(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.int32]:
    """Corner points (n, 2) of the thin ellipse that stands for a limb.

    Centre, half length and angle in degrees are cut to integers, so a limb may miss its joints
    by a pixel. The checkpoint has seen them so.
    """
    centre = (start + end) / 2
    dx, dy = start - end
    half_length = int(math.hypot(dx, dy) / 2)
    angle = int(math.degrees(math.atan2(dy, dx)))
    return cv2.ellipse2Poly(
        (int(centre[0]), int(centre[1])), (half_length, RADIUS), angle, 0, 360, 1
    )
