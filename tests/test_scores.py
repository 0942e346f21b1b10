"""Scores: perfect for a copy, a known number for a known fault, equal to a reference where one is.

The pictures are small and made here, so that every expected number follows from a sum.
"""

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage, stats
from scipy.spatial.distance import cdist
from skimage import data
from skimage.metrics import structural_similarity

from helpers.catalogue import CONDITIONS
from helpers.conditions.skeleton import JOINTS
from helpers.scores import (
    MS_SSIM_WEIGHTS,
    SCORES,
    SIGMAS,
    SMALLEST_SIDE,
    GapClosed,
    align,
    depth_rmse,
    depth_rmse_8bit,
    edge_f1,
    gap_closed,
    lines_matched,
    mean_iou,
    ms_ssim,
    normal_angle,
    pose_scores,
    ssim_maps,
)

RNG = np.random.default_rng(0)
SHAPE = (SMALLEST_SIDE, SMALLEST_SIDE + 15)


def vertical_edge(column: int) -> np.ndarray:
    edges = np.zeros((20, 30), bool)
    edges[:, column] = True
    return edges


def soft_edges(seed: int = 0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), 3)
    return np.clip(1 - np.abs(noise) / 0.05, 0, 1)


def tilted(degrees: float) -> np.ndarray:
    """Normals of a plane that is turned to the right by so many degrees."""
    angle = np.radians(degrees)
    return np.tile([np.sin(angle), 0, np.cos(angle)], (4, 5, 1))


def standing(x: float = 50, y: float = 10) -> np.ndarray:
    """One person, 100 pixels tall and 40 wide, all 18 joints in sight."""
    person = np.random.default_rng(1).uniform(0, 1, (18, 2))
    person = (person - person.min(axis=0)) / np.ptp(person, axis=0) * [40, 100]
    return person[None] + [x, y]


MEASUREMENTS = {
    "canny": vertical_edge(10),
    "depth": RNG.random((9, 8), np.float32),
    "hed": soft_edges(),
    "mlsd": np.array([[3, 4, 60, 4], [10, 10, 10, 90.5]], np.float32),
    "normal": tilted(20),
    "openpose": standing(),
    "scribble": vertical_edge(10) | vertical_edge(20),
    "seg": RNG.integers(0, 150, (9, 8)),
}

# The table.


def test_every_condition_has_a_score():
    assert list(SCORES) == sorted(CONDITIONS)


@pytest.mark.parametrize("condition", SCORES)
def test_a_copy_is_perfect(condition):
    score, measured = SCORES[condition], MEASUREMENTS[condition]
    numbers = score.measure(measured, measured.copy())
    assert next(iter(numbers)) == score.headline
    assert all(type(number) is float for number in numbers.values())
    best = 1 if score.better == "higher" else 0
    assert numbers[score.headline] == pytest.approx(best, abs=1e-6)


def test_what_else_is_measured_stands_beside_the_headline():
    assert {
        name: list(s.measure(MEASUREMENTS[name], MEASUREMENTS[name])) for name, s in SCORES.items()
    } == {
        "canny": ["f1", "f1_strict"],
        "depth": ["rmse", "rmse_8bit"],
        "hed": ["ms_ssim"],
        "mlsd": ["f1", "precision", "recall"],
        "normal": ["angle"],
        "openpose": ["pck", "oks"],
        "scribble": ["f1"],
        "seg": ["miou"],
    }


@pytest.mark.parametrize("condition", SCORES)
@pytest.mark.parametrize("wrong", [None, "edges.png", np.array(["a"]), np.zeros((0, 0, 0, 0))])
def test_what_is_no_measurement_is_refused(condition, wrong):
    measure, right = SCORES[condition].measure, MEASUREMENTS[condition]
    with pytest.raises((TypeError, ValueError), match="expected"):
        measure(right, wrong)
    with pytest.raises((TypeError, ValueError), match="expected"):
        measure(wrong, right)


@pytest.mark.parametrize("condition", ["canny", "scribble", "hed", "depth", "normal", "seg"])
def test_maps_of_two_shapes_are_refused_with_both_shapes(condition):
    right = MEASUREMENTS[condition]
    other = np.concatenate([right, right[:1]])
    with pytest.raises(ValueError, match=rf"{right.shape[0]}, .*{other.shape[0]}, .*one size"):
        SCORES[condition].measure(right, other)


@pytest.mark.parametrize("condition", ["hed", "depth", "normal", "mlsd"])
def test_nan_is_refused(condition):
    broken = MEASUREMENTS[condition].astype(np.float64)
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match="expected"):
        SCORES[condition].measure(MEASUREMENTS[condition], broken)


# Edges.


@pytest.mark.parametrize(
    ("shift", "strict", "tolerant"), [(0, 1, 1), (1, 0, 1), (2, 0, 1), (3, 0, 0)]
)
def test_an_edge_may_be_off_by_the_tolerance_and_no_more(shift, strict, tolerant):
    wanted, found = vertical_edge(10), vertical_edge(10 + shift)
    measured = SCORES["canny"].measure(wanted, found)
    assert measured == {"f1": tolerant, "f1_strict": strict}
    assert SCORES["scribble"].measure(wanted, found) == {"f1": tolerant}


def test_f1_weighs_precision_against_recall():
    # All of the wanted pixels are found, and as many again: P = 1/2, R = 1, F1 = 2/3.
    twice = vertical_edge(10) | vertical_edge(20)
    assert edge_f1(vertical_edge(10), twice, tolerance=2) == pytest.approx(2 / 3)
    assert edge_f1(twice, vertical_edge(10), tolerance=2) == pytest.approx(2 / 3)


def test_no_edges_agree_with_no_edges_only():
    none = np.zeros((20, 30), bool)
    for tolerance in (0, 2):
        assert edge_f1(none, none, tolerance=tolerance) == 1
        assert edge_f1(none, vertical_edge(3), tolerance=tolerance) == 0
        assert edge_f1(vertical_edge(3), none, tolerance=tolerance) == 0


masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


# Eighths, since distances have 32 bits: no root of a whole number lies as near to one as that.
tolerances = st.integers(0, 40).map(lambda eighths: eighths / 8)


@given(masks, st.integers(0, 999), tolerances)
def test_edge_f1_is_that_of_all_distances_and_symmetric(wanted, seed, tolerance):
    found = np.random.default_rng(seed).random(wanted.shape) < 0.3
    score = edge_f1(wanted, found, tolerance=tolerance)
    assert score == edge_f1(found, wanted, tolerance=tolerance)
    if wanted.any() and found.any():
        near = cdist(np.argwhere(wanted), np.argwhere(found)) <= tolerance
        recall, precision = near.any(axis=1).mean(), near.any(axis=0).mean()
        total = precision + recall
        assert score == pytest.approx(2 * precision * recall / total if total else 0)


@given(masks, st.integers(0, 999))
def test_a_larger_tolerance_never_lowers_f1(wanted, seed):
    found = np.random.default_rng(seed).random(wanted.shape) < 0.3
    scores = [edge_f1(wanted, found, tolerance=tolerance) for tolerance in (0, 1, 1.5, 2, 20)]
    assert scores == sorted(scores)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)])
def test_edges_of_any_shape_are_compared(shape):
    assert edge_f1(np.ones(shape, bool), np.ones(shape, bool)) == 1


def test_edges_wider_than_any_picture_are_refused():
    with pytest.raises(ValueError, match="wanted: expected at most"):
        edge_f1(np.ones((1, 20_000), bool), np.ones((1, 20_000), bool))


def test_a_control_image_is_no_edge_map_and_the_message_says_the_way():
    with pytest.raises(TypeError, match=r"found: expected .* booleans, got uint8; .*> 127"):
        edge_f1(vertical_edge(3), np.zeros((20, 30, 3), np.uint8))


@pytest.mark.parametrize(
    ("tolerance", "error"), [(-1, ValueError), (math.nan, ValueError), ("2", TypeError)]
)
def test_a_tolerance_that_is_no_distance_is_refused(tolerance, error):
    with pytest.raises(error, match="tolerance: expected"):
        edge_f1(vertical_edge(3), vertical_edge(3), tolerance=tolerance)


# Soft edges.


def reference_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    _, full = structural_similarity(
        x, y, data_range=1, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    return full[5:-5, 5:-5]


def noisy(edges: np.ndarray, strength: float) -> np.ndarray:
    noise = np.random.default_rng(5).standard_normal(edges.shape)
    return np.clip(edges + strength * noise, 0, 1)


def test_the_ssim_of_one_scale_is_that_of_scikit_image():
    x, y = soft_edges(0), noisy(soft_edges(0), 0.3)
    luminance, contrast_structure = ssim_maps(x, y)
    np.testing.assert_allclose(luminance * contrast_structure, reference_ssim(x, y), atol=1e-10)


def test_the_product_over_scales_is_that_of_scikit_image_and_scipy():
    x, y = soft_edges(0), noisy(soft_edges(0), 0.3)
    expected = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        ssim = reference_ssim(x, y)
        if scale < 4:
            mu_x, mu_y = (ndimage.gaussian_filter(z, 1.5, truncate=3.5)[5:-5, 5:-5] for z in (x, y))
            ssim /= (2 * mu_x * mu_y + 1e-4) / (mu_x**2 + mu_y**2 + 1e-4)
        expected *= ssim.mean() ** weight
        height, width = x.shape
        half = (width // 2, height // 2)
        even = np.s_[: height // 2 * 2, : width // 2 * 2]
        x, y = (cv2.resize(z[even], half, interpolation=cv2.INTER_AREA) for z in (x, y))
    assert ms_ssim(soft_edges(0), noisy(soft_edges(0), 0.3)) == pytest.approx(expected, rel=1e-9)


def test_more_noise_is_less_similar():
    edges = soft_edges()
    scores = [ms_ssim(edges, noisy(edges, strength)) for strength in (0, 0.05, 0.1, 0.2, 0.4, 0.8)]
    assert scores[0] == pytest.approx(1)
    assert all(less < more for more, less in itertools.pairwise(scores))


def test_soft_edges_are_compared_both_ways_alike_and_a_negative_counts_as_nothing():
    first, second = soft_edges(0), soft_edges(1)
    assert ms_ssim(first, second) == pytest.approx(ms_ssim(second, first))
    assert 0 <= ms_ssim(first, second) < 0.6
    assert ms_ssim(first, 1 - first) == 0


def test_float32_is_as_good_as_float64():
    x, y = soft_edges(0), noisy(soft_edges(0), 0.3)
    assert ms_ssim(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(
        ms_ssim(x, y), abs=1e-6
    )


def test_the_window_must_fit_into_the_coarsest_scale():
    assert SMALLEST_SIDE == 176
    least = np.zeros((176, 176))
    assert ms_ssim(least, least) == 1
    with pytest.raises(ValueError, match="wanted: expected at least 176 x 176 values, got"):
        ms_ssim(least[1:], least[1:])


def test_soft_edges_in_grey_levels_are_refused():
    with pytest.raises(
        ValueError, match=r"found: expected soft edges from 0 to 1, .*divide .* 255"
    ):
        ms_ssim(soft_edges(), soft_edges() * 255)


# Depth.


def test_alignment_is_the_least_squares_of_numpy():
    found, wanted = RNG.random((9, 8)), RNG.random((9, 8))
    found += wanted
    columns = np.stack([found.ravel(), np.ones(found.size)], axis=1)
    solution, *_ = np.linalg.lstsq(columns, wanted.ravel())
    np.testing.assert_allclose(align(found, wanted).ravel(), columns @ solution)


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_no_scale_or_shift_of_either_depth_changes_its_error(
    scale, shift, other_scale, other_shift
):
    rng = np.random.default_rng(4)
    wanted = rng.random((9, 8))
    found = wanted + 0.3 * rng.random((9, 8))
    expected = depth_rmse(wanted, found)
    assert expected > 0.05
    changed = depth_rmse(other_scale * wanted + other_shift, scale * found + shift)
    assert changed == pytest.approx(expected, rel=1e-6)


def test_a_known_residual_is_the_error():
    # A checkerboard of +-0.1 sums to 0 down each column of the ramp, so that no fit removes it. The
    # best scale is V / (V + 0.01), V the variance of the ramp, which leaves V 0.01 / (V + 0.01).
    ramp = np.tile(np.linspace(0, 1, 8), (8, 1))
    checkerboard = 0.1 * (-1.0) ** np.add.outer(np.arange(8), np.arange(8))
    expected = math.sqrt(ramp.var() * 0.01 / (ramp.var() + 0.01))
    assert depth_rmse(5 * ramp, 20 * (ramp + checkerboard) + 3) == pytest.approx(expected)


def test_depth_that_knows_nothing_or_is_inside_out_leaves_the_standard_deviation():
    wanted = RNG.random((9, 8))
    deviation = wanted.std() / np.ptp(wanted)
    assert depth_rmse(wanted, np.ones((9, 8))) == pytest.approx(deviation)
    assert depth_rmse(wanted, -wanted) == pytest.approx(deviation)
    assert depth_rmse(wanted, 1 - wanted) == pytest.approx(deviation)


def test_constant_wanted_depth_says_nothing():
    flat = np.full((9, 8), 3.0)
    assert all(
        math.isnan(number) for number in SCORES["depth"].measure(flat, RNG.random((9, 8))).values()
    )


def test_the_8_bit_error_forgives_a_scale_but_not_a_shift():
    wanted = np.tile(np.arange(256, dtype=np.float32), (4, 1))
    assert depth_rmse_8bit(wanted, 7 * wanted) == 0
    # Found = (wanted + 255) / 510: half of the grey levels are out of reach.
    levels = np.arange(256)
    expected = np.sqrt(np.mean((np.floor((levels + 255.0) / 510 * 255) - levels) ** 2))
    assert SCORES["depth"].measure(wanted, wanted + 255)["rmse_8bit"] == pytest.approx(expected)
    assert depth_rmse(wanted, wanted + 255) == pytest.approx(0, abs=1e-12)


def test_the_8_bit_error_of_depth_that_is_nowhere_positive_is_that_of_black():
    wanted = np.tile(np.arange(256, dtype=np.float32), (4, 1))
    black = np.sqrt(np.mean(np.arange(256.0) ** 2))
    assert depth_rmse_8bit(wanted, -wanted) == pytest.approx(black)


# Normals.


@pytest.mark.parametrize("degrees", [0.01, 10, 90, 179])
def test_normals_turned_by_an_angle_are_off_by_that_angle(degrees):
    assert normal_angle(tilted(30), tilted(30 + degrees)) == pytest.approx(degrees)


def test_flat_background_does_not_count_unless_the_mask_says_so():
    wanted, found = tilted(30), tilted(40)
    wanted[:2] = [0, 0, 1]
    assert normal_angle(wanted, found) == pytest.approx(10)
    everywhere = np.ones((4, 5), bool)
    assert normal_angle(wanted, found, everywhere) == pytest.approx((10 + 40) / 2)
    assert SCORES["normal"].measure(wanted, found, foreground=everywhere)["angle"] == pytest.approx(
        25
    )


def test_normals_without_foreground_say_nothing():
    assert math.isnan(normal_angle(tilted(0), tilted(10)))
    assert math.isnan(normal_angle(tilted(5), tilted(10), np.zeros((4, 5), bool)))


@pytest.mark.parametrize("wrong", [np.zeros((4, 5, 3)), tilted(10) * 127.5, (tilted(10) + 1) / 2])
def test_vectors_that_are_not_of_unit_length_are_refused(wrong):
    with pytest.raises(ValueError, match="found: expected unit normals, got lengths"):
        normal_angle(tilted(10), wrong)


def test_a_mask_of_another_shape_or_type_is_refused():
    with pytest.raises(ValueError, match=r"normals and foreground .* \(4, 5\) and \(5, 4\)"):
        normal_angle(tilted(10), tilted(10), np.ones((5, 4), bool))
    with pytest.raises(TypeError, match="foreground: expected"):
        normal_angle(tilted(10), tilted(10), np.ones((4, 5)))


# Lines.

WALL = np.array([[10.0, 20, 110, 20]])


def turned(lines: np.ndarray, degrees: float) -> np.ndarray:
    """Lines turned round the middle of the first."""
    middle = (lines[0, :2] + lines[0, 2:]) / 2
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    ends = (lines.reshape(-1, 2) - middle) @ np.array([[c, s], [-s, c]]) + middle
    return ends.reshape(-1, 4)


@pytest.mark.parametrize(("shift", "f1"), [(0, 1), (3.9, 1), (4.1, 0)])
def test_a_line_beside_the_wanted_one_counts_up_to_the_distance(shift, f1):
    assert lines_matched(WALL, WALL + shift * np.array([0, 1, 0, 1]))["f1"] == f1


@pytest.mark.parametrize(
    ("degrees", "f1"), [(9.9, 1), (-9.9, 1), (10.1, 0), (90, 0), (180, 1), (172, 1)]
)
def test_a_line_in_another_direction_counts_up_to_the_angle(degrees, f1):
    assert lines_matched(WALL, turned(WALL, degrees), distance=50)["f1"] == f1


def test_which_end_is_first_does_not_matter():
    backwards = WALL[:, [2, 3, 0, 1]]
    assert lines_matched(WALL, backwards) == {"f1": 1, "precision": 1, "recall": 1}


def test_a_wall_broken_into_two_is_found():
    halves = np.array([[10, 20, 57, 20], [110, 20, 63, 20]], np.float32)
    assert lines_matched(WALL, halves) == {"f1": 1, "precision": 1, "recall": 1}


def test_shares_are_shares_of_length():
    # A quarter of the wanted wall is found, and a line of 75 pixels far from it.
    found = np.array([[10, 20, 35, 20], [10, 80, 85, 80]])
    matched = lines_matched(WALL, found, distance=0.1)
    assert matched["recall"] == pytest.approx(0.25)
    assert matched["precision"] == pytest.approx(0.25)
    assert matched["f1"] == pytest.approx(0.25)
    assert lines_matched(WALL, found[:1], distance=0.1) == pytest.approx(
        {"recall": 0.25, "precision": 1, "f1": 0.4}
    )


def test_a_line_that_crosses_covers_nothing():
    assert lines_matched(WALL, turned(WALL, 90))["f1"] == 0


def test_no_lines_agree_with_no_lines_only():
    none = np.empty((0, 4), np.float32)
    point = np.array([[5, 5, 5, 5]])
    assert lines_matched(none, none) == {"f1": 1, "precision": 1, "recall": 1}
    assert lines_matched(none, point)["f1"] == 1, "a point is no line"
    assert lines_matched(WALL, none) == lines_matched(none, WALL)
    assert lines_matched(WALL, none) == {"f1": 0, "precision": 0, "recall": 0}


line_sets = arrays(np.float64, st.tuples(st.integers(0, 5), st.just(4)), elements=st.floats(0, 64))


@given(line_sets, line_sets)
def test_precision_is_recall_the_other_way_round(wanted, found):
    forth, back = lines_matched(wanted, found), lines_matched(found, wanted)
    assert (forth["precision"], forth["recall"]) == (back["recall"], back["precision"])
    assert forth["f1"] == pytest.approx(back["f1"])
    assert all(0 <= share <= 1 for share in forth.values())
    assert lines_matched(wanted, wanted)["f1"] == pytest.approx(1)


@pytest.mark.parametrize(
    "knobs", [{"angle": 91}, {"angle": 0}, {"distance": 0}, {"distance": math.nan}]
)
def test_knobs_of_lines_out_of_range_are_refused(knobs):
    with pytest.raises(ValueError, match="expected"):
        lines_matched(WALL, WALL, **knobs)


# People.

NOBODY = np.empty((0, 18, 2))


def test_sigmas_are_those_of_coco_in_the_order_of_the_joints():
    sigma = dict(zip(JOINTS, SIGMAS, strict=True))
    assert (sigma["nose"], sigma["left hip"], sigma["right ankle"]) == (0.026, 0.107, 0.089)
    assert sigma["neck"] == (sigma["left shoulder"] + sigma["right shoulder"]) / 2


def test_half_of_the_joints_wrong_is_one_half():
    found = standing()
    found[0, ::2] += 1000
    assert pose_scores(standing(), found)["pck"] == 0.5
    found[0, ::2] = np.nan
    assert pose_scores(standing(), found) == {"pck": 0.5, "oks": pytest.approx(0.5)}


@pytest.mark.parametrize(("shift", "pck"), [(9.99, 1), (10.01, 0)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_joint_is_right_within_a_tenth_of_the_height(shift, pck, axis):
    moved = standing() + shift * np.eye(2)[axis]
    assert pose_scores(standing(), moved)["pck"] == pck


def test_somebody_who_lies_is_as_long_as_tall():
    lying = standing()[:, :, ::-1]
    assert pose_scores(lying, lying + np.array([0, 9.99]))["pck"] == 1


def test_oks_is_the_formula_of_coco():
    found = standing() + np.array([3, 4])
    expected = np.mean(np.exp(-25 / (2 * 40 * 100 * (2 * SIGMAS) ** 2)))
    assert pose_scores(standing(), found)["oks"] == pytest.approx(expected)


def test_the_box_of_a_side_view_is_not_thinner_than_a_quarter():
    thin = standing()
    thin[0, :, 0] = 50
    expected = np.mean(np.exp(-25 / (2 * 25 * 100 * (2 * SIGMAS) ** 2)))
    assert pose_scores(thin, thin + np.array([3, 4]))["oks"] == pytest.approx(expected)


def test_only_joints_that_were_wanted_count():
    wanted = standing()
    wanted[0, 3:9] = np.nan
    assert pose_scores(wanted, standing()) == {"pck": 1, "oks": 1}


def test_a_missing_person_is_wrong_and_one_too_many_costs_nothing():
    pair = np.concatenate([standing(0), standing(100)])
    assert pose_scores(pair, pair[1:]) == {"pck": 0.5, "oks": 0.5}
    assert pose_scores(pair, NOBODY) == {"pck": 0, "oks": 0}
    assert pose_scores(pair[1:], pair) == {"pck": 1, "oks": 1}
    absent = np.full((1, 18, 2), np.nan)
    assert pose_scores(pair, np.concatenate([absent, pair])) == {"pck": 1, "oks": 1}


def test_people_are_matched_for_all_together_not_one_after_the_other():
    # The nearest pair is 0 and 4, but taking it would leave 10 with the person at -9.
    wanted = np.concatenate([standing(0), standing(10)])
    found = np.concatenate([standing(4), standing(-9)])
    assert pose_scores(wanted, found)["pck"] == 1


def test_one_joint_that_is_far_off_does_not_decide_who_is_who():
    child, adult = standing(), 5 * standing()
    found = np.concatenate([adult, child])
    found[1, 4] += 10_000
    scores = pose_scores(np.concatenate([child, adult]), found)
    assert scores["pck"] == pytest.approx(35 / 36)


def test_without_people_there_is_nothing_to_measure():
    dot = np.full((1, 18, 2), np.nan)
    dot[0, 0] = 5
    for nothing in (NOBODY, np.full((2, 18, 2), np.nan), dot):
        assert all(math.isnan(number) for number in pose_scores(nothing, standing()).values())


@settings(max_examples=50)
@given(
    st.integers(0, 10**6),
    st.integers(1, 4),
    st.integers(0, 4),
    st.floats(-99, 99),
    st.floats(-99, 99),
)
def test_neither_order_nor_place_of_people_matters(seed, wanted_count, found_count, x, y):
    rng = np.random.default_rng(seed)
    wanted = rng.uniform(0, 100, (wanted_count, 1, 2)) + rng.uniform(0, 100, (wanted_count, 18, 2))
    found = rng.uniform(0, 100, (found_count, 1, 2)) + rng.uniform(0, 100, (found_count, 18, 2))
    count = min(wanted_count, found_count)
    found[:count] = wanted[:count] + rng.normal(0, 8, (count, 18, 2))
    found[rng.random((found_count, 18)) < 0.2] = np.nan
    wanted[rng.random((wanted_count, 18)) < 0.2] = np.nan
    expected = pose_scores(wanted, found)
    place = np.array([x, y])
    shuffled = pose_scores(rng.permutation(wanted) + place, rng.permutation(found) + place)
    assert shuffled == pytest.approx(expected)


def test_another_skeleton_is_refused():
    with pytest.raises(ValueError, match=r"found: expected shape .*COCO 17"):
        pose_scores(standing(), standing()[:, :17])


# Classes.


def test_known_overlap_gives_known_iou():
    wanted = np.zeros((4, 4), np.uint8)
    wanted[:, 2:] = 7
    found = np.zeros((4, 4), np.int64)
    found[:, 3:] = 7
    # Class 0: 8 of 12; class 7: 4 of 8.
    assert mean_iou(wanted, found) == pytest.approx((8 / 12 + 4 / 8) / 2)


def test_swapped_labels_share_nothing():
    wanted = np.zeros((4, 4), int)
    wanted[:, 2:] = 7
    assert mean_iou(wanted, 7 - wanted) == 0


def test_a_class_nobody_wanted_costs_its_pixels_and_no_more():
    wanted = np.zeros((10, 10), int)
    found = wanted.copy()
    found[0, 0] = 149
    assert mean_iou(wanted, found) == pytest.approx(0.99)


@given(st.integers(0, 999))
def test_mean_iou_is_that_of_the_confusion_matrix(seed):
    rng = np.random.default_rng(seed)
    wanted = rng.integers(0, 4, (6, 7))
    found = np.where(rng.random((6, 7)) < 0.5, wanted, rng.integers(0, 6, (6, 7)))
    confusion = np.zeros((6, 6), int)
    np.add.at(confusion, (wanted.ravel(), found.ravel()), 1)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - confusion.diagonal()
    present = confusion.sum(axis=1) > 0
    assert mean_iou(wanted, found) == pytest.approx(
        (confusion.diagonal() / np.maximum(union, 1))[present].mean()
    )


def test_unlabelled_pixels_are_refused():
    with pytest.raises(ValueError, match="expected 0 to 149"):
        mean_iou(np.zeros((2, 2), int), np.full((2, 2), 255))


# The gap.


def scenes(count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hardness = rng.normal(0, 0.05, count)
    score, floor, ceiling = (
        middle + hardness + rng.normal(0, 0.05, count) for middle in (0.6, 0.2, 0.9)
    )
    return score, floor, ceiling


def test_the_floor_is_0_the_ceiling_is_1_and_halfway_is_a_half():
    _, floor, ceiling = scenes()
    for share in (0, 0.5, 1):
        gap = gap_closed(floor + share * (ceiling - floor), floor, ceiling)
        assert (gap.share, gap.low, gap.high) == pytest.approx((share, share, share), abs=1e-9)
        assert gap.scenes == 40


def test_lower_may_be_better():
    score, floor, ceiling = scenes()
    assert gap_closed(-score, -floor, -ceiling) == gap_closed(score, floor, ceiling)


def test_the_interval_is_the_paired_percentile_bootstrap_of_scipy():
    score, floor, ceiling = scenes()
    reference = stats.bootstrap(
        (score, floor, ceiling),
        lambda s, f, c, axis: (s.mean(axis) - f.mean(axis)) / (c.mean(axis) - f.mean(axis)),
        paired=True,
        method="percentile",
        n_resamples=10_000,
    ).confidence_interval
    gap = gap_closed(score, floor, ceiling)
    assert gap.low < gap.share < gap.high
    assert gap.high - gap.low > 0.04
    assert (gap.low, gap.high) == pytest.approx((reference.low, reference.high), abs=0.005)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    # 4/7 is the share of the means from which the scenes are drawn.
    gaps = [gap_closed(*scenes(seed=seed)) for seed in range(100)]
    held = sum(gap.low <= 4 / 7 <= gap.high for gap in gaps)
    assert 88 <= held <= 99


def test_the_same_seed_gives_the_same_interval_and_another_seed_nearly_the_same():
    first, other = gap_closed(*scenes()), gap_closed(*scenes(), seed=1)
    assert first == gap_closed(*scenes())
    assert first != other
    assert (first.low, first.high) == pytest.approx((other.low, other.high), abs=0.005)


def test_scenes_with_nan_in_any_of_the_three_are_left_out_of_all():
    score, floor, ceiling = (values.copy() for values in scenes())
    expected = gap_closed(score[3:], floor[3:], ceiling[3:])
    score[0], floor[1], ceiling[2] = np.nan, np.nan, np.nan
    assert gap_closed(score, floor, ceiling) == expected
    assert expected.scenes == 37


def test_where_ceiling_and_floor_cannot_be_told_apart_nothing_is_known():
    rng = np.random.default_rng(0)
    score, floor, ceiling = rng.normal(0.5, 0.1, (3, 12))
    gap = gap_closed(score, floor, ceiling)
    assert (gap.low, gap.high) == (-math.inf, math.inf)
    assert gap_closed([1, 0], [0, 0], [1, 0]) == GapClosed(1, -math.inf, math.inf, 2)


@pytest.mark.parametrize(
    ("three", "error", "words"),
    [
        (([1, 2], [0, 0], [1]), ValueError, "lengths"),
        (([1], [0], [2]), ValueError, "at least 2 scenes without NaN, got 1 of 1"),
        (([1, np.nan], [0, 0], [2, 2]), ValueError, "at least 2 scenes without NaN, got 1 of 2"),
        (([], [], []), ValueError, "at least 2 scenes"),
        (([1, 2], [3, 4], [4, 3]), ValueError, "ceiling that differs from the floor"),
        (([1, np.inf], [0, 0], [2, 2]), ValueError, "scores: expected finite"),
        ((["a", "b"], [0, 0], [2, 2]), TypeError, "scores: expected real numbers"),
        ((None, [0, 0], [2, 2]), TypeError, "scores: expected real numbers"),
        (([[1, 2]], [0, 0], [2, 2]), ValueError, r"scores: expected shape \(scenes,\)"),
        ((0.5, [0, 0], [2, 2]), ValueError, r"scores: expected shape \(scenes,\)"),
    ],
)
def test_scores_that_give_no_gap_are_refused(three, error, words):
    with pytest.raises(error, match=words):
        gap_closed(*three)


# On a real picture.


def test_a_photo_with_more_noise_follows_its_own_edges_less():
    photo = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)[:256, 100:356]
    wanted = cv2.Canny(photo, 100, 200) > 0
    rng = np.random.default_rng(0)
    scores = []
    for strength in (0, 10, 20, 40):
        noise = rng.normal(0, strength, photo.shape)
        found = cv2.Canny(np.clip(photo + noise, 0, 255).astype(np.uint8), 100, 200) > 0
        scores.append(SCORES["canny"].measure(wanted, found))
    assert all(a["f1"] > b["f1"] for a, b in itertools.pairwise(scores))
    assert all(s["f1"] >= s["f1_strict"] for s in scores)
