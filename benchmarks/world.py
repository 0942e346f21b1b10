"""Time the toy world: sampling scenes, drawing them on the CPU, and in batches on a GPU.

    python benchmarks/world.py [--json FILE] [--threads N] [--scenes N]

Drawing on the CPU uses two threads, one scene at a time as a notebook does; the median is over 32
scenes. The GPU rows appear if there is one, and their medians are over rounds of the same scenes.
results/world_h200.json is from a GPU machine, written with --json.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from timing import RESULTS, write_report

from toybox.world import render, sample_scene

SIZE = 256


def main() -> None:
    """Measure, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", default=RESULTS / "world.json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=2048, help="scenes for the GPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = measure_cpu()
    if torch.cuda.is_available():
        rows += measure_gpu(options.scenes)
    print(f"{'what':<44}{'ms a scene':>12}{'scenes a second':>17}")
    for row in rows:
        print(f"{row['what']:<44}{row['ms_per_scene']:>12.2f}{row['scenes_per_s']:>17.1f}")
    write_report(
        options.json,
        rows,
        packages=("numpy", "torch"),
        picture_size=SIZE,
        threads=options.threads,
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    )


def measure_cpu() -> list[dict]:
    """Sampling, and drawing one scene at a time with all truth."""
    scenes = [sample_scene(seed) for seed in range(32)]
    draw = [lambda scene=scene: render(scene, size=SIZE) for scene in scenes]
    return [
        _row("sample a scene", 64, [lambda: [sample_scene(seed) for seed in range(64)]] * 3),
        _row("CPU: photo with shadows and all truth", 1, draw),
    ]


def measure_gpu(count: int) -> list[dict]:
    """Drawing batches, eager and compiled; the scenes lie ready in memory."""
    scenes = [sample_scene(seed) for seed in range(count)]

    def draw(batch: list, **options: bool) -> None:
        render(batch, size=SIZE, device="cuda", **options)
        torch.cuda.synchronize()

    began = time.perf_counter()
    draw(scenes[:64], compile=True)
    print(f"the first compiled call took {time.perf_counter() - began:.0f} s")
    few = scenes[:256]
    return [
        _row("GPU: photo, dense truth", len(few), [lambda: draw(few, lines=False)] * 3),
        _row(
            "GPU, compiled: photo, dense truth",
            count,
            [lambda: draw(scenes, lines=False, compile=True)] * 9,
        ),
        _row(
            "GPU, compiled: photo, dense truth, lines",
            count,
            [lambda: draw(scenes, compile=True)] * 9,
        ),
    ]


def _row(what: str, count: int, runs: list[Callable[[], object]]) -> dict:
    runs[0]()
    seconds = []
    for run in runs:
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    each = statistics.median(seconds) / count
    return {
        "what": what,
        "ms_per_scene": 1000 * each,
        "scenes_per_s": 1 / each,
        "slowest_ms": 1000 * max(seconds) / count,
        "rounds": len(runs),
    }


if __name__ == "__main__":
    main()
