"""The table of conditions says what it has to, once, and without contradictions."""

import re

import pytest

from helpers.catalogue import (
    BASE_MODEL,
    CONDITIONS,
    PIPELINE_MULTIPLE,
    PREPROCESSOR_MULTIPLE,
    get_condition,
)

EIGHT = ["canny", "depth", "hed", "mlsd", "normal", "openpose", "scribble", "seg"]
ROWS = [pytest.param(row, id=name) for name, row in CONDITIONS.items()]


def test_there_are_exactly_the_eight_conditions_of_the_release():
    assert list(CONDITIONS) == EIGHT
    assert [row.name for row in CONDITIONS.values()] == EIGHT


@pytest.mark.parametrize("row", ROWS)
def test_the_checkpoint_is_the_released_one_of_that_name(row):
    assert row.checkpoint == f"lllyasviel/sd-controlnet-{row.name}"


def test_the_base_model_is_the_repository_that_still_exists():
    assert BASE_MODEL == "stable-diffusion-v1-5/stable-diffusion-v1-5"


def test_notebooks_are_numbered_from_one_to_eight_without_a_gap():
    notebooks = sorted(row.notebook for row in CONDITIONS.values())
    assert [int(name[:2]) for name in notebooks] == list(range(1, 9))
    assert all(re.fullmatch(r"\d\d_[a-z_]+", name) for name in notebooks)


def test_depth_is_taught_before_the_normals_that_are_made_from_it():
    assert CONDITIONS["depth"].notebook < CONDITIONS["normal"].notebook


def test_backgrounds_are_black_for_drawings_flat_for_normals_and_none_elsewhere():
    backgrounds = {name: row.background for name, row in CONDITIONS.items()}
    drawings = dict.fromkeys(["canny", "hed", "mlsd", "openpose", "scribble"], (0, 0, 0))
    assert backgrounds == drawings | {"normal": (127, 127, 255), "depth": None, "seg": None}


def test_the_flat_normal_is_the_colour_of_the_formula():
    # 127.5 n + 127.5 for n = (0, 0, 1), cut to whole numbers as the release does
    assert CONDITIONS["normal"].background == tuple(int(127.5 * n + 127.5) for n in (0, 0, 1))


def test_only_the_normal_network_was_fed_its_channels_in_another_order():
    orders = {name: row.channel_order for name, row in CONDITIONS.items()}
    assert orders == dict.fromkeys(EIGHT, "rgb") | {"normal": "zyx"}


def test_maps_of_pure_colours_are_resized_with_nearest_only():
    nearest = {name for name, row in CONDITIONS.items() if row.resize == "nearest"}
    assert nearest == {"canny", "mlsd", "openpose", "scribble", "seg"}


def test_depth_and_normals_look_at_the_photo_at_384_pixels_the_others_at_512():
    small = {name for name, row in CONDITIONS.items() if row.detect_resolution == 384}
    assert small == {"depth", "normal"}
    assert {row.detect_resolution for row in CONDITIONS.values()} == {384, 512}


def test_sizes_rounded_as_the_preprocessors_do_suit_the_pipeline():
    assert (PIPELINE_MULTIPLE, PREPROCESSOR_MULTIPLE) == (8, 64)
    for row in CONDITIONS.values():
        assert row.detect_resolution % PREPROCESSOR_MULTIPLE == 0


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_filled_in_with_sentences(row):
    for text in (row.title, row.annotator, row.colours, row.formula, row.score):
        assert text.strip() == text != ""
    assert row.colours.endswith(".")
    assert row.wrong_producers


def test_a_condition_is_found_by_its_name():
    assert get_condition("mlsd") is CONDITIONS["mlsd"]


@pytest.mark.parametrize("name", ["pose", "Canny", "", None, 3])
def test_an_unknown_name_is_answered_with_the_names_there_are(name):
    with pytest.raises(ValueError, match=f"expected one of canny, .*seg; got {name!r}"):
        get_condition(name)


def test_a_row_cannot_be_changed():
    with pytest.raises(AttributeError):
        CONDITIONS["canny"].resize = "linear"
