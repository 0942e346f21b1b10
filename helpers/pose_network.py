"""A network that answers like OpenPose's: where is each joint, and which way does each limb run.

`PoseNetwork` is that of the toybox. Its input, its outputs and their order are those of the
released body network, so controlnet_aux's `Body` and `OpenposeDetector` work with it as well.
`pose_maps` feeds either; `helpers.conditions.openpose_decode` reads the answer.

The released network refines its answer in six stages of wide kernels (Cao et al., arXiv
1611.08050). This one sees the whole figure by shrinking the picture to 1/32 and growing it again
to 1/8, as U-Nets do (Ronneberger, Fischer and Brox, arXiv 1505.04597): 30 times fewer parameters.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from helpers.conditions.openpose_decode import STRIDE, map_shape, network_size
from helpers.conditions.skeleton import JOINTS, LIMBS
from helpers.images import to_rgb
from helpers.networks import load_weights

HEATMAPS, FIELDS = len(JOINTS) + 1, 2 * len(LIMBS)
"""Channels of the two answers: joints and background, and x and y for each limb."""

WIDTHS = (24, 40, 64, 96, 128)
"""Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size."""

GREY = 128
"""What a picture is padded with. Pixels reach the network as value / 256 - 0.5, so this is 0."""


class PoseNetwork(nn.Module):
    """Joints and limbs of people, on a grid with one cell for 8 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, deepest = WIDTHS
        self.fine = nn.Sequential(
            _Downsample(3, half),
            _Downsample(half, quarter),
            _Residual(quarter),
            _Downsample(quarter, eighth),
            _Residual(eighth),
            _Residual(eighth),
        )
        self.middle = nn.Sequential(
            _Downsample(eighth, sixteenth), _Residual(sixteenth), _Residual(sixteenth)
        )
        self.coarse = nn.Sequential(
            _Downsample(sixteenth, deepest), *(_Residual(deepest) for _ in range(3))
        )
        self.to_middle = nn.Conv2d(deepest, sixteenth, 1)
        self.after_middle = _Residual(sixteenth)
        self.to_fine = nn.Conv2d(sixteenth, eighth, 1)
        self.after_fine = _Residual(eighth)
        self.head = nn.Sequential(
            nn.Conv2d(eighth, 2 * eighth, 3, padding=1),
            nn.GroupNorm(8, 2 * eighth),
            nn.ReLU(),
            nn.Conv2d(2 * eighth, FIELDS + HEATMAPS, 1),
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return fields and heat maps, in this order.

        Args:
            pictures: (N, 3, H, W), blue green red, value / 256 - 0.5; sides are multiples of 8.

        Returns:
            Fields (N, 38, H/8, W/8) and heat maps (N, 19, H/8, W/8), in the order of channels
            that `decode_pose` reads.
        """
        fine = self.fine(pictures)
        middle = self.middle(fine)
        coarse = self.to_middle(self.coarse(middle))
        middle = self.after_middle(middle + _enlarge(coarse, middle))
        fine = self.after_fine(fine + _enlarge(self.to_fine(middle), fine))
        return self.head(fine).split([FIELDS, HEATMAPS], dim=1)


class _Downsample(nn.Sequential):
    """Halve the size."""

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__(
            nn.Conv2d(channels, wider, 3, stride=2, padding=1), nn.GroupNorm(8, wider), nn.ReLU()
        )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.change(features))


def _enlarge(features: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(features, size=like.shape[-2:], mode="bilinear")


def load_pose_network(path: Path) -> PoseNetwork:
    """Load the weights of a `PoseNetwork` from a safetensors file, in 32 bits on the CPU.

    Raises:
        FileNotFoundError: nothing lies at `path`.
        ValueError: the file is damaged, or holds the weights of another network.
    """
    return load_weights(PoseNetwork().eval(), path)


@torch.no_grad()
def pose_maps(
    photo: Image.Image | NDArray, network: nn.Module, *, rows: int = 46
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ask a pose network about a photo.

    Args:
        photo: anything `to_rgb` takes.
        network: takes pictures and returns fields and heat maps as `PoseNetwork` does.
            `controlnet_aux.open_pose.body.Body(...).model` is another.
        rows: height of the maps in cells. The network sees the photo scaled to 8 times as many
            pixels high; the release takes 23.

    Returns:
        Heat maps (19, rows, columns) and fields (38, rows, columns), as `decode_pose` takes them.

    Raises:
        TypeError: the photo is not an 8-bit picture.
        ValueError: the photo is empty, too large or too wide.
    """
    picture = to_rgb(photo, name="photo")
    height, width = picture.shape[:2]
    cells = map_shape(rows, (height, width))
    seen_height, seen_width = network_size(rows, (height, width))
    how = cv2.INTER_AREA if seen_height < height else cv2.INTER_LANCZOS4
    seen = cv2.resize(picture[:, :, ::-1], (seen_width, seen_height), interpolation=how)
    padded = np.full((STRIDE * cells[0], STRIDE * cells[1], 3), GREY, np.uint8)
    padded[:seen_height, :seen_width] = seen
    device = next((weight.device for weight in network.parameters()), None)
    batch = torch.from_numpy(padded.transpose(2, 0, 1)[None]).to(device).float() / 256 - 0.5
    fields, heatmaps = network(batch)
    return heatmaps[0].float().cpu().numpy(), fields[0].float().cpu().numpy()
