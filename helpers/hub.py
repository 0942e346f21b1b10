"""What Stable Diffusion 1.5 and the released annotators need from the Hugging Face hub.

`load_pipeline` and `load_annotator` download it themselves, once. Where they cannot, they say so
with `missing_weights`: what is needed, how much it is, and the commands that bring it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from helpers.catalogue import BASE_MODEL, get_condition


@dataclass(frozen=True)
class Download:
    """Files of one repository."""

    repository: str
    patterns: tuple[str, ...]
    """Names of files; `*` stands for any letters, as in a shell."""
    gigabytes: float
    """In units of 10^9 bytes."""

    @property
    def command(self) -> str:
        """What brings the files into the cache, from a shell."""
        return " ".join(
            [f"hf download {self.repository}", *(f'--include "{one}"' for one in self.patterns)]
        )


# 32-bit UNet, text encoder and autoencoder, 1,066 million numbers; the safety checker and the
# single-file checkpoints of the same repository are left out.
_BASE = Download(
    BASE_MODEL,
    (
        "*.json",
        "*.txt",
        "text_encoder/model.safetensors",
        "*/diffusion_pytorch_model.safetensors",
    ),
    4.3,
)

_CONTROLNET_FILES, _CONTROLNET_GIGABYTES = (
    ("config.json", "diffusion_pytorch_model.safetensors"),
    1.4,
)

_TRANSFORMERS_FILES = ("config.json", "preprocessor_config.json", "pytorch_model.bin")

_ANNOTATOR_FILES: dict[str, tuple[tuple[str, ...], float]] = {
    "depth": (_TRANSFORMERS_FILES, 0.49),
    "normal": (_TRANSFORMERS_FILES, 0.49),
    "seg": (_TRANSFORMERS_FILES, 0.33),
    "hed": (("ControlNetHED.pth",), 0.03),
    "scribble": (("ControlNetHED.pth",), 0.03),
    "mlsd": (("mlsd_large_512_fp32.pth",), 0.01),
    "openpose": (("body_pose_model.pth",), 0.21),
}
"""Canny needs none."""


def needed_downloads(conditions: Sequence[str]) -> list[Download]:
    """Return what Stable Diffusion 1.5 needs with the ControlNets and annotators of conditions."""
    downloads = [_BASE]
    for row in map(get_condition, conditions):
        downloads.append(Download(row.checkpoint, _CONTROLNET_FILES, _CONTROLNET_GIGABYTES))
        if row.name in _ANNOTATOR_FILES:
            downloads.append(Download(row.annotator_checkpoint, *_ANNOTATOR_FILES[row.name]))
    return list(dict.fromkeys(downloads))  # several conditions may share an annotator


def missing_weights(conditions: Sequence[str], error: OSError) -> FileNotFoundError:
    """Return the error to raise where weights are neither in the cache nor can be downloaded."""
    downloads = needed_downloads(conditions)
    total = sum(one.gigabytes for one in downloads)
    commands = "\n".join(f"    {one.command}  # {one.gigabytes} GB" for one in downloads)
    return FileNotFoundError(
        f'model="sd15" with {" and ".join(conditions)}: expected {total:.1f} GB of weights in the '
        f"cache of the Hugging Face hub, or a network to download them once; got "
        f"{str(error).partition(chr(10))[0]!r}. With a network, these commands bring them; what "
        f"is there already is not downloaded again:\n\n{commands}\n\n"
        "Then run the same line again; with HF_HUB_OFFLINE=0 in the environment it downloads them "
        'itself. Or take model="toybox", which needs no download.'
    )
