"""The toy world: scenes, captions, pictures and their truth."""

import colorsys
import re

import numpy as np
import pytest
import torch
import torch._dynamo.utils

from toybox.world import (
    ADE20K,
    COLOURS,
    JOINTS,
    KINDS,
    VOCABULARY,
    Views,
    read_caption,
    render,
    repaint,
    sample_scene,
    split_words,
)
from toybox.world.captions import MAX_WORDS, WALLS, Meaning, Thing, write_caption
from toybox.world.figure import Arm, Pose, joints_of
from toybox.world.fuse import fusing
from toybox.world.render import _draw_batches
from toybox.world.scene import ROOM_SURFACES
from toybox.world.shapes import (
    Geometry,
    Paint,
    Solids,
    Viewer,
    blocks_for,
    meet_block,
    meet_quadric,
    quadrics_for,
)

SEEDS = range(24)
SIZE = 96


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def views(scenes):
    return render(scenes, size=SIZE)


def _tensors(views: Views) -> dict[str, torch.Tensor]:
    names = set(Views.__dataclass_fields__) - {"lines"}
    return {name: getattr(views, name) for name in names} | {"lines": torch.cat(views.lines)}


# ---- scenes and captions


def test_a_seed_always_gives_the_same_scene():
    first, again = sample_scene(7), sample_scene(7)
    assert first.caption == again.caption
    np.testing.assert_array_equal(first.geometry.frames, again.geometry.frames)
    np.testing.assert_array_equal(first.prepared.surfaces, again.prepared.surfaces)


def test_different_seeds_give_different_scenes(scenes):
    assert len({scene.caption for scene in scenes}) > len(scenes) * 0.9


def test_every_caption_is_in_the_language_and_says_what_is_there():
    for seed in range(100):
        scene = sample_scene(seed)
        meaning = read_caption(scene.caption)
        assert meaning == scene.meaning
        assert write_caption(meaning) == scene.caption
        assert [(t.kind, t.colour, t.size) for t in meaning.things] == [
            (o.kind, o.colour, o.size) for o in scene.objects
        ]
        words = split_words(scene.caption)
        assert set(words) <= set(VOCABULARY)
        assert len(words) <= MAX_WORDS


def test_repainted_captions_name_the_same_things_in_other_colours():
    for seed in range(60):
        meaning = sample_scene(seed).meaning
        assert repaint(meaning, 0) == write_caption(meaning)
        painted = [read_caption(repaint(meaning, number)) for number in range(1, 6)]
        for other in painted:
            assert [(t.kind, t.size) for t in other.things] == [
                (t.kind, t.size) for t in meaning.things
            ]
            assert (other.floor, bool(other.floor_colour)) == (
                meaning.floor,
                bool(meaning.floor_colour),
            )
        assert len({other.wall for other in [meaning, *painted]}) == 6


def test_the_longest_caption_has_max_words():
    things = (Thing("ball", "red", "big"),) * 4
    longest = write_caption(Meaning(things, "wooden", "orange", "navy"))
    assert len(split_words(longest)) == MAX_WORDS


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a red ball on a wooden floor, cream wall",  # a ball has a size
        "a big red figure on a wooden floor, cream wall",  # a figure has none
        "a orange figure on a wooden floor, cream wall",
        "a red figure, a blue car on a wooden floor, cream wall",  # "and" before the last
        "a red figure on a wooden floor, red wall",
        "a red figure on a wooden floor, cream wall ",
        " and ".join(["a red figure"] * 5) + " on a wooden floor, cream wall",
    ],
)
def test_a_caption_outside_the_language_is_refused(caption):
    with pytest.raises(ValueError, match="expected a caption such as"):
        read_caption(caption)


def test_colours_of_things_and_walls_share_no_word():
    assert not set(COLOURS) & set(WALLS)


def test_objects_are_numbered_from_left_to_right(scenes, views):
    for scene, instances in zip(scenes, views.instances, strict=True):
        for left, right in zip(scene.objects, scene.objects[1:], strict=False):
            # The middles of what is seen may swap only where one object hides another.
            x = [(instances == o.instance).nonzero()[:, 1].double().mean() for o in (left, right)]
            assert x[0] < x[1] + 0.12 * SIZE


def test_every_named_object_is_visible(scenes, views):
    for scene, instances in zip(scenes, views.instances, strict=True):
        assert set(instances.unique().tolist()) == {0, *(o.instance for o in scene.objects)}
        for thing in scene.objects:
            assert (instances == thing.instance).double().mean() > 0.006, scene.caption


def test_toys_stand_on_the_floor_inside_the_room_and_apart(scenes):
    for scene in scenes:
        bounds = scene.geometry.bounds()
        owners = np.concatenate([scene.quadric_owners, scene.block_owners])
        room = scene.room.planes
        assert (bounds @ room[1:, :3].T + room[1:, 3] < 1e-9).all()
        boxes = []
        for thing in scene.objects:
            points = bounds[owners == thing.instance].reshape(-1, 3)
            assert _lowest(scene, thing.instance) == pytest.approx(0, abs=0.002)
            boxes.append((points[:, [0, 2]].min(axis=0), points[:, [0, 2]].max(axis=0)))
        centres = [(low + high) / 2 for low, high in boxes]
        for k, one in enumerate(centres):
            for other in centres[:k]:
                assert np.hypot(*(one - other)) > 0.25


def _lowest(scene, instance: int) -> float:
    geometry = scene.geometry
    mine = scene.quadric_owners == instance
    # An ellipsoid with the half axes f_x, f_y, f_z reaches sqrt(f_x^2 + f_y^2 + f_z^2) down.
    whole = mine & (geometry.signs.sum(axis=1) == 2)
    down = geometry.centres[whole, 1] - np.linalg.norm(geometry.frames[whole, 1], axis=1)
    upright = mine & ~whole & (np.abs(geometry.frames[:, 1, 0]) < 1e-9)
    boxes = geometry.bounds()
    count = len(mine)
    flat = boxes[:count][upright][..., 1].flatten()
    blocks = boxes[count:][scene.block_owners == instance][..., 1].flatten()
    return np.concatenate([down, flat, blocks]).min()


@pytest.mark.parametrize("seed", [1.5, "1", None, True])
def test_a_seed_that_is_no_integer_is_refused(seed):
    with pytest.raises(TypeError, match="expected an integer as seed"):
        sample_scene(seed)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        sample_scene(-1)


# ---- figures


def test_joints_are_those_of_openpose_and_right_is_the_persons_right():
    joints, _ = joints_of(Pose())
    places = dict(zip(JOINTS, joints, strict=True))
    assert list(places)[:5] == ["nose", "neck", "right shoulder", "right elbow", "right wrist"]
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear"):
        assert places[f"right {name}"][0] < 0 < places[f"left {name}"][0]
    assert places["nose"][2] > places["left ear"][2]  # it looks along +z
    assert places["right wrist"][1] < places["right elbow"][1] < places["right shoulder"][1]


def test_limbs_keep_their_length_in_every_pose():
    rest, _ = joints_of(Pose())
    moved, _ = joints_of(Pose(right_arm=Arm(110, 30, 80, 90), lean=12, tilt=5))
    for a, b in ((2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13), (0, 1)):
        length = np.linalg.norm(rest[a] - rest[b])
        assert np.linalg.norm(moved[a] - moved[b]) == pytest.approx(length)


def test_an_arm_that_is_raised_sideways_lies_on_its_own_side():
    joints, _ = joints_of(Pose(right_arm=Arm(out=90, bend=90, twist=90)))
    assert joints[3, 0] < joints[2, 0] - 0.19  # the elbow, to the person's right
    assert joints[4, 1] > joints[3, 1] + 0.18  # the wrist, above the elbow


# ---- rays and solids

EYE = Viewer(np.eye(3), np.zeros(3))
WHITE = Paint((1.0, 1.0, 1.0))


def _ray(x: float = 0.0, y: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[x]], dtype=torch.float64), torch.tensor([[y]], dtype=torch.float64)


def _first_quadric(solids: Solids, x: float = 0.0, y: float = 0.0) -> tuple[float, bool, int]:
    rows, _ = quadrics_for(EYE, Geometry.of(solids))
    depth, hit, surface = meet_quadric(rows[0].tolist(), *_ray(x, y))
    return depth.item(), hit.item(), surface.item()


def test_a_ball_of_radius_r_at_distance_d_is_met_at_d_minus_r():
    solids = Solids()
    solids.ball((0, 0, -4), 0.5, WHITE)
    assert _first_quadric(solids) == (pytest.approx(3.5), True, 0)
    assert _first_quadric(solids, x=0.125)[1]
    # The ray that just touches has the slope r / sqrt(d^2 - r^2).
    slope = 0.5 / np.sqrt(4**2 - 0.5**2)
    assert _first_quadric(solids, x=slope - 1e-9)[1]
    assert not _first_quadric(solids, x=slope + 1e-9)[1]


def test_a_cylinder_is_met_at_its_side_or_at_its_end():
    solids = Solids()
    solids.cone((0, -1, -4), 0.5, (0, 1, -4), 0.5, WHITE)
    assert _first_quadric(solids) == (pytest.approx(3.5), True, 0)
    assert not _first_quadric(solids, y=0.3)[1]  # above the top
    solids = Solids()
    solids.cone((0, 0, -6), 0.5, (0, 0, -4), 0.5, WHITE)
    depth, hit, surface = _first_quadric(solids, x=0.05)
    assert (depth, hit) == (pytest.approx(4), True)
    assert surface > 0


@pytest.mark.parametrize("y", [-0.1, 0.0, 0.05, 0.15, 0.24])
def test_an_upright_cone_gets_narrower_towards_its_tip(y):
    solids = Solids()
    solids.cone((0, -1, -4), 0.8, (0, 1, -4), 0.0, WHITE)
    depth, hit, _ = _first_quadric(solids, y=y)
    # On the axis side facing the eye the radius is 0.4 (1 - height), with height = depth * y.
    assert hit
    assert depth == pytest.approx((4 - 0.4) / (1 - 0.4 * y))


def test_the_mirrored_half_of_a_cone_is_never_met():
    solids = Solids()
    solids.cone((0, -1, -4), 0.8, (0, 0, -4), 0.0, WHITE)
    assert not _first_quadric(solids, y=0.1)[1]
    assert _first_quadric(solids, y=-0.1)[1]


def test_a_cone_seen_along_its_axis_is_met_on_its_side():
    solids = Solids()
    solids.cone((0, 0, -5), 1.0, (0, 0, -4), 0.0, WHITE)  # the tip points at the eye
    depth, hit, surface = _first_quadric(solids, x=0.1)
    assert (hit, surface) == (True, 0)
    assert depth == pytest.approx(4 / 0.9)  # radius = depth - 4 and x = 0.1 depth


def test_a_limb_touches_the_balls_at_its_ends_without_a_step():
    solids = Solids()
    solids.limb((0, 0, -4), 0.3, (1, 0, -4), 0.1, WHITE)
    solids.ball((0, 0, -4), 0.3, WHITE)
    rows, _ = quadrics_for(EYE, Geometry.of(solids))
    # The circle where they touch lies at x = r sin(angle), with sin(angle) = (0.3 - 0.1) / 1.
    height = 0.3 * np.sqrt(1 - 0.2**2)
    z = -4 + height - 1e-6
    limb, ball = (meet_quadric(r.tolist(), *_ray(0.3 * 0.2 / -z, 0.0)) for r in rows)
    assert limb[0].item() == pytest.approx(ball[0].item(), abs=1e-4)


def test_a_box_is_met_at_its_nearest_face():
    solids = Solids()
    solids.box((0, 0, -4), (0.5, 0.6, 0.7), WHITE)
    coefficients, normals = blocks_for(EYE, Geometry.of(solids).planes)
    depth, hit, face = meet_block(coefficients[0].tolist(), *_ray())
    assert (depth.item(), hit.item()) == (pytest.approx(3.3), True)
    np.testing.assert_allclose(normals[0, face.item(), 6:], [0, 0, 1])
    assert not meet_block(coefficients[0].tolist(), *_ray(x=0.16))[1].item()


@pytest.mark.parametrize(("top", "edges"), [((1, 1), 12), ((1, 0), 9), ((0, 0), 8)])
def test_a_box_a_roof_and_a_pyramid_have_the_right_number_of_edges(top, edges):
    solids = Solids()
    solids.box((0, 0, 0), (1, 1, 1), WHITE, top=top)
    found = Geometry.of(solids).edges
    assert len(found) == edges
    assert len(np.unique(np.sort(found.reshape(edges, -1), axis=1), axis=0)) <= edges
    assert (np.linalg.norm(found[:, 0] - found[:, 1], axis=1) > 0.1).all()


# ---- pictures and their truth


def test_a_view_has_the_documented_shapes_types_and_ranges(views):
    n = len(views)
    assert n == len(SEEDS)
    expected = {
        "photo": ((n, SIZE, SIZE, 3), torch.uint8),
        "depth": ((n, SIZE, SIZE), torch.float32),
        "normals": ((n, SIZE, SIZE, 3), torch.float32),
        "labels": ((n, SIZE, SIZE), torch.int64),
        "instances": ((n, SIZE, SIZE), torch.int64),
        "edges": ((n, SIZE, SIZE), torch.bool),
        "joints": ((n, 2, 18, 2), torch.float32),
        "joints_visible": ((n, 2, 18), torch.bool),
        "joints_depth": ((n, 2, 18), torch.float32),
        "intrinsics": ((n, 4), torch.float64),
    }
    found = {name: (tuple(t.shape), t.dtype) for name, t in _tensors(views).items()}
    del found["lines"]
    assert found == expected
    assert views.depth.isfinite().all()
    assert (views.depth > 0).all()
    assert set(views.labels.unique().tolist()) <= set(ADE20K.values())
    assert [tuple(lines.shape[1:]) for lines in views.lines] == [(4,)] * n


def test_a_scene_looks_the_same_alone_and_in_a_batch(scenes, views):
    for k in (0, 5, 10):
        alone = _tensors(render(scenes[k], size=SIZE))
        alone.pop("lines")
        for name, tensor in alone.items():
            torch.testing.assert_close(
                tensor[0], getattr(views, name)[k], rtol=0, atol=0, equal_nan=True
            )
        torch.testing.assert_close(render(scenes[k], size=SIZE).lines[0], views.lines[k])


def test_whole_batches_and_bounded_rectangles_draw_the_same_picture(scenes, views):
    # The way a GPU draws, here without one.
    whole = _draw_batches(scenes[:4], SIZE, torch.device("cpu"), True, False)
    one_step = (whole.photo.int() - views.photo[:4].int()).abs().max()
    assert one_step <= 1
    torch.testing.assert_close(whole.depth, views.depth[:4])
    assert torch.equal(whole.instances, views.instances[:4])
    assert torch.equal(whole.edges, views.edges[:4])


def test_batches_of_different_scenes_share_their_compiled_kernels(scenes, views):
    cpu, counts = torch.device("cpu"), torch._dynamo.utils.counters["stats"]
    graphs = []
    for start in (10, 5):
        # "eager" traces and guards like any back end, and then runs the graph as it is.
        with torch.no_grad(), fusing("eager"):
            found = _draw_batches([scenes[0], scenes[start]], SIZE, cpu, False, False)
        graphs.append(counts["unique_graphs"])
        assert (found.photo[1].int() - views.photo[start].int()).abs().max() <= 1
    assert len(scenes[10].prepared.quadrics) != len(scenes[5].prepared.quadrics)
    assert graphs[0] == graphs[1] > 10


def test_normals_have_length_one_and_face_the_camera(views):
    torch.testing.assert_close(views.normals.norm(dim=-1), torch.ones_like(views.depth))
    rays = _rays(views)
    assert ((views.normals * rays).sum(dim=-1) < 1e-4).all()


def _rays(views: Views) -> torch.Tensor:
    """Directions (x, y, -1) through the centres of all pixels, (N, H, W, 3)."""
    n, height, width = views.depth.shape
    fx, fy, cx, cy = (v[:, None, None] for v in views.intrinsics.unbind(dim=1))
    column, row = torch.arange(width)[None, None], torch.arange(height)[None, :, None]
    x, y = (column - cx) / fx, (cy - row) / fy
    return torch.stack(torch.broadcast_tensors(x, y, -torch.ones(n, 1, 1)), dim=-1)


def test_on_planes_the_back_projected_depth_has_the_true_normals(views):
    points = _rays(views) * views.depth[..., None]
    across = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    up = points[:, :-2, 1:-1] - points[:, 2:, 1:-1]
    measured = torch.linalg.cross(across, up)
    measured = measured / measured.norm(dim=-1, keepdim=True)
    true = views.normals[:, 1:-1, 1:-1]
    # Where a pixel and its neighbours have one normal and one owner they lie on one plane.
    flat = torch.ones(true.shape[:-1], dtype=torch.bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        rows, columns = slice(dy, dy + SIZE - 2), slice(dx, dx + SIZE - 2)
        flat &= (views.normals[:, rows, columns] - true).norm(dim=-1) < 1e-5
        flat &= views.instances[:, rows, columns] == views.instances[:, 1:-1, 1:-1]
        step = (points[:, rows, columns] - points[:, 1:-1, 1:-1]) * true
        flat &= step.sum(dim=-1).abs() < 1e-4
    assert flat.double().mean() > 0.5
    cosine = (measured * true).sum(dim=-1)[flat]
    assert cosine.min() > np.cos(np.radians(0.5))


def test_the_floor_and_the_walls_lie_where_the_scene_says(scenes, views):
    rays = _rays(views)
    for k, scene in enumerate(scenes):
        viewer = scene.camera.viewer
        points = (rays[k] * views.depth[k][..., None]).numpy()
        world = points @ viewer.rotation + viewer.origin
        room = views.instances[k].numpy() == 0
        floor = room & (views.labels[k].numpy() == ADE20K["floor"])
        wall = room & (views.labels[k].numpy() == ADE20K["wall"])
        assert floor.any()
        assert np.abs(world[floor][:, 1]).max() < 1e-5
        distances = np.abs(world[wall] @ scene.room.planes[1:, :3].T + scene.room.planes[1:, 3])
        assert distances.min(axis=1).max(initial=0) < 1e-4
    assert ROOM_SURFACES[0] == "floor"


def test_labels_follow_from_instances(scenes, views):
    for scene, labels, instances in zip(scenes, views.labels, views.instances, strict=True):
        for thing in scene.objects:
            assert (labels[instances == thing.instance] == thing.label).all()
        room = set(labels[instances == 0].tolist())
        assert room <= {ADE20K["wall"], ADE20K["floor"], ADE20K["rug"]}


def test_visible_joints_lie_on_their_figure(scenes, views):
    checked = 0
    for k, scene in enumerate(scenes):
        figures = [o for o in scene.objects if o.joints is not None]
        for person, figure in enumerate(figures):
            seen = views.joints_visible[k, person]
            column, row = views.joints[k, person][seen].round().long().T
            assert (views.instances[k, row, column] == figure.instance).all()
            skin = views.depth[k, row, column]
            assert (skin <= views.joints_depth[k, person][seen] + 0.06).all()
            checked += int(seen.sum())
        assert views.joints[k, len(figures) :].isnan().all()
        assert not views.joints_visible[k, len(figures) :].any()
    assert checked > 100


def test_a_figure_that_turns_its_back_hides_its_face():
    for seed in range(200):
        scene = sample_scene(seed)
        figures = [o for o in scene.objects if o.kind == "figure"]
        if len(figures) != 1:
            continue
        ears, nose = figures[0].joints[16:18].mean(axis=0), figures[0].joints[0]
        gaze = scene.camera.viewer.rotation @ (nose - ears)
        if gaze[2] < -0.08:
            assert not render(scene, size=64).joints_visible[0, 0, [0, 14, 15]].any()
            return
    pytest.fail("no figure turns its back in 200 scenes")


def test_edges_separate_every_pair_of_neighbours_with_different_owners(views):
    for axis in (1, 2):
        length = SIZE - 1
        a, b = (views.instances.narrow(axis, at, length) for at in (0, 1))
        either = views.edges.narrow(axis, 0, length) | views.edges.narrow(axis, 1, length)
        assert either[a != b].all()


def test_a_flat_surface_has_no_edges(views):
    share = views.edges.double().mean()
    assert 0.01 < share < 0.2
    for k in range(len(views)):
        floor = (views.labels[k] == ADE20K["floor"])[None, None].double()
        inside = -torch.nn.functional.max_pool2d(-floor, 5, 1, 2)[0, 0] > 0
        assert not views.edges[k][inside].any()


def test_straight_lines_run_along_edges(views):
    thick = torch.nn.functional.max_pool2d(views.edges.double()[:, None], 5, 1, 2)[:, 0] > 0
    shares = []
    for near_edge, lines in zip(thick, views.lines, strict=True):
        for x0, y0, x1, y1 in lines.tolist():
            assert min(x0, x1, y0, y1) >= 0
            assert max(x0, x1, y0, y1) <= SIZE - 1 + 1e-3
            steps = torch.linspace(0.05, 0.95, 20)
            column = (x0 + (x1 - x0) * steps).round().long()
            row = (y0 + (y1 - y0) * steps).round().long()
            shares.append(near_edge[row, column].double().mean().item())
    assert len(shares) > 100
    assert np.mean(shares) > 0.97
    assert np.quantile(shares, 0.05) > 0.7


def test_what_stands_on_a_rug_shows_its_lower_edges():
    scene = sample_scene(10)
    (cube,) = (one for one in scene.objects if one.kind == "cube")
    assert "rug" in scene.caption
    view = render(scene)
    y, x = np.nonzero(view.instances[0].numpy() == cube.instance)
    lowest = np.array([x[y.argmax()], y.max()])
    ends = view.lines[0].numpy().reshape(-1, 2)
    assert np.linalg.norm(ends - lowest, axis=1).min() < 3


def test_rooms_show_the_line_between_floor_and_wall(scenes, views):
    for k, scene in enumerate(scenes):
        labels = views.labels[k]
        if {ADE20K["wall"], ADE20K["floor"]} <= set(labels[[0, -1]].flatten().tolist()):
            assert len(views.lines[k]) > 0, scene.caption


def test_the_photo_shows_the_colours_of_the_caption(scenes, views):
    names = [name for name in COLOURS if name not in ("black", "white", "brown")]
    right = total = 0
    for k, scene in enumerate(scenes):
        for thing in scene.objects:
            if thing.kind in ("ball", "cube", "cone", "cylinder") and thing.colour in names:
                pixels = views.photo[k][views.instances[k] == thing.instance].double().mean(dim=0)
                hue = [_hue(torch.tensor(COLOURS[name])) for name in names]
                found = _hue(pixels)
                distance = [min(abs(found - h), 1 - abs(found - h)) for h in hue]
                right += names[int(np.argmin(distance))] == thing.colour
                total += 1
    assert total >= 8
    assert right / total > 0.85


def _hue(rgb: torch.Tensor) -> float:
    return colorsys.rgb_to_hsv(*(rgb / rgb.max()).tolist())[0]


def test_shadows_darken_the_floor_beside_a_ball():
    scene = next(
        s
        for s in map(sample_scene, range(300))
        if "ball" in [o.kind for o in s.objects] and s.room.floor == "plain"
    )
    view = render(scene, size=128)
    floor = view.photo[0].double().mean(dim=-1)[view.labels[0] == ADE20K["floor"]]
    assert floor.min() < 0.75 * floor.median()


def test_every_kind_occurs():
    kinds = {o.kind for seed in range(150) for o in sample_scene(seed).objects}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("size", [0, 7, 2049, -1])
def test_a_size_out_of_range_is_refused(scenes, size):
    with pytest.raises(ValueError, match=f"from 8 to 2048 pixels, got {size}"):
        render(scenes[0], size=size)


@pytest.mark.parametrize("size", [64.0, "64", True, None])
def test_a_size_that_is_no_integer_is_refused(scenes, size):
    with pytest.raises(TypeError, match="size as an integer"):
        render(scenes[0], size=size)


@pytest.mark.parametrize("scenes", [None, 3, "scene", [1], np.zeros(3)])
def test_something_else_than_scenes_is_refused(scenes):
    with pytest.raises(TypeError, match=re.escape("sample_scene(seed)")):
        render(scenes)


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="at least one scene"):
        render([])


@pytest.mark.parametrize("device", ["toaster", "meta:x", 3.5])
def test_an_unknown_device_is_refused(scenes, device):
    with pytest.raises(ValueError, match="expected a device of this machine"):
        render(scenes[0], device=device)


def test_the_smallest_picture_works(scenes):
    assert render(scenes[:2], size=8).photo.shape == (2, 8, 8, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("compile", [False, True])
def test_cpu_and_gpu_draw_the_same_picture(scenes, views, compile):
    there = render(scenes, size=SIZE, device="cuda", compile=compile)
    assert (there.photo.cpu().int() - views.photo.int()).abs().max() <= 1
    for name in ("instances", "labels", "edges", "joints_visible"):
        assert torch.equal(getattr(there, name).cpu(), getattr(views, name)), name
    torch.testing.assert_close(there.depth.cpu(), views.depth)
