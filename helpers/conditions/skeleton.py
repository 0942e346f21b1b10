"""The skeleton of 18 joints as data: names, limbs and the colours in which both are drawn.

Joints and limbs are those of Cao, Simon, Wei and Sheikh (arXiv 1611.08050); the colours are those
of the preprocessor released with ControlNet (arXiv 2302.05543). Left and right are the person's.
"""

import colorsys

# fmt: off
JOINTS = (
    "nose", "neck",
    "right shoulder", "right elbow", "right wrist",
    "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle",
    "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7),             # shoulders and arms
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),       # hips and legs
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),               # head
    (2, 16), (5, 17),                                           # shoulder to ear
)
# fmt: on
"""Pairs of joints. The last two only help to tell people apart; they are never drawn."""

DRAWN_LIMBS = 17

COLOURS: tuple[tuple[int, int, int], ...] = tuple(
    tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue / 18, 1, 1))
    for hue in range(18)
)
"""RGB of joint i and of limb i: a wheel of 18 hues, 20 degrees apart, beginning at pure red."""
