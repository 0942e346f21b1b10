"""Whatever takes a picture refuses what is none, and says what it expected."""

import numpy as np
import pytest

from helpers.conditions.canny import (
    canny_by_hand,
    canny_edges,
    gaussian_blur,
    strongest_gradient,
)
from helpers.conditions.mlsd import detect_lines_lsd, straight_lines
from helpers.conditions.normal import decode_normals, reverse_channels
from helpers.conditions.scribble import (
    from_drawing,
    scribble,
    scribble_from_soft_edges,
    thin_soft_edges,
    xdog,
)
from helpers.conditions.seg import colours_to_labels, nearest_class, off_palette_share
from helpers.images import fit, to_grey, to_rgb

TAKERS = {
    "canny_by_hand": canny_by_hand,
    "canny_edges": canny_edges,
    "colours_to_labels": colours_to_labels,
    "decode_normals": decode_normals,
    "detect_lines_lsd": detect_lines_lsd,
    "fit": fit,
    "from_drawing": from_drawing,
    "gaussian_blur": lambda picture: gaussian_blur(picture, sigma=1),
    "nearest_class": nearest_class,
    "off_palette_share": off_palette_share,
    "reverse_channels": reverse_channels,
    "scribble": scribble,
    "scribble_from_soft_edges": scribble_from_soft_edges,
    "straight_lines": straight_lines,
    "strongest_gradient": strongest_gradient,
    "thin_soft_edges": thin_soft_edges,
    "to_grey": to_grey,
    "to_rgb": to_rgb,
    "xdog": xdog,
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(
    ("picture", "error"),
    [
        ("photo.png", TypeError),
        (None, TypeError),
        (np.zeros((8, 8, 3)), TypeError),
        (np.full((8, 8), np.nan), TypeError),
        (np.zeros((8, 8), np.uint16), TypeError),
        (np.zeros((0, 8, 3), np.uint8), ValueError),
        (np.zeros((8, 0, 3), np.uint8), ValueError),
        (np.zeros((3, 8, 8), np.uint8), ValueError),
        (np.zeros((1, 20_000, 3), np.uint8), ValueError),
    ],
    ids=[
        "a name",
        "nothing",
        "float",
        "NaN",
        "16 bits",
        "0 rows",
        "0 columns",
        "channels first",
        "wide",
    ],
)
def test_what_is_no_picture_is_refused(take, picture, error):
    with pytest.raises(error, match="expected"):
        take(picture)
