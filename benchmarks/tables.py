"""Write the tables of README.md from benchmarks/results: python benchmarks/tables.py"""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- benchmarks: made by benchmarks/tables.py -->\n", "<!-- /benchmarks -->\n"


def tables() -> str:
    """Return the tables as Markdown."""
    return "\n".join([normal_maps(), pose_decoding(), world()])


def normal_maps() -> str:
    """Return the table of the normal map recipe."""
    lines = [
        "**The released recipe for normal maps**, the same bytes:\n",
        "| size | as released, ms | ours, ms | ratio |",
        "|---|---|---|---|",
    ]
    for row in _rows("normal_maps"):
        lines.append(
            f"| {row['size']} × {row['size']} | {row['released_ms']:.1f} | {row['ours_ms']:.1f} "
            f"| {row['ratio']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def pose_decoding() -> str:
    """Return the table of the pose decoder."""
    lines = [
        "**From pose maps to people**, 512 × 512, the same people to the pixel:\n",
        "| people | maps | controlnet_aux, ms | ours, ms | ratio |",
        "|---|---|---|---|---|",
    ]
    for row in _rows("pose_decoding"):
        lines.append(
            f"| {row['people']} | {row['map_rows']} × {row['map_rows']} "
            f"| {row['controlnet_aux_ms']:.0f} | {row['ours_ms']:.1f} | {row['ratio']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def world() -> str:
    """Return the table of the toybox."""
    lines = [
        "**A scene of the toybox**, 256 × 256, with soft shadows:\n",
        "| what | ms a scene | scenes a second |",
        "|---|---|---|",
    ]
    for row in _rows("world")[1:2] + _rows("world_h200")[3:]:
        what = row["what"].replace("CPU", "two CPU cores").replace("GPU, compiled", "NVIDIA H200")
        lines.append(f"| {what} | {row['ms_per_scene']:.2g} | {row['scenes_per_s']:.0f} |")
    return "\n".join(lines) + "\n"


def with_tables(readme: str) -> str:
    """Return the text of README.md with its tables replaced."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + "\n" + tables() + "\n" + END + rest.split(END)[1]


def _rows(name: str) -> list[dict]:
    return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())["rows"]


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_tables(path.read_text()))
