"""Annotators: what a photo says about edges, depth, lines, people and classes.

`load_annotator` returns a function from a photo to a *measurement*, and `draw_control` turns the
measurement into the control image. Between the two stands what a score can compare
(`helpers.scores`), and what an editor can change:

canny, scribble  bool (H, W), true on an edge or a stroke
hed              float32 (H, W), soft edges in [0, 1]
depth            float32 (H, W), inverse depth up to scale and shift; larger is nearer
normal           float (H, W, 3), unit normals as in `helpers.conditions.normal`
mlsd             float (L, 4), rows x0, y0, x1, y1 in pixels of the photo
openpose         float (P, 18, 2), joints in pixels of the photo, NaN where one is not seen
seg              uint8 (H, W), classes of ADE20K

Both models use the same classes: transformers' for depth and classes, controlnet_aux's for edges
and lines, and one decoder of poses. Only names, sizes and the width of strokes differ.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from helpers.catalogue import Model, get_condition, get_model
from helpers.conditions.canny import canny_edges
from helpers.conditions.depth import depth_image, resize_map
from helpers.conditions.mlsd import Lines, detect_lines_mlsd, draw_lines
from helpers.conditions.normal import Normals, decode_normals, encode_normals, normal_map
from helpers.conditions.openpose import People, draw_skeleton
from helpers.conditions.openpose_decode import decode_pose
from helpers.conditions.scribble import (
    from_mask,
    scribble_from_soft_edges,
    thin_soft_edges,
)
from helpers.conditions.seg import Labels, labels_to_colours
from helpers.hub import missing_weights
from helpers.images import Picture, check_size, fit, to_map, to_rgb
from helpers.networks import load_hed_network, load_mlsd_network
from helpers.pose_network import load_pose_network, pose_maps
from helpers.runtime import default_device, import_controlnet_aux, without_loading_bars
from helpers.weights import TOYBOX_WEIGHTS, verify_weights

Measurement = NDArray
"""One of the eight kinds in the table above."""

Annotator = Callable[[Image.Image | NDArray], Measurement]
"""Takes a photo of any form that `to_rgb` takes; the measurement has the photo's size."""

Source = str | Path
"""Where weights come from: a name on the Hugging Face hub, or a path."""

PARTS = {
    "depth": "annotators/depth",
    "normal": "annotators/depth",
    "seg": "annotators/seg",
    "hed": "annotators/hed.safetensors",
    "scribble": "annotators/hed.safetensors",
    "mlsd": "annotators/mlsd.safetensors",
    "openpose": "annotators/pose.safetensors",
}
"""Files or folders of the toybox's weights. Canny needs none."""

STROKE = 3
"""Width in pixels of the toybox's scribbles. The release draws strokes 13 pixels wide in pictures
of 512; half of that would still be as wide as an arm in pictures of 256."""

THIN_SIGMA, THIN_THRESHOLD = 1.0, 90
"""How the toybox's soft edges are thinned; the release takes 3 and 127 at 512 pixels. The blur
lowers an edge with a standard deviation of one pixel to 0.7 of its height, so 90 keeps those that
are more likely than not."""


def load_annotator(
    condition: str,
    model: str = "toybox",
    *,
    device: str | torch.device | None = None,
    folder: Path = TOYBOX_WEIGHTS,
) -> Annotator:
    """Load the annotator of a condition: photo to measurement.

    Args:
        condition: a name of the catalogue, such as "depth".
        model: "toybox", whose annotators lie in this repository and never use the network, or
            "sd15", for the released ones, which are downloaded once into the cache of the
            Hugging Face hub.
        device: default a CUDA GPU if there is one, else the CPU.
        folder: weights of the toybox, with their manifest.

    Raises:
        ValueError: an unknown condition or model, or a damaged file of the toybox.
        FileNotFoundError: weights are missing and cannot be downloaded.
    """
    row, kind = get_condition(condition), get_model(model)
    if row.name not in PARTS:
        return _canny
    place = torch.device(device or default_device())
    if not kind.on_hub:
        folder = Path(folder)
        verify_weights(PARTS[row.name], folder=folder)
        return _LOADERS[row.name](folder / PARTS[row.name], kind, place)
    try:
        return _LOADERS[row.name](row.annotator_checkpoint, kind, place)
    except OSError as error:
        # One error is easier to read than the chain of those that led to it.
        raise missing_weights([row.name], error) from None


def draw_control(condition: str, measurement: Measurement, height: int, width: int) -> Picture:
    """Draw a measurement as the control image that the ControlNet of the condition reads.

    Args:
        condition: a name of the catalogue.
        measurement: what the annotator of that condition returned, or the like.
        height: of the photo, in pixels.
        width: of the photo, in pixels.

    Returns:
        Shape (height, width, 3), uint8. A normal map is in display order, x y z.

    Raises:
        TypeError: not such a measurement.
        ValueError: an unknown condition, or a measurement of another size.
    """
    name = get_condition(condition).name
    check_size(height, width)
    if name in _DRAWN_POINTS:
        return _DRAWN_POINTS[name](measurement, height, width)
    shape = np.shape(measurement)
    if shape[:2] != (height, width):
        raise ValueError(
            f"{name}: expected a measurement of {height} rows and {width} columns, got shape "
            f"{shape}; measure the photo at the size of the picture, which helpers.images.fit "
            "gives it"
        )
    return _DRAWN_MAPS[name](measurement)


def _canny(photo: Image.Image | NDArray) -> NDArray[np.bool_]:
    return canny_edges(photo)[:, :, 0] > 0


# Depth, normals and classes: networks of transformers.


def depth_annotator(source: Source, device: torch.device) -> Annotator:
    """Return the annotator of depth, by a network for transformers' depth-estimation pipeline."""
    from transformers import pipeline

    with without_loading_bars():
        estimate = pipeline(
            "depth-estimation", model=str(source), device=device, dtype=torch.float32
        )

    def measure(photo: Image.Image | NDArray) -> NDArray[np.float32]:
        picture = to_rgb(photo, name="photo")
        depth = estimate(Image.fromarray(picture))["predicted_depth"]
        # Some versions put an axis of length one in front.
        return depth.float().cpu().numpy().reshape(picture.shape[:2])

    return measure


def _normal_annotator(source: Source, model: Model, device: torch.device) -> Annotator:
    depth_of = depth_annotator(source, device)
    # The slopes of the recipe depend on the size of the map: 384 in the release, and 256 for the
    # toybox, whose unit of depth was chosen at this size.
    resolution = _detect_resolution("normal", model)

    def measure(photo: Image.Image | NDArray) -> Normals:
        depth = depth_of(photo)
        height, width = depth.shape
        colours = normal_map(resize_map(depth, resolution=resolution))
        if colours.shape[:2] != depth.shape:
            colours = cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR)
        return decode_normals(colours).astype(np.float32)

    return measure


def seg_annotator(source: Source, device: torch.device) -> Annotator:
    """Return the annotator of classes, by a segmenter of transformers that knows ADE20K's."""
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    with without_loading_bars():
        processor = AutoImageProcessor.from_pretrained(source)
        network = AutoModelForSemanticSegmentation.from_pretrained(source, dtype=torch.float32)
    network.to(device)

    @torch.no_grad()
    def measure(photo: Image.Image | NDArray) -> Labels:
        picture = to_rgb(photo, name="photo")
        inputs = processor(images=Image.fromarray(picture), return_tensors="pt").to(network.device)
        sizes = [picture.shape[:2]]
        labels = processor.post_process_semantic_segmentation(network(**inputs), sizes)[0]
        return labels.byte().cpu().numpy()

    return measure


# Edges and lines: networks of controlnet_aux.


def _hed_annotator(source: Source, model: Model, device: torch.device) -> Annotator:
    if isinstance(source, Path):
        network = load_hed_network(source)
    else:
        network = import_controlnet_aux().HEDdetector.from_pretrained(source).netNetwork
    return partial(
        _soft_edges,
        network=network.to(device).eval(),
        resolution=_detect_resolution("hed", model),
    )


@torch.no_grad()
def _soft_edges(
    photo: Image.Image | NDArray, *, network: nn.Module, resolution: int
) -> NDArray[np.float32]:
    """Return sigmoid(mean of the five side outputs), as `HEDdetector` does, but not in bytes."""
    picture = to_rgb(photo, name="photo")
    height, width = picture.shape[:2]
    seen = fit(picture, resolution=resolution)
    device = next(network.parameters()).device
    batch = torch.from_numpy(seen).permute(2, 0, 1)[None].float().to(device)
    sides = [side[0, 0].float().cpu().numpy() for side in network(batch)]
    size = seen.shape[1], seen.shape[0]
    logits = np.mean([cv2.resize(side, size) for side in sides], axis=0)
    edges = 1 / (1 + np.exp(-logits.astype(np.float64)))
    if size != (width, height):
        edges = cv2.resize(edges, (width, height))
    return edges.astype(np.float32)


def _scribble_annotator(source: Source, model: Model, device: torch.device) -> Annotator:
    soft_edges_of = _hed_annotator(source, model, device)

    def measure(photo: Image.Image | NDArray) -> NDArray[np.bool_]:
        control_image = _draw_hed(soft_edges_of(photo))
        if model.on_hub:
            return scribble_from_soft_edges(control_image)[:, :, 0] > 0
        lines = thin_soft_edges(control_image, sigma=THIN_SIGMA, threshold=THIN_THRESHOLD)
        return cv2.dilate(lines, np.ones((STROKE, STROKE))) > 0

    return measure


def _mlsd_annotator(source: Source, model: Model, device: torch.device) -> Annotator:
    if isinstance(source, Path):
        network = load_mlsd_network(source)
    else:
        network = import_controlnet_aux().MLSDdetector.from_pretrained(source).model
    network.to(device).eval()
    # Both networks look at 512 pixels; a cell of the maps is then a pixel of a photo of 256.
    resolution = get_condition("mlsd").detect_resolution

    def measure(photo: Image.Image | NDArray) -> Lines:
        picture = to_rgb(photo, name="photo")
        seen = fit(picture, resolution=resolution)
        rows, columns = (np.array(picture.shape[:2]) / seen.shape[:2]).tolist()
        scale = np.array([columns, rows, columns, rows], np.float32)
        return detect_lines_mlsd(seen, network) * scale

    return measure


# People: a network like OpenPose's.


def _pose_annotator(source: Source, model: Model, device: torch.device) -> Annotator:
    if isinstance(source, Path):
        network = load_pose_network(source)
    else:
        from huggingface_hub import hf_hub_download

        body = import_controlnet_aux().open_pose.body.Body
        network = body(hf_hub_download(source, "body_pose_model.pth")).model
    # The release looks at people 184 pixels high; the toybox's are small, and twice that fits.
    rows = 23 if model.on_hub else 46
    return partial(find_people, network=network.to(device).eval(), rows=rows)


def find_people(photo: Image.Image | NDArray, *, network: nn.Module, rows: int) -> People:
    """Find people with a network that answers like OpenPose's.

    Args:
        photo: anything `to_rgb` takes.
        network: as in `pose_maps`.
        rows: height of the network's maps; it sees the photo 8 times as many pixels high.

    Returns:
        Shape (P, 18, 2), pixels of the photo, NaN where a joint is not seen.
    """
    picture = to_rgb(photo, name="photo")
    heatmaps, fields = pose_maps(picture, network, rows=rows)
    return decode_pose(heatmaps, fields, picture.shape[:2])[:, :, :2]


def _detect_resolution(condition: str, model: Model) -> int:
    """Return the shorter side at which the annotator looks: that of the release, if it fits."""
    return min(get_condition(condition).detect_resolution, model.resolution)


_LOADERS: dict[str, Callable[[Source, Model, torch.device], Annotator]] = {
    "depth": lambda source, _, device: depth_annotator(source, device),
    "normal": _normal_annotator,
    "seg": lambda source, _, device: seg_annotator(source, device),
    "hed": _hed_annotator,
    "scribble": _scribble_annotator,
    "mlsd": _mlsd_annotator,
    "openpose": _pose_annotator,
}


def _draw_hed(soft_edges: NDArray[np.floating]) -> Picture:
    values = to_map(soft_edges, name="soft edges")
    # Cut to whole numbers, not rounded, as the release does.
    grey = (255 * values.astype(np.float64)).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


_DRAWN_MAPS: dict[str, Callable[[NDArray], Picture]] = {
    "canny": from_mask,
    "scribble": from_mask,
    "hed": _draw_hed,
    "depth": depth_image,
    "normal": encode_normals,
    "seg": labels_to_colours,
}

_DRAWN_POINTS: dict[str, Callable[[NDArray, int, int], Picture]] = {
    "mlsd": draw_lines,
    "openpose": draw_skeleton,
}
