"""Straight lines: found where they are, decoded as the release does it, drawn one pixel wide."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from helpers.conditions.mlsd import (
    decode_tri_points,
    detect_lines_lsd,
    detect_lines_mlsd,
    draw_lines,
    encode_tri_points,
    is_local_maximum,
    straight_lines,
)
from helpers.images import fit, load_image
from helpers.runtime import import_controlnet_aux


class Stub(torch.nn.Module):
    """A network that returns the same maps for every photo, and keeps what it was shown."""

    def __init__(self, centre_logits, displacements):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        maps = np.concatenate([centre_logits[None], displacements])
        self.maps = torch.from_numpy(maps.astype(np.float32))[None]

    def forward(self, batch):
        self.batch = batch
        return self.maps


@pytest.fixture(scope="module")
def released():
    """The package that holds the released M-LSD detector."""
    return import_controlnet_aux()


def random_maps(seed, height=64, width=96):
    """Maps with several hundred local maxima, so more than the 200 that are looked at."""
    rng = np.random.default_rng(seed)
    centre_logits = (3 * rng.standard_normal((height, width))).astype(np.float32)
    return centre_logits, (20 * rng.standard_normal((4, height, width))).astype(np.float32)


def in_order(lines):
    return lines[np.lexsort(lines.T)]


def photo_of_ones(height=128, width=192):
    return np.ones((height, width, 3), np.uint8)


@pytest.mark.parametrize(("min_score", "min_length"), [(0.1, 0.1), (0.999, 20), (0.1, 30)])
@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_the_released_function(released, seed, min_score, min_length):
    maps = random_maps(seed)
    expected = released.mlsd.utils.pred_lines(
        photo_of_ones(), Stub(*maps), [128, 192], min_score, min_length
    )
    lines = decode_tri_points(*maps, min_score=min_score, min_length=min_length)
    assert 10 < len(lines) <= 200
    np.testing.assert_array_equal(in_order(2 * lines), in_order(expected))


@pytest.mark.parametrize("seed", range(3))
def test_the_control_image_equals_that_of_the_released_detector(released, seed):
    photo = skimage.data.astronaut()[:128, :192]
    stub = Stub(*random_maps(seed))
    detector = released.MLSDdetector(stub)
    expected = detector(photo, detect_resolution=128, image_resolution=128, output_type="np")
    shown_by_the_release = stub.batch
    control_image = draw_lines(detect_lines_mlsd(photo, stub), 128, 192)
    np.testing.assert_array_equal(control_image, expected)
    np.testing.assert_array_equal(stub.batch, shown_by_the_release)
    assert control_image.any()


def test_the_released_network_runs_and_equals_the_released_function(released):
    from controlnet_aux.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large

    torch.manual_seed(0)
    network = MobileV2_MLSD_Large().eval()
    photo = skimage.data.astronaut()[:128, :128]
    with torch.no_grad():
        expected = released.mlsd.utils.pred_lines(photo, network, [128, 128], 0.1, 0.0)
    lines = detect_lines_mlsd(photo, network, min_length=0)
    assert len(lines) == len(expected) > 0
    np.testing.assert_allclose(in_order(lines), in_order(expected), rtol=1e-5)


def test_no_lines_are_an_empty_array_where_the_released_function_stops(released):
    stub = Stub(np.full((64, 64), -9.0), np.zeros((4, 64, 64)))
    photo = photo_of_ones(128, 128)
    with pytest.raises(IndexError):
        released.mlsd.utils.pred_lines(photo, stub, [128, 128], 0.1, 0.1)
    assert detect_lines_mlsd(photo, stub).shape == (0, 4)


def test_a_broken_network_raises_where_the_released_detector_returns_black(released):
    stub = Stub(np.full((64, 64), np.nan), np.zeros((4, 64, 64)))
    photo = photo_of_ones(128, 128)
    detector = released.MLSDdetector(stub)
    assert not detector(photo, detect_resolution=128, image_resolution=128, output_type="np").any()
    with pytest.raises(ValueError, match="NaN"):
        detect_lines_mlsd(photo, stub)


@st.composite
def lines_on_a_map(draw):
    """Lines on a 24 x 32 map, no two with their middle in one cell."""
    cells = st.tuples(st.integers(0, 31), st.integers(0, 23))
    middles = np.array(draw(st.lists(cells, min_size=1, max_size=12, unique=True)))
    halves = draw(arrays(np.float32, middles.shape, elements=st.floats(0.25, 8, width=32)))
    return np.hstack([middles - halves, middles + halves])


@given(lines_on_a_map())
def test_what_is_encoded_is_decoded_again(lines):
    decoded = decode_tri_points(*encode_tri_points(lines, 24, 32))
    np.testing.assert_allclose(in_order(decoded), in_order(lines), atol=1e-5)


def test_one_line_is_one_centre_and_two_arrows():
    centre_logits, displacements = encode_tri_points(np.array([[2, 3, 8, 5]]), 10, 12)
    assert np.argwhere(centre_logits > 0).tolist() == [[4, 5]]
    assert displacements[:, 4, 5].tolist() == [-3, -1, 3, 1]
    decoded = decode_tri_points(centre_logits, displacements)
    assert decoded.tolist() == [[2, 3, 8, 5]]


def test_the_surest_lines_come_first_and_top_k_counts_them():
    centre_logits = np.full((9, 9), -9, np.float32)
    centre_logits[[1, 4, 7], [1, 4, 7]] = 0, 2, 1
    displacements = np.ones((4, 9, 9), np.float32)
    displacements[:2] = -1
    assert decode_tri_points(centre_logits, displacements)[:, 0].tolist() == [3, 6, 0]
    assert decode_tri_points(centre_logits, displacements, top_k=2)[:, 0].tolist() == [3, 6]
    assert len(decode_tri_points(centre_logits, displacements, min_score=0.6)) == 2
    assert len(decode_tri_points(centre_logits, displacements, min_length=3)) == 0


def test_a_weaker_neighbour_of_a_centre_is_no_line_of_its_own():
    scores = np.array([[0.1, 0.9, 0.8], [0.2, 0.3, 0.1], [0.6, 0.2, 0.7]])
    expected = [[False, True, False], [False, False, False], [True, False, True]]
    assert is_local_maximum(scores).tolist() == expected


def fitted_square(thickness):
    photo = np.full((160, 200, 3), 30, np.uint8)
    return cv2.rectangle(photo, (40, 30), (150, 120), (220, 220, 220), thickness)


def test_the_sides_of_a_square_are_found_within_a_pixel_and_a_degree():
    lines = detect_lines_lsd(fitted_square(cv2.FILLED))
    assert lines.shape == (4, 4)
    x0, y0, x1, y1 = lines.T
    degrees = np.degrees(np.arctan2(y1 - y0, x1 - x0)) % 90
    assert np.minimum(degrees, 90 - degrees).max() < 1
    middles = np.stack([x0 + x1, y0 + y1], axis=1) / 2
    for side in ((40, 75), (150, 75), (95, 30), (95, 120)):
        assert np.linalg.norm(middles - side, axis=1).min() < 1
    assert sorted(np.hypot(x1 - x0, y1 - y0).round(-1)) == [90, 90, 110, 110]


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_a_line_at_any_angle_is_found_within_a_pixel_and_a_degree(degrees):
    along = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    y, x = np.mgrid[:121, :121] - 60.0
    photo = np.where(y * along[0] - x * along[1] > 0.1, 200, 40).astype(np.uint8)
    lines = detect_lines_lsd(photo, min_length=60)
    assert len(lines) == 1
    start, end = lines.reshape(2, 2) - 60
    found = np.degrees(np.arctan2(*(end - start)[::-1]))
    assert abs((found - degrees + 90) % 180 - 90) < 1
    for point in (start, end):
        assert abs(point[1] * along[0] - point[0] * along[1]) < 1


def test_photographs_have_many_lines_and_longer_ones_are_fewer():
    folder = skimage.data.__path__[0]
    for name, at_least in (("astronaut", 200), ("coffee", 150), ("motorcycle_left", 350)):
        photo = load_image(f"{folder}/{name}.png")
        lines = detect_lines_lsd(photo)
        assert len(lines) > at_least
        assert 0 < len(detect_lines_lsd(photo, min_length=40)) < len(lines) / 3
        assert 0.01 < (straight_lines(photo) > 0).mean() < 0.1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 50), (64, 64)])
def test_a_flat_photo_gives_no_lines_and_a_black_control_image(size):
    photo = np.full(size, 90, np.uint8)
    assert detect_lines_lsd(photo).shape == (0, 4)
    control_image = straight_lines(photo)
    assert control_image.shape == (*size, 3)
    assert not control_image.any()


ends = st.integers(0, 39)


@given(ends, ends, ends, ends)
def test_a_line_is_one_pixel_wide_and_reaches_both_its_ends(x0, y0, x1, y1):
    drawn = draw_lines(np.array([[x0, y0, x1, y1]]), 40, 40)
    assert set(np.unique(drawn)) <= {0, 255}
    mask = drawn[:, :, 0] > 0
    assert mask[y0, x0]
    assert mask[y1, x1]
    steep = abs(y1 - y0) > abs(x1 - x0)
    per_step = mask.sum(axis=1 if steep else 0)
    assert per_step.max() == 1
    assert mask.sum() == max(abs(x1 - x0), abs(y1 - y0)) + 1


@given(arrays(np.int64, 4, elements=st.integers(-100, 120)))
def test_lines_beyond_the_picture_are_cut_off(line):
    cut = draw_lines(line[None], 20, 30)[:, :, 0]
    whole = draw_lines(line[None] + 100, 221, 221)[100:120, 100:130, 0]
    # OpenCV rounds where a line enters the picture, so it may run one pixel aside from there.
    assert (cv2.dilate(cut, np.ones((3, 3))) >= whole)[2:-2, 2:-2].all()
    start, along = line[:2], line[2:] - line[:2]
    away = np.argwhere(cut)[:, ::-1] - start
    share = np.clip(away @ along / max(along @ along, 1), 0, 1)
    assert (np.linalg.norm(away - share[:, None] * along, axis=1) < 1.5).all()


def test_no_lines_are_drawn_as_black():
    assert not draw_lines(np.empty((0, 4)), 5, 6).any()


def test_ends_are_cut_to_whole_pixels():
    drawn = draw_lines(np.array([[1.9, 2.9, 5.9, 2.1]]), 5, 8)
    assert np.argwhere(drawn[:, :, 0]).tolist() == [[2, 1], [2, 2], [2, 3], [2, 4], [2, 5]]


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1"])
def test_pillow_images_of_any_mode_work(mode):
    assert straight_lines(Image.new(mode, (6, 5))).shape == (5, 6, 3)


def test_a_photo_must_fit_the_network():
    stub = Stub(*random_maps(0))
    photo = skimage.data.astronaut()[:100, :150]
    with pytest.raises(ValueError, match="multiples of 64"):
        detect_lines_mlsd(photo, stub)
    assert len(detect_lines_mlsd(fit(photo, resolution=128, multiple=64), stub)) > 0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: detect_lines_lsd(photo_of_ones(), min_length=-1), ValueError),
        (lambda: detect_lines_lsd(photo_of_ones(), min_length=np.nan), ValueError),
        (lambda: detect_lines_lsd(photo_of_ones(), min_length="20"), TypeError),
        (lambda: decode_tri_points(*random_maps(0), top_k=0), ValueError),
        (lambda: decode_tri_points(*random_maps(0), top_k=1.5), ValueError),
        (lambda: decode_tri_points(*random_maps(0), min_score=None), TypeError),
        (lambda: decode_tri_points(random_maps(0)[0], np.zeros((4, 3, 3))), ValueError),
        (lambda: decode_tri_points(random_maps(0)[0], np.full((4, 64, 96), np.inf)), ValueError),
        (lambda: decode_tri_points([[1.0]], np.zeros((4, 1, 1))), TypeError),
        (lambda: decode_tri_points(np.zeros((2, 2), int), np.zeros((4, 2, 2))), TypeError),
        (lambda: encode_tri_points(np.array([[90, 0, 95, 0]]), 10, 10), ValueError),
        (lambda: draw_lines([[1, 2, 3, 4]], 5, 5), TypeError),
        (lambda: draw_lines(np.zeros(4), 5, 5), ValueError),
        (lambda: draw_lines(np.zeros((1, 5)), 5, 5), ValueError),
        (lambda: draw_lines(np.full((1, 4), np.nan), 5, 5), ValueError),
        (lambda: draw_lines(np.full((1, 4), 1e12), 5, 5), ValueError),
        (lambda: draw_lines(np.zeros((1, 4)), 0, 5), ValueError),
        (lambda: draw_lines(np.zeros((1, 4)), 5, 20_000), ValueError),
        (lambda: draw_lines(np.zeros((1, 4)), 5.0, 5), TypeError),
    ],
)
def test_wrong_lines_maps_and_knobs_are_refused(call, error):
    with pytest.raises(error, match="expected"):
        call()
