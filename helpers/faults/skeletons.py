"""Faults of drawn skeletons: openpose."""

from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from helpers.catalogue import Condition
from helpers.conditions.skeleton import COLOURS, DRAWN_LIMBS, LIMBS
from helpers.faults.finding import Finding, Hit, Picture, again
from helpers.faults.lines import dirt_away_from_strokes


def find_wrong_ground(picture: Picture, row: Condition) -> Hit | None:
    """Find a skeleton that is not on black: inverted, or drawn over a photo."""
    drawn = picture.max(axis=2) >= 40
    if drawn.mean() < 0.5:
        return None
    if ((255 - picture).max(axis=2) >= 40).mean() >= 0.5:
        message = (
            f"{drawn.mean():.0%} of the pixels are not black: a photo lies behind the skeleton"
        )
        return Finding("photo", message, again(row, "detect the pose first; ")), None
    message = f"{drawn.mean():.0%} of the pixels are bright; the ground is black"
    on_black = np.where((picture == 255).all(axis=2, keepdims=True), np.uint8(0), picture)
    inverted = 255 - picture
    if _limb_share(on_black) > _limb_share(inverted):
        code = "image = to_rgb(image); image[(image == 255).all(axis=2)] = 0"
        return Finding("inverted polarity", message, f"make white black: `{code}`"), on_black
    fix = "invert it: `image = 255 - to_rgb(image)`"
    return Finding("inverted polarity", message, fix), inverted


def find_rings_around_skeleton(picture: Picture, row: Condition) -> Hit | None:
    """Find the traces of JPEG."""
    dirt = dirt_away_from_strokes(picture.max(axis=2))
    # Measured: JPEG 0.48 to 0.90, resized skeletons 0 to 0.22, good ones 0.
    if dirt < 0.35:
        return None
    message = f"{dirt:.0%} of the pixels 4 to 8 pixels away from the skeleton are not black: JPEG"
    return Finding("JPEG damage", message, again(row, "save as PNG; ")), None


def find_mixed_limbs(picture: Picture, row: Condition) -> Hit | None:
    """Find colours darker than any limb: the rim of a smoothed or resized skeleton."""
    brightest = picture.max(axis=2)
    # Limbs are drawn at 60 % and only get brighter where they overlap.
    share = (brightest[brightest > 0] < 140).mean()
    if share < 0.03:
        return None
    message = f"{share:.0%} of the drawn pixels are darker than any limb: smoothed or resized"
    advice = "scale the joints and draw at the final size, or resize with nearest; "
    return Finding("mixed colours", message, again(row, advice)), None


def find_foreign_limbs(picture: Picture, row: Condition) -> Hit | None:
    """Find colours that are not on the wheel of 18 hues."""
    share = _limb_share(picture)
    # Measured: good skeletons 0.52 to 0.9, even small ones.
    if share > 0.45:
        return None
    message = (
        f"{share:.0%} of the drawn pixels have the colour of a limb, 60 % of one of 18 hues: "
        "another skeleton, such as COCO 17, or another drawing style"
    )
    return Finding("wrong colours", message, again(row)), None


def find_limb_order(picture: Picture, row: Condition) -> Hit | None:
    """Find a skeleton whose colours are on the wheel, but on the wrong limbs.

    Swapping red and blue turns hue i into hue 12 - i, which is again on the wheel. Which limbs
    meet tells the two apart: a forearm ends at its own upper arm.
    """
    meeting = {
        frozenset(pair)
        for pair in combinations(range(DRAWN_LIMBS), 2)
        if set(LIMBS[pair[0]]) & set(LIMBS[pair[1]])
    }
    touching = _touching_hues(picture)
    right = sum(frozenset(pair) in meeting for pair in touching)
    swapped = sum(frozenset((12 - hue) % 18 for hue in pair) in meeting for pair in touching)
    # Measured share of right pairs: good skeletons 0.63 to 1, wrong or swapped ones up to 0.48.
    if len(touching) < 4 or right >= 0.5 * len(touching):
        return None
    message = f"of {len(touching)} pairs of limbs that meet, only {right} belong together"
    if swapped >= 0.5 * len(touching):
        message += f", but {swapped} with red and blue swapped"
        fix = "it is BGR: `image = to_rgb(image)[..., ::-1]`"
        return Finding("channel order", message, fix), picture[:, :, ::-1]
    return Finding("wrong colours", message, again(row, "it is another skeleton; ")), None


def _limbs() -> NDArray[np.float64]:
    """Return the colours of the limbs, by hue: joints are as bright as can be, limbs at 60 %."""
    return 0.6 * np.array(COLOURS)


def _limb_share(picture: Picture) -> float:
    """Return how many of the drawn pixels have the colour of a limb, 60 % of one of the wheel."""
    drawn = picture[picture.max(axis=2) >= 40]
    if not drawn.size:
        return 0.0
    return float((np.max([_near(drawn[None], limb) for limb in _limbs()], axis=0) > 0).mean())


def _near(picture: Picture, colour: NDArray) -> NDArray[np.uint8]:
    return cv2.inRange(picture, colour - 2.0, colour + 2.0)


def _touching_hues(picture: Picture) -> list[tuple[int, int]]:
    """Return the pairs of hues of limbs that end at the same place."""
    ends = []
    for hue, colour in enumerate(_limbs()):
        count, parts, boxes, _ = cv2.connectedComponentsWithStats(_near(picture, colour))
        for part in range(1, count):
            if boxes[part, cv2.CC_STAT_AREA] >= 20:
                ends.append((hue, _tips(np.argwhere(parts == part))))
    if not ends:
        return []
    # Joints hide the last pixels of a limb; in small figures other limbs lie as near.
    reach = min(16, np.median([np.linalg.norm(tips[0] - tips[1]) for _, tips in ends]) / 2)
    return [
        (first, second)
        for (first, tips), (second, others) in combinations(ends, 2)
        if first != second and np.linalg.norm(tips[:, None] - others[None], axis=2).min() < reach
    ]


def _tips(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the two outermost points, shape (2, 2), along the longest axis of a limb."""
    centred = points - points.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    return points[[along.argmin(), along.argmax()]]
