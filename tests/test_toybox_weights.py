"""The weights in the repository: sound, small, as good as the tables say, and what they draw."""

import json

import numpy as np
import pytest

from helpers.annotators import draw_control, load_annotator
from helpers.catalogue import CONDITIONS
from helpers.pipelines import generate, load_pipeline
from helpers.scores import SCORES
from helpers.weights import TOYBOX_WEIGHTS, read_manifest, verify_weights
from toybox import card, scoreboard
from toybox.autoencoder import psnr, reconstruct
from toybox.data import SIZE
from toybox.world import render, sample_scene

SCENE = 31


@pytest.fixture(scope="module")
def view():
    return render(sample_scene(SCENE), size=SIZE)


@pytest.fixture(scope="module")
def pipeline():
    pipeline = load_pipeline("depth", device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline, control, **options):
    options = {"seed": 0, "steps": 8} | options
    return generate(pipeline, sample_scene(SCENE).caption, control, **options)


def test_every_file_is_the_one_that_was_trained():
    verify_weights()


def test_all_weights_together_are_at_most_100_megabytes_and_no_file_more_than_25():
    sizes = [path.stat().st_size for path in TOYBOX_WEIGHTS.rglob("*") if path.is_file()]
    assert sum(sizes) <= 100e6
    assert max(sizes) <= 25e6


def test_the_model_card_shows_the_facts_of_the_manifest():
    text = card.CARD.read_text(encoding="utf-8")
    assert card.with_table(text) == text, "run python -m toybox.card"


def test_the_scoreboard_shows_the_measured_scores():
    text = scoreboard.README.read_text(encoding="utf-8")
    assert scoreboard.with_table(text) == text, "run python -m toybox.scoreboard"


@pytest.mark.parametrize("name", CONDITIONS)
def test_pictures_close_most_of_the_gap_between_a_foreign_control_and_the_true_photo(name):
    gap = scoreboard.closed(scoreboard.read_result(name))
    assert gap.scenes >= 100
    assert gap.share >= (0.7 if name == "openpose" else 0.8)


def test_pictures_obey_their_captions():
    shares = json.loads((scoreboard.RESULTS / "colours.json").read_text(encoding="utf-8"))
    for row in ("objects", "wall", "floor"):
        assert shares["pictures"][row]["share"] >= 0.85, row
    assert shares["scenes"] >= 256
    objects = shares["pictures"]["objects"]
    said = f"{objects['share']:.0%} of the {objects['of']} objects".replace("%", " %")
    assert said in card.CARD.read_text(encoding="utf-8")


def test_the_autoencoder_gives_photos_back():
    # The decoder learnt on; the file holds what it became.
    scores = read_manifest(TOYBOX_WEIGHTS)["parts"]["decoder"]["scores"]
    assert scores["psnr_mean_db"] >= 31
    photos = render([sample_scene(seed) for seed in range(4)], size=SIZE, lines=False).photo.numpy()
    autoencoder = load_pipeline("canny", device="cpu").vae
    assert psnr(reconstruct(autoencoder, photos), photos).mean() > scores["psnr_mean_db"] - 2.5


def test_a_picture_follows_its_depth_and_not_that_of_another_scene(pipeline, view):
    annotate = load_annotator("depth", device="cpu")
    wanted, other = (1 / render(sample_scene(seed)).depth[0].numpy() for seed in (SCENE, SCENE + 1))
    rmse = [
        SCORES["depth"].measure(wanted, annotate(draw(pipeline, control).picture))["rmse"]
        for control in (draw_control("depth", one, SIZE, SIZE) for one in (wanted, other))
    ]
    assert rmse[0] < 0.5 * rmse[1]


def test_one_seed_gives_one_picture_whatever_came_before(pipeline, view):
    control = draw_control("depth", 1 / view.depth[0].numpy(), SIZE, SIZE)
    first = draw(pipeline, control, steps=3).picture
    draw(pipeline, control, seed=5, steps=2)
    assert np.array_equal(draw(pipeline, control, steps=3).picture, first)


def test_a_batch_gives_the_pictures_of_its_seeds(pipeline, view):
    control = draw_control("depth", 1 / view.depth[0].numpy(), SIZE, SIZE)
    batch = draw(pipeline, control, seed=[3, 4], steps=4).pictures
    for seed, picture in zip((3, 4), batch, strict=True):
        single = draw(pipeline, control, seed=seed, steps=4).picture
        assert np.abs(picture.astype(int) - single).max() <= 2


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_loads_and_draws(name, view):
    annotator = load_annotator(name, device="cpu")
    control = draw_control(name, annotator(view.photo[0].numpy()), SIZE, SIZE)
    pipeline = load_pipeline(name, device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    drawn, free = (
        draw(pipeline, control, steps=2, conditioning_scale=scale).picture for scale in (1, 0)
    )
    assert np.abs(drawn.astype(int) - free).mean() > 1
