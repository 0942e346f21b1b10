"""The colours of things are named as the caption names them, and other colours are not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import torch

from toybox import annotators, colours
from toybox.data import HELD_OUT_SEEDS
from toybox.world import ADE20K, COLOURS, KINDS, render, sample_scene

# How diffusers' schedulers turn tensors into arrays.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning:diffusers"
)

SIZE = 96


@pytest.fixture(scope="module")
def references():
    # One example of almost every name, in small pictures: this takes seconds.
    return colours.make_references(range(800_000, 800_600), examples=1, size=SIZE)


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(seed) for seed in HELD_OUT_SEEDS["colours"][:24]]


@pytest.fixture(scope="module")
def views(scenes):
    return render(scenes, size=SIZE, lines=False)


@pytest.fixture(scope="module")
def regions(scenes, views):
    return colours.regions_of(scenes, views)


@pytest.fixture(scope="module")
def photos(views):
    return views.photo.numpy()


def test_true_photos_have_the_colours_of_their_captions(references, photos, regions):
    scores = colours.score(references, photos, regions)
    for row in ("objects", "wall", "floor", "rug"):
        assert scores[row]["share"] >= 0.95, (row, scores["mistakes"])
    assert scores["floor_kind"]["share"] >= 0.85


def test_blur_noise_and_a_little_tint_do_not_change_the_names(
    references, photos, regions, monkeypatch
):
    monkeypatch.setattr(annotators, "GAIN", 0.05)
    spoilt = annotators.augment(torch.from_numpy(photos), torch.Generator().manual_seed(0))
    pictures = (spoilt.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    scores = colours.score(references, pictures, regions)
    for row in ("objects", "wall", "floor", "rug"):
        assert scores[row]["share"] >= 0.95, (row, scores["mistakes"])


def test_every_named_object_the_wall_and_the_floor_are_judged(scenes, regions):
    for scene, its_regions in zip(scenes, regions, strict=True):
        judged = [(region.thing, region.name) for region in its_regions]
        named = [(thing.kind, thing.colour) for thing in scene.meaning.things]
        assert judged[: len(named)] == named
        assert ("wall", scene.meaning.wall) in judged
        floor = f"{scene.meaning.floor_colour} {scene.meaning.floor}"
        assert ("floor", "wooden" if scene.meaning.floor == "wooden" else floor) in judged


@pytest.mark.parametrize("colour", COLOURS)
def test_a_toy_painted_in_another_colour_is_called_that(references, colour):
    scene = sample_scene(HELD_OUT_SEEDS["colours"].start)
    kinds = {"ball", "cube", "cone", "cylinder"}
    number, scene = next(
        (number, scene)
        for scene in map(sample_scene, HELD_OUT_SEEDS["colours"][:100])
        for number, one in enumerate(scene.objects)
        if one.kind in kinds and one.colour != colour
    )
    instance = scene.objects[number].instance
    painted = replace(
        scene,
        quadric_paints=_paint(scene.quadric_paints, scene.quadric_owners, instance, colour),
        block_paints=_paint(scene.block_paints, scene.block_owners, instance, colour),
    )
    views = render(painted, size=SIZE, lines=False)
    region = colours.regions_of([scene], views)[0][number]
    assert colours.name_colour(references, views.photo[0].numpy(), region) == colour


def _paint(paints, owners, instance, colour):
    return tuple(
        paint._replace(rgb=COLOURS[colour]) if owner == instance else paint
        for paint, owner in zip(paints, owners, strict=True)
    )


def test_photos_of_other_scenes_are_called_wrong(references, photos, regions):
    wrong = colours.score(references, np.roll(photos, 1, axis=0), regions)
    assert wrong["objects"]["share"] < 0.5
    assert wrong["wall"]["share"] < 0.5


def test_of_a_floor_only_the_colour_counts(references, photos, regions):
    number, region = next(
        (number, region)
        for number, its_regions in enumerate(regions)
        for region in its_regions
        if region.thing == "floor" and region.name.endswith("checkered")
    )
    claimed = replace(region, name=region.name.replace("checkered", "tiled"))
    scores = colours.score(references, photos[number : number + 1], [[claimed]])
    assert scores["floor"] == {"share": 1.0, "of": 1}
    assert scores["floor_kind"] == {"share": 0.0, "of": 1}
    assert scores["objects"] == {"share": None, "of": 0}
    assert list(scores["mistakes"]) == [f"{claimed.name} floor called {region.name}"]


def test_a_region_loses_its_border_if_enough_is_left():
    labels = np.full((SIZE, SIZE), ADE20K["floor"])
    labels[:60] = ADE20K["wall"]
    instances = np.zeros_like(labels)
    scene = sample_scene(HELD_OUT_SEEDS["colours"].start)
    ball = replace(scene.objects[0], kind="ball", instance=1)
    scene = replace(scene, objects=(ball,))
    for side, left in ((20, 18), (9, 9)):
        instances[:] = 0
        instances[50 : 50 + side, 50 : 50 + side] = 1
        mask = colours.find_regions(scene, labels, instances)[0].mask
        assert mask.sum() == left**2
        assert not mask[instances == 0].any()


def test_a_look_is_the_mean_and_the_spread_in_lab():
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:5] = 255
    everything = np.ones((10, 10), bool)
    np.testing.assert_allclose(colours.look(picture, everything), [50, 0, 0, 50, 0, 0], atol=0.01)
    np.testing.assert_allclose(
        colours.look(picture, picture[:, :, 0] > 0), [100, 0, 0, 0, 0, 0], atol=0.01
    )


def test_scenes_without_anything_new_are_not_chosen():
    seeds = range(800_000, 800_040)
    chosen = colours.choose_scenes(seeds, 1)
    assert 0 < len(chosen) < len(seeds)
    shown = {(o.kind, o.colour) for s in map(sample_scene, seeds) for o in s.objects}
    assert shown == {(o.kind, o.colour) for scene in chosen for o in scene.objects}


def test_noise_obeys_no_caption_and_the_scores_say_so(references, tmp_path):
    folder = tiny_models.tiny_toybox(tmp_path)
    scores = colours.measure(references, "seg", scenes=2, folder=folder)
    assert json.loads(json.dumps(scores)) == scores
    assert (scores["condition"], scores["scenes"]) == ("seg", 2)
    for name in ("pictures", "photos_through_autoencoder", "photos"):
        assert set(scores[name]) == {
            *colours.ROWS,
            "objects_by_kind",
            "objects_by_colour",
            "mistakes",
        }
        assert set(scores[name]["objects_by_kind"]) == set(KINDS)
        assert set(scores[name]["objects_by_colour"]) == set(COLOURS)
    assert scores["photos"]["objects"]["share"] == 1
    assert scores["pictures"]["objects"]["share"] < 1
