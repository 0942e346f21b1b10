"""The networks of the toybox's soft-edge and straight-line annotators, as the release builds them.

Both are made of the blocks of controlnet_aux, so its `HEDdetector` and `MLSDdetector` take them as
they take the released ones. The soft-edge network has fewer channels, 0.3 instead of 14.7 million
weights; the straight-line network is the released one with weights of its own. Taught in notebooks
03 and 04.

Sources: Xie and Tu, "Holistically-Nested Edge Detection", arXiv 1504.06375; Gu et al., "Towards
Light-weight and Real-time Line Segment Detection" (M-LSD), arXiv 2106.00186.
"""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from helpers.runtime import import_controlnet_aux

HED_WIDTHS = (16, 32, 64, 64, 64)
"""Channels of the five blocks; the released network has 64, 128, 256, 512 and 512."""

HED_DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions in the five blocks, as in the release and in VGG-16."""


def new_hed_network() -> nn.Module:
    """Return an untrained soft-edge network for `controlnet_aux.HEDdetector`.

    It takes (N, 3, H, W), red, green and blue from 0 to 255, and returns the logits of five side
    outputs, (N, 1, H / s, W / s) with s = 1, 2, 4, 8, 16. The soft edges are the sigmoid of the
    mean of all five, each enlarged to H x W.
    """
    hed = import_controlnet_aux().hed
    network = hed.ControlNetHED_Apache2()
    channels = 3
    for number, (width, depth) in enumerate(zip(HED_WIDTHS, HED_DEPTHS, strict=True), start=1):
        setattr(network, f"block{number}", hed.DoubleConvBlock(channels, width, depth))
        channels = width
    return network.eval()


def new_mlsd_network() -> nn.Module:
    """Return an untrained straight-line network for `controlnet_aux.MLSDdetector`.

    It takes (N, 4, H, W) and returns (N, 9, H / 2, W / 2), as `helpers.conditions.mlsd` says, and
    was made for 512 x 512 pixels.
    """
    import_controlnet_aux()
    from controlnet_aux.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large

    return MobileV2_MLSD_Large().eval()


def load_hed_network(path: Path) -> nn.Module:
    """Load the weights of `new_hed_network` from a safetensors file, in 32 bits on the CPU.

    Raises:
        FileNotFoundError: nothing lies at `path`.
        ValueError: the file is damaged, or holds the weights of another network.
    """
    return load_weights(new_hed_network(), path)


def load_mlsd_network(path: Path) -> nn.Module:
    """Load the weights of `new_mlsd_network`; all else as in `load_hed_network`."""
    return load_weights(new_mlsd_network(), path)


def save_network(network: nn.Module, path: Path) -> None:
    """Write the weights of a network as a safetensors file, floats in 16 bits.

    Raises:
        ValueError: a weight is not finite in 16 bits.
    """
    weights = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"{name}: expected finite weights up to 65,504, got others; train it anew"
            )
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)


def load_weights(network: nn.Module, path: Path) -> nn.Module:
    """Load a safetensors file into a network and return it; errors as in `load_hed_network`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected the weights of an annotator, found no file; check the path"
        )
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path}: expected a safetensors file, but it cannot be read: {error}; get it again"
        ) from error
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    got = {name: tensor.shape for name, tensor in weights.items()}
    if got != wanted:
        different = sorted(name for name in {*wanted, *got} if wanted.get(name) != got.get(name))
        raise ValueError(
            f"{path}: expected the weights of {type(network).__name__}, but {len(different)} "
            f"differ in name or shape, such as {different[0]}; check which annotator it is for"
        )
    network.load_state_dict(weights)
    return network
