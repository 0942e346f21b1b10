"""The annotators of the toybox: networks that read a measurement off a photo.

depth  inverse depth      a small DPT-Hybrid of transformers
seg    classes            a small SegFormer of transformers
pose   people             `helpers.pose_network`, read like OpenPose's body network
hed    soft edges         the network of controlnet_aux
mlsd   straight lines     the network of controlnet_aux

Each module trains one. What they share is here: photos as generated pictures and cameras augment
them, and how a network of transformers is written to disk.
"""

import copy
import json
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional
from transformers import ImageProcessingMixin, PreTrainedModel

from toybox.data import SIZE

GAIN, BLUR, NOISE = 0.25, 1.0, 0.06
"""Most that `augment` does to a photo."""


def augment(photos: Tensor, generator: Generator) -> Tensor:
    """Change colours, sharpness and noise of photos, each by another amount.

    An annotator has to read photos and generated pictures alike, and the latter are softer, off
    in colour and uneven.

    Args:
        photos: (N, H, W, 3) uint8.
        generator: on the photos' device.

    Returns:
        (N, 3, H, W) float32 in [0, 1].
    """
    device = generator.device
    amounts = torch.rand((len(photos), 5, 1, 1), generator=generator, device=device)
    shape = (len(photos), 3, *photos.shape[1:3])
    noise = torch.randn(shape, generator=generator, device=device)
    gain = torch.exp(GAIN * (2 * amounts[:, :3] - 1))
    sharp = photos.permute(0, 3, 1, 2).float() / 255
    soft = functional.avg_pool2d(sharp, 3, stride=1, padding=1, count_include_pad=False)
    blurred = torch.lerp(sharp, soft, BLUR * amounts[:, 3:4])
    # Squared: most pictures have little noise.
    return (gain * blurred + NOISE * amounts[:, 4:] ** 2 * noise).clamp(0, 1)


@torch.no_grad()
def ready_to_compile(network: PreTrainedModel) -> PreTrainedModel:
    """Call a network once: transformers then installs hooks, which torch.compile cannot follow."""
    network(pixel_values=torch.zeros(1, 3, SIZE, SIZE, device=network.device))
    return network


def save_pretrained(
    network: PreTrainedModel, processor: ImageProcessingMixin, folder: Path
) -> None:
    """Write a network of transformers with 16-bit weights, to be loaded with 32 bits.

    transformers loads weights in the type that the configuration names, and a CPU computes slowly
    in 16 bits; so the configuration says float32.
    """
    copy.deepcopy(network).half().save_pretrained(folder)
    processor.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"dtype": "float32"}
    path.write_text(json.dumps(config, indent=2) + "\n")
