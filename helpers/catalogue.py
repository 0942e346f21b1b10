"""The eight conditions of the ControlNet release, in one table, and the two models they control.

Everything that a notebook, a test or the README has to know about a condition stands here once:
which checkpoint reads it, what its colours mean, how it may be resized, and which pictures look
right but are not.

Sources: Zhang, Rao and Agrawala, "Adding Conditional Control to Text-to-Image Diffusion Models"
(arXiv 2302.05543) and the preprocessors and demo programs that the authors released with it.
"""

from dataclasses import dataclass
from typing import Literal

# The original home of Stable Diffusion 1.5 was removed from the hub in August 2024.
BASE_MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A text-to-image model that all eight ControlNets exist for."""

    name: str
    resolution: int
    """Side in pixels of the squares that it was trained on."""
    guidance_scale: float
    """How much the prompt counts unless something else is said."""
    on_hub: bool
    """Whether its weights have to be downloaded; otherwise they lie in this repository."""


MODELS: dict[str, Model] = {
    "toybox": Model(name="toybox", resolution=256, guidance_scale=4.0, on_hub=False),
    "sd15": Model(name="sd15", resolution=512, guidance_scale=7.5, on_hub=True),
}
"""The embedded model, and Stable Diffusion 1.5."""

# The pipeline works on latents that are 8 times smaller than the picture, so it floors every side
# to a multiple of 8. The released preprocessors round to 64: the UNet then halves three times
# without a remainder.
PIPELINE_MULTIPLE = 8
PREPROCESSOR_MULTIPLE = 64

Kind = Literal["lines", "soft lines", "depth", "normals", "skeleton", "labels"]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One way to tell a ControlNet what to draw.

    All control images are RGB, 8 bits a channel, and reach the network divided by 255, in [0, 1].
    """

    name: str
    title: str
    notebook: str
    """File name in notebooks/, without the ending."""
    kind: Kind
    """What the pixels are; decides how a control image is checked."""
    checkpoint: str
    """Hub id of the released network for Stable Diffusion 1.5."""
    annotator: str
    """What makes the control image from a photo."""
    annotator_checkpoint: str | None
    """Hub id of the released annotator's weights; None where it needs none."""
    colours: str
    """What the colours say, in one sentence."""
    polarity: str
    """What bright pixels are; the other way round is the most frequent fault."""
    channel_order: Literal["rgb", "zyx"] = "rgb"
    """Order in which the released network was fed the channels: as the map is shown, or, for
    normal maps alone, reversed."""
    palette: Literal["black and white", "grey", "directions", "18 hues", "ADE20K"]
    """Which colours may occur."""
    formula: str
    """How a pixel gets its value."""
    background: tuple[int, int, int] | None
    """RGB of a pixel where there is nothing to say; None where every pixel says something."""
    resize: Literal["nearest", "linear"]
    """How the map may be scaled; `nearest` where a mixed colour would be a lie."""
    detect_resolution: int
    """Shorter side in pixels at which the released annotator looks at the photo."""
    score: str
    """How we measure that a picture follows."""
    wrong_producers: tuple[str, ...]
    """Maps that look alike and mislead this checkpoint."""


_TABLE = (
    Condition(
        name="canny",
        title="Canny edges",
        notebook="01_canny_edges",
        kind="lines",
        checkpoint="lllyasviel/sd-controlnet-canny",
        annotator="cv2.Canny with thresholds 100 and 200",
        annotator_checkpoint=None,
        colours="White edges, one pixel wide, on black; nothing between.",
        polarity="bright is an edge",
        palette="black and white",
        formula="255 where cv2.Canny(photo, 100, 200) finds an edge, else 0",
        background=(0, 0, 0),
        resize="nearest",
        detect_resolution=512,
        score="edge F1, strict and with a tolerance of 2 pixels",
        wrong_producers=("soft edges (HED)", "inverted line art"),
    ),
    Condition(
        name="depth",
        title="Depth",
        notebook="05_depth",
        kind="depth",
        checkpoint="lllyasviel/sd-controlnet-depth",
        annotator="a monocular depth network (MiDaS DPT)",
        annotator_checkpoint="Intel/dpt-hybrid-midas",
        colours="Grey: white is near, black is far.",
        polarity="bright is near",
        palette="grey",
        formula="255 (d - min d) / (max d - min d), with d the inverse depth",
        background=None,
        resize="linear",
        detect_resolution=384,
        score="RMSE after a least-squares scale and shift",
        wrong_producers=("metric depth, where near is black", "a colour-mapped depth"),
    ),
    Condition(
        name="hed",
        title="Soft edges (HED)",
        notebook="03_soft_edges_hed",
        kind="soft lines",
        checkpoint="lllyasviel/sd-controlnet-hed",
        annotator="holistically-nested edge detection (HEDdetector)",
        annotator_checkpoint="lllyasviel/Annotators",
        colours="Soft white edges on black; grey says how sure the detector is.",
        polarity="bright is an edge",
        palette="grey",
        formula="255 sigmoid(mean of the five side outputs)",
        background=(0, 0, 0),
        resize="linear",
        detect_resolution=512,
        score="multi-scale SSIM of the edge maps",
        wrong_producers=("PiDiNet's safe maps", "Canny edges"),
    ),
    Condition(
        name="mlsd",
        title="Straight lines (M-LSD)",
        notebook="04_straight_lines_mlsd",
        kind="lines",
        checkpoint="lllyasviel/sd-controlnet-mlsd",
        annotator="M-LSD (MLSDdetector), score and distance thresholds 0.1",
        annotator_checkpoint="lllyasviel/Annotators",
        colours="White straight lines, one pixel wide, on black.",
        polarity="bright is a line",
        palette="black and white",
        formula="255 on the one-pixel line between the ends of each segment, else 0",
        background=(0, 0, 0),
        resize="nearest",
        detect_resolution=512,
        score="F1 of line length, matched by angle and distance",
        wrong_producers=("thick Hough lines", "the dilated preview of the demo"),
    ),
    Condition(
        name="normal",
        title="Normal maps",
        notebook="06_normal_maps",
        kind="normals",
        checkpoint="lllyasviel/sd-controlnet-normal",
        annotator="Sobel gradients of a monocular depth map",
        annotator_checkpoint="Intel/dpt-hybrid-midas",
        colours="Red is left, green is up, blue faces the viewer; 127 is zero.",
        polarity="blue is towards the viewer",
        channel_order="zyx",
        palette="directions",
        formula="127.5 n + 127.5, with n = (Sobel x, Sobel y, 2 pi) / length",
        background=(127, 127, 255),
        resize="linear",
        detect_resolution=384,
        score="mean angle between normals on the foreground, in degrees",
        wrong_producers=("normals of a renderer", "NormalBae", "a map with red and blue swapped"),
    ),
    Condition(
        name="openpose",
        title="Human pose",
        notebook="07_human_pose",
        kind="skeleton",
        checkpoint="lllyasviel/sd-controlnet-openpose",
        annotator="OpenPose body (OpenposeDetector), 18 joints",
        annotator_checkpoint="lllyasviel/Annotators",
        colours="A skeleton of 18 joints and 17 limbs in a fixed wheel of hues, on black.",
        polarity="bright is a joint or a limb",
        palette="18 hues",
        formula="limbs: 0.4 old + 0.6 colour in ellipses; joints: discs of radius 4",
        background=(0, 0, 0),
        resize="nearest",
        detect_resolution=512,
        score="PCK of the joints at 10 % of a person, and OKS",
        wrong_producers=(
            "COCO-17 or BODY-25 drawings",
            "a skeleton that went through the detector again",
        ),
    ),
    Condition(
        name="scribble",
        title="Scribbles",
        notebook="02_scribbles",
        kind="lines",
        checkpoint="lllyasviel/sd-controlnet-scribble",
        annotator="a hand drawing, or soft edges thinned and thickened again",
        annotator_checkpoint="lllyasviel/Annotators",
        colours="White strokes on black; nothing between.",
        polarity="bright is a stroke",
        palette="black and white",
        formula="255 where min(R, G, B) of the black-on-white drawing is below 127, else 0",
        background=(0, 0, 0),
        resize="nearest",
        detect_resolution=512,
        score="edge F1 with a tolerance of 2 pixels",
        wrong_producers=("a black-on-white drawing that was not inverted",),
    ),
    Condition(
        name="seg",
        title="Segmentation",
        notebook="08_segmentation",
        kind="labels",
        checkpoint="lllyasviel/sd-controlnet-seg",
        annotator="a segmenter trained on ADE20K (UperNet)",
        annotator_checkpoint="openmmlab/upernet-convnext-small",
        colours="Flat colours of the 150 classes of ADE20K.",
        polarity="none: a colour is a class",
        palette="ADE20K",
        formula="palette[class of the pixel]",
        background=None,
        resize="nearest",
        detect_resolution=512,
        score="mean intersection over union",
        wrong_producers=("COCO or Cityscapes colours", "a label map saved as JPEG"),
    ),
)

CONDITIONS: dict[str, Condition] = {condition.name: condition for condition in _TABLE}


def get_condition(name: str) -> Condition:
    """Return the row of the table called `name`, such as "canny".

    Raises:
        ValueError: there is no such condition; the message lists those there are.
    """
    if name not in CONDITIONS:
        raise ValueError(f"expected one of {', '.join(CONDITIONS)}; got {name!r}")
    return CONDITIONS[name]


def get_model(name: str) -> Model:
    """Return the model called `name`: "toybox" or "sd15".

    Raises:
        ValueError: there is no such model.
    """
    if name not in MODELS:
        raise ValueError(f"expected the model {' or '.join(MODELS)}; got {name!r}")
    return MODELS[name]
