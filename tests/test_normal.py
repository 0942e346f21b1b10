"""Normal maps: the recipe to the byte, and the right normals in degrees."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data

from helpers.conditions.depth import (
    Camera,
    depth_image,
    fill_missing,
    inverse_depth_from_disparity,
    resize_map,
)
from helpers.conditions.normal import (
    angles_between,
    camera_normals,
    decode_normals,
    encode_normals,
    normal_map,
    normal_map_step_by_step,
    order_for_pipeline,
    reverse_channels,
)

MOTORCYCLE_CAMERA = Camera(fx=994.978, fy=994.978, cx=311.193, cy=254.877)


def motorcycle_inverse_depth() -> np.ndarray:
    disparity = data.stereo_motorcycle()[2]
    return inverse_depth_from_disparity(
        fill_missing(disparity), focal_length=994.978, baseline=0.193001, offset=31.086
    )


def released_recipe(image: np.ndarray, threshold: float = 0.4) -> np.ndarray:
    """The model card's arithmetic, operation by operation, as the yardstick."""
    image_depth = image.copy()
    image_depth -= np.min(image_depth)
    image_depth /= np.max(image_depth)
    x = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3)
    x[image_depth < threshold] = 0
    y = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3)
    y[image_depth < threshold] = 0
    z = np.ones_like(x) * np.pi * 2.0
    normal = np.stack([x, y, z], axis=2)
    normal /= np.sum(normal**2.0, axis=2, keepdims=True) ** 0.5
    return (normal * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


def plane(camera: Camera, normal: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Inverse depth of the plane at distance 1 whose normal is (right, up, towards)."""
    v, u = np.indices(shape)
    right, up, towards = normal
    ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(shape)])
    return -right * ray[0] + up * ray[1] + towards * ray[2]


def unit(*vector: float) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


# The recipe.


@pytest.mark.parametrize("function", [normal_map, normal_map_step_by_step])
@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.7])
def test_the_recipe_is_met_to_the_byte_on_a_measured_map(function, threshold):
    depth = (motorcycle_inverse_depth() * 40).astype(np.float32)
    assert np.array_equal(
        function(depth, background_threshold=threshold), released_recipe(depth, threshold)
    )


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (512, 512), (2048, 2048), (7, 700)])
def test_the_recipe_is_met_to_the_byte_at_every_size(shape):
    rng = np.random.default_rng(sum(shape))
    depth = cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), 3) * 200
    assert np.array_equal(normal_map(depth), released_recipe(depth))


@settings(max_examples=60)
@given(
    depth=arrays(
        np.float32,
        st.tuples(st.integers(2, 40), st.integers(2, 40)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    threshold=st.floats(0, 1),
)
def test_the_fast_form_gives_the_bytes_of_the_readable_one(depth, threshold):
    assert np.array_equal(
        normal_map(depth, background_threshold=threshold),
        normal_map_step_by_step(depth, background_threshold=threshold),
    )


def test_signs_red_is_left_and_green_is_up():
    v, u = np.indices((101, 101)) - 50.0
    dome = np.sqrt(np.maximum(60.0**2 - u**2 - v**2, 0)).astype(np.float32)
    colours = normal_map(dome, background_threshold=0)
    assert colours[50, 10, 0] > 180 > 75 > colours[50, 90, 0]
    assert colours[10, 50, 1] > 180 > 75 > colours[90, 50, 1]
    assert tuple(colours[50, 50]) == (127, 127, 255)


@pytest.mark.parametrize(("scale", "degrees"), [(0.01, 0.42), (1, 36.3), (10, 82.3)])
def test_the_constant_z_is_a_depth_scale_in_disguise(scale, degrees):
    # One plane that rises by tan 30 degrees a pixel; Sobel's gain on a ramp is 8.
    ramp = (np.tan(np.radians(30)) * scale * np.arange(64, dtype=np.float32))[None].repeat(64, 0)
    x, _, z = decode_normals(normal_map(ramp, background_threshold=0))[32, 32] * [-1, 1, 1]
    assert np.degrees(np.arctan2(x, z)) == pytest.approx(degrees, abs=0.6)
    assert np.degrees(np.arctan(8 * np.tan(np.radians(30)) * scale / (2 * np.pi))) == pytest.approx(
        degrees, abs=0.05
    )


def test_a_constant_map_is_flat_everywhere():
    assert np.array_equal(
        np.unique(normal_map(np.full((8, 9), 3, np.float32)).reshape(-1, 3), axis=0),
        [[127, 127, 255]],
    )


def test_a_larger_map_gives_weaker_normals_unless_it_is_resized_first():
    depth = (motorcycle_inverse_depth() * 40).astype(np.float32)

    def strength(values):
        return angles_between(
            decode_normals(normal_map(values)), decode_normals(normal_map(values * 0))
        ).mean()

    large = resize_map(depth, resolution=1000)
    assert strength(large) < 0.85 * strength(depth)
    assert strength(resize_map(large)) == pytest.approx(strength(resize_map(depth)), rel=0.05)


# The right normal.


@settings(max_examples=50)
@given(right=st.floats(-0.8, 0.8), up=st.floats(-0.8, 0.8), scale=st.floats(1e-3, 1e3))
def test_planes_get_their_exact_normal_at_any_scale(right, up, scale):
    camera = Camera(300, 320, 30.5, 20.25)
    normal = unit(right, up, 1)
    q = plane(camera, normal, (48, 64)) * scale
    error = angles_between(camera_normals(q, camera), np.broadcast_to(normal, (48, 64, 3)))
    assert error.max() < 1e-5


def test_a_sphere_gets_its_normals_within_a_degree():
    camera, radius, distance = Camera(400, 400, 127.5, 127.5), 0.5, 2.0
    v, u = np.indices((256, 256))
    ones = np.ones((256, 256))
    ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, ones], axis=2)
    b, a = distance * ray[:, :, 2], (ray**2).sum(2)
    inside = b**2 - a * (distance**2 - radius**2)
    depth = np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, distance)
    outward = (ray * depth[:, :, None] - [0, 0, distance]) / radius
    truth = outward * [1, -1, -1]
    error = angles_between(camera_normals(1 / depth, camera), truth)
    assert error[inside > 0.2].max() < 1


def test_an_unknown_shift_bends_the_normals():
    camera = Camera(300, 300, 32, 24)
    q = plane(camera, unit(0.6, 0, 0.8), (48, 64))
    error = angles_between(camera_normals(q + 1, camera), camera_normals(q, camera))
    assert error.min() > 10


def test_a_scaled_camera_sees_the_same_normals():
    camera, normal = Camera(300, 300, 63.5, 47.5), unit(0.4, 0.3, 1)
    half = camera.scaled(0.5)
    q = cv2.resize(plane(camera, normal, (96, 128)), (64, 48), interpolation=cv2.INTER_AREA)
    error = angles_between(camera_normals(q, half), np.broadcast_to(normal, (48, 64, 3)))
    assert error.max() < 1e-5


def test_on_a_measured_map_the_recipe_and_the_camera_differ_and_the_floor_faces_up():
    q = motorcycle_inverse_depth()
    right = camera_normals(q, MOTORCYCLE_CAMERA)
    recipe = decode_normals(normal_map((q * 40).astype(np.float32), background_threshold=0))
    assert 20 < angles_between(right, recipe).mean() < 70
    floor = np.median(right[470:495, 100:300].reshape(-1, 3), axis=0)
    assert floor[1] > 0.8, "the workshop floor at the lower edge faces up"


# Colours and channel orders.


def test_colours_and_normals_are_inverse_to_each_other():
    rng = np.random.default_rng(3)
    normals = rng.normal(size=(40, 50, 3))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    assert angles_between(decode_normals(encode_normals(normals)), normals).max() < 0.5
    flat = np.zeros((1, 1, 3))
    flat[0, 0, 2] = 1
    assert tuple(encode_normals(flat)[0, 0]) == (127, 127, 255)


@pytest.mark.parametrize(
    ("network_order", "config_order", "arrives_reversed"),
    [("zyx", "bgr", False), ("zyx", "rgb", True), ("xyz", "rgb", False), ("xyz", "bgr", True)],
)
def test_the_network_sees_its_order_whatever_the_configuration_says(
    network_order, config_order, arrives_reversed
):
    import torch
    from diffusers import ControlNetModel

    colours = np.zeros((8, 8, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    given = order_for_pipeline(colours, network_order=network_order, config_order=config_order)
    assert np.array_equal(given, reverse_channels(colours) if arrives_reversed else colours)

    controlnet = ControlNetModel(
        block_out_channels=(4, 4),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        norm_num_groups=2,
        cross_attention_dim=4,
        attention_head_dim=2,
        conditioning_embedding_out_channels=(4, 4, 4, 4),
        controlnet_conditioning_channel_order=config_order,
    )
    seen = []
    controlnet.controlnet_cond_embedding.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    controlnet(
        torch.zeros(1, 4, 1, 1),
        1,
        torch.zeros(1, 1, 4),
        torch.from_numpy(given).permute(2, 0, 1)[None] / 255,
    )
    order = (30, 20, 10) if network_order == "zyx" else (10, 20, 30)
    assert seen[0][0, :, 0, 0].mul(255).round().int().tolist() == list(order)


# Depth.


def test_near_is_white_and_far_is_black():
    image = depth_image(np.array([[2, 4], [6, 10]], np.float32))
    assert image[:, :, 0].tolist() == [[0, 63], [127, 255]]
    assert not depth_image(np.ones((3, 3))).any()


def test_disparity_becomes_metres():
    q = motorcycle_inverse_depth()
    assert 2.0 < (1 / q).min() < 2.3 < 4.5 < (1 / q).max() < 5.1
    disparity = data.stereo_motorcycle()[2][250, 370]
    assert 1 / q[250, 370] == pytest.approx(994.978 * 0.193001 / (disparity + 31.086))


def test_holes_take_the_nearest_measured_value():
    values = np.array([[1, np.inf, np.nan, 5.0]])
    assert fill_missing(values).tolist() == [[1, 1, 5, 5]]
    assert np.isinf(values[0, 1]), "the map that was given stays as it was"


def test_a_resized_map_has_the_asked_size_and_the_same_plane():
    ramp = np.arange(800, dtype=np.float32)[None].repeat(400, 0)
    small = resize_map(ramp)
    assert small.shape == (384, 768)
    assert small.dtype == np.float32
    assert np.allclose(np.diff(small[:, 5:-5], axis=1), 800 / 768, rtol=2e-3)


# What goes wrong is said.

FLOAT = np.ones((8, 8), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: normal_map(FLOAT[0]), ValueError, ["height, width", "(8,)", "squeeze"]),
        (
            lambda: normal_map(np.ones((1, 1), np.float32)),
            ValueError,
            ["2 x 2", "(1, 1)", "larger"],
        ),
        (
            lambda: normal_map(np.ones((0, 4), np.float32)),
            ValueError,
            ["at least one pixel", "4 x 0"],
        ),
        (
            lambda: normal_map(np.ones((4, 4), np.uint16)),
            TypeError,
            ["float32", "uint16", "asarray"],
        ),
        (
            lambda: normal_map(np.ones((4, 4), np.float16)),
            TypeError,
            ["float32", "float16", "asarray"],
        ),
        (lambda: normal_map([[1.0]]), TypeError, ["NumPy array", "list", "asarray"]),
        (lambda: normal_map(FLOAT * np.nan), ValueError, ["finite", "64 of 64", "fill"]),
        (lambda: normal_map(FLOAT * 1e30), ValueError, ["below 1e+16", "1e+30", "unit"]),
        (
            lambda: normal_map(np.ones((2, 20_000), np.float32)),
            ValueError,
            ["at most 16384", "20000", "scale it down"],
        ),
        (
            lambda: normal_map(FLOAT, background_threshold=40),
            ValueError,
            ["0 to 1", "40", "normalised"],
        ),
        (
            lambda: normal_map(FLOAT, background_threshold=float("nan")),
            ValueError,
            ["0 to 1", "nan", "normalised"],
        ),
        (
            lambda: camera_normals(FLOAT - 1, Camera(1, 1, 0, 0)),
            ValueError,
            ["above 0", "got 0", "shift"],
        ),
        (
            lambda: camera_normals(FLOAT[:2], Camera(1, 1, 0, 0)),
            ValueError,
            ["3 x 3", "(2, 8)", "larger"],
        ),
        (lambda: encode_normals(FLOAT), ValueError, ["width, 3)", "(8, 8)", "decode_normals"]),
        (
            lambda: angles_between(np.ones((2, 2, 3)), np.ones((3, 2, 3))),
            ValueError,
            ["one shape", "(2, 2, 3)", "resize"],
        ),
        (
            lambda: order_for_pipeline(
                np.zeros((2, 2, 3), np.uint8), network_order="rgb", config_order="rgb"
            ),
            ValueError,
            ["'xyz' or 'zyx'", "'rgb'", "config"],
        ),
        (lambda: fill_missing(FLOAT * np.inf), ValueError, ["one finite", "(8, 8)", "read"]),
        (lambda: fill_missing("map"), TypeError, ["NumPy array", "str", "asarray"]),
        (lambda: resize_map(FLOAT, resolution=0), ValueError, ["at least 1", "got 0"]),
        (
            lambda: inverse_depth_from_disparity(FLOAT, focal_length=0, baseline=1),
            ValueError,
            ["positive focal length", "got 0", "calibration"],
        ),
        (
            lambda: inverse_depth_from_disparity(-FLOAT, focal_length=1, baseline=1),
            ValueError,
            ["above 0", "-1", "swap"],
        ),
    ],
)
def test_bad_input_is_named_with_what_to_do(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
