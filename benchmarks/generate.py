"""Time the making of pictures: the usual recipe, eager, each lever, fast, batches, memory modes.

    python benchmarks/generate.py [--model sd15|toybox] [--json FILE] [--memory]

Stable Diffusion 1.5 has random weights of the true architecture (`random_release.py`), 512 x 512
pixels, and needs a GPU; the toybox has its own weights and is measured on the CPU, where nothing is
compiled. All ways of one run live in one process and take turns, and the medians are shown. The
ratio is to the seed recipe, the lines that most model cards give, or to diffusers without more
where that was not run. The difference is the mean over all pixels of the absolute difference from
the eager picture of the same seed, in levels of 255.

The peak of memory is that of the first call, less what the other ways hold. --memory measures the
modes of memory in a run of its own, with one model loaded at a time: the peak of all that each
does, and the median time of three pictures. results/memory_h200.json is from a GPU machine, written
with --json.
"""

import argparse
import atexit
import gc
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

# Never the cache of the user: random weights under real names are written into this one.
os.environ["HF_HUB_CACHE"] = tempfile.mkdtemp(prefix="random_release_")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"

from pathlib import Path

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    UniPCMultistepScheduler,
)
from PIL import Image
from timing import RESULTS, write_report
from torch import nn

from helpers.catalogue import BASE_MODEL, CONDITIONS, get_model
from helpers.faster import COMPILER_OPTIONS, make_fast, reuse_features
from helpers.pipelines import generate, load_pipeline, model_of
from helpers.placement import MEMORY_MODES

CACHE = Path(os.environ["HF_HUB_CACHE"])
PROMPT = "a red ball and a blue cube on a wooden floor, cream wall"
STEPS = 20
PACKAGES = ("torch", "diffusers", "transformers", "accelerate")

FLOP = 46.0e12
"""Floating-point operations of a picture of Stable Diffusion 1.5: 20 guided steps of UNet and
ControlNet, the text and the decoder, counted by torch.utils.flop_counter; a multiplication with its
addition is two."""


@dataclass
class Way:
    """One way to make pictures."""

    mode: str
    pipeline: StableDiffusionControlNetPipeline
    draw: Callable[[list[int]], np.ndarray]
    """Seeds to pictures of (N, H, W, 3), uint8."""
    pictures: int = 1
    controlnets: int = 1
    exact: bool = True
    first_call: float = 0.0
    peak_gb: float | None = None
    seconds: list[float] = field(default_factory=list)
    difference: float | None = None
    compared: bool = True


def main() -> None:
    """Measure, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("sd15", "toybox"), default="toybox")
    parser.add_argument("--json")
    parser.add_argument("--memory", action="store_true", help="peak memory of each mode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    options = parser.parse_args()
    atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
    if options.model == "toybox":
        torch.set_num_threads(options.threads)
    elif not torch.cuda.is_available():
        parser.error("expected a CUDA GPU for --model sd15, found none; take --model toybox")
    else:
        from random_release import write_random_release

        write_random_release(CACHE, ("canny", "depth"))
        torch.cuda.empty_cache()
    if options.memory:
        measured = measure_memory()
        default = RESULTS / "memory.json"
    else:
        measured = measure_ways(options.model, options.rounds)
        default = RESULTS / f"generate_{options.model}.json"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    peak = matrix_product_rate() if gpu else None
    for rows in measured:
        write_report(
            options.json or default,
            rows,
            packages=PACKAGES,
            gpu=gpu if options.model == "sd15" else None,
            threads=torch.get_num_threads(),
            model=options.model,
            dtype="float16" if options.model == "sd15" else "float32",
            steps=STEPS,
            picture_size=get_model(options.model).resolution,
            matrix_product_flop_per_second=peak,
            floor_seconds=FLOP / peak if peak and options.model == "sd15" else None,
        )
    print_table(rows)


def measure_ways(model: str, rounds: int) -> Iterator[list[dict[str, Any]]]:
    """Load every way, let them take turns, and yield their rows after each round."""
    ways: list[Way] = []
    eager = load_pipeline("canny", model)
    ways.append(_first(Way("eager", eager, _plain(eager))))
    ways.append(_first(Way("constants kept", eager, _drawing(eager))))
    fast = make_fast(load_pipeline("canny", model))
    for count in (1, 4, 8, 16) if model == "sd15" else (1, 4):
        ways.append(_first(Way("fast", fast, _drawing(fast), pictures=count)))
    if model == "sd15":
        ways.append(_first(Way("eager", eager, _plain(eager), pictures=16)))
        seed = _seed_recipe()
        ways.append(_first(Way("seed recipe", seed, _plain(seed))))
        less = make_fast(load_pipeline("canny", model), compiler=None)
        ways.append(_first(Way("less work", less, _drawing(less))))
        without_graphs = dict(COMPILER_OPTIONS) | {"triton.cudagraphs": False}
        compiled = make_fast(load_pipeline("canny", model), options=without_graphs)
        ways.append(_first(Way("compiled, no CUDA graphs", compiled, _drawing(compiled))))
        two = make_fast(load_pipeline(["canny", "depth"], model))
        ways.append(_first(Way("fast", two, _drawing(two, 2), controlnets=2, compared=False)))
    few = _drawing(fast, steps=STEPS // 2)
    ways.append(_first(Way("fast, 10 steps", fast, few, exact=False)))
    rested = reuse_features(make_fast(load_pipeline("canny", model)))
    ways.append(_first(Way("fast, features reused", rested, _drawing(rested), exact=False)))
    ways.sort(key=lambda way: (way.controlnets, way.pictures, not way.exact))
    reference = {seed: _plain(eager)([seed])[0].astype(float) for seed in range(3)}
    for way in ways:
        if way.compared:
            seeds = [0] if way.pictures == 1 else list(range(way.pictures))
            pictures = way.draw(seeds)[:3]
            pairs = zip(pictures, reference.values(), strict=False)
            way.difference = float(np.mean([np.abs(ours - ref).mean() for ours, ref in pairs]))
    for turn in range(rounds):
        for way in ways:
            seeds = [100 * turn + number for number in range(way.pictures)]
            way.seconds.append(_timed(way.draw, seeds))
        yield _rows(ways)


def measure_memory() -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of the modes of memory so far, one loaded at a time."""
    ways = []
    modes = [(mode, {"memory": mode}, False) for mode in MEMORY_MODES]
    modes += [("all", {"memory": "all", "attention": "xformers"}, False), ("fast", {}, True)]
    for mode, options, is_fast in modes:
        gc.collect()
        torch.cuda.empty_cache()
        try:
            pipeline = load_pipeline("canny", "sd15", **options)
            if is_fast:
                make_fast(pipeline)
            name = f"{mode}, xformers" if "attention" in options else mode
            way = _first(Way(name, pipeline, _drawing(pipeline)))
        except Exception as error:
            if "attention" not in options:
                raise
            print(f"xformers does not load here: {str(error).splitlines()[0]}")
            continue
        way.seconds = [_timed(way.draw, [seed]) for seed in range(3)]
        if mode == "all" and not ways:
            reference = way.draw([0]).astype(float)
        way.difference = float(np.abs(way.draw([0]) - reference).mean())
        way.peak_gb = torch.cuda.max_memory_allocated() / 1e9  # alone, so all of it is its own
        ways.append(way)
        del pipeline, way.pipeline, way.draw
        yield _rows(ways)


def _rows(ways: list[Way]) -> list[dict[str, Any]]:
    ways_by_name = {way.mode: way for way in reversed(ways)}
    base = ways_by_name.get("seed recipe") or ways_by_name.get("eager") or ways[0]
    rows = []
    for way in ways:
        each = statistics.median(way.seconds) / way.pictures
        row = {
            "mode": way.mode,
            "pictures": way.pictures,
            "controlnets": way.controlnets,
            "exact": way.exact,
            "seconds_per_picture": each,
            "ratio": statistics.median(base.seconds) / each,
            "difference": way.difference,
            "first_call_seconds": way.first_call,
            "peak_gb": way.peak_gb,
        }
        rows.append(row)
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print what was measured."""
    heads = ("pictures", "s a picture", "ratio", "difference", "first call, s", "peak, GB")
    print("\n" + f"{'mode':<28}" + "".join(f"{head:>15}" for head in heads))
    for row in rows:
        count = row["controlnets"]
        name = row["mode"] if count == 1 else f"{row['mode']}, {count} ControlNets"
        difference = "" if row["difference"] is None else f"{row['difference']:.3f}"
        peak = "" if row["peak_gb"] is None else f"{row['peak_gb']:.2f}"
        print(
            f"{name:<28}{row['pictures']:>15}{row['seconds_per_picture']:>15.3f}"
            f"{row['ratio']:>15.1f}{difference:>15}{row['first_call_seconds']:>15.1f}{peak:>15}"
        )


def _first(way: Way) -> Way:
    """Call a way once, so that everything is compiled; note what that takes in all."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        others = torch.cuda.memory_allocated() - _bytes_on_gpu(way.pipeline)
    way.first_call = _timed(way.draw, list(range(way.pictures)))
    if on_gpu:
        way.peak_gb = (torch.cuda.max_memory_allocated() - others) / 1e9
    _timed(way.draw, list(range(way.pictures)))
    print(
        f"ready: {way.mode}, {way.pictures}; the first call took {way.first_call:.1f} s", flush=True
    )
    return way


def _bytes_on_gpu(pipeline: StableDiffusionControlNetPipeline) -> int:
    """Return how much GPU memory the weights of a pipeline take; the rest belongs to others."""
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    weights = {weight for part in parts for weight in part.parameters() if weight.is_cuda}
    return sum(weight.numel() * weight.element_size() for weight in weights)


def _timed(draw: Callable[[list[int]], Any], seeds: list[int]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    draw(seeds)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _drawing(
    pipeline: StableDiffusionControlNetPipeline, controlnets: int = 1, steps: int = STEPS
) -> Callable[[list[int]], np.ndarray]:
    """Return what draws with `generate`; control images differ from seed to seed."""

    def draw(seeds: list[int]) -> np.ndarray:
        images = [_edges(pipeline, seed) for seed in seeds]
        given = images if controlnets == 1 else [images] * controlnets
        result = generate(pipeline, PROMPT, given, seed=seeds, steps=steps)
        return np.stack(result.pictures)

    return draw


def _plain(pipeline: StableDiffusionControlNetPipeline) -> Callable[[list[int]], np.ndarray]:
    """Return what draws with diffusers alone."""

    def draw(seeds: list[int]) -> np.ndarray:
        pictures = pipeline(
            [PROMPT] * len(seeds),
            image=[Image.fromarray(_edges(pipeline, seed)) for seed in seeds],
            negative_prompt=[""] * len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            num_inference_steps=STEPS,
            guidance_scale=model_of(pipeline).guidance_scale,
        ).images
        return np.stack([np.array(picture) for picture in pictures])

    return draw


def _seed_recipe() -> StableDiffusionControlNetPipeline:
    """Load by the lines that most model cards give."""
    net = ControlNetModel.from_pretrained(CONDITIONS["canny"].checkpoint, dtype=torch.float16)
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        BASE_MODEL, controlnet=net, safety_checker=None, dtype=torch.float16
    )
    pipeline.scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    try:
        pipeline.enable_xformers_memory_efficient_attention()
    except Exception as error:
        print(f"the recipe goes without xformers: {str(error).splitlines()[0]}")
    pipeline.enable_model_cpu_offload()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _edges(pipeline: StableDiffusionControlNetPipeline, seed: int) -> np.ndarray:
    """Return a control image: edges of random rectangles."""
    side = pipeline.vae_scale_factor * pipeline.unet.config.sample_size
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side, 3), np.uint8)
    for _ in range(6):
        top, left = rng.integers(0, side // 2, 2)
        bottom, right = rng.integers(side // 2, side, 2)
        image[[top, bottom], left:right] = 255
        image[top:bottom, [left, right]] = 255
    return image


def matrix_product_rate(side: int = 8192) -> float:
    """Return floating-point operations a second of one large 16-bit matrix product."""
    first, second = (torch.randn(side, side, device="cuda", dtype=torch.float16) for _ in range(2))
    times = [_timed(lambda _: first @ second, []) for _ in range(12)]
    return 2 * side**3 / statistics.median(times[2:])


if __name__ == "__main__":
    main()
