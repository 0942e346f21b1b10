"""Collect and list the toybox's weights: python -m toybox.manifest [RUNS]

toybox/weights/manifest.json holds the size and SHA-256 of every file, which
`helpers.weights.verify_weights` checks, and what is known about the training of each part.
Every training command leaves these facts as part.json in its run folder, beside the weights. What
lies below the folder RUNS, such as runs/toybox, replaces the same part; all others are kept.
"""

import argparse
import json
import shutil
from pathlib import Path

from helpers.catalogue import CONDITIONS
from helpers.weights import MANIFEST, TOYBOX_WEIGHTS, read_manifest, sha256, weight_files

LARGEST_FILE = 25_000_000
LARGEST_TOTAL = 100_000_000
"""Bytes that a clone of the repository may weigh because of the weights."""
ENDINGS = (".json", ".safetensors", ".txt")

_NETWORK = ("config.json", "diffusion_pytorch_model.safetensors")
_ORIGINS = {
    "base": "text-to-image/base",
    "base/vae": "decoder/vae",
    **{
        f"controlnet/{name}/{file}": f"controlnet-{name}/{file}"
        for name in CONDITIONS
        for file in _NETWORK
    },
    "annotators/depth": "annotators-depth/depth",
    "annotators/seg": "annotators-seg/seg",
    "annotators/hed.safetensors": "annotators-hed/hed.safetensors",
    "annotators/mlsd.safetensors": "annotators-mlsd/mlsd.safetensors",
    "annotators/pose.safetensors": "annotators-pose/pose.safetensors",
}
"""Where each part of the weights lies below the folder of runs; the later of two replaces."""


def collect(runs: Path, folder: Path) -> None:
    """Copy the results of the runs that are there into the folder of the weights."""
    for part, origin in _ORIGINS.items():
        source, target = runs / origin, folder / part
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, copy_function=shutil.copyfile)
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for path in folder.rglob("config.json"):
        # Where a network was loaded from says nothing about it.
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            text = json.dumps(config, indent=2, sort_keys=True) + "\n"
            path.write_text(text, encoding="utf-8", newline="\n")


def write_manifest(folder: Path, parts: dict[str, dict]) -> Path:
    """List the weights that lie in `folder`, and return the path of the list.

    Args:
        folder: that of the weights; manifest.json is written into it.
        parts: facts about the training of each part, by its name.

    Raises:
        ValueError: no weights, a file of another kind, or too many bytes.
    """
    files = weight_files(folder)
    if not files:
        raise ValueError(f"{folder}: expected weights, found no file; train the parts first")
    sizes = {name: path.stat().st_size for name, path in files.items()}
    for name, size in sizes.items():
        if not name.endswith(ENDINGS):
            raise ValueError(
                f"{folder / name}: expected files ending in {', '.join(ENDINGS)} only; "
                "save weights as safetensors, and keep everything else elsewhere"
            )
        _check_bytes(folder / name, size, LARGEST_FILE)
    _check_bytes(folder, sum(sizes.values()), LARGEST_TOTAL)
    listed = {name: {"sha256": sha256(path), "bytes": sizes[name]} for name, path in files.items()}
    text = json.dumps({"files": listed, "parts": dict(sorted(parts.items()))}, indent=2)
    path = folder / MANIFEST
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
    return path


def read_parts(runs: Path) -> dict[str, dict]:
    """Return the facts in every part.json below `runs`, by the run's folder below it.

    Where the run left scores.json beside it, that is among the facts as "scores".
    """
    files = sorted(runs.rglob("part.json"))
    if not files:
        raise FileNotFoundError(f"{runs}: expected runs with a part.json, found none; train first")
    parts = {}
    for path in files:
        facts = json.loads(path.read_text(encoding="utf-8"))
        scores = path.with_name("scores.json")
        if scores.is_file():
            facts["scores"] = json.loads(scores.read_text(encoding="utf-8"))
        parts[path.parent.relative_to(runs).as_posix()] = facts
    return parts


def _check_bytes(path: Path, size: int, largest: int) -> None:
    if size > largest:
        raise ValueError(
            f"{path}: expected at most {largest / 1e6:.0f} MB, got {size / 1e6:.1f} MB; "
            "store 16-bit weights, or make the model smaller"
        )


def main(arguments: list[str] | None = None, *, folder: Path = TOYBOX_WEIGHTS) -> None:
    """Collect weights and write their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="?", type=Path, help="folder of runs, such as runs/toybox")
    parser.add_argument("--weights", type=Path, default=folder, help="not those of the repository")
    options = parser.parse_args(arguments)
    runs, folder = options.runs, options.weights
    if runs:
        collect(runs, folder)
    parts = read_manifest(folder)["parts"] if (folder / MANIFEST).is_file() else {}
    path = write_manifest(folder, parts | (read_parts(runs) if runs else {}))
    files = read_manifest(folder)["files"].values()
    print(f"{path}: {len(files)} files, {sum(one['bytes'] for one in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
