"""The scoreboard compares what was wanted with what was drawn, and its table says so."""

import json
import sys
from itertools import islice, pairwise

import numpy as np
import pytest
import tiny_models
import torch

from helpers.annotators import draw_control, load_annotator
from helpers.catalogue import CONDITIONS
from helpers.conditions.canny import canny_edges
from helpers.conditions.normal import encode_normals, normal_map
from helpers.images import check_control
from helpers.pipelines import load_pipeline
from helpers.scores import SCORES, gap_closed
from toybox import scoreboard
from toybox.autoencoder import reconstruct
from toybox.data import DEPTH_UNIT, FIRST_TRAINING_SEED, HELD_OUT_SEEDS, SIZE
from toybox.scoreboard import (
    BEGIN,
    END,
    ROWS,
    closed,
    draw_in_batches,
    held_out_scenes,
    measure,
    score_rows,
    table,
    true_measurement,
    with_table,
)
from toybox.world import render, sample_scene

# How diffusers' schedulers turn tensors into arrays.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_models.tiny_toybox(tmp_path_factory.mktemp("toybox"))


@pytest.fixture(scope="module")
def views():
    """Two scenes, both with a person."""
    return render(held_out_scenes("openpose", 2), size=SIZE)


def soft_edges(photo):
    """Stand in for a network where any soft edges will do."""
    return np.abs(np.diff(photo.astype(np.float32).mean(axis=2), axis=0, append=0)) / 255


def annotator_of(condition):
    return soft_edges if condition == "hed" else load_annotator("canny")


def wanted_of(condition, views):
    return [true_measurement(condition, views, n, annotator_of(condition)) for n in (0, 1)]


# What is wanted.


def test_the_scored_scenes_are_the_first_ones_and_not_of_the_training():
    expected = [sample_scene(HELD_OUT_SEEDS["scores"].start + n).caption for n in range(3)]
    assert [scene.caption for scene in held_out_scenes("canny", 3)] == expected
    assert len(HELD_OUT_SEEDS["scores"]) >= 10 * scoreboard.SCENES
    assert max(seeds.stop for seeds in HELD_OUT_SEEDS.values()) <= FIRST_TRAINING_SEED


def test_no_two_measurements_use_the_same_scenes():
    spans = sorted((seeds.start, seeds.stop) for seeds in HELD_OUT_SEEDS.values())
    assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))


def test_poses_are_scored_where_somebody_is_to_be_seen():
    chosen = [scene.caption for scene in held_out_scenes("openpose", 4)]
    first = (sample_scene(seed).caption for seed in HELD_OUT_SEEDS["scores"])
    assert chosen == list(islice((caption for caption in first if "figure" in caption), 4))


@pytest.mark.parametrize("condition", list(CONDITIONS))
def test_the_truth_compared_with_itself_scores_perfectly_and_with_another_worse(condition, views):
    score = SCORES[condition]
    own, other = wanted_of(condition, views)
    best = score.measure(own, own)[score.headline]
    worse = score.measure(own, other)[score.headline]
    assert best == pytest.approx(1 if score.better == "higher" else 0, abs=0.02)
    assert worse < best - 0.05 if score.better == "higher" else worse > best + 0.05


@pytest.mark.parametrize("condition", list(CONDITIONS))
def test_every_truth_can_be_drawn_as_a_control_image_without_a_fault(condition, views):
    for wanted in wanted_of(condition, views):
        image = draw_control(condition, wanted, SIZE, SIZE)
        assert image.std() > 0
        assert check_control(image, condition) == []


def test_truths_are_those_of_the_world(views):
    np.testing.assert_allclose(wanted_of("depth", views)[0] * views.depth[0].numpy(), 1, rtol=1e-5)
    assert np.array_equal(wanted_of("seg", views)[1], views.labels[1].numpy())
    assert np.array_equal(wanted_of("mlsd", views)[1], views.lines[1].numpy())
    edges = canny_edges(views.photo[0].numpy())[:, :, 0] > 0
    assert np.array_equal(wanted_of("canny", views)[0], edges)
    joints = wanted_of("openpose", views)[0]
    seen = views.joints_visible[0].numpy()
    assert np.array_equal(joints[seen], views.joints[0].numpy()[seen])
    assert np.isnan(joints[~seen]).all()
    # The view itself is left as it was.
    assert not np.isnan(views.joints[0, 0].numpy()).any()


def test_wanted_strokes_are_the_outlines_three_pixels_wide(views):
    edges = views.edges[0].numpy()
    rows, columns = np.nonzero(wanted_of("scribble", views)[0])
    assert all(
        edges[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].any()
        for y, x in zip(rows, columns, strict=True)
    )
    grown = np.pad(edges, 1)
    neighbours = [grown[dy : dy + SIZE, dx : dx + SIZE] for dy in range(3) for dx in range(3)]
    assert len(rows) == np.any(neighbours, axis=0).sum()


def test_wanted_normals_are_those_of_the_recipe(views):
    expected = normal_map(DEPTH_UNIT / views.depth[0].numpy())
    drawn = encode_normals(wanted_of("normal", views)[0])
    assert np.abs(drawn.astype(int) - expected).max() <= 1


# Measuring.


@pytest.fixture(scope="module")
def result(weights, tmp_path_factory):
    """What the command writes for canny, two scenes and one step."""
    out = tmp_path_factory.mktemp("scores")
    words = ["canny", "--scenes", "2", "--steps", "1", "--batch", "2"]
    before = scoreboard.README.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["s", *words, "--weights", str(weights), "--out", str(out)])
        scoreboard.main()
    assert scoreboard.README.read_bytes() == before
    assert [path.name for path in out.iterdir()] == ["canny.json"]
    return json.loads((out / "canny.json").read_text())


def test_the_file_has_every_number_of_every_scene(result):
    rows = result.pop("scenes")
    assert result.pop("device")
    assert result == {
        "condition": "canny",
        "first_seed": HELD_OUT_SEEDS["scores"].start,
        "steps": 1,
    }
    assert tuple(rows) == ROWS
    for row in rows.values():
        assert set(row) == {"f1", "f1_strict"}
        assert all(len(values) == 2 and all(0 <= v <= 1 for v in values) for values in row.values())
    result["scenes"] = rows


def test_each_row_is_what_it_says(result, weights):
    pipeline = load_pipeline("canny", folder=weights, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    scenes = held_out_scenes("canny", 2)
    photos = render(scenes, size=SIZE).photo.numpy()
    wanted = [canny_edges(photo)[:, :, 0] > 0 for photo in photos]
    controls = [draw_control("canny", one, SIZE, SIZE) for one in wanted]
    captions = [scene.caption for scene in scenes]

    def draw(scale):
        return draw_in_batches(
            pipeline, captions, controls, batch=2, steps=1, conditioning_scale=scale
        )

    drawn = draw(1.0)
    pictures = {
        "score": drawn,
        "no_control": draw(0.0),
        "foreign": drawn[::-1],
        "ceiling": reconstruct(pipeline.vae, photos),
    }
    for row, shown in pictures.items():
        for number in (0, 1):
            found = canny_edges(np.array(shown[number]))[:, :, 0] > 0
            expected = SCORES["canny"].measure(wanted[number], found)
            for key, value in expected.items():
                assert result["scenes"][row][key][number] == pytest.approx(value, abs=0.02)
    assert len({tuple(values["f1"]) for values in result["scenes"].values()}) == len(ROWS)


def test_each_picture_is_read_once():
    masks = [np.eye(SIZE, dtype=bool), np.eye(SIZE, dtype=bool)[::-1]]
    read = []

    def annotator(picture):
        read.append(picture)
        return picture > 0

    drawn = [mask.astype(np.uint8) for mask in masks]
    found = score_rows("canny", masks, {"score": drawn, "foreign": drawn[::-1]}, annotator)
    assert len(read) == 2
    key = SCORES["canny"].headline
    assert [one[key] for one in found["score"]] == [1, 1]
    assert max(one[key] for one in found["foreign"]) < 0.5


def test_pictures_of_batches_keep_their_order_and_seeds(weights):
    pipeline = load_pipeline("canny", folder=weights)
    pipeline.set_progress_bar_config(disable=True)
    captions = ["a red cube", "a blue car", "a green tree"]
    maps = [np.random.default_rng(n).integers(0, 2, (64, 64, 1), np.uint8) * 255 for n in range(3)]
    maps = [np.repeat(one, 3, axis=2) for one in maps]
    two, one = (draw_in_batches(pipeline, captions, maps, batch=batch, steps=1) for batch in (2, 1))
    assert len(two) == 3
    apart = np.abs(np.array(two).astype(int)[:, None] - np.array(one)).max(axis=(2, 3, 4))
    assert apart.diagonal().max() <= 2
    assert (apart + 255 * np.eye(3)).min() > 5


def test_a_network_that_makes_the_true_photo_scores_perfectly(weights, monkeypatch):
    photos = render(held_out_scenes("canny", 3), size=SIZE).photo.numpy()
    scales = []

    def photos_of(pipeline, captions, images, *, conditioning_scale, steps, batch):
        scales.append(conditioning_scale)
        return list(photos)

    monkeypatch.setattr(scoreboard, "draw_in_batches", photos_of)
    rows = measure("canny", scenes=3, folder=weights, steps=1)["scenes"]
    assert scales == [1, 0]
    assert rows["score"]["f1"] == [1, 1, 1]
    edges = [canny_edges(photo)[:, :, 0] > 0 for photo in photos]
    foreign = [SCORES["canny"].measure(edges[n], edges[(n + 1) % 3])["f1"] for n in range(3)]
    np.testing.assert_allclose(rows["foreign"]["f1"], foreign, atol=1e-5)


# The table.


def made_up(condition, score, no_control, foreign, ceiling):
    key = SCORES[condition].headline
    rows = {
        row: {key: values, "another": [9, 9, 9]}
        for row, values in zip(ROWS, (score, no_control, foreign, ceiling), strict=True)
    }
    return {"condition": condition, "scenes": rows}


@pytest.fixture
def scores(tmp_path):
    """Results of all conditions: a gap of 1 from 0.2 on, of which three quarters are closed."""
    for name in CONDITIONS:
        floor = np.array([0.1, 0.2, 0.3])
        rows = [floor + 0.75, floor + 0.125, floor, floor + 1]
        if SCORES[name].better == "lower":
            rows = [10 - row for row in rows]
        result = made_up(name, *(row.tolist() for row in rows))
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    return tmp_path


def rows_of(markdown):
    lines = markdown.strip().split("\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_the_means_and_the_share_of_the_gap(scores):
    heading, rule, *rows = rows_of(table(scores))
    names = "condition", "score", "no control", "foreign", "with control", "ceiling", "gap closed"
    assert tuple(heading) == names
    assert rule == ["---"] * 7
    assert [row[0] for row in rows] == list(CONDITIONS)
    by_name = {row[0]: row for row in rows}
    # All scenes close the same share, so the interval is a point.
    gap = "**0.75** (0.75 to 0.75)"
    f1 = ["canny", "edge F1 within 2 pixels ↑", "0.325", "0.200", "**0.950**", "1.200", gap]
    assert by_name["canny"] == f1
    assert by_name["depth"][1:4] == ["RMSE after alignment ↓", "9.675", "9.800"]
    assert by_name["normal"][1:3] == ["mean angle ↓", "9.7"]
    assert by_name["normal"][-1] == gap


def test_the_interval_is_that_of_the_bootstrap_over_scenes():
    rng = np.random.default_rng(0)
    columns = [rng.uniform(low, low + 0.2, 50).tolist() for low in (0.5, 0.3, 0.1, 0.8)]
    gap = closed(made_up("canny", *columns))
    assert gap == gap_closed(columns[0], columns[2], columns[3])
    assert gap.low < gap.share < gap.high
    assert gap.share == pytest.approx(0.57, abs=0.05)


def test_scenes_in_which_nothing_could_be_followed_do_not_count(scores):
    nan = float("nan")
    rows = [0.5, nan, 0.5], [0.2, nan, 0.2], [0.0, nan, 0.0], [1.0, nan, 1.0]
    result = made_up("openpose", *rows)
    (scores / "openpose.json").write_text(json.dumps(result))
    (row,) = (one for one in rows_of(table(scores)) if one[0] == "openpose")
    assert row[2:] == ["0.200", "0.000", "**0.500**", "1.000", "**0.50** (0.50 to 0.50)"]


def test_the_table_in_a_text_is_replaced_and_all_else_stays(scores):
    text = f"# Title\n\nbefore\n\n{BEGIN}an old table\n{END}\nafter\n"
    once = with_table(text, scores)
    assert once.startswith(f"# Title\n\nbefore\n\n{BEGIN}\n| condition |")
    assert once.endswith(f"|\n\n{END}\nafter\n")
    assert table(scores) in once
    assert "old" not in once
    assert with_table(once, scores) == once
