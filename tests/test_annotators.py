"""Annotators load through the real classes, and what they learn from is the truth.

The weights here are random, written and read the way trained ones are.
"""

import types

import cv2
import huggingface_hub
import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import pipeline

from helpers.annotators import (
    PARTS,
    draw_control,
    find_people,
    load_annotator,
)
from helpers.catalogue import CONDITIONS
from helpers.conditions.ade20k import CLASSES
from helpers.conditions.canny import canny_edges
from helpers.conditions.depth import resize_map
from helpers.conditions.normal import angles_between, decode_normals, normal_map
from helpers.conditions.openpose_decode import decode_pose, maps_from_people
from helpers.images import check_control
from helpers.networks import new_hed_network, new_mlsd_network, save_network
from helpers.pose_network import FIELDS, HEATMAPS, PoseNetwork, pose_maps
from helpers.runtime import import_controlnet_aux
from helpers.scores import pose_scores
from toybox.annotators import augment, save_pretrained
from toybox.annotators import depth as depth_training
from toybox.annotators import pose as pose_training
from toybox.annotators import seg as seg_training
from toybox.annotators.hed import initialised
from toybox.data import DEPTH_UNIT, SIZE, truth_of
from toybox.manifest import write_manifest
from toybox.world import render, sample_scene

SIDE = 64
few = settings(max_examples=15)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return types.SimpleNamespace(
        depth=depth_training.new_network().eval(),
        seg=seg_training.new_network().eval(),
        pose=PoseNetwork().eval(),
        hed=initialised(new_hed_network()),
        mlsd=new_mlsd_network(),
    )


@pytest.fixture(scope="module")
def weights(networks, tmp_path_factory):
    """A folder of weights like toybox/weights, with the annotators only."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "annotators").mkdir()
    depth_training.save(networks.depth, folder / "annotators" / "depth")
    processor = seg_training.new_processor()
    save_pretrained(networks.seg, processor, folder / "annotators" / "seg")
    for name in ("pose", "hed", "mlsd"):
        save_network(getattr(networks, name), folder / "annotators" / f"{name}.safetensors")
    write_manifest(folder, {})
    return folder


@pytest.fixture(scope="module")
def view():
    """A scene with a person, whom nothing hides much."""
    views = render([sample_scene(seed) for seed in range(12)], size=SIZE)
    seen = views.joints_visible.sum(dim=2).amax(dim=1)
    return views.pick([int(seen.argmax())])


@pytest.fixture(scope="module")
def photo(view):
    return view.photo[0].numpy()


def test_every_annotator_measures_what_the_table_says(weights, photo):
    shapes = {"mlsd": (..., 4), "openpose": (..., 18, 2), "normal": (SIZE, SIZE, 3)}
    types_ = {"canny": "b", "scribble": "b", "seg": "u"}
    for name in CONDITIONS:
        found = load_annotator(name, folder=weights, device="cpu")(photo)
        shape = shapes.get(name, (SIZE, SIZE))
        assert found.shape[-len(shape) + (shape[0] is ...) :] == shape[shape[0] is ... :], name
        assert found.ndim == len(shape), name
        assert found.dtype.kind == types_.get(name, "f"), name


@pytest.mark.parametrize("name", ["depth", "normal", "seg", "hed", "scribble", "openpose"])
def test_photos_of_other_sizes_and_kinds_are_measured_at_their_own_size(name, weights):
    annotate = load_annotator(name, folder=weights, device="cpu")
    rng = np.random.default_rng(0)
    for height, width in ((100, 150), (300, 131)):
        grey = Image.fromarray(rng.integers(0, 256, (height, width), np.uint8))
        found = annotate(grey)
        if name != "openpose":
            assert found.shape[:2] == (height, width)
            assert draw_control(name, found, height, width).shape == (height, width, 3)


def test_straight_lines_come_in_pixels_of_the_photo(weights, monkeypatch):
    seen = []

    def find(picture, network):
        seen.append(picture.shape)
        return np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32)

    monkeypatch.setattr("helpers.annotators.detect_lines_mlsd", find)
    annotate = load_annotator("mlsd", folder=weights, device="cpu")
    lines = annotate(np.zeros((300, 420, 3), np.uint8))
    np.testing.assert_allclose(lines, [[0, 0, 420, 300]], rtol=1e-6)
    assert seen == [(512, 704, 3)]


def test_canny_needs_no_weights(photo, tmp_path):
    edges = load_annotator("canny", folder=tmp_path)(photo)
    assert np.array_equal(draw_control("canny", edges, SIZE, SIZE), canny_edges(photo))


def test_depth_is_that_of_the_network_in_the_unit_of_the_normal_recipe(networks, weights, photo):
    found = load_annotator("depth", folder=weights, device="cpu")(photo)
    batch = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = DEPTH_UNIT * depth_training.predict(networks.depth, batch)[0].numpy()
    assert expected.std() > 0
    # The weights on disk have 16 bits.
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_weights_have_16_bits_on_disk_and_32_in_memory(weights):
    for part in ("depth", "seg"):
        folder = weights / "annotators" / part
        network = pipeline_model(folder)
        numbers = sum(weight.numel() for weight in network.parameters())
        assert {weight.dtype for weight in network.parameters()} == {torch.float32}
        assert (folder / "model.safetensors").stat().st_size < 2.1 * numbers
        assert numbers < 3e6


def pipeline_model(folder):
    task = "depth-estimation" if folder.name == "depth" else "image-segmentation"
    return pipeline(task, model=str(folder), device="cpu").model


def test_normals_are_the_recipe_on_the_depth_that_the_annotator_gives(weights, photo):
    depth = load_annotator("depth", folder=weights, device="cpu")(photo)
    normals = load_annotator("normal", folder=weights, device="cpu")(photo)
    assert angles_between(normals, decode_normals(normal_map(depth))).max() < 0.01


def test_classes_are_the_best_of_the_network_and_have_the_names_of_ade20k(networks, weights, photo):
    found = load_annotator("seg", folder=weights, device="cpu")(photo)
    batch = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        logits = seg_training.predict(networks.seg, batch)[0]
    first, second = logits.topk(2, dim=0).values
    clear = (first - second > 0.01).numpy()
    assert clear.mean() > 0.1
    assert np.array_equal(found[clear], logits.argmax(dim=0).numpy()[clear])
    assert networks.seg.config.id2label == dict(enumerate(CLASSES))


def test_soft_edges_are_those_of_the_detector_of_controlnet_aux(networks, weights, photo):
    edges = load_annotator("hed", folder=weights, device="cpu")(photo)
    network = networks.hed.half().float()  # as on disk
    detector = import_controlnet_aux().HEDdetector(network)
    grey = detector(photo, detect_resolution=SIZE, image_resolution=SIZE, output_type="np")
    assert np.ptp(grey) > 10
    difference = np.abs(draw_control("hed", edges, SIZE, SIZE).astype(int) - grey)
    # The fifth side output is one number for 16 x 16 pixels: float32 may round to the next byte.
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_a_scribble_is_thin_lines_three_pixels_wide(weights, monkeypatch):
    y, x = np.indices((SIZE, SIZE))
    distance = (x - 0.4 * y - 60) * np.cos(np.arctan(0.4))
    edge = np.exp(-(distance**2) / 2).astype(np.float32)
    monkeypatch.setattr("helpers.annotators._soft_edges", lambda photo, **_: edge)
    strokes = load_annotator("scribble", folder=weights, device="cpu")(edge)
    assert np.median(strokes.sum(axis=1)) in (3, 4)
    assert np.abs(distance[strokes]).max() < 3
    assert strokes[np.abs(distance) < 0.5].all()


def test_a_damaged_file_is_named(weights, tmp_path):
    part = tmp_path / "annotators"
    part.mkdir()
    data = (weights / "annotators" / "pose.safetensors").read_bytes()
    (part / "pose.safetensors").write_bytes(data)
    write_manifest(tmp_path, {})
    (part / "pose.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"pose\.safetensors"):
        load_annotator("openpose", folder=tmp_path)


@pytest.mark.parametrize("name", PARTS)
def test_what_cannot_be_downloaded_is_said_in_one_message(name, hub):
    checkpoint = CONDITIONS[name].annotator_checkpoint
    with pytest.raises(FileNotFoundError, match=f'(?s)hf download {checkpoint}.*model="toybox"'):
        load_annotator(name, "sd15")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub, without a network: gives the snapshot folder of a repository."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def snapshot(name):
        folder = tiny_models.cached_repository(tmp_path, CONDITIONS[name].annotator_checkpoint)
        folder.mkdir(parents=True)
        return folder

    return snapshot


def test_released_depth_goes_the_same_way_and_its_normals_are_made_at_384(networks, hub, photo):
    depth_training.save(networks.depth, hub("depth"))
    large = cv2.resize(photo, (512, 512))
    depth = load_annotator("depth", "sd15", device="cpu")(large)
    normals = load_annotator("normal", "sd15", device="cpu")(large)
    assert depth.shape == (512, 512)
    colours = normal_map(resize_map(depth, resolution=384))
    expected = decode_normals(cv2.resize(colours, (512, 512), interpolation=cv2.INTER_LINEAR))
    assert angles_between(normals, expected).max() < 0.01


def test_released_classes_go_the_same_way(networks, weights, hub, photo):
    save_pretrained(networks.seg, seg_training.new_processor(), hub("seg"))
    found = load_annotator("seg", "sd15", device="cpu")(photo)
    ours = load_annotator("seg", folder=weights, device="cpu")(photo)
    assert np.array_equal(found, ours)


def test_released_edges_lines_and_people_are_found_by_the_networks_of_controlnet_aux(
    full_hub, monkeypatch
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(full_hub))
    photo = np.random.default_rng(0).integers(0, 256, (128, 64, 3), np.uint8)
    edges = load_annotator("hed", "sd15", device="cpu")
    assert edges.keywords["resolution"] == 512
    people = load_annotator("openpose", "sd15", device="cpu")
    assert people.keywords["rows"] == 23
    assert people(photo).shape == (0, 18, 2)
    assert load_annotator("mlsd", "sd15", device="cpu")(photo).shape == (0, 4)
    assert load_annotator("scribble", "sd15", device="cpu")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="canny"):
        load_annotator("sketch")
    with pytest.raises(ValueError, match="toybox or sd15"):
        load_annotator("canny", "sdxl")
    with pytest.raises(ValueError, match="canny"):
        draw_control("sketch", np.zeros((8, 8), bool), 8, 8)


def true_measurements(view):
    truth = truth_of(view, 0)
    edges = truth["edges"]
    joints = np.where(truth["joints_visible"][:, :, None], truth["joints"], np.nan)
    return {
        "canny": edges,
        "scribble": cv2.dilate(edges.astype(np.uint8), np.ones((3, 3))).astype(bool),
        "hed": cv2.GaussianBlur(edges.astype(np.float32), (0, 0), 1),
        "depth": 1 / truth["depth"],
        "normal": view.normals[0].numpy(),
        "mlsd": truth["lines"][~np.isnan(truth["lines"][:, 0])],
        "openpose": joints,
        "seg": truth["labels"],
    }


def test_true_measurements_are_drawn_as_control_images_without_a_fault(view):
    for name, measurement in true_measurements(view).items():
        control_image = draw_control(name, measurement, SIZE, SIZE)
        assert control_image.shape == (SIZE, SIZE, 3)
        assert control_image.dtype == np.uint8
        assert check_control(control_image, name) == [], name


@pytest.mark.parametrize("name", ["canny", "scribble", "hed", "depth", "normal", "seg"])
def test_a_map_of_another_size_is_refused(view, name):
    with pytest.raises(ValueError, match=r"helpers\.images\.fit"):
        draw_control(name, true_measurements(view)[name], SIZE, 2 * SIZE)


# People.


@few
@given(seed=seeds, rows=st.sampled_from([16, 23, 46]), count=st.integers(1, 3))
def test_training_draws_the_maps_of_maps_from_people(seed, rows, count):
    rng = np.random.default_rng(seed)
    joints = rng.uniform(-20, SIZE + 20, (2, count, 18, 2))
    joints[rng.random((2, count, 18)) < 0.3] = np.nan
    joints[0, 0, :5] = joints[0, 0, 0]  # limbs of length 0
    heatmaps, fields = pose_training.pose_targets(torch.from_numpy(joints), SIZE, rows)
    assert (heatmaps.shape, fields.shape) == ((2, 19, rows, rows), (2, 38, rows, rows))
    for number in range(2):
        people = maps_from_people(joints[number], (SIZE, SIZE), rows=rows)
        np.testing.assert_allclose(heatmaps[number], people[0], atol=1e-6)
        np.testing.assert_allclose(fields[number], people[1], atol=1e-6)


def test_nobody_gives_empty_maps():
    nobody = torch.full((1, 2, 18, 2), torch.nan)
    heatmaps, fields = pose_training.pose_targets(nobody, SIZE, 23)
    assert not heatmaps[:, :-1].any()
    assert (heatmaps[:, -1] == 1).all()
    assert not fields.any()


class Recorder(torch.nn.Module):
    """Keeps what it is fed; answers with maps of nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pictures):
        self.fed = pictures
        cells = pictures.shape[2] // 8, pictures.shape[3] // 8
        return torch.zeros(1, FIELDS, *cells), torch.zeros(1, HEATMAPS, *cells)


def body_of_controlnet_aux(network):
    body = import_controlnet_aux().open_pose.body.Body
    with_network = body.__new__(body)
    with_network.model = network
    return with_network


@few
@given(seed=seeds, height=st.integers(20, 700), width=st.integers(20, 700))
def test_the_network_is_fed_what_controlnet_aux_feeds_it(seed, height, width):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    ours, theirs = Recorder(), Recorder()
    pose_maps(picture, ours, rows=23)
    body_of_controlnet_aux(theirs)(picture[:, :, ::-1].copy())
    assert torch.equal(ours.fed, theirs.fed)


@pytest.mark.parametrize("rows", [23, 46])
def test_the_network_answers_with_fields_and_heat_maps_for_any_shape(networks, rows):
    photo = np.full((90, 200, 3), 200, np.uint8)
    heatmaps, fields = pose_maps(photo, networks.pose, rows=rows)
    people = maps_from_people(np.empty((0, 18, 2)), (90, 200), rows=rows)
    assert (heatmaps.shape, fields.shape) == (people[0].shape, people[1].shape)
    decode_pose(heatmaps, fields, (90, 200))


@pytest.fixture(scope="module")
def learned(view):
    """A pose network that was shown one photo, over and over."""
    torch.manual_seed(0)
    network = PoseNetwork()
    data = {"photo": view.photo, "joints": view.joints, "joints_visible": view.joints_visible}
    loss = pose_training.PoseLoss(network, data, 4)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.9, 0.99))
    photos = view.photo.permute(0, 3, 1, 2).float() / 255
    history = []
    for _ in range(70):
        total = sum(loss.errors(photos, view.joints, view.joints_visible, 23))
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        history.append(total.item())
    assert history[-1] < history[10] / 4
    return network.eval()


def test_a_network_that_has_learned_a_photo_finds_the_person(learned, view, photo):
    wanted = np.where(view.joints_visible[0][..., None], view.joints[0], np.nan)
    found = find_people(photo, network=learned, rows=23)
    assert pose_scores(wanted, found)["pck"] > 0.8


def test_openpose_detector_finds_the_same_people_with_our_network(learned, photo):
    detector = import_controlnet_aux().OpenposeDetector(body_of_controlnet_aux(learned))
    theirs = [
        [(SIZE * k.x, SIZE * k.y) if k else (np.nan, np.nan) for k in pose.body.keypoints]
        for pose in detector.detect_poses(photo)
    ]
    ours = find_people(photo, network=learned, rows=23)
    assert len(ours) > 0
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


# What the trainings share.


def test_a_spoilt_photo_depends_on_the_generator_alone_and_stays_a_photo(view):
    photos = view.photo.repeat(3, 1, 1, 1)
    first, again = (augment(photos, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (3, 3, SIZE, SIZE)
    assert 0 <= first.min() < first.max() <= 1
    original = photos.permute(0, 3, 1, 2) / 255
    change = (first - original).abs().mean(dim=(1, 2, 3))
    assert (change > 0.001).all()
    assert (change < 0.2).all()


def test_a_sharp_edge_costs_less_than_a_blurred_one():
    step = torch.zeros(1, SIDE, SIDE)
    step[:, :, SIDE // 2 :] = 1
    blurred = torch.nn.functional.avg_pool1d(step, 9, 1, 4, count_include_pad=False)
    moved_in_depth = 0.9 * step + 0.05
    costs = [
        depth_training.gradient_error(found - step).item()
        for found in (step, moved_in_depth, blurred)
    ]
    assert costs[0] == 0
    assert costs[1] < costs[2] / 4


def test_the_losses_take_a_batch_and_reach_every_weight(networks, view):
    data = {name: array[None] for name, array in truth_of(view, 0).items()}
    data = {name: torch.from_numpy(array) for name, array in data.items()} | {"photo": view.photo}
    for loss in (
        depth_training.DepthLoss(depth_training.new_network(), data, 2),
        seg_training.SegLoss(seg_training.new_network(), data, 2),
        pose_training.PoseLoss(PoseNetwork(), data, 4),
    ):
        total, values = loss(torch.Generator().manual_seed(0))
        total.backward()
        assert all(torch.isfinite(value) for value in (total, *values.values()))
        trained = {name: w for name, w in loss.named_parameters() if w.requires_grad}
        # Training on several GPUs waits for a gradient of each.
        assert [name for name, weight in trained.items() if weight.grad is None] == []
