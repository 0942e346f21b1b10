"""From a control image and a prompt to a picture, with the toybox or with Stable Diffusion 1.5.

Both models are diffusers' own `StableDiffusionControlNetPipeline`, loaded and called by the same
lines; only names and sizes differ, and those stand in the catalogue.
"""

import os
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    UniPCMultistepScheduler,
)
from huggingface_hub import is_offline_mode
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPTokenizer

from helpers import runtime
from helpers.catalogue import (
    BASE_MODEL,
    CONDITIONS,
    MODELS,
    PIPELINE_MULTIPLE,
    Condition,
    Model,
    get_condition,
    get_model,
)
from helpers.conditions.normal import order_for_pipeline
from helpers.faster import constants_kept, controlnets
from helpers.hub import missing_weights
from helpers.images import Picture, to_rgb
from helpers.knobs import check_numbers
from helpers.placement import choose_placement, place
from helpers.weights import TOYBOX_WEIGHTS, verify_weights

CLIP_VOCABULARY = 49_408
"""Tokens of CLIP's own tokenizer, which knows any word; the toybox's has far fewer."""

ControlImage = Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class Generation:
    """Pictures, and what is needed to make them again."""

    pictures: list[Picture]
    """Arrays of shape (height, width, 3), uint8."""
    seeds: list[int]
    """The seed of each picture."""
    seconds: float
    """Wall time of all pictures together; loading is not in it."""
    settings: dict[str, Any]
    """Arguments: `generate(pipeline, control_image=..., **settings)` makes the same again."""

    @property
    def picture(self) -> Picture:
        """The only picture; if there are several, take them from `pictures`."""
        if len(self.pictures) != 1:
            raise ValueError(
                f"expected one picture, there are {len(self.pictures)}; take them from .pictures"
            )
        return self.pictures[0]


def load_pipeline(
    condition: str | Sequence[str],
    model: str = "toybox",
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    memory: str | None = None,
    attention: str | None = None,
    decoder: str | None = None,
    folder: Path = TOYBOX_WEIGHTS,
) -> StableDiffusionControlNetPipeline:
    """Load a model with the ControlNet of a condition, or with those of several.

    Where it runs is chosen from what is there (`helpers.placement`), and said in a line if the
    model is a large one.

    The pipeline draws a progress bar for each picture;
    `pipeline.set_progress_bar_config(disable=True)` hides it, and so does TQDM_DISABLE=1 in the
    environment.

    Args:
        condition: a name of the catalogue, such as "canny", or several names; the control images
            are then given in the same order.
        model: "toybox", which lies in this repository and never uses the network, or "sd15",
            which is downloaded once into the cache of the Hugging Face hub. Its safety checker,
            a network of 1.2 GB that blackens pictures it takes for offensive, often wrongly, is
            not loaded; who shows pictures to others should load it, or look at them first.
        device: default a CUDA GPU if there is one, else the CPU.
        dtype: default float16 on a GPU; on a CPU float32, or bfloat16 for a large model where the
            processor is made for it.
        memory: "all", "model", "group" or "sequential", what stays on the GPU: a key of
            `helpers.placement.MEMORY_MODES`. Default the first that fits.
        attention: "sdpa", the default, or "xformers".
        decoder: "whole", "slices" or "tiles", for batches and large pictures on a small GPU: a
            key of `helpers.placement.DECODERS`.
        folder: weights of the toybox, with their manifest.

    Raises:
        ValueError: an unknown condition, model, mode of memory, attention or decoder, or a damaged
            file of the toybox.
        FileNotFoundError: weights are missing and cannot be downloaded.
    """
    several = not isinstance(condition, str)
    conditions = [get_condition(name) for name in (condition if several else [condition])]
    if not conditions:
        raise ValueError("expected at least one condition, such as 'canny', got none")
    kind = get_model(model)
    placement = choose_placement(
        kind, device=device, dtype=dtype, memory=memory, attention=attention, decoder=decoder
    )
    base, checkpoints = _sources(kind, conditions, Path(folder))
    options = {
        "use_safetensors": True,
        "local_files_only": not kind.on_hub or is_offline_mode(),
        **runtime.dtype_argument(placement.dtype),
    }
    try:
        # A download takes minutes and shows its bars; the toybox is there at once.
        bars = nullcontext() if kind.on_hub else runtime.without_loading_bars()
        with bars, runtime.without_symlink_warning():
            nets = [ControlNetModel.from_pretrained(name, **options) for name in checkpoints]
            pipeline = StableDiffusionControlNetPipeline.from_pretrained(
                base,
                controlnet=nets if several else nets[0],
                safety_checker=None,
                requires_safety_checker=False,
                **options,
            )
    except OSError as error:
        if not kind.on_hub:
            raise
        # One error is easier to read than the chain of those that led to it.
        raise missing_weights([row.name for row in conditions], error) from None
    pipeline.scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    # tqdm heeds its variable in a terminal, but not in a notebook.
    pipeline.set_progress_bar_config(disable=bool(os.environ.get("TQDM_DISABLE")))
    if kind.on_hub:
        print(placement)
    return place(pipeline, placement)


def generate(
    pipeline: StableDiffusionControlNetPipeline,
    prompt: str | Sequence[str],
    control_image: ControlImage | Sequence[ControlImage] | Sequence[Sequence[ControlImage]],
    *,
    seed: int | Sequence[int] = 0,
    steps: int = 20,
    guidance_scale: float | None = None,
    conditioning_scale: float | Sequence[float] = 1.0,
    control_start: float = 0.0,
    control_end: float = 1.0,
    negative_prompt: str | Sequence[str] = "",
) -> Generation:
    """Generate one picture, or several at once, as large as the control image.

    One seed gives one picture: the noise of each comes from a generator of its own, on the CPU.
    On one machine the picture has the same bits whatever was generated before. A batch adds its
    sums in another order, so with 32-bit numbers its pictures may differ from single ones by up to
    2 of the 256 levels.

    Several pictures are asked for by lists of one length: of seeds, prompts, control images or
    negative prompts. What is no list, or a list of one, holds for all of them.

    Args:
        pipeline: what `load_pipeline` returned.
        prompt: what to draw.
        control_image: for a pipeline with one condition, a picture of any form that `to_rgb`
            takes, or a list for several results. For a pipeline with a list of conditions, a
            list with one such entry for each of them. Both sides must be multiples of 8; `fit`
            makes them so. A normal map is given in display order: the channels are exchanged
            here if the network was trained on the other order.
        seed: a whole number from 0.
        steps: of the UniPC scheduler.
        guidance_scale: how much the prompt counts; 1 switches guidance off. Default that of the
            model in the catalogue.
        conditioning_scale: how much the control image counts; one number for each condition, or
            one for all.
        control_start: share of the steps after which the control begins to count.
        control_end: share of the steps after which it no longer counts.
        negative_prompt: what not to draw.

    Raises:
        TypeError: an argument of another type.
        ValueError: lists of different lengths, sizes that do not fit, or a number out of range.
        FloatingPointError: the result is not finite, which happens with 16-bit numbers.

    Warns:
        UserWarning: a prompt for the toybox has words that its closed language does not have.
    """
    prompts, negatives, seeds = _listed(prompt), _listed(negative_prompt), _listed(seed)
    _check_texts(prompts + negatives)
    _check_numbers(seeds, steps, guidance_scale, control_start, control_end)
    scales = _check_scales(conditioning_scale, pipeline)
    controls = _control_images(control_image, pipeline)
    count = _batch_size(
        prompt=prompts,
        negative_prompt=negatives,
        seed=seeds,
        **dict(zip(_control_names(controls), controls, strict=True)),
    )
    if guidance_scale is None:
        guidance_scale = model_of(pipeline).guidance_scale
    _warn_of_unknown_words(pipeline, prompts + negatives)
    seeds = [int(one) for one in _spread(seeds, count)]
    start = time.perf_counter()
    with constants_kept(pipeline):
        output = pipeline(
            _spread(prompts, count),
            image=_as_tensors(controls, pipeline),
            negative_prompt=_spread(negatives, count),
            generator=[torch.Generator().manual_seed(one) for one in seeds],
            num_inference_steps=int(steps),
            guidance_scale=guidance_scale,
            controlnet_conditioning_scale=scales,
            control_guidance_start=control_start,
            control_guidance_end=control_end,
            output_type="pt",
        )
    pictures = _to_bytes(output.images)
    seconds = time.perf_counter() - start
    settings = {
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "seed": seeds,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "conditioning_scale": scales,
        "control_start": control_start,
        "control_end": control_end,
    }
    return Generation(pictures, seeds, seconds, settings)


def model_of(pipeline: StableDiffusionControlNetPipeline) -> Model:
    """Return the model that a pipeline holds, told by the size of its vocabulary."""
    return MODELS["toybox" if len(pipeline.tokenizer) < CLIP_VOCABULARY else "sd15"]


def condition_of(controlnet: ControlNetModel) -> Condition | None:
    """Return the condition of a ControlNet, told by the name it was loaded by; None if unknown."""
    loaded_by = Path(controlnet.config.get("_name_or_path", "")).name
    for row in CONDITIONS.values():
        if loaded_by in (row.name, Path(row.checkpoint).name):
            return row
    return None


def unknown_words(tokenizer: CLIPTokenizer, text: str) -> list[str]:
    """Return the words of a text, in order, that a tokenizer has no token for.

    Such words fall into letters. CLIP's own tokenizer knows the words of any prompt, or sensible
    pieces of them; that of the toybox knows those of its captions.
    """
    backend = tokenizer.backend_tokenizer
    normal = backend.normalizer.normalize_str(text)
    spans = [span for _, span in backend.pre_tokenizer.pre_tokenize_str(normal)]
    words = dict.fromkeys(normal[start:end] for start, end in spans)
    return [word for word in words if not _is_one_token(tokenizer, word)]


def _is_one_token(tokenizer: CLIPTokenizer, word: str) -> bool:
    tokens = tokenizer.tokenize(word)
    return len(tokens) == 1 and tokens[0] != tokenizer.unk_token


def _sources(model: Model, conditions: list[Condition], folder: Path) -> tuple[str, list[str]]:
    """Return where diffusers finds the base and the ControlNets, and check what lies here."""
    if model.on_hub:
        return BASE_MODEL, [row.checkpoint for row in conditions]
    parts = [f"controlnet/{row.name}" for row in conditions]
    verify_weights("base", *parts, folder=folder)
    return str(folder / "base"), [str(folder / part) for part in parts]


def _listed(values: Any) -> list:
    return list(values) if isinstance(values, list | tuple | range) else [values]


def _spread(values: list, count: int) -> list:
    return values * count if len(values) == 1 else values


def _batch_size(**lists: list) -> int:
    lengths = {name: len(values) for name, values in lists.items()}
    count = max(lengths.values())
    if not set(lengths.values()) <= {1, count} or not count:
        got = ", ".join(f"{length} for {name}" for name, length in lengths.items())
        raise ValueError(
            f"expected lists of one length, one entry for each picture, got {got}; "
            "what holds for all pictures needs no list"
        )
    return count


def _check_texts(texts: list) -> None:
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(
                f"expected prompts as strings, got {type(text).__name__}; an empty one is ''"
            )


def _check_numbers(
    seeds: list, steps: int, guidance_scale: float | None, start: float, end: float
) -> None:
    for seed in seeds:
        if not _is_whole(seed) or not 0 <= seed < 2**63:
            raise ValueError(
                f"seed: expected a whole number from 0 to 2**63 - 1, got {seed!r}; "
                "for several pictures give a list of them"
            )
    if not _is_whole(steps) or steps < 1:
        raise ValueError(f"steps: expected a whole number from 1, got {steps!r}; 20 is usual")
    strength = 0 if guidance_scale is None else guidance_scale
    check_numbers(guidance_scale=strength, control_start=start, control_end=end)
    if not 0 <= start < end <= 1:
        raise ValueError(
            f"expected 0 <= control_start < control_end <= 1, got {start} and {end}; "
            "for no control at all set conditioning_scale=0"
        )


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def _check_scales(
    scale: float | Sequence[float], pipeline: StableDiffusionControlNetPipeline
) -> float | list[float]:
    scales = runtime.conditioning_scale(scale)
    if not isinstance(scales, list):
        return scales
    nets = controlnets(pipeline)
    # diffusers would leave out, without a word, the conditions that a short list does not reach.
    if len(scales) != len(nets):
        raise ValueError(
            f"expected one conditioning scale for all, or a list with one for each condition, "
            f"{len(nets)} in all; got {len(scales)}"
        )
    return scales[0] if isinstance(pipeline.controlnet, ControlNetModel) else scales


def _control_images(given: Any, pipeline: StableDiffusionControlNetPipeline) -> list[list[Picture]]:
    """Return, for each condition, its control image, or those of all results."""
    nets = controlnets(pipeline)
    if isinstance(pipeline.controlnet, ControlNetModel):
        given = [given]
    elif len(_listed(given)) != len(nets):
        raise ValueError(
            f"expected a list of {len(nets)} control images, one for each condition in the order "
            f"of loading, got {len(_listed(given))}"
        )
    columns = [
        [_for_network(image, net) for image in _listed(images)]
        for images, net in zip(given, nets, strict=True)
    ]
    _check_sizes([image for column in columns for image in column])
    return columns


def _control_names(columns: list[list[Picture]]) -> list[str]:
    several = len(columns) > 1
    return [f"control_image[{i}]" if several else "control_image" for i in range(len(columns))]


def _as_tensors(
    columns: list[list[Picture]], pipeline: StableDiffusionControlNetPipeline
) -> torch.Tensor | list[torch.Tensor]:
    """Return control images as diffusers takes them, (N, 3, H, W) in [0, 1] for each condition.

    Bytes travel to the GPU faster than the numbers that they become there.
    """
    stacks = [torch.from_numpy(np.stack(column)).permute(0, 3, 1, 2) for column in columns]
    tensors = [stack.to(pipeline._execution_device).float() / 255 for stack in stacks]
    return tensors[0] if isinstance(pipeline.controlnet, ControlNetModel) else tensors


def _for_network(image: ControlImage, controlnet: ControlNetModel) -> Picture:
    picture = to_rgb(image, name="control image")
    row = condition_of(controlnet)
    if row is not None and row.kind == "normals":
        order = controlnet.config.controlnet_conditioning_channel_order
        network_order = "zyx" if row.channel_order == "zyx" else "xyz"
        picture = order_for_pipeline(picture, network_order=network_order, config_order=order)
    return picture


def _check_sizes(images: list[Picture]) -> None:
    sizes = sorted({image.shape[1::-1] for image in images})
    fix = "scale the control image with helpers.images.fit(image, condition=..., resolution=...)"
    if len(sizes) > 1:
        got = " and ".join(f"{width} x {height}" for width, height in sizes)
        raise ValueError(f"expected control images of one size, got {got}; {fix}")
    for width, height in sizes:
        if width % PIPELINE_MULTIPLE or height % PIPELINE_MULTIPLE:
            raise ValueError(
                f"expected a control image whose sides are multiples of {PIPELINE_MULTIPLE}, "
                f"got {width} x {height}; {fix}"
            )


def _warn_of_unknown_words(pipeline: StableDiffusionControlNetPipeline, texts: list[str]) -> None:
    if model_of(pipeline).on_hub:
        return
    unknown = dict.fromkeys(
        word for text in texts for word in unknown_words(pipeline.tokenizer, text)
    )
    if unknown:
        warnings.warn(
            f"the toybox has no word for {', '.join(unknown)}: it knows the captions of its own "
            "world only, and reads other words as letters that mean nothing to it; "
            "toybox/world/captions.py lists its words",
            stacklevel=3,
        )


def _to_bytes(images: torch.Tensor) -> list[Picture]:
    """Return pictures of (N, 3, H, W) in [0, 1] as bytes."""
    if not torch.isfinite(images).all():
        raise FloatingPointError(
            "expected a finite picture, got NaN or infinity, as happens when 16-bit numbers "
            "overflow; load the pipeline with dtype=torch.float32"
        )
    levels = (255 * images.float()).round().byte()
    return list(levels.permute(0, 2, 3, 1).cpu().numpy())
