"""Drawings, masks, soft edges and photos all become white strokes on black."""

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw

from helpers.conditions.scribble import (
    from_drawing,
    from_mask,
    scribble,
    scribble_from_soft_edges,
    sharpened_difference,
    soft_threshold,
    thin_soft_edges,
    xdog,
)
from helpers.images import load_image, to_grey
from helpers.runtime import import_controlnet_aux

small_pictures = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9).map(lambda shape: (*shape, 3))
)
small_maps = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(-2, 2, width=32),
)


@pytest.fixture(scope="module")
def released():
    """The helper functions that the released scribble preprocessor uses."""
    return import_controlnet_aux().util


def photos():
    folder = skimage.data.__path__[0]
    names = ("astronaut.png", "coffee.png", "motorcycle_left.png")
    return [load_image(f"{folder}/{name}")[:400, :400] for name in names]


def soft_edge_maps():
    """Gradients of real photos, blurred edges, noise, and plateaus: all that thinning may meet."""
    greys = [to_grey(photo) for photo in photos()]
    gradients = [
        np.hypot(*np.gradient(cv2.GaussianBlur(g, (0, 0), 2).astype(float))) for g in greys
    ]
    maps = [(255 * gradient / gradient.max()).astype(np.uint8) for gradient in gradients]
    maps += [cv2.GaussianBlur(cv2.Canny(grey, 100, 200), (0, 0), 1.5) for grey in greys]
    maps += [np.clip(4 * each.astype(int), 0, 255).astype(np.uint8) for each in maps]
    noise = np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)
    return [*maps, noise, np.full((50, 60), 255, np.uint8), np.zeros((50, 60), np.uint8)]


@pytest.mark.parametrize("soft_edges", soft_edge_maps())
def test_thinning_equals_the_released_function(released, soft_edges):
    for threshold, sigma in ((127, 3.0), (20, 1.0)):
        expected = released.nms(soft_edges, threshold, sigma)
        ours = thin_soft_edges(soft_edges, sigma=sigma, threshold=threshold)
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("soft_edges", soft_edge_maps())
def test_strokes_from_soft_edges_equal_those_of_the_release(released, soft_edges):
    expected = cv2.GaussianBlur(released.nms(np.dstack([soft_edges] * 3), 127, 3.0), (0, 0), 3.0)
    expected[expected > 4] = 255
    expected[expected < 255] = 0
    np.testing.assert_array_equal(scribble_from_soft_edges(soft_edges), expected)


def test_the_maps_of_real_photos_give_strokes_at_all():
    strokes = [scribble_from_soft_edges(soft_edges).mean() / 255 for soft_edges in soft_edge_maps()]
    assert min(strokes[6:9]) > 0.02, "gradients with a gain of four"


def soft_line(slope):
    """A soft line through the middle of a picture, 255 on the line."""
    y, x = np.mgrid[-50:51, -50:51]
    distance = (y - slope * x) / np.hypot(1, slope)
    return np.rint(255 * np.exp(-((distance / 6) ** 2) / 2)).astype(np.uint8)


def test_a_soft_line_is_thinned_and_becomes_a_stroke_about_13_pixels_wide():
    thickness = (thin_soft_edges(soft_line(0.4)) > 0).sum(axis=0)[20:-20]
    assert thickness.min() >= 1
    assert thickness.max() <= 2
    stroke = scribble_from_soft_edges(soft_line(0.4))[:, 50, 0] > 0
    assert 12 <= stroke.sum() * np.cos(np.arctan(0.4)) <= 15


@pytest.mark.parametrize("slope", [0, 1, -1])
def test_a_soft_line_exactly_along_one_of_the_four_directions_is_not_thinned(slope):
    thickness = (thin_soft_edges(soft_line(slope)) > 0).sum(axis=0)
    assert thickness[20:-20].min() > 5


def test_a_drawing_in_ink_on_paper_is_inverted():
    drawing = Image.new("RGB", (40, 30), "white")
    ImageDraw.Draw(drawing).line((5, 15, 35, 15), fill="black", width=3)
    control_image = from_drawing(drawing)
    assert control_image.shape == (30, 40, 3)
    assert control_image[15, 20].tolist() == [255, 255, 255]
    assert control_image[5, 20].tolist() == [0, 0, 0]
    assert set(np.unique(control_image)) == {0, 255}


@pytest.mark.parametrize("pen", ["red", "blue", "green", "#7e7e7e"])
def test_a_coloured_pen_is_ink(pen):
    assert from_drawing(Image.new("RGB", (4, 4), pen)).all()


@pytest.mark.parametrize("paper", ["white", "#7f7f7f", "#ffe0e0"])
def test_light_paper_is_no_ink(paper):
    assert not from_drawing(Image.new("RGB", (4, 4), paper)).any()


def test_a_transparent_background_is_paper():
    drawing = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    drawing.putpixel((1, 2), (0, 0, 0, 255))
    assert np.argwhere(from_drawing(drawing)[:, :, 0]).tolist() == [[2, 1]]


@given(small_pictures)
def test_a_drawing_follows_the_rule_of_the_release(drawing):
    expected = np.zeros_like(drawing)
    expected[np.min(drawing, axis=2) < 127] = 255
    np.testing.assert_array_equal(from_drawing(drawing), expected)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_a_mask_of_booleans_or_of_bytes_gives_its_own_pixels(mask):
    expected = np.dstack([mask] * 3) * np.uint8(255)
    np.testing.assert_array_equal(from_mask(mask), expected)
    np.testing.assert_array_equal(from_mask(np.where(mask, 128, 127).astype(np.uint8)), expected)


def test_a_photo_becomes_strokes_that_follow_its_edges():
    for photo in photos():
        strokes = scribble(photo)[:, :, 0] > 0
        edges = cv2.Canny(cv2.GaussianBlur(photo, (0, 0), 3), 20, 40) > 0
        near_an_edge = cv2.dilate(edges.astype(np.uint8), np.ones((15, 15))) > 0
        assert 0.03 < strokes.mean() < 0.35
        assert near_an_edge[strokes].mean() > 0.9


def test_the_ink_lies_on_the_dark_side_of_an_edge():
    photo = np.zeros((60, 60), np.uint8)
    photo[:, 30:] = 255
    columns = np.flatnonzero(scribble(photo)[30, :, 0])
    assert columns.min() > 30 - 4 * 3
    assert columns.max() == 29
    assert (np.diff(columns) == 1).all()


@given(st.integers(0, 255), st.floats(0.5, 6), st.floats(0, 90))
def test_a_flat_photo_keeps_its_brightness_and_gets_no_ink(level, sigma, sharpness):
    photo = np.full((20, 30), level, np.uint8)
    response = sharpened_difference(photo / 255, sigma=sigma, sharpness=sharpness)
    np.testing.assert_allclose(response, level / 255, atol=1e-9)
    assert not scribble(photo, sigma=sigma, sharpness=sharpness).any()


def test_a_threshold_above_zero_fills_the_shadows():
    assert scribble(np.full((20, 20), 30, np.uint8), threshold=0.2).all()


def test_the_difference_is_the_sum_that_its_formula_says():
    brightness = np.random.default_rng(1).random((40, 50))
    fine, coarse = (cv2.GaussianBlur(brightness, (0, 0), sigma) for sigma in (2, 3.2))
    response = sharpened_difference(brightness, sigma=2, sharpness=20)
    np.testing.assert_allclose(response, fine + 20 * (fine - coarse))
    plain = sharpened_difference(brightness, sigma=2, sharpness=0)
    np.testing.assert_allclose(plain, fine)


def test_the_soft_threshold_has_the_values_of_its_formula():
    response = np.array([[1.0, 0.5, 0.4, -9.0]])
    drawn = soft_threshold(response, threshold=0.5, phi=10)
    np.testing.assert_allclose(drawn, [[1, 1, 1 - np.tanh(1), 0]], atol=1e-12)


@given(small_maps, st.floats(-1, 1), st.floats(0.1, 100))
def test_the_soft_threshold_stays_in_range_and_never_falls(response, threshold, phi):
    drawn = soft_threshold(response, threshold=threshold, phi=phi)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    order = np.argsort(response, axis=None)
    assert (np.diff(drawn.ravel()[order]) >= 0).all()


def test_a_scribble_is_the_limit_of_the_soft_drawing():
    for photo in photos():
        drawing = xdog(photo, phi=1e12)
        np.testing.assert_array_equal(scribble(photo)[:, :, 0] > 0, drawing < 0.5)
        soft = xdog(photo, phi=2)
        assert ((soft > 0.05) & (soft < 0.95)).mean() > 0.02


MAKERS = [scribble, scribble_from_soft_edges, from_drawing, xdog, thin_soft_edges]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "picture",
    [
        np.full((1, 1), 9, np.uint8),
        np.zeros((5, 6, 4), np.uint8),
        Image.new("P", (6, 5)),
        Image.new("1", (6, 5)),
    ],
)
def test_unusual_pictures_work(maker, picture):
    assert maker(picture).shape[:2] in ((1, 1), (5, 6))


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        (np.zeros((4, 4, 3), bool), ValueError),
        (np.zeros((0, 4), bool), ValueError),
        (np.zeros((4, 4)), TypeError),
        (np.zeros((4, 4), np.int64), TypeError),
        ([[True, False]], TypeError),
    ],
)
def test_what_is_no_mask_is_refused(mask, error):
    with pytest.raises(error, match="expected"):
        from_mask(mask)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda photo: scribble(photo, sigma=0), ValueError),
        (lambda photo: scribble(photo, sigma=1e9), ValueError),
        (lambda photo: scribble(photo, sharpness=-1), ValueError),
        (lambda photo: scribble(photo, threshold=np.nan), ValueError),
        (lambda photo: scribble(photo, threshold="low"), TypeError),
        (lambda photo: xdog(photo, phi=0), ValueError),
        (lambda photo: thin_soft_edges(photo, sigma=-3), ValueError),
        (lambda photo: thin_soft_edges(photo, threshold=256), ValueError),
        (lambda photo: sharpened_difference(photo / 255, sigma=1, sharpness=1, k=1), ValueError),
        (lambda photo: sharpened_difference(photo, sigma=1, sharpness=1), TypeError),
    ],
)
def test_a_knob_out_of_range_is_refused(call, error):
    with pytest.raises(error, match="expected"):
        call(np.zeros((8, 8), np.uint8))
