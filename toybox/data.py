"""Make training data: python -m toybox.data FOLDER --scenes N [--with-truth M]

Scenes of the world are drawn on every GPU there is (or on the CPU, some eleven a second), and
written as one .npy file for each kind of truth. Training maps these files into memory.

photo            uint8    (N, 256, 256, 3)
caption          <U...    (N,)

and for the first M scenes, all of them unless it is said otherwise

depth            float32  (M, 256, 256), metres along the optical axis
labels           uint8    (M, 256, 256), ADE20K classes
edges            bool     (M, 256, 256), outlines and creases
joints           float32  (M, 2, 18, 2), pixels; NaN where there is no figure
joints_visible   bool     (M, 2, 18)
lines            float32  (M, MOST_LINES, 4), pixels; NaN behind the last
canny, scribble, mlsd     uint8 (M, 256, 256), control images, white on black
normal, openpose          uint8 (M, 256, 256, 3), control images

Control images that a GPU makes in no time (depth, seg, hed) are made while training.
"""

import argparse
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from helpers.conditions.canny import canny_edges
from helpers.conditions.mlsd import draw_lines
from helpers.conditions.normal import encode_normals, normal_map
from helpers.conditions.openpose import draw_skeleton
from helpers.conditions.scribble import scribble
from toybox.world import Scene, Views, render, sample_scene

SIZE = 256
FIRST_TRAINING_SEED = 1_000_000
"""Scenes with smaller seeds are held out: no training ever sees them."""

HELD_OUT_SEEDS = {
    "parts": range(500_000, 600_000),  # what parts are scored on when their training ends
    "colours": range(600_000, 700_000),
    "scores": range(700_000, 800_000),
    "colour examples": range(800_000, 802_000),
}
"""Scenes that measurements use, each its own; notebooks use the first ones."""

MOST_LINES = 128
SCRIBBLE_SIGMA = 1.5
DEPTH_UNIT = 1000.0
"""The unit of inverse depth is 1/DEPTH_UNIT per metre. The normal recipe depends on the unit; in
this one its slopes are about right for the toybox at 256 x 256 (notebook 06 looks for it)."""

_TRUTH = {
    "depth": (np.float32, (SIZE, SIZE)),
    "labels": (np.uint8, (SIZE, SIZE)),
    "edges": (np.bool_, (SIZE, SIZE)),
    "joints": (np.float32, (2, 18, 2)),
    "joints_visible": (np.bool_, (2, 18)),
    "lines": (np.float32, (MOST_LINES, 4)),
}
_CONTROLS = {
    "canny": (np.uint8, (SIZE, SIZE)),
    "scribble": (np.uint8, (SIZE, SIZE)),
    "mlsd": (np.uint8, (SIZE, SIZE)),
    "normal": (np.uint8, (SIZE, SIZE, 3)),
    "openpose": (np.uint8, (SIZE, SIZE, 3)),
}
_ARRAYS = {"photo": (np.uint8, (SIZE, SIZE, 3))} | _TRUTH | _CONTROLS
_CHUNK = 512  # scenes sampled, drawn and written together
_CHUNKS_TO_COMPILE = 40  # a GPU draws eight times as fast when compiled, which takes a minute


def open_data(folder: Path, *names: str) -> dict[str, NDArray]:
    """Map the named arrays of a data folder into memory, without reading them.

    Where there are more photos than scenes with truth, only scenes that have all that is named.

    Raises:
        FileNotFoundError: an array is not there; the message says how to make it.
    """
    for name in names:
        if not (folder / f"{name}.npy").is_file():
            raise FileNotFoundError(
                f"expected training data in {folder}, found no {name}.npy; "
                f"make it with `python -m toybox.data {folder} --scenes 1024`"
            )
    # Copy on write: torch warns about arrays that cannot be written to.
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in names}
    scenes = min(len(array) for array in arrays.values())
    return {name: array[:scenes] for name, array in arrays.items()}


def load_data(folder: Path, *names: str, device: torch.device) -> dict[str, torch.Tensor]:
    """Read the named arrays of a data folder into the memory of a device; see `open_data`."""
    arrays = open_data(folder, *names)
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def make_data(
    folder: Path,
    *,
    scenes: int,
    with_truth: int | None = None,
    first_seed: int = FIRST_TRAINING_SEED,
) -> None:
    """Sample and draw `scenes` scenes with seeds from `first_seed` on, and write the arrays.

    Beyond the first `with_truth` scenes only photos and captions are made.
    """
    with_truth = scenes if with_truth is None else with_truth
    if not 0 <= with_truth <= scenes or scenes < 1:
        raise ValueError(
            f"expected at least one scene, and truth for at most all of them; got {scenes} scenes, "
            f"{with_truth} with truth"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.npy"):  # also what was computed from the old photos
        stale.unlink()
    for name, (dtype, shape) in _ARRAYS.items():
        count = scenes if name == "photo" else with_truth
        open_memmap(folder / f"{name}.npy", "w+", dtype, (count, *shape)).flush()
    gpus = torch.cuda.device_count()
    devices = [f"cuda:{gpu}" for gpu in range(gpus)] or ["cpu"]
    workers = max(1, os.cpu_count() // len(devices)) if gpus else 1
    spans = [range(at, min(at + _CHUNK, scenes)) for at in range(0, with_truth, _CHUNK)]
    spans = [range(span.start, min(span.stop, with_truth)) for span in spans]
    spans += [range(at, min(at + _CHUNK, scenes)) for at in range(with_truth, scenes, _CHUNK)]
    spawn = multiprocessing.get_context("spawn")
    drawers = []
    for number, device in enumerate(devices):
        arguments = (folder, spans[number :: len(devices)], with_truth, first_seed, device, workers)
        drawers.append(spawn.Process(target=_draw_shard, args=arguments))
        drawers[-1].start()
    for drawer in drawers:
        drawer.join()
    if any(drawer.exitcode for drawer in drawers):
        raise RuntimeError("expected every shard to be drawn, one failed; its message is above")
    captions = [np.load(path) for path in sorted(folder.glob("caption-*.npy"))]
    np.save(folder / "caption.npy", np.concatenate(captions))
    for path in folder.glob("caption-*.npy"):
        path.unlink()


def held_out(count: int, *, lines: bool = False) -> Views:
    """Draw `count` scenes that no training has seen, on a GPU if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    seeds = HELD_OUT_SEEDS["parts"][:count]
    return render([sample_scene(seed) for seed in seeds], size=SIZE, device=device, lines=lines)


def truth_of(views: Views, number: int) -> dict[str, NDArray]:
    """Return the truth of one view as the arrays of a data folder hold it."""
    lines = np.full((MOST_LINES, 4), np.nan, np.float32)
    found = views.lines[number].cpu().numpy()
    if len(found) > MOST_LINES:
        raise ValueError(f"expected at most {MOST_LINES} lines, got {len(found)}; raise MOST_LINES")
    lines[: len(found)] = found
    return {
        "depth": views.depth[number].cpu().numpy(),
        "labels": views.labels[number].byte().cpu().numpy(),
        "edges": views.edges[number].cpu().numpy(),
        "joints": views.joints[number].cpu().numpy(),
        "joints_visible": views.joints_visible[number].cpu().numpy(),
        "lines": lines,
    }


def training_controls(
    number: int, photo: NDArray[np.uint8], truth: dict[str, NDArray], normals: NDArray[np.uint8]
) -> dict[str, NDArray[np.uint8]]:
    """Return the control images of one scene that are made ahead of training.

    Two of them come in two kinds, by turns, so that the network takes either: strokes from the
    photo or along the true outlines, and normals of the camera or of the recipe.

    Args:
        number: of the scene; even and odd ones get different kinds.
        photo: (256, 256, 3).
        truth: what `truth_of` returns.
        normals: the true normals, encoded, (256, 256, 3).
    """
    rng = np.random.default_rng(number)
    if number % 2:
        width = rng.integers(1, 4)
        strokes = cv2.dilate(truth["edges"].astype(np.uint8) * 255, np.ones((width, width)))
        inverse_depth = DEPTH_UNIT / truth["depth"]
        normals = normal_map(inverse_depth, background_threshold=rng.uniform(0, 0.5))
    else:
        strokes = scribble(photo, sigma=SCRIBBLE_SIGMA)[:, :, 0]
    joints = np.where(truth["joints_visible"][:, :, None], truth["joints"], np.nan)
    lines = truth["lines"][~np.isnan(truth["lines"][:, 0])]
    return {
        "canny": canny_edges(photo)[:, :, 0],
        "scribble": strokes,
        "mlsd": draw_lines(lines, SIZE, SIZE)[:, :, 0],
        "normal": normals,
        "openpose": draw_skeleton(joints, SIZE, SIZE),
    }


def _draw_shard(
    folder: Path,
    chunks: list[range],
    with_truth: int,
    first_seed: int,
    device: str,
    workers: int,
) -> None:
    """Draw one GPU's scenes. Sampling and control images run in `workers` other processes."""
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _ARRAYS}
    writing = []
    compiled = len(chunks) >= _CHUNKS_TO_COMPILE
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_one_thread) as pool:
        sampling = [pool.submit(_sample, first_seed, chunk) for chunk in chunks]
        for chunk, sampled in zip(tqdm(chunks, desc=device, unit="chunk"), sampling, strict=True):
            scenes = sampled.result()
            truth = chunk.stop <= with_truth
            views = render(scenes, size=SIZE, device=device, lines=truth, compile=compiled)
            arrays["photo"][chunk.start : chunk.stop] = views.photo.cpu().numpy()
            captions = np.array([scene.caption for scene in scenes])
            np.save(folder / f"caption-{chunk.start:09d}.npy", captions)
            if truth:
                _write_truth(arrays, chunk, views)
                step = math.ceil(len(chunk) / workers)
                for start in range(0, len(chunk), step):
                    part = chunk[start : start + step]
                    writing.append(pool.submit(_write_controls, folder, part))
        for done in writing:
            done.result()


def _write_truth(arrays: dict[str, NDArray], chunk: range, views: Views) -> None:
    truths = [truth_of(views, number) for number in range(len(views))]
    for name in _TRUTH:
        arrays[name][chunk.start : chunk.stop] = np.stack([truth[name] for truth in truths])
    normals = views.normals.cpu().numpy()
    encoded = np.stack([encode_normals(one) for one in normals])
    arrays["normal"][chunk.start : chunk.stop] = encoded


def _write_controls(folder: Path, span: range) -> None:
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _CONTROLS}
    inputs = open_data(folder, "photo", *_TRUTH)
    for number in span:
        truth = {name: inputs[name][number] for name in _TRUTH}
        normals = arrays["normal"][number].copy()
        photo = np.array(inputs["photo"][number])
        for name, image in training_controls(number, photo, truth, normals).items():
            arrays[name][number] = image


def _sample(first_seed: int, numbers: range) -> list[Scene]:
    return [sample_scene(first_seed + number) for number in numbers]


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def main() -> None:
    """Read the command line and make the data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=40_960)
    parser.add_argument("--first-seed", type=int, default=FIRST_TRAINING_SEED)
    parser.add_argument("--with-truth", type=int, help="how many of them with truth, not all")
    options = parser.parse_args()
    make_data(
        options.folder,
        scenes=options.scenes,
        first_seed=options.first_seed,
        with_truth=options.with_truth,
    )


if __name__ == "__main__":
    main()
