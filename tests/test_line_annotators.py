"""Soft edges and straight lines of the toybox: learned right, and read by the released classes."""

import math

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from helpers.conditions.canny import canny_edges
from helpers.conditions.mlsd import (
    decode_tri_points,
    detect_lines_mlsd,
    draw_lines,
    encode_tri_points,
)
from helpers.images import fit
from helpers.networks import (
    load_hed_network,
    load_mlsd_network,
    new_hed_network,
    new_mlsd_network,
    save_network,
)
from helpers.runtime import import_controlnet_aux
from helpers.scores import edge_f1, lines_matched
from toybox.annotators import hed, mlsd
from toybox.world import render, sample_scene


@pytest.fixture(scope="module")
def released():
    """The package that holds the released detectors."""
    return import_controlnet_aux()


@pytest.fixture
def soft_edge_network():
    torch.manual_seed(0)
    return hed.initialised(new_hed_network())


@pytest.fixture
def line_network():
    torch.manual_seed(0)
    return mlsd.initialised(new_mlsd_network())


def learn(loss, steps, rate):
    """Train a module for some steps."""
    optimizer = torch.optim.AdamW(loss.parameters(), rate, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(generator)[0].backward()
        nn.utils.clip_grad_norm_(loss.parameters(), 1)
        optimizer.step()


# Soft edges.


def test_the_soft_edge_network_is_the_released_one_with_fewer_channels(released):
    theirs, ours = released.hed.ControlNetHED_Apache2(), new_hed_network()
    assert type(ours) is type(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert sum(p.numel() for p in theirs.parameters()) > 14_000_000
    assert sum(p.numel() for p in ours.parameters()) == 330_824


@pytest.fixture(scope="module")
def view():
    """A scene with a floor of planks, which are no edges, and a figure, whose outline is one."""
    return render(sample_scene(0), lines=False)


@pytest.fixture(scope="module")
def learned(view):
    """A soft-edge network that has looked at a part of the scene for some seconds."""
    torch.manual_seed(0)
    network = hed.initialised(new_hed_network())
    data = {"photo": view.photo[:, 64:192, 64:192], "edges": view.edges[:, 64:192, 64:192]}
    learn(hed.HedLoss(network, data, batch=1), steps=100, rate=5e-3)
    return hed.as_released(network)


def test_some_learning_finds_outlines_better_than_canny_does(view, learned):
    photo = view.photo[0, 64:192, 64:192].numpy()
    wanted = view.edges[0, 64:192, 64:192].numpy()
    found = hed.find_soft_edges(learned, photo)
    canny = canny_edges(photo)[:, :, 0] > 0
    assert edge_f1(wanted, found > 60) > max(0.9, edge_f1(wanted, canny))


@pytest.mark.parametrize(
    ("shape", "resolution", "expected"),
    [((256, 256), 256, (256, 256)), ((256, 256), 512, (512, 512)), ((300, 400), 256, (256, 320))],
)
def test_the_released_detector_returns_an_edge_map(
    released, view, learned, shape, resolution, expected
):
    photo = cv2.resize(view.photo[0].numpy(), shape[::-1])
    edges = cv2.resize(view.edges[0].numpy().astype(np.uint8), expected[::-1]) > 0
    found = released.HEDdetector(learned)(
        photo, detect_resolution=resolution, image_resolution=resolution, output_type="np"
    )
    assert found.shape == (*expected, 3)
    assert found[edges].mean() > 2 * found[~edges].mean()


def test_the_network_on_disk_reads_bytes_and_gives_probabilities(released, soft_edge_network):
    photo = skimage.data.astronaut()[:128, :128]
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        logits = hed.side_logits(soft_edge_network, pixels).mean(dim=1)[0].numpy()
    # Cross-entropy in which edges count 0.95 / 0.05 = 19 times raises the odds 19 times.
    probability = 1 / (1 + 19 * np.exp(-logits))
    found = hed.find_soft_edges(hed.as_released(soft_edge_network), photo)
    assert np.abs(found - 255 * probability).max() <= 1.01


@pytest.mark.parametrize("probability", [0.01, 0.3, 0.9])
def test_the_weighted_loss_is_least_where_the_odds_are_those_of_the_weights(probability):
    least = math.log(probability / (1 - probability)) + math.log(0.95 / 0.05)
    logits = torch.tensor([least - 0.01, least, least + 0.01], dtype=torch.float64)
    losses = [hed.weighted_cross_entropy(one, torch.tensor(probability)) for one in logits]
    assert losses[1] < min(losses[0], losses[2])


@given(arrays(bool, (9, 12)))
def test_soft_edges_are_a_gaussian_of_the_distance_to_the_nearest_edge(edges):
    distance = cv2.distanceTransform(1 - edges.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    soft = hed.soft_edges(torch.from_numpy(edges)[None])[0].numpy()
    near = distance < 3
    np.testing.assert_allclose(soft[near], np.exp(-(distance[near] ** 2) / 2), atol=1e-5)
    assert not soft[~near].any()


# Straight lines.


@st.composite
def padded_lines(draw):
    """Lines as a data folder holds them, some with the same middle, some short."""
    count = draw(st.integers(0, 6))
    ends = st.integers(0, 4 * (mlsd.SIZE - 1)).map(lambda quarter: quarter / 4)
    lines = draw(arrays(np.float32, (count, 4), elements=ends))
    twins = lines[:, [2, 1, 0, 3]] if draw(st.booleans()) else lines[:0]
    return np.concatenate([lines, twins, np.full((3, 4), np.nan, np.float32)])


@given(padded_lines())
def test_training_learns_the_maps_of_the_notebook(lines):
    cells, displacements, real = mlsd.tri_points(torch.from_numpy(lines)[None])
    centres = np.full((mlsd.SIZE, mlsd.SIZE), -10, np.float32)
    arrows = np.zeros((4, mlsd.SIZE, mlsd.SIZE), np.float32)
    x, y = cells[0][real[0]].T.numpy()
    centres[y, x] = 10
    arrows[:, y, x] = displacements[0][real[0]].T.numpy()

    ordered = mlsd.in_order(torch.from_numpy(lines)).numpy()
    lengths = np.hypot(*(lines[:, 2:] - lines[:, :2]).T)
    expected = encode_tri_points(ordered[lengths >= mlsd.SHORTEST], mlsd.SIZE, mlsd.SIZE)
    np.testing.assert_array_equal(centres, expected[0])
    np.testing.assert_array_equal(arrows, expected[1])
    assert len(x) == len({*zip(x.tolist(), y.tolist(), strict=True)})


@given(arrays(np.float32, 4, elements=st.integers(0, 255)))
def test_the_order_of_the_ends_does_not_depend_on_how_the_line_was_written(line):
    there, back = torch.from_numpy(np.stack([line, line[[2, 3, 0, 1]]]))
    if 2 * line[0] + line[1] != 2 * line[2] + line[3]:
        assert torch.equal(mlsd.in_order(there), mlsd.in_order(back))


def test_lines_run_to_the_right_or_down():
    lines = torch.tensor([[9.0, 5, 1, 4], [5, 9, 4, 1], [5, 9, 6, 1]])
    expected = torch.tensor([[1.0, 4, 9, 5], [4, 1, 5, 9], [6, 1, 5, 9]])
    assert torch.equal(mlsd.in_order(lines), expected)


class Recorder(nn.Module):
    """A network that keeps what it is shown and answers that there are no lines."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        self.batch = batch
        return torch.full((1, 5, *(side // 2 for side in batch.shape[2:])), -9.0)


def test_training_shows_the_network_what_the_released_detector_shows_it(released):
    photo = cv2.resize(skimage.data.astronaut(), (mlsd.SIZE, mlsd.SIZE))
    recorder = Recorder()
    released.MLSDdetector(recorder)(photo)
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    shown = mlsd.network_input(pixels, mlsd.enlargement())
    assert shown.shape == recorder.batch.shape == (1, 4, 512, 512)
    assert (shown - recorder.batch).abs().max() <= 1.01 / 127.5, "more than a grey level"


class Oracle(nn.Module):
    """A network that knows one line: every cell points to its two ends, moved by `error`."""

    def __init__(self, line, *, error=0.0, centre_error=0):
        super().__init__()
        y, x = np.mgrid[: mlsd.SIZE, : mlsd.SIZE]
        arrows = (np.array(line)[:, None, None] + error - np.stack([x, y, x, y])) / mlsd.UNIT
        centre = np.full((1, mlsd.SIZE, mlsd.SIZE), -20.0)
        middle_x, middle_y = (line[0] + line[2]) // 2, (line[1] + line[3]) // 2
        centre[0, middle_y, middle_x + centre_error] = 20
        self.maps = torch.from_numpy(np.concatenate([centre, arrows])).float()[None]

    def forward(self, batch):
        return self.maps


def loss_of(oracle, line):
    lines = torch.full((1, 3, 4), torch.nan)
    lines[0, 0] = torch.tensor(line)
    photos = torch.zeros((1, mlsd.SIZE, mlsd.SIZE, 3), dtype=torch.uint8)
    loss = mlsd.MlsdLoss(oracle, {"photo": photos, "lines": lines}, batch=1)
    return {name: float(value) for name, value in loss(torch.Generator())[1].items()}


@pytest.mark.parametrize("line", [(20, 30, 120, 40), (0, 0, 0, 20), (255, 3, 255, 255)])
def test_the_loss_is_zero_for_a_network_that_knows_the_line(line):
    assert loss_of(Oracle(line), line) == pytest.approx({"centres": 0, "ends": 0}, abs=1e-5)


def test_the_loss_counts_cells_by_which_the_ends_are_off():
    line = (20, 30, 120, 40)
    off = loss_of(Oracle(line, error=-3), line)
    assert off == pytest.approx({"centres": 0, "ends": 2.5}, abs=1e-4)  # smooth L1: 3 - 1/2
    assert loss_of(Oracle(line, centre_error=5), line)["centres"] > 10


def test_the_loss_of_a_scene_without_lines_is_finite():
    nothing = (5.0, 5, 6, 6)  # too short
    assert loss_of(Oracle((20, 30, 120, 40)), nothing)["ends"] == 0


def test_a_peak_one_cell_off_means_the_same_line():
    line = (20, 30, 120, 40)
    maps = Oracle(line, centre_error=1).maps[0].numpy()
    found = decode_tri_points(maps[0], maps[1:] * mlsd.UNIT)
    np.testing.assert_allclose(found, [line], atol=1e-4)


@pytest.fixture
def small(monkeypatch):
    """Photos of 32 pixels, for which the line network is quick."""
    monkeypatch.setattr(mlsd, "SIZE", 32)
    monkeypatch.setattr(mlsd, "SEEN", 64)
    monkeypatch.setattr(mlsd, "UNIT", 8.0)
    photo = np.full((32, 32, 3), 60, np.uint8)
    photo[8:25, 6:27] = (200, 180, 90)
    corners = [(6, 8), (26, 8), (26, 24), (6, 24)]
    sides = [[*a, *b] for a, b in zip(corners, [*corners[1:], corners[0]], strict=True)]
    return {"photo": photo[None], "lines": np.array([sides], np.float32)}


def test_some_learning_makes_the_released_detector_draw_a_square(released, small, line_network):
    data = {name: torch.from_numpy(array) for name, array in small.items()}
    learn(mlsd.MlsdLoss(line_network, data, batch=2), steps=60, rate=5e-3)
    network = mlsd.as_released(line_network, small["photo"])
    mlsd.calibrate(network, small)
    drawn = released.MLSDdetector(network)(
        small["photo"][0], detect_resolution=64, image_resolution=64, output_type="np"
    )
    wanted = draw_lines(2 * small["lines"][0], 64, 64)
    assert edge_f1(wanted[:, :, 0] > 0, drawn[:, :, 0] > 0, tolerance=3) > 0.9
    found = mlsd.find_lines(network, small["photo"][0])
    assert lines_matched(small["lines"][0], found, distance=2)["f1"] > 0.9


def test_calibration_makes_the_released_threshold_the_best_one(small, line_network):
    photo = fit(small["photo"][0], resolution=64)
    nn.init.zeros_(line_network.block23.conv3.bias)
    network = mlsd.as_released(line_network, small["photo"])
    before = {
        score: detect_lines_mlsd(photo, network, min_score=score) for score in mlsd.TRIED_SCORES
    }
    # The lines to be found are those of one threshold, so that one must come out as the best.
    lines = before[0.5][None] / 2
    assert 0 < lines.shape[1] < len(before[0.4])
    assert mlsd.calibrate(network, {"photo": small["photo"], "lines": lines}) == 0.5
    np.testing.assert_allclose(detect_lines_mlsd(photo, network), before[0.5], rtol=1e-4)


# Files.


@pytest.mark.parametrize(
    ("new", "load", "shape", "size"),
    [
        (new_hed_network, load_hed_network, (1, 3, 64, 64), 700_000),
        (new_mlsd_network, load_mlsd_network, (1, 4, 64, 64), 3_300_000),
    ],
)
def test_a_saved_network_comes_back_but_for_16_bits(new, load, shape, size, tmp_path):
    torch.manual_seed(0)
    network = new()
    save_network(network, tmp_path / "weights.safetensors")
    loaded = load(tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").stat().st_size < size
    assert not loaded.training
    for name, weights in network.state_dict().items():
        got = loaded.state_dict()[name]
        assert got.dtype == weights.dtype
        torch.testing.assert_close(got, weights, rtol=1e-3, atol=1e-7)
    picture = torch.rand(shape)
    with torch.no_grad():
        assert torch.equal(loaded(picture)[0], load(tmp_path / "weights.safetensors")(picture)[0])


@pytest.mark.parametrize("load", [load_hed_network, load_mlsd_network])
def test_a_missing_damaged_or_foreign_file_is_named(load, tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(FileNotFoundError, match=r"weights.safetensors: expected the weights"):
        load(path)
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="cannot be read"):
        load(path)
    save_network(nn.Linear(2, 3), path)
    with pytest.raises(ValueError, match=r"differ in name or shape, such as"):
        load(path)


@pytest.mark.parametrize("weight", [1e6, math.nan])
def test_weights_that_16_bits_cannot_hold_are_refused(weight, tmp_path):
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, weight)
    with pytest.raises(ValueError, match="weight: expected finite"):
        save_network(layer, tmp_path / "weights.safetensors")
    assert not (tmp_path / "weights.safetensors").exists()
