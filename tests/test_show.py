"""Figures: what is in them, and the words that stand for them."""

import io

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from helpers.show import Shown, bars, curves, strip

RED = np.zeros((50, 80, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
RAMP = np.linspace(0, 9, 4000).reshape(50, 80)


def pixels(shown: Shown) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(shown.data)).convert("RGB"))


def test_a_picture_is_shown_pixel_by_pixel_at_the_asked_height():
    shown = pixels(strip({"red": RED}, alt="a red area", height=100))
    red = (shown == [255, 0, 0]).all(axis=2)
    assert red.sum() == 100 * 160
    assert red[np.ix_(red.any(axis=1), red.any(axis=0))].all()


def test_a_map_of_numbers_gets_a_scale_beside_it():
    plain = pixels(strip({"a": RED}, alt="a red area", height=100))
    scaled = pixels(strip({"a": RAMP}, alt="a ramp", height=100))
    assert scaled.shape[1] > plain.shape[1]


def test_signed_maps_are_white_at_zero_blue_below_and_red_above():
    signs = np.repeat([[-1.0, 0.0, 1.0]], 2, axis=0)
    shown = pixels(strip({"a": signs}, alt="three signs", height=100, limits=(-1, 1)))
    row = shown[shown.shape[0] // 2].astype(int)
    left, middle, right = (row[12 + at] for at in (25, 75, 125))
    assert left[2] > left[0] + 40
    assert middle.min() > 240
    assert right[0] > right[2] + 40


def test_panels_go_into_columns():
    four = {str(number): RED for number in range(4)}
    wide = pixels(strip(four, alt="four red areas"))
    square = pixels(strip(four, alt="four red areas", columns=2))
    assert wide.shape[0] < square.shape[0]
    assert wide.shape[1] > square.shape[1]


def test_a_notebook_stores_the_words_with_the_picture():
    data, metadata = DisplayFormatter().format(strip({"red": RED}, alt="a red area"))
    assert set(data) == {"image/png", "text/plain"}
    assert data["text/plain"] == "a red area"
    assert metadata["image/png"]["alt"] == "a red area"


def test_photographs_are_stored_small():
    noise = np.random.default_rng(0).integers(0, 256, (240, 400, 3)).astype(np.uint8)
    shown = strip({"noise": noise}, alt="noise")
    assert shown.mime == "image/jpeg"


def test_curves_draw_one_line_each():
    shown = pixels(
        curves(
            [1, 2, 3], {"up": [1, 2, 3], "down": [3, 2, 1]}, alt="a cross", x_label="x", y_label="y"
        )
    )
    coloured = {tuple(pixel) for pixel in shown[np.ptp(shown, axis=2) > 100]}
    assert (31, 119, 180) in coloured
    assert (255, 127, 14) in coloured


@pytest.mark.parametrize(("panels", "alt"), [({}, "words"), ({"red": RED}, "  ")])
def test_a_figure_needs_panels_and_words(panels, alt):
    with pytest.raises(ValueError, match=r"expected at least one panel and an alt text.*describe"):
        strip(panels, alt=alt)


def test_curves_need_words_and_equal_lengths():
    with pytest.raises(ValueError, match="alt text"):
        curves([1], {"a": [1]}, alt="", x_label="x", y_label="y")
    with pytest.raises(ValueError, match=r"'a'.*2 values.*3 positions"):
        curves([1, 2, 3], {"a": [1, 2]}, alt="words", x_label="x", y_label="y")


@pytest.mark.parametrize(("logarithmic_x", "ratio"), [(False, 4.0), (True, None)])
def test_bars_are_as_long_as_their_numbers_and_the_first_is_on_top(logarithmic_x, ratio):
    shown = pixels(
        bars({"long": 4.0, "short": 1.0}, alt="two bars", x_label="s", logarithmic_x=logarithmic_x)
    ).astype(int)
    blue = (shown[:, :, 2] - shown[:, :, 0]) > 100
    lengths = blue.sum(axis=1)[blue.any(axis=1)]
    assert lengths[1] > lengths[-2]
    if ratio:
        assert lengths[1] / lengths[-2] == pytest.approx(ratio, rel=0.02)


def test_bars_need_numbers_and_words():
    with pytest.raises(ValueError, match="expected at least one bar and an alt text"):
        bars({}, alt="nothing", x_label="s")
