"""The conditions and the toybox agree: same classes, same normals, sound control images."""

import cv2
import numpy as np
import pytest

from helpers.catalogue import get_condition
from helpers.conditions.ade20k import CLASSES
from helpers.conditions.depth import Camera, depth_image
from helpers.conditions.normal import (
    angles_between,
    camera_normals,
    decode_normals,
    encode_normals,
    normal_map,
)
from helpers.conditions.seg import off_palette_share
from helpers.conditions.skeleton import JOINTS
from helpers.images import check_control
from toybox.gallery import control_images
from toybox.world import ADE20K, render, sample_scene
from toybox.world import JOINTS as WORLD_JOINTS

SEEDS = range(12)


@pytest.fixture(scope="module")
def views():
    return render([sample_scene(seed) for seed in SEEDS])


def test_the_world_uses_the_class_numbers_of_ade20k():
    assert {name: CLASSES.index(name) for name in ADE20K} == ADE20K


def test_the_world_counts_joints_as_the_skeleton_does():
    assert [name.replace("_", " ") for name in WORLD_JOINTS] == list(JOINTS)


@pytest.mark.parametrize("number", SEEDS)
def test_control_images_made_from_the_truth_have_no_faults(views, number):
    controls = control_images(views, number)
    del controls["photo"]
    if np.isnan(views.joints[number].numpy()).all():
        assert not controls.pop("openpose").any(), "a scene without people has an empty skeleton"
    for name, image in controls.items():
        assert check_control(image, name) == [], name


@pytest.mark.parametrize("number", SEEDS)
def test_with_the_camera_normals_are_right_but_for_outlines(views, number):
    camera = Camera(*views.intrinsics[number].tolist())
    inverse_depth = 1 / views.depth[number].numpy().astype(np.float64)
    truth = views.normals[number].numpy()
    error = angles_between(camera_normals(inverse_depth, camera), truth)
    away_from_outlines = ~views.edges[number].numpy()
    assert np.median(error) < 0.01
    assert (error[away_from_outlines] < 2).mean() > 0.9


@pytest.mark.parametrize("number", SEEDS)
def test_at_no_scale_is_the_recipe_as_right_as_the_camera(views, number):
    camera = Camera(*views.intrinsics[number].tolist())
    inverse_depth = 1 / views.depth[number].numpy().astype(np.float64)
    truth = views.normals[number].numpy()
    right = angles_between(camera_normals(inverse_depth, camera), truth).mean()
    for scale in np.geomspace(50, 5000, 9):
        depth = (scale * inverse_depth).astype(np.float32)
        drawn = decode_normals(normal_map(depth, background_threshold=0))
        assert angles_between(drawn, truth).mean() > 2 * right


def test_the_colours_of_the_truth_are_those_of_the_recipe(views):
    # Same axes and signs: a floor is green in both, a wall on the left is not red in one of them.
    for number in SEEDS:
        depth = 700 / views.depth[number].numpy()
        recipe = decode_normals(normal_map(depth, background_threshold=0))
        truth = decode_normals(encode_normals(views.normals[number].numpy()))
        for axis in range(3):
            assert np.corrcoef(recipe[..., axis].ravel(), truth[..., axis].ravel())[0, 1] > 0.7


def test_near_is_white(views):
    for depth in views.depth.numpy():
        image = depth_image(1 / depth)[:, :, 0]
        assert image[np.unravel_index(depth.argmin(), depth.shape)] == 255
        assert image[np.unravel_index(depth.argmax(), depth.shape)] == 0


@pytest.mark.parametrize("number", SEEDS)
def test_control_images_keep_to_the_palette_of_the_catalogue(views, number):
    for name, image in control_images(views, number).items():
        palette = get_condition(name).palette if name != "photo" else None
        if palette == "black and white":
            assert set(np.unique(image)) <= {0, 255}, name
        if palette in ("black and white", "grey"):
            assert (image == image[:, :, :1]).all(), name
        if palette == "ADE20K":
            assert off_palette_share(image) == 0
        if palette == "directions":
            lengths = np.linalg.norm((image + 0.5) / 127.5 - 1, axis=2)
            assert np.allclose(lengths, 1, atol=0.01)
        if palette == "18 hues":
            hues = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[image.any(axis=2)][:, 1]
            assert (hues > 100).all(), "a skeleton has no pale colours"
