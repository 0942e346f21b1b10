"""The gates: what goes in, what comes out, and what is refused with which words."""

import struct

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from helpers.catalogue import CONDITIONS, get_condition
from helpers.conditions.ade20k import PALETTE
from helpers.images import MAX_SIDE, fit, load_image, model_size, to_grey, to_map, to_rgb

pictures = st.tuples(
    st.integers(1, 12), st.integers(1, 12), st.sampled_from([None, 1, 3, 4])
).flatmap(lambda s: arrays(np.uint8, s[:2] if s[2] is None else s))


def says(*parts: str) -> str:
    """Match a message that has these parts in this order."""
    return "(?s)" + ".*".join(parts)


# to_rgb


def test_grey_is_copied_to_three_channels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (to_rgb(grey) == grey[:, :, None]).all()
    assert (to_rgb(grey[:, :, None]) == to_rgb(grey)).all()


def test_alpha_is_laid_on_white_and_rounded():
    rgba = np.array([[[0, 100, 255, 0], [0, 100, 255, 255], [0, 100, 255, 128]]], np.uint8)
    # 128/255 of the colour and 127/255 of white: 127, 177.19, 255
    assert to_rgb(rgba).tolist() == [[[255, 255, 255], [0, 100, 255], [127, 177, 255]]]


def test_alpha_may_be_laid_on_another_background():
    rgba = np.array([[[255, 255, 255, 0], [255, 255, 255, 128]]], np.uint8)
    assert to_rgb(rgba, background=(0, 0, 0)).tolist() == [[[0, 0, 0], [128, 128, 128]]]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 0), (255, 255, 255)),
        ("L", 7, (7, 7, 7)),
        ("LA", (7, 0), (255, 255, 255)),
        ("LA", (7, 255), (7, 7, 7)),
        ("1", 1, (255, 255, 255)),
        ("1", 0, (0, 0, 0)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ],
)
def test_pillow_images_of_every_8_bit_mode_become_rgb(mode, colour, expected):
    rgb = to_rgb(Image.new(mode, (2, 3), colour))
    assert rgb.shape == (3, 2, 3)
    assert (rgb == expected).all()


def test_a_palette_image_becomes_its_colours_and_not_its_numbers():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([1, 0])
    assert to_rgb(image).tolist() == [[[40, 50, 60], [10, 20, 30]]]


def test_the_see_through_colour_of_a_palette_image_becomes_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([1, 0])
    image.info["transparency"] = 0
    assert to_rgb(image).tolist() == [[[40, 50, 60], [255, 255, 255]]]


@given(pictures)
def test_the_result_is_rgb_and_converting_it_again_changes_nothing(image):
    once = to_rgb(image)
    assert once.dtype == np.uint8
    assert once.shape == (*image.shape[:2], 3)
    assert once.flags.c_contiguous
    assert (to_rgb(once) == once).all()
    assert (to_rgb(Image.fromarray(once)) == once).all()


@given(pictures)
def test_the_result_shares_no_memory_with_the_input(image):
    before = image.copy()
    to_rgb(image)[:] = 0
    assert (image == before).all()


def test_a_view_with_negative_strides_is_read_in_its_own_order():
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert (to_rgb(image[:, ::-1, ::-1]) == image[:, ::-1, ::-1]).all()


def test_one_pixel_is_a_picture():
    assert to_rgb(np.uint8([[5]])).tolist() == [[[5, 5, 5]]]


@pytest.mark.parametrize(
    ("image", "cure"),
    [
        (np.full((2, 2, 3), 0.5), r"np\.rint\(image \* 255\)"),
        (np.full((2, 2, 3), 99.5), r"np\.rint\(image\)"),
        (np.full((2, 2, 3), np.nan), "NaN or infinity"),
        (np.full((2, 2, 3), 9, np.uint16), "image // 257"),
        (np.full((2, 2, 3), 9, np.int64), r"astype\(np\.uint8\)"),
        (np.full((2, 2), True), r"255 \* image\.astype\(np\.uint8\)"),
        (np.zeros((0, 4, 3)), "convert"),
    ],
)
def test_numbers_that_are_not_8_bit_are_refused_with_the_conversion(image, cure):
    with pytest.raises(TypeError, match=says("face: expected 8-bit", str(image.dtype), cure)):
        to_rgb(image, name="face")


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pillow_images_of_more_than_8_bits_are_refused(mode):
    with pytest.raises(TypeError, match=says("expected 8 bits", mode, "scale the values")):
        to_rgb(Image.new(mode, (2, 2)))


@pytest.mark.parametrize("shape", [(3, 8, 9), (1, 8, 9, 3), (8,), (8, 9, 2), (8, 9, 5), ()])
def test_axes_in_another_order_are_refused(shape):
    with pytest.raises(ValueError, match=says("expected shape", "got", "channels last")):
        to_rgb(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("thing", "cure"),
    [
        ("photo.png", "load_image"),
        (None, "load_image"),
        ([np.zeros((4, 4, 3), np.uint8)], "one picture at a time"),
        (torch.zeros(3, 4, 4), r"permute\(1, 2, 0\)"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_way_to_one(thing, cure):
    with pytest.raises(
        TypeError, match=says("expected a Pillow image", type(thing).__name__, cure)
    ):
        to_rgb(thing)


def test_the_advice_for_a_tensor_works():
    image = torch.rand(3, 4, 5)
    array = (255 * image).round().byte().permute(1, 2, 0).cpu().numpy()
    assert np.abs(to_rgb(array) / 255 - image.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (0, 0)])
def test_a_picture_without_pixels_is_refused(shape):
    with pytest.raises(ValueError, match=says("at least one pixel", "got", "look")):
        to_rgb(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(1, 20_000, 3), (20_000, 1)])
def test_a_side_beyond_the_limit_is_refused(shape):
    with pytest.raises(ValueError, match=says(f"at most {MAX_SIDE}", "20000", "scale it down")):
        to_rgb(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=f"at most {MAX_SIDE}"):
        to_rgb(Image.new("L", shape[1::-1]))


def test_the_longest_side_allowed_is_taken():
    assert to_rgb(np.zeros((1, MAX_SIDE), np.uint8)).shape == (1, MAX_SIDE, 3)


# to_grey


def test_grey_is_the_luma_of_bt_601():
    rgb = np.uint8([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9), (255, 255, 255)]])
    assert to_grey(rgb).tolist() == [[76, 150, 29, 9, 255]]  # 255 times 0.299, 0.587, 0.114


@given(arrays(np.uint8, (4, 5)))
def test_the_luma_of_a_grey_picture_is_itself(grey):
    assert (to_grey(grey) == grey).all()


# to_map


@given(
    arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from([np.float32, np.float64]),
)
def test_a_sound_map_is_returned_as_the_same_object(values, dtype):
    typed = values.astype(dtype)
    assert to_map(typed) is typed


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 3), np.float16),
        np.zeros((3, 3), np.uint8),
        np.zeros((3, 3), bool),
        [[0.5]],
        torch.zeros(3, 3),
        Image.new("F", (3, 3)),
    ],
)
def test_a_map_of_other_numbers_is_refused(values):
    with pytest.raises(TypeError, match=says("depth: expected", "float32", "got", "np.asarray")):
        to_map(values, name="depth")


@pytest.mark.parametrize("shape", [(3,), (1, 3, 3), (3, 3, 1)])
def test_a_map_with_other_axes_is_refused(shape):
    with pytest.raises(ValueError, match=says("expected shape", "got", "squeeze")):
        to_map(np.zeros(shape))


def test_missing_values_are_counted():
    values = np.zeros((3, 4))
    values[0, :2] = np.nan, -np.inf
    with pytest.raises(ValueError, match=says("expected finite", "2 of 12", "fill them")):
        to_map(values)


@pytest.mark.parametrize(("shape", "least"), [((1, 9), 2), ((2, 2), 3)])
def test_a_map_smaller_than_the_caller_needs_is_refused(shape, least):
    with pytest.raises(ValueError, match=says(f"at least {least} x {least}", "got", "larger")):
        to_map(np.zeros(shape), least=least)


@pytest.mark.parametrize("shape", [(0, 3), (1, 20_000)])
def test_a_map_of_an_impossible_size_is_refused(shape):
    with pytest.raises(ValueError, match="pixel"):
        to_map(np.zeros(shape))


# load_image


def test_a_png_comes_back_exactly(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert (load_image(tmp_path / "a.png") == picture).all()
    assert (load_image(str(tmp_path / "a.png")) == picture).all()


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (3, (1, 1)), (6, (0, 1)), (8, (1, 0))]
)
def test_a_photo_is_turned_upright_as_its_exif_note_says(tmp_path, orientation, corner):
    # A red quarter at the top left of the stored pixels; `corner` is where it belongs.
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:16, :32] = 255, 0, 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = load_image(tmp_path / "turned.jpg")
    height, width = upright.shape[:2]
    assert (height, width) == ((32, 64) if orientation < 5 else (64, 32))
    y, x = (np.array(corner) * 2 + 1) * (height, width) // 4
    assert upright[y, x, 0] > 200
    assert (upright[:, :, 0] > 128).mean() == pytest.approx(0.25, abs=0.05)


def test_a_16_bit_png_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(TypeError, match=says("depth.png", "expected 8 bits", "scale the values")):
        load_image(tmp_path / "depth.png")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(tmp_path, ending, share):
    path = tmp_path / f"whole{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=says("expected a complete picture", "export it again")):
        load_image(path)


@pytest.mark.parametrize("content", [b"", b"this is text\n", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "note.png").write_bytes(content)
    with pytest.raises(ValueError, match=says("note.png", "expected a complete picture")):
        load_image(tmp_path / "note.png")


def test_a_png_that_claims_to_be_huge_is_refused_before_it_is_unpacked(tmp_path):
    Image.new("L", (1, 1)).save(tmp_path / "bomb.png")
    data = bytearray((tmp_path / "bomb.png").read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(ValueError, match="expected"):
        load_image(tmp_path / "bomb.png")


def test_a_wide_picture_is_refused_by_its_size(tmp_path):
    Image.new("1", (20_000, 2)).save(tmp_path / "wide.png")
    with pytest.raises(ValueError, match=says("wide.png", f"at most {MAX_SIDE}", "20000 x 2")):
        load_image(tmp_path / "wide.png")


def test_a_path_to_nothing_or_to_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(FileNotFoundError, match=says("expected a picture file", "check")):
            load_image(path)


# model_size and fit


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (640, 480, (704, 512)),
        (480, 640, (512, 704)),
        (1920, 1080, (896, 512)),
        (375, 500, (512, 704)),
        (1000, 300, (1728, 512)),
        (512, 512, (512, 512)),
        (1, 1, (512, 512)),
    ],
)
def test_sizes_are_those_of_the_released_preprocessors(width, height, expected):
    assert model_size(width, height) == expected
    assert model_size(height, width) == expected[::-1]


@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([8, 64]))
def test_sides_are_multiples_near_the_size_asked_for(width, height, multiple):
    size = model_size(width, height, multiple=multiple)
    factor = 512 / min(width, height)
    for side, original in zip(size, (width, height), strict=True):
        assert side % multiple == 0
        assert abs(side - original * factor) <= multiple / 2
    assert min(size) == 512


def test_a_resolution_below_the_multiple_gives_one_multiple():
    assert model_size(100, 100, resolution=10) == (64, 64)


@pytest.mark.parametrize("arguments", [(0, 5), (5, -1)])
def test_sizes_that_are_not_positive_are_refused(arguments):
    with pytest.raises(ValueError, match=says("expected positive", "got", "check the order")):
        model_size(*arguments)


@pytest.mark.parametrize("knob", ["resolution", "multiple"])
def test_knobs_that_are_not_positive_are_refused(knob):
    with pytest.raises(ValueError, match="expected positive"):
        fit(np.zeros((8, 8), np.uint8), **{knob: 0})


@settings(max_examples=60)
@given(pictures, st.sampled_from([None, *CONDITIONS]), st.sampled_from([8, 64]))
def test_fit_returns_rgb_whose_sides_are_multiples(image, condition, multiple):
    fitted = fit(image, resolution=64, multiple=multiple, condition=condition)
    height, width = image.shape[:2]
    assert fitted.shape[1::-1] == model_size(width, height, resolution=64, multiple=multiple)
    assert fitted.dtype == np.uint8
    assert fitted.shape[2] == 3


@given(
    labels=st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 149))
    ),
    condition=st.sampled_from([row.name for row in CONDITIONS.values() if row.resize == "nearest"]),
)
def test_a_map_resized_with_nearest_has_no_new_colour(labels, condition):
    fitted = fit(PALETTE[labels], resolution=64, condition=condition)
    colours = {tuple(colour) for colour in PALETTE[np.unique(labels)].tolist()}
    assert set(map(tuple, fitted.reshape(-1, 3).tolist())) <= colours


def test_a_picture_of_the_right_size_is_not_touched():
    picture = np.random.default_rng(0).integers(0, 256, (512, 576, 3), np.uint8)
    for condition in (None, *CONDITIONS):
        assert (fit(picture, condition=condition) == picture).all()


def test_photos_are_averaged_when_they_do_not_grow_and_lanczos_when_they_do():
    photo = np.random.default_rng(0).integers(0, 256, (100, 130, 3), np.uint8)
    for resolution, how in ((64, cv2.INTER_AREA), (100, cv2.INTER_AREA), (192, cv2.INTER_LANCZOS4)):
        size = model_size(130, 100, resolution=resolution)
        expected = cv2.resize(photo, size, interpolation=how)
        assert (fit(photo, resolution=resolution) == expected).all()


def test_a_row_of_the_catalogue_does_as_well_as_its_name():
    picture = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    assert (fit(picture, condition="seg") == fit(picture, condition=get_condition("seg"))).all()


def test_an_unknown_condition_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=says("expected one of canny", "got 'edges'")):
        fit(np.zeros((8, 8), np.uint8), condition="edges")


def test_a_strip_whose_long_side_would_pass_the_limit_is_refused():
    with pytest.raises(ValueError, match=says("result of fit", f"at most {MAX_SIDE}")):
        fit(np.zeros((10, 1000), np.uint8))
