"""The skeleton to the pixel, and the same people as controlnet_aux from the same maps."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from benchmarks.pose_reference import FIGURE, controlnet_aux_decoder, random_people
from helpers.conditions import openpose_decode
from helpers.conditions.openpose import COLOURS, DRAWN_LIMBS, JOINTS, LIMBS, draw_skeleton
from helpers.conditions.openpose_decode import (
    FIELD_X,
    Resampling,
    assemble_people,
    decode_pose,
    find_peaks,
    line_integral,
    maps_from_people,
    match_limbs,
    score_limbs,
)
from helpers.runtime import import_controlnet_aux

NOBODY = np.empty((0, 18, 2))
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=15)


def one_person(*, middle: float = 128, top: float = 20, tall: float = 200) -> np.ndarray:
    return np.array([middle, top]) + FIGURE[None] * tall


def wild_people(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Joints anywhere, also outside the picture, one in five missing."""
    rng = np.random.default_rng(seed)
    people = rng.uniform(-0.2, 1.2, (count, 18, 2)) * size[::-1]
    people[rng.random((count, 18)) < 0.2] = np.nan
    return people


def skeleton_1_0(people: np.ndarray, height: int, width: int) -> np.ndarray:
    """The released rules on the whole canvas: all joints, then limb by limb 0.4 old + 0.6 new."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for joint in range(18):
        for x, y in people[:, joint]:
            if not np.isnan(x):
                cv2.circle(canvas, (int(x), int(y)), 4, COLOURS[joint], thickness=-1)
    for limb in range(17):
        for person in people:
            (x1, y1), (x2, y2) = person[list(LIMBS[limb])]
            if np.isnan(x1 + x2):
                continue
            centre = int((x1 + x2) / 2), int((y1 + y2) / 2)
            axes = int(math.sqrt((x1 - x2) ** 2 + (y1 - y2) ** 2) / 2), 4
            angle = int(math.degrees(math.atan2(y1 - y2, x1 - x2)))
            new = canvas.copy()
            polygon = cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1)
            cv2.fillConvexPoly(new, polygon, COLOURS[limb])
            canvas = cv2.addWeighted(canvas, 0.4, new, 0.6, 0)
    return canvas


def skeleton_by_controlnet_aux(people: np.ndarray, height: int, width: int) -> np.ndarray:
    open_pose = import_controlnet_aux().open_pose
    keypoint = open_pose.body.Keypoint
    canvas = np.zeros((height, width, 3), np.uint8)
    for person in people:
        points = [None if np.isnan(x) else keypoint(x / width, y / height) for x, y in person]
        canvas = open_pose.util.draw_bodypose(canvas, points)
    return canvas


def same_joints(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_array_equal(ours[..., :2], theirs[..., :2])
    np.testing.assert_allclose(ours[..., 2], theirs[..., 2], atol=1e-5)


def sorted_by_place(people: np.ndarray) -> np.ndarray:
    return people[np.lexsort(np.nan_to_num(people[:, :, 0], nan=-1).T)]


# --- drawing ---------------------------------------------------------------------------------


@given(count=st.integers(0, 6), seed=seeds)
@few
def test_the_drawing_equals_the_released_rules_to_the_pixel(count: int, seed: int) -> None:
    people = wild_people(count, (150, 220), seed)
    assert np.array_equal(draw_skeleton(people, 150, 220), skeleton_1_0(people, 150, 220))


@given(count=st.integers(0, 6), seed=seeds)
@few
def test_style_1_1_equals_controlnet_aux_to_the_pixel(count: int, seed: int) -> None:
    # Quarters of a pixel survive the division and multiplication by 256 exactly.
    people = np.round(wild_people(count, (256, 256), seed) * 4) / 4
    ours = draw_skeleton(people, 256, 256, style="1.1")
    assert np.array_equal(ours, skeleton_by_controlnet_aux(people, 256, 256))


def test_the_colours_are_the_18_hues_of_the_released_drawing() -> None:
    assert COLOURS[:4] == ((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0))
    assert COLOURS[12:] == (
        (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)
    )  # fmt: skip
    assert len(set(COLOURS)) == len(JOINTS) == 18


def test_a_lone_joint_is_a_disc_of_radius_4_in_its_own_colour() -> None:
    people = np.full((1, 18, 2), np.nan)
    people[0, 4] = 20, 10
    picture = draw_skeleton(people, 30, 40)
    y, x = np.nonzero(picture.any(axis=2))
    assert (x.min(), x.max(), y.min(), y.max()) == (16, 24, 6, 14)
    assert (picture[y, x] == COLOURS[4]).all()


def test_a_limb_is_9_pixels_wide_at_any_size_and_darker_than_its_joints() -> None:
    for factor in (1, 4):
        people = np.full((1, 18, 2), np.nan)
        people[0, 2], people[0, 3] = (50 * factor, 30), (150 * factor, 30)
        column = draw_skeleton(people, 60, 200 * factor)[:, 100 * factor]
        assert np.count_nonzero(column.any(axis=1)) == 9
        assert tuple(column[30]) == tuple(round(0.6 * c) for c in COLOURS[LIMBS.index((2, 3))])


def test_limbs_cover_joints_in_1_0_and_joints_cover_limbs_in_1_1() -> None:
    people = one_person()
    x, y = people[0, 1].astype(int)
    assert tuple(draw_skeleton(people, 256, 256, style="1.1")[y, x]) == COLOURS[1]
    assert tuple(draw_skeleton(people, 256, 256)[y, x]) != COLOURS[1]


def test_a_missing_joint_takes_its_limbs_along_and_nothing_else() -> None:
    whole, without = one_person(), one_person()
    without[0, 3] = np.nan
    changed = (draw_skeleton(whole, 256, 256) != draw_skeleton(without, 256, 256)).any(axis=2)
    arm = whole[0, 2:5]
    x = np.flatnonzero(changed.any(axis=0))
    assert x.size
    assert x.min() >= arm[:, 0].min() - 5
    assert x.max() <= arm[:, 0].max() + 5


def test_shoulders_and_ears_are_not_joined() -> None:
    people = np.full((1, 18, 2), np.nan)
    people[0, 2], people[0, 16] = (20, 80), (80, 20)
    assert not draw_skeleton(people, 100, 100)[50, 50].any()
    assert DRAWN_LIMBS == 17
    assert len(LIMBS) == 19


@given(shift=st.tuples(st.integers(0, 50), st.integers(0, 50)))
@few
def test_moving_people_by_whole_pixels_moves_the_drawing(shift: tuple[int, int]) -> None:
    people = np.floor(one_person(middle=60, top=10, tall=100))
    moved = draw_skeleton(people + shift, 200, 200)
    still = draw_skeleton(people, 200, 200)
    assert np.array_equal(np.roll(still, shift[::-1], axis=(0, 1)), moved)


def test_scores_are_ignored_and_the_input_is_not_changed() -> None:
    people = one_person()
    scored = np.concatenate([people, np.full((1, 18, 1), 0.7)], axis=2)
    before = scored.copy()
    assert np.array_equal(draw_skeleton(scored, 256, 256), draw_skeleton(people, 256, 256))
    assert np.array_equal(scored, before)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (64, 16_384)])
def test_any_picture_size_is_drawn_and_nobody_is_black(size: tuple[int, int]) -> None:
    assert draw_skeleton(one_person(), *size).shape == (*size, 3)
    assert not draw_skeleton(NOBODY, *size).any()


@pytest.mark.parametrize(
    ("people", "error", "message"),
    [
        (np.zeros((1, 17, 2)), ValueError, r"18, 2 or 3\), got \(1, 17, 2\)"),
        (np.zeros((1, 25, 3)), ValueError, "BODY 25"),
        (np.zeros((18, 2)), ValueError, r"person\[None\]"),
        ([], ValueError, r"np.empty\(\(0, 18, 2\)\)"),
        (np.full((1, 18, 2), "nose"), TypeError, "real numbers"),
        (np.zeros((1, 18, 2), bool), TypeError, "real numbers, got bool"),
        (np.zeros((1, 18, 2), complex), TypeError, "real numbers, got complex128"),
        (None, TypeError, "real numbers, got object"),
        (np.full((1, 18, 2), np.inf), ValueError, "as NaN"),
        (np.full((1, 18, 2), 1e9), ValueError, "in pixels"),
    ],
)
def test_wrong_people_are_refused_in_words(
    people: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        draw_skeleton(people, 64, 64)


@pytest.mark.parametrize(
    ("size", "error"),
    [((0, 9), ValueError), ((9, -1), ValueError), ((9, 20_000), ValueError),
     ((9.0, 9), TypeError), ((True, 9), TypeError), (("9", 9), TypeError)],
)  # fmt: skip
def test_wrong_picture_sizes_are_refused_in_words(
    size: tuple[int, int], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"(height|width): expected"):
        draw_skeleton(NOBODY, *size)


def test_an_unknown_style_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r'expected "1\.0" or "1\.1"'):
        draw_skeleton(NOBODY, 9, 9, style="2.0")


# --- decoding, step by step -------------------------------------------------------------------


def test_peaks_are_found_by_hand() -> None:
    heatmap = np.array([[0.9, 0.1, 0.0, 0.0], [0.1, 0.0, 0.5, 0.6], [0.0, 0.05, 0.0, 0.6]])
    # The corner; and of the two equal ones the lower. 0.05 is below the threshold.
    assert find_peaks(heatmap).tolist() == [[0, 0], [3, 2]]


@given(seed=seeds, height=st.integers(1, 9), width=st.integers(1, 9))
@settings(max_examples=60)
def test_peaks_are_the_pixels_that_no_neighbour_tops(seed: int, height: int, width: int) -> None:
    heatmap = np.random.default_rng(seed).random((height, width))
    padded = np.pad(heatmap, 1)
    neighbours = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    expected = (heatmap > 0.3) & (heatmap > np.max(neighbours, axis=0))
    assert np.array_equal(find_peaks(heatmap, threshold=0.3), np.argwhere(expected)[:, ::-1])


def test_the_integral_is_the_cosine_between_a_constant_field_and_the_line() -> None:
    starts, ends = np.array([[0.0, 0.0]]), np.array([[9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])
    integral = line_integral(lambda x, y: np.stack([x * 0 + 1, y * 0]), starts, ends).mean(axis=2)
    np.testing.assert_allclose(integral, [[1, 0, math.sqrt(0.5)]])


def test_the_integral_equals_a_loop_over_pairs_and_points() -> None:
    rng = np.random.default_rng(3)
    field = rng.normal(size=(2, 40, 50))
    starts, ends = rng.integers(0, 40, (3, 2)), rng.integers(0, 40, (4, 2))
    found = line_integral(lambda x, y: field[:, y, x], starts, ends)
    for i, a in enumerate(starts):
        for j, b in enumerate(ends):
            direction = (b - a) / math.dist(a, b)
            for k in range(10):
                x, y = np.rint(a + k / 9 * (b - a)).astype(int)
                assert found[i, j, k] == pytest.approx(field[:, y, x] @ direction)


def test_a_limb_across_a_gap_or_against_the_field_scores_nothing() -> None:
    starts, ends = np.array([[0.0, 5.0]]), np.array([[90.0, 5.0]])

    def whole(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([np.ones(x.shape), np.zeros(x.shape)])

    def with_gap(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return whole(x, y) * ((x < 35) | (x > 55))  # misses 2 of 10 points

    def against(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return -whole(x, y)

    scores = [score_limbs(f, starts, ends, height=200)[0, 0] for f in (whole, with_gap, against)]
    assert scores == [pytest.approx(1), 0, 0]


def test_a_limb_longer_than_half_the_picture_is_fined() -> None:
    ends = np.array([[50.0, 0.0], [80.0, 0.0]])
    scores = score_limbs(
        lambda x, y: np.stack([x * 0 + 1, y * 0]), np.array([[0.0, 0.0]]), ends, height=100
    )
    np.testing.assert_allclose(scores, [[1, 1 + 50 / 80 - 1]])


def test_matching_is_greedy_and_not_the_best_sum() -> None:
    scores = np.array([[0.9, 0.8], [0.8, 0.1]])
    assert match_limbs(scores) == [(0, 0, 0.9), (1, 1, 0.1)]
    assert scores[linear_sum_assignment(scores, maximize=True)].sum() > 0.9 + 0.1


@given(seed=seeds, starts=st.integers(0, 6), ends=st.integers(0, 6))
@few
def test_matching_takes_the_best_free_pair_until_none_is_left(
    seed: int, starts: int, ends: int
) -> None:
    scores = np.maximum(np.random.default_rng(seed).normal(size=(starts, ends)), 0)
    left, expected = scores.copy(), []
    while left.size and left.max() > 0:
        i, j = map(int, np.unravel_index(left.argmax(), left.shape))
        expected.append((i, j, scores[i, j]))
        left[i], left[:, j] = 0, 0
    assert match_limbs(scores) == expected


def places(**counts: int) -> list[np.ndarray]:
    """Peaks of value 1: `neck=2` gives two necks, at (0, 1) and (1, 1); other joints none."""
    names = [name.replace(" ", "_") for name in JOINTS]
    return [
        np.array([(k, j, 1.0) for k in range(counts.get(name, 0))]).reshape(-1, 3)
        for j, name in enumerate(names)
    ]


def links(**limbs: list[tuple[int, int]]) -> list[list[tuple[int, int, float]]]:
    """Matches of score 1 by the numbers of their joints: `_1_2=[(0, 0)]`."""
    return [[(a, b, 1.0) for a, b in limbs.get(f"_{p}_{q}", [])] for p, q in LIMBS]


def test_limbs_that_share_a_joint_make_one_person() -> None:
    peaks = places(neck=2, right_shoulder=2, left_shoulder=2, right_elbow=2)
    crossed = links(_1_2=[(0, 0), (1, 1)], _1_5=[(0, 1), (1, 0)], _2_3=[(0, 0), (1, 1)])
    people = assemble_people(peaks, crossed)
    assert people[:, [1, 2, 5, 3], 0].tolist() == [[0, 0, 1, 0], [1, 1, 0, 1]]
    assert np.isnan(people[:, 0]).all()


def test_the_ear_joins_a_head_to_a_body_with_no_neck() -> None:
    peaks = places(right_shoulder=1, right_elbow=1, right_wrist=1, nose=1, right_eye=1, right_ear=1)
    body, head = {"_2_3": [(0, 0)], "_3_4": [(0, 0)]}, {"_0_14": [(0, 0)], "_14_16": [(0, 0)]}
    assert len(assemble_people(peaks, links(**body, **head))) == 0  # three joints each
    people = assemble_people(peaks, links(**body, **head, _2_16=[(0, 0)]))
    assert np.isfinite(people[:, :, 0]).sum(axis=1).tolist() == [6]


def test_people_with_few_or_weak_joints_are_dropped() -> None:
    peaks = places(neck=1, right_shoulder=1, left_shoulder=1, right_hip=1)
    three = links(_1_2=[(0, 0)], _1_5=[(0, 0)])
    four = links(_1_2=[(0, 0)], _1_5=[(0, 0)], _1_8=[(0, 0)])
    assert len(assemble_people(peaks, three)) == 0
    assert len(assemble_people(peaks, four)) == 1
    weak = [p * (1, 1, 0.1) for p in peaks]
    faint = [[(a, b, 0.3) for a, b, _ in limb] for limb in four]
    assert len(assemble_people(weak, faint)) == 0


def test_enlarging_by_matrices_equals_enlarging_by_steps() -> None:
    heatmap = np.random.default_rng(5).random((23, 30)).astype(np.float32)
    height, width = 310, 401
    seen = int(height * (184 / height)), int(width * (184 / height))
    enlarged = cv2.resize(heatmap, (240, 184), interpolation=cv2.INTER_LANCZOS4)
    picture = cv2.resize(
        enlarged[: seen[0], : seen[1]], (width, height), interpolation=cv2.INTER_LANCZOS4
    )
    plain, smooth = openpose_decode._resampling((23, 30), (height, width))
    np.testing.assert_allclose(plain.rows @ heatmap @ plain.columns.T, picture, atol=2e-6)
    expected = gaussian_filter(picture.astype(np.float64), sigma=3)
    np.testing.assert_allclose(smooth.rows @ heatmap @ smooth.columns.T, expected, atol=2e-6)


@given(seed=seeds)
@settings(max_examples=60)
def test_leaving_rows_and_columns_out_loses_no_peak(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((6, 7)) * (rng.random((6, 7)) < 0.4)
    # Any weights will do; many are zero, so that rows and columns are in fact left out.
    rows, columns = (rng.random((30, n)) * (rng.random((30, n)) < 0.4) for n in (6, 7))
    everywhere = find_peaks(rows @ values @ columns.T, threshold=0.7)
    assert np.array_equal(Resampling(rows, columns).peaks(values, 0.7), everywhere)


# --- decoding, all of it ----------------------------------------------------------------------


@pytest.mark.parametrize("rows", [23, 46])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_the_people_are_those_of_controlnet_aux(count: int, rows: int) -> None:
    size = (512, 512)
    rng = np.random.default_rng(count)
    people = random_people(count, size, rng, tall=0.9 if count == 1 else 0.35)
    heatmaps, fields = maps_from_people(people, size, rows=rows)
    ours = decode_pose(heatmaps, fields, size)
    same_joints(ours, controlnet_aux_decoder(heatmaps, fields)(np.zeros((*size, 3), np.uint8)))
    assert len(ours) == count


@pytest.mark.parametrize(
    ("size", "rows"),
    [((256, 256), 23), ((200, 330), 23), ((344, 150), 23), ((150, 170), 23), ((200, 200), 46)],
)
@pytest.mark.parametrize("seed", range(2))
def test_crowds_with_hidden_joints_and_noise_decode_as_in_controlnet_aux(
    size: tuple[int, int], rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    people = random_people(8, size, rng, tall=0.8)  # much larger than their places: they overlap
    people[rng.random((8, 18)) < 0.25] = np.nan
    heatmaps, fields = maps_from_people(people, size, rows=rows)
    heatmaps += rng.normal(0, 0.03, heatmaps.shape).astype(np.float32)
    fields += rng.normal(0, 0.1, fields.shape).astype(np.float32)
    ours = decode_pose(heatmaps, fields, size)
    same_joints(ours, controlnet_aux_decoder(heatmaps, fields)(np.zeros((*size, 3), np.uint8)))
    assert len(ours) > 0


def test_crossed_arms_and_swapped_sides_stay_with_their_owners() -> None:
    size = (512, 512)
    people = np.concatenate([one_person(middle=180, tall=440), one_person(middle=330, tall=440)])
    people[0, 7] = 290, 190  # the left hand of one reaches over the right arm of the other
    people[1, 4] = 215, 260
    heatmaps, fields = maps_from_people(people, size, rows=46)
    found = decode_pose(heatmaps, fields, size)
    same_joints(found, controlnet_aux_decoder(heatmaps, fields)(np.zeros((*size, 3), np.uint8)))
    np.testing.assert_allclose(sorted_by_place(found)[:, :, :2], people, atol=2)


@given(middle=st.floats(70, 186), top=st.floats(5, 40), tall=st.floats(150, 210), rows=st.just(23))
@few
def test_a_persons_joints_come_back_within_2_pixels(
    middle: float, top: float, tall: float, rows: int
) -> None:
    person = one_person(middle=middle, top=top, tall=tall)
    found = decode_pose(*maps_from_people(person, (256, 256), rows=rows), (256, 256))
    assert found.shape == (1, 18, 3)
    np.testing.assert_allclose(found[:, :, :2], person, atol=2)


def test_a_joint_half_way_between_pixels_is_found_once() -> None:
    # The maps are the same left and right, so two columns of pixels tie for every joint.
    person = one_person(middle=91.5, top=10, tall=160)
    person[0, :, 0] = 91.5
    found = decode_pose(*maps_from_people(person, (184, 184)), (184, 184))
    np.testing.assert_allclose(found[:, :, :2], person, atol=2)


@given(cells=st.tuples(st.integers(-4, 4), st.integers(0, 3)))
@few
def test_moving_people_by_whole_cells_moves_what_is_found(cells: tuple[int, int]) -> None:
    # Joints stay 4 cells from the border: Lanczos looks that far.
    person = np.round(one_person(middle=92, top=32, tall=90))
    size = (184, 184)  # one cell is 8 pixels
    here = decode_pose(*maps_from_people(person, size), size)
    shift = 8 * np.array(cells)
    there = decode_pose(*maps_from_people(person + shift, size), size)
    np.testing.assert_array_equal(there[..., :2], here[..., :2] + shift)


@given(order=st.permutations(range(5)))
@few
def test_the_order_of_people_does_not_matter(order: list[int]) -> None:
    size = (256, 256)
    people = random_people(5, size, np.random.default_rng(2), tall=0.5)
    first = decode_pose(*maps_from_people(people, size), size)
    again = decode_pose(*maps_from_people(people[order], size), size)
    assert len(first) == 5
    np.testing.assert_allclose(sorted_by_place(again), sorted_by_place(first), atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.05, 1.0])
def test_flat_maps_hold_nobody(level: float) -> None:
    heatmaps = np.full((19, 23, 23), level, np.float32)
    found = decode_pose(heatmaps, np.zeros((38, 23, 23), np.float32), (512, 512))
    assert found.shape == (0, 18, 3)


def test_pure_noise_is_decoded_without_running_out_of_memory() -> None:
    rng = np.random.default_rng(0)
    heatmaps = rng.random((19, 64, 64), dtype=np.float32)
    fields = rng.normal(size=(38, 64, 64)).astype(np.float32)
    found = decode_pose(heatmaps, fields, (512, 512))
    assert found.shape[1:] == (18, 3)
    assert len(found) <= openpose_decode.MAX_PEAKS * DRAWN_LIMBS


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16_384, 16), (16, 1_000)])
def test_pictures_of_any_size_are_decoded(size: tuple[int, int]) -> None:
    rows = 1 if size[0] == 16 else 23
    heatmaps, fields = maps_from_people(NOBODY, size, rows=rows)
    assert decode_pose(heatmaps, fields, size).shape == (0, 18, 3)


def test_eighteen_maps_are_enough_and_both_float_types_are_taken() -> None:
    size = (256, 256)
    heatmaps, fields = maps_from_people(one_person(), size)
    expected = decode_pose(heatmaps, fields, size)
    again = decode_pose(heatmaps[:18].astype(np.float64), fields.astype(np.float64), list(size))
    assert np.array_equal(expected, again)


# --- ideal maps -------------------------------------------------------------------------------


def test_ideal_maps_peak_at_the_joints_and_point_along_the_limbs() -> None:
    size = (184, 184)
    person = np.full((1, 18, 2), np.nan)
    person[0, 2], person[0, 3] = (43.5, 83.5), (123.5, 83.5)  # centres of cells, 8 pixels each
    heatmaps, fields = maps_from_people(person, size)
    assert heatmaps.shape == (19, 23, 23)
    assert heatmaps[2, 10, 5] == 1
    assert heatmaps[2, 10, 6] == pytest.approx(math.exp(-1 / 1.25**2))
    assert heatmaps[18, 10, 5] == 0
    x = FIELD_X[LIMBS.index((2, 3))]
    assert fields[x : x + 2, 10, 8].tolist() == [1, 0]
    assert not fields[x, 13].any()
    assert not np.delete(fields, (x, x + 1), axis=0).any()


def test_where_limbs_overlap_the_field_is_the_mean() -> None:
    size = (184, 184)
    people = np.full((2, 18, 2), np.nan)
    people[0, 2], people[0, 3] = (43.5, 83.5), (123.5, 83.5)
    people[1, 2], people[1, 3] = (83.5, 43.5), (83.5, 123.5)
    x = FIELD_X[LIMBS.index((2, 3))]
    fields = maps_from_people(people, size)[1]
    assert fields[x : x + 2, 10, 10].tolist() == [0.5, 0.5]


def test_field_channels_are_all_different() -> None:
    assert sorted([*FIELD_X, *(x + 1 for x in FIELD_X)]) == list(range(38))


# --- bad input --------------------------------------------------------------------------------


def maps(heat: int = 19, field: int = 38, rows: int = 23, columns: int = 23) -> list[np.ndarray]:
    return [np.zeros((n, rows, columns), np.float32) for n in (heat, field)]


def with_nan() -> list[np.ndarray]:
    heatmaps, fields = maps()
    fields[0, 0, 0] = np.nan
    return [heatmaps, fields]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([*maps(heat=17), (512, 512)], ValueError, r"18 or 19, rows, columns\), got \(17"),
        ([*maps(field=19), (512, 512)], ValueError, r"fields: expected shape \(38"),
        ([m[None] for m in maps()] + [(512, 512)], ValueError, r"maps\[0\]"),
        ([m.astype(np.uint8) for m in maps()] + [(512, 512)], TypeError, "got uint8"),
        ([m.astype(np.float16) for m in maps()] + [(512, 512)], TypeError, "got float16"),
        ([[[0.0]], [[0.0]], (512, 512)], TypeError, "got list"),
        ([*with_nan(), (512, 512)], ValueError, "fields: expected finite"),
        ([*maps(rows=0), (512, 512)], ValueError, r"got \(19, 0, 23\)"),
        ([maps()[0], maps(rows=46)[1], (512, 512)], ValueError, "same run"),
        ([*maps(), (512, 640)], ValueError, "23 rows and 29 columns"),
        ([*maps(), (512, 20_000)], ValueError, "width: expected 1 to 16384"),
        ([*maps(), (0, 512)], ValueError, "height: expected 1 to 16384"),
        ([*maps(), (512.0, 512.0)], TypeError, "height: expected an integer"),
        ([*maps(), 512], TypeError, r"picture.shape\[:2\]"),
        ([*maps(), (512, 512, 3)], TypeError, r"picture.shape\[:2\]"),
        ([*maps(rows=2100, columns=1), (512, 512)], ValueError, "not enlarged"),
    ],
)  # fmt: skip
def test_wrong_maps_and_sizes_are_refused_in_words(
    arguments: list, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        decode_pose(*arguments)


@pytest.mark.parametrize(
    ("knobs", "error", "message"),
    [
        ({"rows": 0}, ValueError, "above 0"),
        ({"rows": 23.0}, TypeError, "cells are whole"),
        ({"sigma": 0}, ValueError, "above 0"),
        ({"half_width": math.nan}, ValueError, "above 0"),
        ({"rows": 5000}, ValueError, "use fewer rows"),
    ],
)
def test_wrong_knobs_of_ideal_maps_are_refused_in_words(
    knobs: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        maps_from_people(NOBODY, (64, 64), **knobs)


def test_the_steps_refuse_wrong_shapes_in_words() -> None:
    pair = np.zeros((1, 2))
    with pytest.raises(TypeError, match="heatmap: expected a NumPy array, got list"):
        find_peaks([[0.0, 1.0]])
    with pytest.raises(ValueError, match="heatmap: expected an array of shape"):
        find_peaks(np.zeros((3, 4, 5)))
    with pytest.raises(ValueError, match=r"ends: .* \(any, 2\), got \(1, 3\)"):
        line_integral(lambda x, y: np.zeros((2, *x.shape)), pair, np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"scores: .*got \(4,\)"):
        match_limbs(np.zeros(4))
    with pytest.raises(ValueError, match="peaks of 18 joints and matches of 19 limbs"):
        assemble_people([], [])
