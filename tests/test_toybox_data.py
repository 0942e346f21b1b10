"""The arrays of a data folder are the world's truth, scene by scene, and captions become tokens."""

import functools
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from helpers.conditions.canny import canny_edges
from helpers.conditions.mlsd import draw_lines
from helpers.conditions.normal import encode_normals, normal_map
from helpers.conditions.openpose import draw_skeleton
from helpers.conditions.scribble import scribble
from toybox.data import (
    DEPTH_UNIT,
    FIRST_TRAINING_SEED,
    MOST_LINES,
    SIZE,
    load_data,
    make_data,
    open_data,
    training_controls,
    truth_of,
)
from toybox.text_to_image import tokenize
from toybox.tokenizer import MAX_TOKENS, make_tokenizer
from toybox.world import COLOURS, VOCABULARY, read_caption, render, sample_scene, split_words
from toybox.world.captions import FLOORS, KINDS, MAX_WORDS, WALLS, Meaning, Thing, write_caption

SCENES, WITH_TRUTH = 6, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "new"
    make_data(folder, scenes=SCENES, with_truth=WITH_TRUTH)
    return folder


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(FIRST_TRAINING_SEED + number) for number in range(SCENES)]


@pytest.fixture(scope="module")
def views(scenes):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return render(scenes, size=SIZE, device=device)


def all_names(folder):
    return {path.stem for path in folder.iterdir()}


# Arrays.


def test_photos_and_captions_are_those_of_the_seeds_in_order(folder, scenes, views):
    data = open_data(folder, "photo", "caption")
    assert np.array_equal(data["photo"], views.photo.cpu().numpy())
    assert list(data["caption"]) == [scene.caption for scene in scenes]


def test_truth_is_that_of_the_world(folder, views):
    names = ("depth", "labels", "edges", "joints", "joints_visible")
    data = open_data(folder, *names)
    for name in names:
        expected = getattr(views, name)[:WITH_TRUTH].cpu().numpy()
        np.testing.assert_array_equal(data[name], expected, err_msg=name)
    assert data["depth"].dtype == np.float32
    assert data["labels"].dtype == np.uint8
    assert data["edges"].dtype == data["joints_visible"].dtype == bool


def test_lines_stand_in_front_and_the_rest_is_nan(folder, views):
    lines = open_data(folder, "lines")["lines"]
    assert lines.shape == (WITH_TRUTH, MOST_LINES, 4)
    for found, expected in zip(lines, views.lines[:WITH_TRUTH], strict=True):
        assert 0 < len(expected) < MOST_LINES
        assert np.array_equal(found[: len(expected)], expected.cpu().numpy())
        assert np.isnan(found[len(expected) :]).all()


def test_more_lines_than_there_is_room_for_are_refused(views):
    many = torch.rand(MOST_LINES, 4)
    kept = truth_of(replace(views.pick([0]), lines=[many]), 0)["lines"]
    assert np.array_equal(kept, many.numpy())
    with pytest.raises(ValueError, match="raise MOST_LINES"):
        truth_of(replace(views.pick([0]), lines=[torch.rand(MOST_LINES + 1, 4)]), 0)


@pytest.mark.parametrize("number", range(WITH_TRUTH))
def test_control_images_are_drawn_by_the_functions_of_the_notebooks(folder, views, number):
    data = open_data(folder, "photo", "canny", "mlsd", "openpose")
    photo = views.photo[number].cpu().numpy()
    lines = views.lines[number].cpu().numpy()
    people = views.joints[number].cpu().numpy().copy()
    people[~views.joints_visible[number].cpu().numpy()] = np.nan
    assert np.array_equal(data["canny"][number], canny_edges(photo)[:, :, 0])
    assert np.array_equal(data["mlsd"][number], draw_lines(lines, SIZE, SIZE)[:, :, 0])
    assert np.array_equal(data["openpose"][number], draw_skeleton(people, SIZE, SIZE))
    assert data["canny"][number].any()
    assert data["mlsd"][number].any()


@pytest.mark.parametrize("number", [0, 2])
def test_even_scenes_have_strokes_of_the_photo_and_normals_of_the_camera(folder, views, number):
    data = open_data(folder, "photo", "scribble", "normal")
    strokes = scribble(views.photo[number].cpu().numpy(), sigma=1.5)
    normals = encode_normals(views.normals[number].cpu().numpy())
    assert np.array_equal(data["scribble"][number], strokes[:, :, 0])
    assert np.array_equal(data["normal"][number], normals)


@pytest.mark.parametrize("number", [1, 3])
def test_odd_scenes_have_thick_outlines_and_normals_of_the_recipe(folder, views, number):
    data = open_data(folder, "photo", "scribble", "normal")
    edges = views.edges[number].byte().cpu().numpy() * 255
    thick = [cv2.dilate(edges, np.ones((width, width))) for width in (1, 2, 3)]
    assert any(np.array_equal(data["scribble"][number], one) for one in thick)
    inverse_depth = DEPTH_UNIT / views.depth[number].cpu().numpy()
    everywhere = normal_map(inverse_depth, background_threshold=0)
    found = data["normal"][number]
    flat = (found == (127, 127, 255)).all(axis=2)
    assert np.array_equal(found[~flat], everywhere[~flat])
    # What is flat but was not so in the recipe is the background: all that is far.
    background = flat & (everywhere != (127, 127, 255)).any(axis=2)
    assert inverse_depth[background].max(initial=0) < inverse_depth[~flat].min()


def test_the_two_kinds_of_strokes_and_normals_differ(folder, views):
    data = open_data(folder, "photo", "normal", "scribble")
    truth = truth_of(views, 0)
    given = data["normal"][0]
    one, other = (training_controls(k, data["photo"][0], truth, given) for k in (0, 1))
    assert not np.array_equal(one["normal"], other["normal"])
    assert not np.array_equal(one["scribble"], other["scribble"])
    for name in ("canny", "mlsd", "openpose"):
        assert np.array_equal(one[name], other[name])


def test_only_scenes_that_have_all_that_is_named_are_opened(folder):
    assert len(open_data(folder, "photo", "caption")["photo"]) == SCENES
    for names in (("photo", "depth"), ("normal", "caption"), ("lines",)):
        opened = open_data(folder, *names)
        assert list(opened) == list(names)
        assert {len(array) for array in opened.values()} == {WITH_TRUTH}
    assert load_data(folder, "photo", "edges", device="cpu")["photo"].shape == (4, 256, 256, 3)


def test_nothing_else_lies_in_the_folder(folder):
    truth = {"depth", "labels", "edges", "joints", "joints_visible", "lines"}
    controls = {"canny", "scribble", "mlsd", "normal", "openpose"}
    assert all_names(folder) == {"photo", "caption"} | truth | controls


def test_what_is_opened_may_be_changed_and_the_file_stays(folder):
    opened = open_data(folder, "photo")["photo"]
    before = opened[0].copy()
    opened[0] = 255 - opened[0]
    tensor = load_data(folder, "photo", device="cpu")["photo"]
    assert np.array_equal(tensor[0], before)


def test_a_missing_array_is_named_with_the_command_that_makes_it(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no depth\.npy; make it with `python -m toybox"):
        open_data(tmp_path, "depth")
    with pytest.raises(FileNotFoundError, match=r"no latents\.npy"):
        load_data(folder, "photo", "latents", device="cpu")


# Tokens.


one_tokenizer = functools.cache(make_tokenizer)


@pytest.fixture
def tokenizer():
    return one_tokenizer()


def longest_caption():
    """Four things with a size, and a floor and a rug."""
    things = tuple(Thing("cylinder", "orange", "small") for _ in range(4))
    return write_caption(Meaning(things, "wooden", "orange", "lilac"))


def test_every_word_of_the_language_is_one_token_of_its_own(tokenizer):
    tokens = [tokenizer(word).input_ids for word in VOCABULARY]
    assert {len(one) for one in tokens} == {3}
    assert {(one[0], one[2]) for one in tokens} == {(0, 1)}
    assert len({one[1] for one in tokens}) == len(VOCABULARY)
    assert {*COLOURS, *WALLS, *KINDS, *FLOORS} <= {*VOCABULARY}


def test_captions_come_back_from_their_tokens(tokenizer):
    for seed in range(400):
        caption = sample_scene(seed).caption
        tokens = tokenizer(caption).input_ids
        words = split_words(caption)
        assert len(tokens) == len(words) + 2 <= MAX_TOKENS
        assert [tokenizer.decode([token]).strip() for token in tokens[1:-1]] == words
        decoded = tokenizer.decode(tokens, skip_special_tokens=True)
        assert decoded.replace(" ,", ",").strip() == caption


def test_the_longest_caption_fills_all_places(tokenizer):
    caption = longest_caption()
    assert read_caption(caption)
    assert len(split_words(caption)) == MAX_WORDS
    tokens = tokenize(np.array([caption, "a red cube"]))
    assert tokens.shape == (2, MAX_TOKENS)
    assert tokens[0, -1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokens[0, 1:-1]).replace(" ,", ",").strip() == caption


def test_short_captions_are_padded_with_the_end_token(tokenizer):
    tokens = tokenize(np.array(["a red cube", ""]))
    assert tokens.tolist()[1] == [0] + [1] * (MAX_TOKENS - 1)
    assert tokens.tolist()[0][4:] == [1] * (MAX_TOKENS - 4)
    assert not {0, 1} & {*tokens.tolist()[0][1:4]}
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 1, 1)


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.model_max_length == MAX_TOKENS
    for text in (longest_caption(), "a zebra, an orange Figure", ""):
        assert loaded(text).input_ids == tokenizer(text).input_ids
    assert make_tokenizer().get_vocab() == tokenizer.get_vocab()


@settings(max_examples=200)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12))
def test_any_other_ascii_word_falls_apart_and_none_is_unknown(text):
    tokenizer = one_tokenizer()
    tokens = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.unk_token_id not in tokens
    pieces = tokenizer.convert_ids_to_tokens(tokens)
    assert "".join(pieces).replace("</w>", "") == text.lower()


@pytest.mark.parametrize("word", ["café", "mañana", "日本"])
def test_a_word_of_other_letters_falls_apart_too(tokenizer, word):
    # The unknown token is the end token: the text encoder would read the end of the caption.
    assert tokenizer.unk_token_id not in tokenizer(word, add_special_tokens=False).input_ids
