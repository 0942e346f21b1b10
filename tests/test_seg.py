"""Labels and colours of ADE20K translate into each other exactly, and damage is noticed."""

import io
import zlib

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from helpers.conditions.ade20k import CLASSES, PALETTE
from helpers.conditions.seg import (
    ROAD,
    SKYSCRAPER,
    colours_to_labels,
    labels_to_colours,
    legend,
    nearest_class,
    off_palette_share,
)
from helpers.images import fit

label_maps = arrays(
    np.int64,
    array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.integers(0, len(CLASSES) - 1),
)


def areas(size=512, count=40):
    """A label map of `count` areas with straight borders, each pixel in that of its seed."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    seeds = rng.uniform(0, size, (count, 2))
    distances = [(y - sy) ** 2 + (x - sx) ** 2 for sy, sx in seeds]
    classes = rng.choice([k for k in range(150) if k != SKYSCRAPER], count, replace=False)
    return classes[np.argmin(distances, axis=0)]


def jpeg(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_there_are_150_classes_of_149_colours():
    assert len(CLASSES) == len(set(CLASSES)) == 150
    assert PALETTE.shape == (150, 3)
    assert PALETTE.dtype == np.uint8
    assert len(np.unique(PALETTE, axis=0)) == 149
    assert (ROAD, SKYSCRAPER) == (6, 48)
    assert PALETTE[ROAD].tolist() == PALETTE[SKYSCRAPER].tolist() == [140, 140, 140]


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("wall", "787878"),
        ("building", "b47878"),
        ("sky", "06e6e6"),
        ("floor", "503232"),
        ("tree", "04c803"),
        ("person", "96053d"),
        ("car", "0066c8"),
        ("sea", "0907e6"),
        ("grass", "04fa07"),
        ("flag", "5c00ff"),
    ],
)
def test_a_class_has_its_published_colour(name, colour):
    assert bytes(PALETTE[CLASSES.index(name)]).hex() == colour


def test_the_table_has_the_checksums_of_the_published_one():
    assert PALETTE.sum(axis=0).tolist() == [17965, 20212, 20250]
    assert zlib.crc32(PALETTE.tobytes()) == 3620555175
    assert zlib.crc32("\n".join(CLASSES).encode()) == 2094690212


def test_class_names_have_no_space_at_their_ends():
    assert all(name == name.strip() and name for name in CLASSES)
    assert CLASSES[7] == "bed"


def test_the_palette_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        PALETTE[0] = 0


def test_every_class_survives_the_round_trip_if_road_and_skyscraper_are_told_apart():
    everything = np.arange(150).reshape(10, 15)
    as_road = colours_to_labels(labels_to_colours(everything))
    as_skyscraper = colours_to_labels(
        labels_to_colours(everything), road_or_skyscraper="skyscraper"
    )
    assert everything[as_road != everything].tolist() == [SKYSCRAPER]
    assert everything[as_skyscraper != everything].tolist() == [ROAD]


@given(label_maps)
def test_the_round_trip_is_exact_on_any_map_without_skyscrapers(labels):
    labels[labels == SKYSCRAPER] = ROAD
    control_image = labels_to_colours(labels)
    np.testing.assert_array_equal(colours_to_labels(control_image), labels)
    repaired, share = nearest_class(control_image)
    np.testing.assert_array_equal(repaired, labels)
    assert share == off_palette_share(control_image) == 0


def test_a_colour_off_by_one_is_no_class_and_is_repaired():
    control_image = labels_to_colours(np.full((10, 10), CLASSES.index("sky")))
    control_image[3, 4:6, 1] += 1
    assert off_palette_share(control_image) == pytest.approx(0.02)
    with pytest.raises(ValueError, match=r"2 of 100 pixels \(2.0%\).*nearest.*PNG"):
        colours_to_labels(control_image)
    labels, share = nearest_class(control_image)
    assert share == pytest.approx(0.02)
    assert {CLASSES[k] for k in np.unique(labels)} == {"sky"}


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda s: (*s, 3))))
def test_the_nearest_class_is_nearest_and_the_first_of_equals(picture):
    differences = picture[:, :, None, :].astype(int) - PALETTE
    expected = (differences**2).sum(axis=-1).argmin(axis=-1)
    np.testing.assert_array_equal(nearest_class(picture)[0], expected)


def test_a_photo_of_many_colours_is_looked_up_in_parts_without_a_difference():
    photo = skimage.data.astronaut()
    assert len(np.unique(photo.reshape(-1, 3), axis=0)) > 65_536
    some = np.random.default_rng(0).integers(0, 512, (2, 200))
    labels, share = nearest_class(photo)
    expected = [((PALETTE.astype(int) - photo[y, x]) ** 2).sum(axis=1).argmin() for y, x in some.T]
    assert labels[some[0], some[1]].tolist() == expected
    assert share > 0.9


def test_the_mixture_of_two_classes_may_look_like_a_third():
    sky, building = (PALETTE[CLASSES.index(name)].astype(int) for name in ("sky", "building"))
    mixture = ((sky + building) // 2).astype(np.uint8)
    labels, _ = nearest_class(mixture[None, None])
    assert CLASSES[labels.item()] == "bag"


@pytest.mark.parametrize("size", [384, 640, 768])
def test_nearest_scaling_keeps_the_palette_and_smooth_scaling_does_not(size):
    control_image = labels_to_colours(areas())
    assert off_palette_share(fit(control_image, resolution=size, condition="seg")) == 0
    for how in (cv2.INTER_LANCZOS4, cv2.INTER_LINEAR):
        smooth = cv2.resize(control_image, (size, size), interpolation=how)
        assert 0.01 < off_palette_share(smooth) < 0.3


def test_a_jpeg_loses_the_palette_and_a_repair_does_not_bring_it_all_back():
    labels = areas()
    damaged = jpeg(labels_to_colours(labels), quality=90)
    repaired, share = nearest_class(damaged)
    assert share == off_palette_share(damaged) > 0.1
    assert 0 < (repaired != labels).mean() < share
    assert len(np.unique(repaired)) > len(np.unique(labels))


def test_a_png_keeps_the_palette(tmp_path):
    labels = areas(size=64, count=9)
    path = tmp_path / "map.png"
    Image.fromarray(labels_to_colours(labels)).save(path)
    np.testing.assert_array_equal(colours_to_labels(Image.open(path)), labels)


def test_a_palette_image_is_read_by_its_colours():
    labels = areas(size=64, count=9)
    indexed = Image.fromarray(labels.astype(np.uint8)).convert("P")
    indexed.putpalette(PALETTE.tobytes())
    np.testing.assert_array_equal(colours_to_labels(indexed), labels)


def test_a_legend_names_the_classes_the_largest_first():
    labels = np.full((4, 5), CLASSES.index("sky"))
    labels[3] = CLASSES.index("sea")
    first, second = legend(labels)
    assert first == ("sky", (6, 230, 230), pytest.approx(0.75))
    assert second == ("sea", (9, 7, 230), pytest.approx(0.25))


@given(label_maps)
def test_the_shares_of_a_legend_add_up_and_fall(labels):
    entries = legend(labels)
    shares = [entry.share for entry in entries]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert {entry.name for entry in entries} == {CLASSES[k] for k in np.unique(labels)}


@pytest.mark.parametrize("function", [labels_to_colours, legend])
@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([[1, 2]], TypeError, "whole numbers"),
        (np.zeros((4, 4)), TypeError, "whole numbers"),
        (np.full((4, 4), np.nan), TypeError, "whole numbers"),
        (np.zeros((4, 4), bool), TypeError, "whole numbers"),
        (np.zeros((4, 4, 3), int), ValueError, "shape"),
        (np.zeros((0, 4), int), ValueError, "one pixel"),
        (np.zeros((1, 20_000), int), ValueError, "at most"),
        (np.array([[0, 150]]), ValueError, "subtract 1"),
        (np.array([[0, 255]], np.uint8), ValueError, "unlabelled"),
        (np.array([[-1, 0]]), ValueError, "-1 to 0"),
    ],
)
def test_what_are_no_labels_is_refused(function, labels, error, message):
    with pytest.raises(error, match=message):
        function(labels)


@pytest.mark.parametrize("choice", ["Road", "", None, 6])
def test_the_shared_colour_is_a_road_or_a_skyscraper(choice):
    with pytest.raises(ValueError, match='"road" or "skyscraper"'):
        colours_to_labels(PALETTE[None], road_or_skyscraper=choice)
