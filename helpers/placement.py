"""Where a model runs: on which device, in which numbers, what stays in memory, which attention.

`helpers.pipelines.load_pipeline` chooses from what is there, says what it chose, and takes every
choice as an argument instead. `benchmarks/generate.py` measures what each costs.
"""

import importlib.util
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionControlNetPipeline

from helpers.catalogue import Model
from helpers.runtime import default_device

MEMORY_MODES = {
    "all": "all weights stay on the device",
    "model": "one network after the other moves to the GPU; UNet and ControlNet stay for all steps",
    "group": "layers move to the GPU while those before them work",
    "sequential": "every layer moves to the GPU when it works, and leaves it afterwards",
}
"""What stays in the memory of a GPU, from the fastest to the slowest."""

ATTENTIONS = ("sdpa", "xformers")

DECODERS = {
    "whole": "all pictures of a batch decoded at once",
    "slices": "pictures decoded one by one",
    "tiles": "pictures decoded one by one, large ones in tiles",
}
"""How the autoencoder decodes: the later, the less memory. Tiles change a large picture a little,
because no tile sees all of it; a picture of the size the model was trained on has one tile."""

FREE_GIGABYTES = {"all": 5.0, "model": 3.5}
"""Free memory (10^9 bytes) from which a mode is chosen: the peak that benchmarks/generate.py
measured for Stable Diffusion 1.5 with one ControlNet and a picture of 512 x 512, and about a third
more. Batches, larger pictures and further ControlNets need more; a card with less gets "group"."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where and how a pipeline runs."""

    device: torch.device
    dtype: torch.dtype
    memory: str
    """A key of `MEMORY_MODES`."""
    attention: str
    """"sdpa", which is part of torch, or "xformers"."""
    decoder: str
    """A key of `DECODERS`."""

    def __str__(self) -> str:
        """Return one line for a reader."""
        gpu = self.device.type == "cuda"
        device = torch.cuda.get_device_name(self.device) if gpu else self.device.type.upper()
        number = str(self.dtype).removeprefix("torch.")
        return (
            f"{device}, {number}, {MEMORY_MODES[self.memory]}, attention of {self.attention}, "
            f"{DECODERS[self.decoder]}"
        )


def choose_placement(
    model: Model,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    memory: str | None = None,
    attention: str | None = None,
    decoder: str | None = None,
    free_gigabytes: float | None = None,
) -> Placement:
    """Return where a model runs best; every argument that is given is kept.

    Args:
        model: a row of the catalogue.
        device: default a CUDA GPU if there is one, else the CPU.
        dtype: default float16 on a GPU. On a CPU float32, but bfloat16 for a model from the hub
            if the processor has matrix units for it (AMX): it is then three times as fast. The
            toybox is small enough for float32, which gives the same picture on every machine up
            to the last bits.
        memory: a key of `MEMORY_MODES`; default the first that fits into the free memory.
        attention: "sdpa", the default, or "xformers".
        decoder: a key of `DECODERS`; default "whole" if all weights stay on the device, else
            "slices".
        free_gigabytes: of the GPU, in 10^9 bytes; default what it says itself.

    Raises:
        ValueError: an unknown name, or parts are to wait on the CPU and there is no GPU.
        ModuleNotFoundError: xformers is asked for and not installed.
    """
    place = torch.device(device or default_device())
    on_gpu = place.type == "cuda"
    if memory is None:
        memory = "all"
        if on_gpu and model.on_hub:
            if free_gigabytes is None:
                # What torch keeps for itself, from models that are gone, is free as well.
                kept = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
                free_gigabytes = (torch.cuda.mem_get_info(place)[0] + kept) / 1e9
            fitting = [mode for mode, need in FREE_GIGABYTES.items() if free_gigabytes >= need]
            memory = fitting[0] if fitting else "group"
    attention = attention or "sdpa"
    decoder = decoder or ("whole" if memory == "all" else "slices")
    for name, value, known in (
        ("memory", memory, MEMORY_MODES),
        ("attention", attention, ATTENTIONS),
        ("decoder", decoder, DECODERS),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}; got {value!r}")
    if memory != "all" and not on_gpu:
        raise ValueError(
            f"expected a CUDA GPU for memory={memory!r}, which keeps parts of the model away from "
            f'it; got the device {place.type!r}; use memory="all"'
        )
    if attention == "xformers" and not on_gpu:
        raise ValueError(
            f'expected a CUDA GPU for attention="xformers", got the device {place.type!r}; '
            'use attention="sdpa", which is as fast'
        )
    if attention == "xformers" and importlib.util.find_spec("xformers") is None:
        raise ModuleNotFoundError(
            'expected the package xformers for attention="xformers": pip install xformers, in the '
            'version made for this torch; or use attention="sdpa", which is as fast'
        )
    if dtype is None:
        dtype = torch.float16 if on_gpu else torch.float32
        if not on_gpu and model.on_hub and torch.cpu._is_amx_tile_supported():
            dtype = torch.bfloat16
    return Placement(device=place, dtype=dtype, memory=memory, attention=attention, decoder=decoder)


def place(
    pipeline: StableDiffusionControlNetPipeline, placement: Placement
) -> StableDiffusionControlNetPipeline:
    """Move a pipeline, whose weights are on the CPU, to where it is to run; return it."""
    if placement.attention == "xformers":
        pipeline.enable_xformers_memory_efficient_attention()
    if placement.decoder != "whole":
        pipeline.vae.enable_slicing()
    if placement.decoder == "tiles":
        pipeline.vae.enable_tiling()
    if placement.memory == "all":
        if placement.device.type == "cpu" and placement.dtype == torch.bfloat16:
            # The matrix units read channels last; otherwise every layer sorts its input first.
            for part in (pipeline.unet, pipeline.controlnet, pipeline.vae):
                part.to(memory_format=torch.channels_last)
        return pipeline.to(placement.device)
    if placement.memory == "model":
        pipeline.enable_model_cpu_offload(device=placement.device)
    elif placement.memory == "sequential":
        pipeline.enable_sequential_cpu_offload(device=placement.device)
    else:
        pipeline.enable_group_offload(
            onload_device=placement.device,
            offload_type="leaf_level",
            use_stream=True,
        )
    return pipeline
