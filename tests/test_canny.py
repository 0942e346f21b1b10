"""The written-out Canny detector equals cv2.Canny, and each stage has known answers."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from helpers.conditions.canny import (
    FALLING,
    HORIZONTAL,
    RISING,
    VERTICAL,
    canny_by_hand,
    canny_edges,
    direction,
    gaussian_blur,
    gradient_magnitude,
    hysteresis,
    non_maximum_suppression,
    sobel,
    strongest_gradient,
)
from helpers.images import load_image, to_grey

PHOTOS = sorted(
    path for path in Path(skimage.data.__file__).parent.iterdir() if path.suffix in (".png", ".jpg")
)
"""Every picture that scikit-image carries with it."""

small_channels = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9))
small_pictures = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9).map(lambda shape: (*shape, 3))
)


def test_the_real_photographs_are_there():
    assert {"astronaut.png", "coffee.png", "motorcycle_left.png"} <= {p.name for p in PHOTOS}
    assert len(PHOTOS) > 20


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_every_stage_together_equals_opencv_on_every_pixel_of_a_photograph(path):
    photo = load_image(path)[:512, :768]
    for (low, high), l2 in product(((100, 200), (30, 80.5)), (False, True)):
        expected = cv2.Canny(photo, low, high, L2gradient=l2)
        ours = canny_by_hand(photo, low=low, high=high, l2=l2)
        np.testing.assert_array_equal(ours, np.dstack([expected] * 3))


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_a_grey_photograph_has_the_edges_that_opencv_finds_in_it(path):
    grey = to_grey(load_image(path)[:512, :768])
    np.testing.assert_array_equal(canny_by_hand(grey)[:, :, 0], cv2.Canny(grey, 100, 200))


@given(small_pictures, st.integers(0, 800), st.integers(0, 800), st.booleans())
def test_every_stage_together_equals_opencv_on_any_picture(picture, one, other, l2):
    low, high = sorted((one, other))
    expected = cv2.Canny(picture, low, high, L2gradient=l2)
    ours = canny_by_hand(picture, low=low, high=high, l2=l2)
    np.testing.assert_array_equal(ours[:, :, 0], expected)


@given(small_pictures, st.sampled_from([0, 0.8, 2]), st.booleans())
def test_the_fast_function_equals_the_written_out_one(picture, blur_sigma, l2):
    knobs = {"low": 40, "high": 90, "blur_sigma": blur_sigma, "l2": l2}
    np.testing.assert_array_equal(canny_edges(picture, **knobs), canny_by_hand(picture, **knobs))


def test_the_control_image_is_white_on_black_rgb_of_the_photo_s_size():
    photo = skimage.data.astronaut()[:200, :300]
    control_image = canny_edges(photo)
    assert control_image.shape == (200, 300, 3)
    assert control_image.dtype == np.uint8
    assert set(np.unique(control_image)) == {0, 255}
    assert 0.02 < (control_image > 0).mean() < 0.25


def test_the_border_of_a_white_square_is_found_within_one_pixel():
    photo = np.zeros((40, 40), np.uint8)
    photo[10:30, 10:30] = 255
    edges = canny_edges(photo)[:, :, 0] > 0
    rows, columns = np.nonzero(edges)
    assert {rows.min(), columns.min()} <= {9, 10}
    assert {rows.max(), columns.max()} <= {29, 30}
    assert not edges[12:28, 12:28].any()
    assert (edges.sum(axis=0)[12:28] == 2).all(), "one pixel thick above, one below"


def test_a_flat_picture_has_no_edges():
    assert not canny_edges(np.full((20, 30, 3), 77, np.uint8)).any()


def test_colours_of_equal_brightness_have_an_edge_that_a_grey_picture_lacks():
    photo = np.zeros((20, 20, 3), np.uint8)
    photo[:, :10] = (200, 0, 0)
    photo[:, 10:] = (0, 102, 0)
    assert np.ptp(to_grey(photo)) <= 1
    assert canny_edges(photo).any()
    assert not canny_edges(to_grey(photo)).any()


def test_a_lower_threshold_only_adds_edges():
    photo = skimage.data.coffee()[:200, :200]
    few, more, most = (canny_edges(photo, low=low, high=200) > 0 for low in (150, 100, 20))
    assert (few <= more).all()
    assert (more <= most).all()
    assert few.sum() < more.sum() < most.sum()


def test_a_blur_removes_the_edges_of_fine_grass():
    photo = skimage.data.grass()[:200, :200]
    sharp, smooth = (canny_edges(photo, blur_sigma=sigma).mean() for sigma in (0, 3))
    assert smooth < sharp / 10


def test_nothing_is_stronger_than_the_limit_that_the_docstring_states():
    patches = np.array(list(product([0, 255], repeat=9)), np.uint8).reshape(-1, 3, 3)
    gradients = [[centre[1, 1] for centre in sobel(patch)] for patch in patches]
    dx, dy = (np.array([part]) for part in zip(*gradients, strict=True))
    assert dx.max() == dy.max() == 1020
    assert gradient_magnitude(dx, dy).max() == 1530
    assert int(gradient_magnitude(dx, dy, l2=True).max()) == 1140


@given(small_channels)
def test_sobel_equals_opencv(channel):
    dx, dy = sobel(channel)
    border = cv2.BORDER_REPLICATE
    np.testing.assert_array_equal(dx, cv2.Sobel(channel, cv2.CV_16S, 1, 0, borderType=border))
    np.testing.assert_array_equal(dy, cv2.Sobel(channel, cv2.CV_16S, 0, 1, borderType=border))


def test_sobel_gives_four_for_a_step_and_eight_for_a_ramp():
    step = np.array([[0, 0, 1, 1]] * 3, np.uint8)
    ramp = np.array([[0, 1, 2, 3]] * 3, np.uint8)
    assert sobel(step)[0][1].tolist() == [0, 4, 4, 0]
    assert sobel(ramp)[0][1].tolist() == [4, 8, 8, 4]
    assert not sobel(ramp)[1].any()


def test_turning_a_picture_by_a_quarter_swaps_the_two_parts_of_its_gradient():
    channel = skimage.data.camera()[:50, :60]
    dx, dy = sobel(channel)
    turned_dx, turned_dy = sobel(channel.T.copy())
    np.testing.assert_array_equal(turned_dx, dy.T)
    np.testing.assert_array_equal(turned_dy, dx.T)


def test_the_magnitude_of_a_diagonal_differs_between_the_two_measures():
    dx, dy = np.array([[3, 5]]), np.array([[-4, 0]])
    assert gradient_magnitude(dx, dy).tolist() == [[7, 5]]
    assert gradient_magnitude(dx, dy, l2=True).tolist() == [[5, 5]]


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (0, HORIZONTAL),
        (22, HORIZONTAL),
        (23, FALLING),
        (45, FALLING),
        (67, FALLING),
        (68, VERTICAL),
        (90, VERTICAL),
        (113, RISING),
        (157, RISING),
        (158, HORIZONTAL),
    ],
)
def test_a_direction_is_the_nearest_multiple_of_45_degrees(degrees, expected):
    angle = np.radians(degrees)
    dx, dy = (np.array([[round(1000 * part)]]) for part in (np.cos(angle), np.sin(angle)))
    assert direction(dx, dy) == expected
    assert direction(-dx, -dy) == expected


def test_suppression_keeps_the_ridge_and_one_side_of_a_plateau():
    magnitude = np.array([[1, 5, 2, 7, 7, 3]])
    across = np.full_like(magnitude, HORIZONTAL)
    assert non_maximum_suppression(magnitude, across).tolist() == [[0, 5, 0, 7, 0, 0]]


@pytest.mark.parametrize(
    ("way", "kept"), [(HORIZONTAL, 2), (VERTICAL, 2), (FALLING, 0), (RISING, 0)]
)
def test_two_equal_neighbours_lose_only_on_a_diagonal(way, kept):
    plateau = np.array([[9, 9], [9, 9]])
    thin = non_maximum_suppression(plateau, np.full((2, 2), way))
    on_the_way = {FALLING: np.eye(2, dtype=bool), RISING: np.eye(2, dtype=bool)[::-1]}
    mask = on_the_way.get(way, np.ones((2, 2), dtype=bool))
    assert np.count_nonzero(thin[mask]) == kept


def test_hysteresis_keeps_a_weak_chain_only_if_it_touches_a_strong_pixel():
    thin = np.array(
        [
            [0, 0, 0, 0, 0, 5],
            [5, 0, 0, 0, 0, 5],
            [0, 5, 0, 0, 0, 0],
            [0, 0, 9, 0, 3, 9],
        ]
    )
    edges = hysteresis(thin, low=3, high=8)
    assert np.argwhere(edges).tolist() == [[1, 0], [2, 1], [3, 2], [3, 5]]


@given(arrays(np.uint8, (6, 7)), st.integers(0, 255), st.integers(0, 255))
def test_hysteresis_lies_between_its_two_thresholds(thin, one, other):
    low, high = sorted((one, other))
    edges = hysteresis(thin, low=low, high=high)
    assert (edges >= (thin > high)).all()
    assert (edges <= (thin > low)).all()


@given(small_pictures)
def test_the_strongest_gradient_is_that_of_one_of_the_channels(picture):
    dx, dy = strongest_gradient(picture)
    strengths = [gradient_magnitude(*sobel(picture[:, :, c])) for c in range(3)]
    np.testing.assert_array_equal(gradient_magnitude(dx, dy), np.max(strengths, axis=0))


@pytest.mark.parametrize(
    "photo",
    [
        np.full((1, 1), 9, np.uint8),
        np.zeros((5, 6, 4), np.uint8),
        Image.new("P", (6, 5)),
        Image.new("RGBA", (6, 5)),
        Image.new("1", (6, 5)),
    ],
)
def test_unusual_pictures_work(photo):
    np.testing.assert_array_equal(canny_edges(photo), canny_by_hand(photo))


@pytest.mark.parametrize("function", [canny_edges, canny_by_hand])
@pytest.mark.parametrize(
    ("knobs", "error"),
    [
        ({"low": 200, "high": 100}, ValueError),
        ({"low": -1}, ValueError),
        ({"high": np.nan}, ValueError),
        ({"high": 1e9}, ValueError),
        ({"low": "100"}, TypeError),
        ({"blur_sigma": -1}, ValueError),
        ({"blur_sigma": np.inf}, ValueError),
        ({"blur_sigma": None}, TypeError),
    ],
)
def test_a_knob_out_of_range_is_refused(function, knobs, error):
    with pytest.raises(error, match="expected"):
        function(np.zeros((8, 8, 3), np.uint8), **knobs)


def test_each_stage_refuses_what_does_not_belong_to_it():
    colour, line = np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4))
    for several in (colour, Image.new("L", (4, 4))):
        with pytest.raises(ValueError, match="several channels"):
            sobel(several)
    with pytest.raises(ValueError, match="one shape"):
        gradient_magnitude(line, line.T)
    with pytest.raises(TypeError, match="whole numbers"):
        direction(line, line)
    with pytest.raises(ValueError, match="0, 1, 2 or 3"):
        non_maximum_suppression(line, line + 4)
    with pytest.raises(TypeError, match="array of numbers"):
        hysteresis([[1, 2]], low=1, high=2)
    with pytest.raises(ValueError, match="NaN"):
        hysteresis(line * np.nan, low=1, high=2)
    with pytest.raises(TypeError, match="number"):
        gaussian_blur(colour, sigma="2")
