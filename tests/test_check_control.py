"""check_control: it finds what is wrong, and is silent where nothing is."""

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import get_args

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from skimage.morphology import skeletonize

from helpers.catalogue import CONDITIONS
from helpers.conditions.ade20k import PALETTE
from helpers.conditions.canny import canny_edges
from helpers.conditions.depth import depth_image
from helpers.conditions.mlsd import straight_lines
from helpers.conditions.normal import normal_map
from helpers.conditions.openpose import COLOURS, draw_skeleton
from helpers.conditions.scribble import scribble
from helpers.conditions.seg import labels_to_colours
from helpers.faults.finding import Fault, again
from helpers.images import Finding, check_control, fit, to_grey, to_rgb
from helpers.runtime import import_controlnet_aux

# Good control images. Where a library or a formula can make one, it does, not the helper.

STANDING = np.array([
    (50, 14), (50, 24), (41, 24), (35, 38), (32, 50), (59, 24), (66, 37), (70, 48), (44, 54),
    (43, 72), (42, 92), (56, 54), (58, 72), (60, 92), (48, 12), (52, 12), (45, 13.5), (55, 13.5),
]) / 100  # fmt: skip
"""The 18 joints of someone standing, in units of the picture's height."""


@cache
def load_photo(name: str) -> NDArray[np.uint8]:
    if name == "motorcycle":
        return to_rgb(skimage.data.stereo_motorcycle()[0])
    return to_rgb(getattr(skimage.data, name)())


@cache
def measured_depth() -> NDArray[np.float32]:
    """Disparity, which is inverse depth; where the sensor saw nothing it is put far away."""
    disparity = skimage.data.stereo_motorcycle()[2].astype(np.float32)
    disparity[~np.isfinite(disparity)] = disparity[np.isfinite(disparity)].min()
    return disparity[120:496, 180:564]


def balls_on_a_floor(height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Inverse depth of a floor up to the horizon, and of four balls on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    horizon = height * rng.uniform(0.3, 0.5)
    depth = np.maximum(0.02, (y - horizon) / height)
    for _ in range(4):
        cx, cy, radius = rng.uniform(0, width), height * rng.uniform(0.4, 0.8), height * 0.15
        inside = np.maximum(0, radius**2 - (x - cx) ** 2 - (y - cy) ** 2)
        ball = (cy + radius - horizon + np.sqrt(inside) / 2) / height
        depth = np.where(inside > 0, np.maximum(depth, ball), depth)
    return np.float32(height / 8) * depth


def canny(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return to_rgb(cv2.Canny(photo, 100, 200))


def hed(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stand in for the network: the length of a blurred gradient."""
    smooth = cv2.GaussianBlur(to_grey(photo).astype(np.float32), (0, 0), 2)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return to_rgb(np.rint(255 * np.minimum(1, slope / np.percentile(slope, 99.5))).astype(np.uint8))


def mlsd(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    lines = cv2.createLineSegmentDetector().detect(to_grey(photo))[0].reshape(-1, 2, 2)
    canvas = np.zeros(photo.shape[:2], np.uint8)
    for start, end in lines[np.linalg.norm(lines[:, 0] - lines[:, 1], axis=1) > 20].astype(int):
        cv2.line(canvas, start.tolist(), end.tolist(), 255)
    return to_rgb(canvas)


def draw_by_hand(photo: NDArray[np.uint8], width: int = 4) -> NDArray[np.uint8]:
    _, regions = cv2.threshold(cv2.GaussianBlur(to_grey(photo), (0, 0), 4), 0, 255, cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(regions, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    canvas = np.zeros(regions.shape, np.uint8)
    cv2.drawContours(canvas, [line for line in outlines if len(line) > 60], -1, 255, width)
    return to_rgb(canvas)


def label(photo: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Cut a photo into regions by brightness and give each a class."""
    grey = cv2.GaussianBlur(to_grey(photo), (0, 0), 6)
    classes = np.array([2, 4, 0, 12, 6, 20, 9])
    return classes[np.digitize(grey, np.quantile(grey, np.linspace(0, 1, 8)[1:-1]))]


def depth_grey(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    return to_rgb(np.rint(255 * (depth - depth.min()) / np.ptp(depth)).astype(np.uint8))


def normals_of(depth: NDArray[np.float32], background: float = 0.4) -> NDArray[np.uint8]:
    far = (depth - depth.min()) / np.ptp(depth) < background
    x = np.where(far, 0, cv2.Sobel(depth, cv2.CV_32F, 1, 0))
    y = np.where(far, 0, cv2.Sobel(depth, cv2.CV_32F, 0, 1))
    n = np.dstack([x, y, np.full_like(x, 2 * np.pi)])
    n /= np.linalg.norm(n, axis=2, keepdims=True)
    return np.clip(n * 127.5 + 127.5, 0, 255).astype(np.uint8)


def people(height: int, width: int, count: int = 1, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    somebody = (STANDING - 0.5) * 0.9 + rng.normal(0, 0.012, (count, 18, 2))
    centres = np.stack([(np.arange(count) + 0.5) * width / count, np.full(count, height / 2)], 1)
    return somebody * height + centres[:, None]


PHOTO = fit(load_photo("astronaut"), resolution=384)
SOURCES = {
    "photo": PHOTO,
    "depth": measured_depth(),
    "people": people(384, 384),
    "labels": label(PHOTO),
}
GOOD: dict[str, NDArray[np.uint8]] = {
    "canny": canny(PHOTO),
    "depth": depth_grey(measured_depth()),
    "hed": hed(PHOTO),
    "mlsd": mlsd(fit(load_photo("brick"), resolution=384)),
    "normal": normals_of(measured_depth()),
    "openpose": draw_skeleton(people(384, 384), 384, 384),
    "scribble": draw_by_hand(PHOTO),
    "seg": PALETTE[label(PHOTO)],
}

# Silence

PHOTOS = (
    "astronaut", "coffee", "chelsea", "camera", "rocket", "motorcycle", "text", "brick", "coins",
    "page", "retina",
)  # fmt: skip
FROM_PHOTO: dict[str, Callable] = {
    "canny": canny,
    "hed": hed,
    "mlsd": mlsd,
    "scribble": draw_by_hand,
    "seg": lambda photo: PALETTE[label(photo)],
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_good_control_image_has_no_fault(condition):
    assert check_control(GOOD[condition], condition) == []
    assert check_control(Image.fromarray(GOOD[condition]), CONDITIONS[condition]) == []


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("size", [(256, 8), (384, 64)])
@pytest.mark.parametrize("condition", FROM_PHOTO)
def test_maps_of_photographs_raise_no_alarm(condition, size, photo):
    resolution, multiple = size
    fitted = fit(load_photo(photo), resolution=resolution, multiple=multiple)
    assert check_control(FROM_PHOTO[condition](fitted), condition) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [(256, 384), (512, 512)])
def test_depth_and_normals_of_scenes_raise_no_alarm(size, seed):
    depth = balls_on_a_floor(*size, seed)
    assert check_control(depth_grey(depth), "depth") == []
    for background in (-1, 0.4):
        assert check_control(normals_of(depth, background), "normal") == []
        blurred = normals_of(cv2.GaussianBlur(depth, (0, 0), 2), background)
        assert check_control(blurred, "normal") == []


@pytest.mark.parametrize("shape", [(64, 64), (128, 256)])
def test_ramps_and_smoothed_measured_depth_raise_no_alarm(shape):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    smooth = cv2.resize(measured_depth(), (384, 256), interpolation=cv2.INTER_AREA)
    for depth in (x, -x, y, smooth):
        assert check_control(depth_grey(depth), "depth") == []
        assert check_control(normals_of(depth, 0.1), "normal") == []


@pytest.mark.parametrize("style", ["1.0", "1.1"])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("size", [(256, 256), (512, 768)])
def test_skeletons_raise_no_alarm(size, count, style):
    for seed in range(2):
        joints = people(*size, count, seed)
        joints[np.random.default_rng(seed).random((count, 18)) < 0.15] = np.nan
        assert check_control(draw_skeleton(joints, *size, style=style), "openpose") == []


@pytest.mark.parametrize("condition", CONDITIONS)
def test_fitting_a_good_control_image_keeps_it_good(condition):
    if condition in ("canny", "mlsd"):  # lines one pixel wide do not survive any resize
        return
    assert check_control(fit(GOOD[condition], resolution=768, condition=condition), condition) == []


# Damage


def jpeg(quality: int) -> Callable:
    def save_and_load(image):
        data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]

    return save_and_load


def resized(side: int, how: int) -> Callable:
    return lambda image: cv2.resize(image, (side, side), interpolation=how)


def dilated(size: int) -> Callable:
    return lambda image: cv2.dilate(image, np.ones((size, size), np.uint8))


def saved_figure(image):
    """Put a picture on a white page with tick marks, as a plotting library does."""
    height, width = image.shape[:2]
    page = np.full((height + 64, width + 80, 3), 255, np.uint8)
    page[24 : 24 + height, 56 : 56 + width] = image
    page[26 + height : 30 + height, 64 : 56 + width : 40] = 0
    return page


def with_hole(value: float) -> Callable:
    def punch(image):
        floats = image.astype(np.float32) / 255
        floats[:20, :20] = value
        return floats

    return punch


def see_through(image):
    return np.dstack([np.full_like(image, 255), image[..., 0]])


def opaque(image):
    return np.dstack([image, np.full_like(image[..., 0], 255)])


def missing_depth(image):
    return np.where(image[..., 0] < 9, np.nan, measured_depth())


def colour_mapped(name: int) -> Callable:
    return lambda image: cv2.applyColorMap(image[..., 0], name)[..., ::-1]


def inverted(image):
    return 255 - image


def bgr(image):
    return image[..., ::-1]


def black(image):
    return np.zeros_like(image)


def a_photo(image):
    return cv2.resize(load_photo("coffee"), image.shape[1::-1])


def a_grey_photo(image):
    return cv2.resize(load_photo("camera"), image.shape[1::-1])


def cut(image):
    return image[:-3, :-5]


def without_normalising(image):
    n = image / 127.5 - 1
    slopes = n / np.maximum(n[..., 2:], 0.1)
    return np.clip(127.5 * slopes + 127.5, 0, 255).astype(np.uint8)


def flipped(channel: int) -> Callable:
    def flip(image):
        image = image.copy()
        image[..., channel] = 255 - image[..., channel]
        return image

    return flip


def turned_to_world(image):
    n = image / 127.5 - 1
    return np.rint(127.5 * n[..., [0, 2, 1]] * [1, 1, -1] + 127.5).astype(np.uint8)


def black_ground(image):
    flat = (image[..., 0] == 127) & (image[..., 1] == 127)
    return np.where(flat[..., None], np.uint8(0), image)


def recoloured(colours: NDArray[np.uint8]) -> Callable:
    """Draw the limbs of the skeleton in other colours."""

    def draw(image):
        drawn = np.zeros_like(image)
        for old, new in zip(np.multiply(0.6, COLOURS), np.multiply(0.6, colours), strict=True):
            drawn[(np.abs(image - old) < 2).all(axis=2)] = np.rint(new)
        return drawn

    return draw


def filled(image):
    return cv2.ellipse(image.copy(), (200, 200), (80, 50), 0, 0, 360, (255, 255, 255), -1)


def on_white(image):
    return np.where(image.max(axis=2, keepdims=True) == 0, np.uint8(255), image)


def over_a_photo(image):
    return np.where(image.max(axis=2, keepdims=True) == 0, PHOTO, image)


def white_limbs(image):
    return np.repeat(255 * (image.max(axis=2, keepdims=True) > 0).astype(np.uint8), 3, axis=2)


CITYSCAPES = [
    (70, 130, 180),
    (107, 142, 35),
    (70, 70, 70),
    (220, 20, 60),
    (128, 64, 128),
    (0, 0, 142),
    (152, 251, 152),
]
COCO_17 = np.uint8([(0, 255, 0), (255, 128, 0), (51, 153, 255)] * 6)


def other_labels(colours) -> Callable:
    return lambda image: np.uint8(colours)[np.unique(label(PHOTO), return_inverse=True)[1]]


def voc_colour(number: int) -> tuple[int, ...]:
    """Return a colour of Pascal VOC: the bits of the class number, dealt out to R, G and B."""
    return tuple(sum((number >> 3 * i + c & 1) << 7 - i for i in range(3)) for c in range(3))


def unlabelled(image):
    return np.where((label(PHOTO) == 0)[..., None], np.uint8(0), image)


DAMAGES: list[tuple[str, str, Callable, Fault]] = [
    ("black on white", "canny", inverted, "inverted polarity"),
    ("thresholds too high", "canny", black, "empty"),
    ("all white", "canny", lambda image: np.full_like(image, 255), "empty"),
    ("lines of 3 pixels", "canny", dilated(3), "thick lines"),
    ("lines of 2 pixels", "canny", dilated(2), "thick lines"),
    ("enlarged with linear", "canny", resized(768, cv2.INTER_LINEAR), "grey pixels"),
    ("shrunk with area", "canny", resized(320, cv2.INTER_AREA), "grey pixels"),
    ("blurred", "canny", lambda image: cv2.GaussianBlur(image, (3, 3), 0), "grey pixels"),
    ("JPEG 75", "canny", jpeg(75), "JPEG damage"),
    ("JPEG 95", "canny", jpeg(95), "JPEG damage"),
    ("the photo itself", "canny", a_photo, "photo"),
    ("a grey photo", "canny", a_grey_photo, "photo"),
    ("soft edges", "canny", lambda image: GOOD["hed"], "soft edges"),
    ("red lines", "canny", lambda image: image * np.uint8([1, 0, 0]), "colour in a grey map"),
    ("float 0 to 1", "canny", lambda image: image / 255, "data type"),
    ("float 0 to 255", "canny", lambda image: image.astype(np.float32), "data type"),
    ("uint16 0 to 65535", "canny", lambda image: image.astype(np.uint16) * 257, "data type"),
    ("int64", "canny", lambda image: image.astype(np.int64), "data type"),
    ("bool, one channel", "canny", lambda image: image[..., 0] > 0, "data type"),
    ("values 0 and 1", "canny", lambda image: image // 255, "value range"),
    ("NaN", "canny", with_hole(np.nan), "not finite"),
    ("white on nothing", "canny", see_through, "alpha channel"),
    ("opaque alpha", "canny", opaque, "alpha channel"),
    ("one channel", "canny", lambda image: image[..., 0], "one channel"),
    ("one channel, three axes", "canny", lambda image: image[..., :1], "one channel"),
    ("channels first", "canny", lambda image: np.moveaxis(image, -1, 0), "axes"),
    ("a batch of one", "canny", lambda image: image[None], "axes"),
    ("odd size", "canny", cut, "size"),
    ("a saved figure", "canny", saved_figure, "border"),
    ("black on white", "hed", inverted, "inverted polarity"),
    ("a photo", "hed", a_photo, "photo"),
    ("a grey photo", "hed", a_grey_photo, "photo"),
    ("Canny edges", "hed", lambda image: GOOD["canny"], "hard edges"),
    ("a colour map", "hed", lambda image: image * np.uint8([1, 0, 1]), "colour in a grey map"),
    ("infinite values", "hed", with_hole(np.inf), "not finite"),
    ("nothing found", "hed", black, "empty"),
    ("uint16", "hed", lambda image: image.astype(np.uint16) * 257, "data type"),
    ("near is black", "depth", inverted, "inverted polarity"),
    ("viridis", "depth", colour_mapped(cv2.COLORMAP_VIRIDIS), "colour in a grey map"),
    ("inferno", "depth", colour_mapped(cv2.COLORMAP_INFERNO), "colour in a grey map"),
    ("jet", "depth", colour_mapped(cv2.COLORMAP_JET), "colour in a grey map"),
    ("a photo", "depth", a_photo, "photo"),
    ("a grey photo", "depth", a_grey_photo, "photo"),
    ("a wall", "depth", lambda image: np.full_like(image, 90), "uniform"),
    ("millimetres cut to a byte", "depth", lambda image: image // 6 + 20, "low contrast"),
    ("a mask", "depth", lambda image: 255 * (image > 128).astype(np.uint8), "few levels"),
    ("raw numbers", "depth", lambda image: measured_depth(), "data type"),
    ("NaN in raw numbers", "depth", missing_depth, "not finite"),
    ("uint16 millimetres", "depth", lambda image: image[..., 0] * np.uint16(30), "data type"),
    ("a saved figure", "depth", saved_figure, "border"),
    ("odd size", "depth", cut, "size"),
    ("black on white", "mlsd", inverted, "inverted polarity"),
    ("the dilated preview", "mlsd", dilated(3), "thick lines"),
    ("resized with linear", "mlsd", resized(640, cv2.INTER_LINEAR), "grey pixels"),
    ("JPEG", "mlsd", jpeg(85), "JPEG damage"),
    ("no lines", "mlsd", black, "empty"),
    ("a photo", "mlsd", a_photo, "photo"),
    ("the network's order", "normal", bgr, "channel order"),
    ("black where nothing is", "normal", black_ground, "black background"),
    ("depth", "normal", lambda image: GOOD["depth"], "grey map"),
    ("not normalised", "normal", without_normalising, "not unit length"),
    ("red is right", "normal", flipped(0), "axis sign"),
    ("green is down", "normal", flipped(1), "axis sign"),
    ("z is up", "normal", turned_to_world, "facing away"),
    ("a photo", "normal", a_photo, "photo"),
    ("a grey photo", "normal", a_grey_photo, "photo"),
    ("vectors from -1 to 1", "normal", lambda image: image / 127.5 - 1, "data type"),
    ("flat", "normal", lambda image: np.full_like(image, (127, 127, 255)), "uniform"),
    ("nobody", "openpose", black, "empty"),
    ("BGR", "openpose", bgr, "channel order"),
    ("on white", "openpose", on_white, "inverted polarity"),
    ("inverted", "openpose", inverted, "inverted polarity"),
    ("JPEG 75", "openpose", jpeg(75), "JPEG damage"),
    ("JPEG 95", "openpose", jpeg(95), "JPEG damage"),
    ("resized with linear", "openpose", resized(640, cv2.INTER_LINEAR), "mixed colours"),
    ("resized with Lanczos", "openpose", resized(768, cv2.INTER_LANCZOS4), "mixed colours"),
    ("colours of COCO 17", "openpose", recoloured(COCO_17), "wrong colours"),
    ("hues in another order", "openpose", recoloured(np.roll(COLOURS, 5, axis=0)), "wrong colours"),
    ("white limbs", "openpose", white_limbs, "wrong colours"),
    ("over the photo", "openpose", over_a_photo, "photo"),
    ("the photo itself", "openpose", a_photo, "photo"),
    ("channels first", "openpose", lambda image: np.moveaxis(image, -1, 0), "axes"),
    ("black on white", "scribble", inverted, "inverted polarity"),
    ("a filled shape", "scribble", filled, "thick lines"),
    ("anti-aliased", "scribble", lambda image: cv2.GaussianBlur(image, (5, 5), 0), "grey pixels"),
    ("JPEG", "scribble", jpeg(75), "JPEG damage"),
    ("an empty canvas", "scribble", black, "empty"),
    ("a photo", "scribble", a_photo, "photo"),
    ("a mask", "scribble", lambda image: image > 0, "data type"),
    ("BGR", "seg", bgr, "channel order"),
    ("Cityscapes", "seg", other_labels(CITYSCAPES), "wrong colours"),
    ("Pascal VOC", "seg", other_labels([voc_colour(n) for n in range(1, 8)]), "wrong colours"),
    ("unlabelled is black", "seg", unlabelled, "wrong colours"),
    ("class numbers, int64", "seg", lambda image: label(PHOTO), "label indices"),
    ("class numbers as grey", "seg", lambda image: to_rgb(np.uint8(label(PHOTO))), "label indices"),
    ("class numbers, one byte", "seg", lambda image: np.uint8(label(PHOTO)), "label indices"),
    ("JPEG 75", "seg", jpeg(75), "JPEG damage"),
    ("JPEG 95", "seg", jpeg(95), "JPEG damage"),
    ("resized with Lanczos", "seg", resized(768, cv2.INTER_LANCZOS4), "mixed colours"),
    ("resized with linear", "seg", resized(320, cv2.INTER_LINEAR), "mixed colours"),
    ("one class", "seg", lambda image: np.full_like(image, 120), "uniform"),
    ("a photo", "seg", a_photo, "photo"),
    ("a grey photo", "seg", a_grey_photo, "photo"),
    ("float 0 to 1", "seg", lambda image: image / 255, "data type"),
]  # fmt: skip
TABLE = [pytest.param(*row[1:], id=f"{row[1]}: {row[0]}") for row in DAMAGES]


class StandIn:
    """Takes the place of the soft edge detector, whose weights are not at hand."""

    @staticmethod
    def from_pretrained(hub_id: str) -> Callable[[NDArray], NDArray]:
        assert hub_id == "lllyasviel/Annotators"
        return hed


def run_fix(finding: Finding, image: NDArray) -> NDArray:
    """Run the line of code that a finding advises."""
    names = {
        "np": np, "cv2": cv2, "to_rgb": to_rgb, "to_grey": to_grey, "fit": fit,
        "skeletonize": skeletonize, "PALETTE": PALETTE, "canny_edges": canny_edges,
        "depth_image": depth_image, "straight_lines": straight_lines, "normal_map": normal_map,
        "draw_skeleton": draw_skeleton, "scribble": scribble, "HEDdetector": StandIn,
        "labels_to_colours": labels_to_colours, **SOURCES, "image": image,
    }  # fmt: skip
    exec(finding.fix.split("`")[1], names)
    return names["image"]


@pytest.mark.parametrize(("condition", "damage", "fault"), TABLE)
def test_a_damaged_control_image_has_that_fault_and_no_other(condition, damage, fault):
    findings = check_control(damage(GOOD[condition]), condition)
    assert [finding.fault for finding in findings] == [fault]


@pytest.mark.parametrize(("condition", "damage", "fault"), TABLE)
def test_the_advised_line_of_code_mends_the_fault(condition, damage, fault):
    image = damage(GOOD[condition])
    for finding in check_control(image, condition):
        image = run_fix(finding, image)
    assert check_control(image, condition) == []


def test_the_table_shows_every_fault_there_is():
    assert {row[3] for row in DAMAGES} == set(get_args(Fault))


# Around the table


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_makes_a_control_image_again_exists(condition):
    advice = again(CONDITIONS[condition])
    module, function = re.search(r"\((\S+)\): `image = (?:np.asarray\()?(\w+)", advice).groups()
    found = import_controlnet_aux() if module == "controlnet_aux" else import_module(module)
    assert callable(getattr(found, function))


def test_a_normal_map_in_the_networks_order_is_silent_when_that_is_asked_for():
    reversed_map = GOOD["normal"][..., ::-1]
    assert check_control(reversed_map, "normal", channel_order="zyx") == []
    findings = check_control(GOOD["normal"], "normal", channel_order="zyx")
    assert [finding.fault for finding in findings] == ["channel order"]


@pytest.mark.parametrize("damage", [flipped(0), without_normalising, black_ground])
def test_advice_for_a_map_in_the_networks_order_keeps_that_order(damage):
    image = damage(GOOD["normal"])[..., ::-1]
    findings = check_control(image, "normal", channel_order="zyx")
    assert len(findings) == 1
    mended = run_fix(findings[0], image)
    assert check_control(mended, "normal", channel_order="zyx") == []


def test_two_faults_give_two_findings():
    image = np.moveaxis(inverted(GOOD["canny"]) / 255, -1, 0)
    faults = [finding.fault for finding in check_control(image, "canny")]
    assert faults == ["axes", "data type", "inverted polarity"]


def test_the_size_to_which_the_pipeline_would_squeeze_is_named():
    (finding,) = check_control(GOOD["canny"][:380, :379], "canny")
    assert "379 x 380" in finding.message
    assert "376 x 376" in finding.message


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_pillow_modes_that_the_pipeline_converts_itself_raise_no_alarm(mode):
    assert check_control(Image.fromarray(GOOD["canny"]).convert(mode), "canny") == []


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pillow_modes_that_the_pipeline_would_clip_are_found(mode):
    grey = Image.fromarray(GOOD["depth"][..., 0].astype(np.uint16) * 257)
    image = grey if mode == "I;16" else grey.convert(mode)
    assert [finding.fault for finding in check_control(image, "depth")] == ["data type"]


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "motorcycle"])
def test_a_photo_is_recognised_in_place_of_any_control_image(name, condition):
    findings = check_control(fit(load_photo(name), resolution=256), condition)
    assert [finding.fault for finding in findings] == ["photo"]


@pytest.mark.parametrize(
    "image", ["canny.png", None, [GOOD["canny"]], torch.zeros(3, 64, 64), np.array("picture")]
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(TypeError, match="expected"):
        check_control(image, "canny")


@pytest.mark.parametrize("shape", [(0, 8, 3), (8,), (8, 8, 2), (2, 2, 2, 2, 3)])
def test_an_array_that_has_no_pictures_shape_is_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        check_control(np.zeros(shape, np.uint8), "canny")


def test_an_unknown_condition_or_order_is_refused():
    with pytest.raises(ValueError, match=r"openpose.*got 'pose'"):
        check_control(GOOD["openpose"], "pose")
    with pytest.raises(ValueError, match="got 'bgr'"):
        check_control(GOOD["normal"], "normal", channel_order="bgr")


@given(
    condition=st.sampled_from(list(CONDITIONS)),
    image=st.sampled_from([np.uint8, np.uint16, np.int64, np.float32, np.bool_]).flatmap(
        lambda dtype: arrays(
            dtype,
            st.sampled_from([(1, 1), (1, 1, 3), (3, 5, 4), (3, 9, 7), (1, 8, 16, 3), (24, 8)]),
        )
    ),
)
@settings(max_examples=60)
def test_no_array_of_a_pictures_shape_makes_it_fail(condition, image):
    for finding in check_control(image, condition):
        assert finding.fault in get_args(Fault)
        assert finding.fix.count("`") == 2
