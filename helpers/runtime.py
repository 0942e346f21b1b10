"""What differs from machine to machine: versions, devices, threads, noise of other packages."""

import importlib.metadata
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from types import ModuleType
from typing import TYPE_CHECKING, Any

from packaging.version import Version

if TYPE_CHECKING:
    import torch

# One thread: several runs at a time do not fight for the cores, and sums are added in one order,
# so a picture has the same bits every time on one machine. Offline: a missing file fails at once,
# not after minutes of retries.
OFFLINE_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def default_device() -> "torch.device":
    """Return the CUDA GPU if there is one, else the CPU."""
    import torch  # here, because the number of threads is settled when torch is imported

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_argument(dtype: Any, *, diffusers_version: str | None = None) -> dict[str, Any]:
    """Return the keyword under which `from_pretrained` of diffusers takes a dtype.

    diffusers 0.40 renamed `torch_dtype` to `dtype`. Older pipelines ignore the new name without a
    word and load 32 bits; newer ones warn about the old name.

    Args:
        dtype: a torch dtype, passed through.
        diffusers_version: such as "0.39.0"; default the installed one.

    Returns:
        {"dtype": dtype} or {"torch_dtype": dtype}, to be unpacked into the call.
    """
    version = diffusers_version or importlib.metadata.version("diffusers")
    return {"dtype" if Version(version).release >= (0, 40) else "torch_dtype": dtype}


def conditioning_scale(scale: float | Sequence[float]) -> float | list[float]:
    """Return a ControlNet conditioning scale as diffusers wants it: floats, never integers.

    A slider or a command line gives 1 where 1.0 is meant, and diffusers raises a TypeError.

    Raises:
        TypeError: not a number.
        ValueError: not finite.
    """
    if isinstance(scale, (list, tuple)):
        return [conditioning_scale(one) for one in scale]
    if isinstance(scale, bool) or not isinstance(scale, Real):
        raise TypeError(
            f"expected the conditioning scale as a number, such as 1.0, or a list of them, "
            f"got {scale!r}; use one number for each ControlNet"
        )
    if not math.isfinite(scale):
        raise ValueError(f"expected a finite conditioning scale, usually 0 to 2, got {scale}")
    return float(scale)


@contextmanager
def without_loading_bars() -> Iterator[None]:
    """Hide the progress bars with which diffusers and transformers load local files."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    packages = (diffusers_logging, transformers_logging)
    shown = [package for package in packages if package.is_progress_bar_enabled()]
    for package in shown:
        package.disable_progress_bar()
    try:
        yield
    finally:
        for package in shown:
            package.enable_progress_bar()


@contextmanager
def without_symlink_warning() -> Iterator[None]:
    """Hide that diffusers 0.42 still gives an argument that huggingface_hub 2 no longer has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*local_dir_use_symlinks")
        yield


def import_controlnet_aux() -> ModuleType:
    """Import controlnet_aux without its page of warnings; call this where a detector is needed.

    The import takes seconds, because it loads every detector, and warns about packages that none
    of our eight conditions use.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import controlnet_aux
    return controlnet_aux
