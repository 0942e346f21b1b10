"""Write the tables of README.md from benchmarks/results: python benchmarks/tables.py"""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
BEGIN, END = "<!-- benchmarks: made by benchmarks/tables.py -->\n", "<!-- /benchmarks -->\n"


def tables() -> str:
    """Return the tables as Markdown."""
    return "\n".join([pictures(), memory(), normal_maps(), pose_decoding(), world()])


WAYS = {
    "eager": "diffusers alone",
    "constants kept": "`generate`, which keeps constants",
    "fast": "`make_fast`",
    "fast, 10 steps": "`make_fast`, 10 steps",
    "fast, features reused": "`make_fast`, features reused",
}
"""Ways of benchmarks/generate.py in the words of a reader."""

MODES = {
    "all": '`memory="all"`',
    "model": '`memory="model"`',
    "group": '`memory="group"`',
    "sequential": '`memory="sequential"`',
    "all, xformers": '`attention="xformers"`',
    "fast": "`make_fast`",
}

CARDS = (2, 4, 6, 8, 12, 16, 24)
"""Common sizes of the memory of a GPU, in 10^9 bytes."""


def pictures() -> str:
    """Return the table of pictures of the toybox on a CPU."""
    report = _report("generate_toybox")
    return _table(
        f"**A picture of the toybox**, {report['picture_size']} × {report['picture_size']}, "
        f"{report['steps']} steps with guidance and one ControlNet, CPU, {report['threads']} "
        f"threads, {report['date']}. The difference from diffusers alone is the mean over all "
        "pixels, in levels of 255:",
        "way | pictures at once | s a picture | ratio | difference | same picture",
        [
            f"{WAYS[row['mode']]} | {row['pictures']} | {row['seconds_per_picture']:.2f} "
            f"| {row['ratio']:.2f} | {row['difference']:.3f} "
            f"| {'yes' if row['exact'] else 'approximate'}"
            for row in report["rows"]
        ],
    )


def memory() -> str:
    """Return the table of the modes of memory."""
    report = _report("memory_h200")
    return _table(
        f"**Stable Diffusion 1.5 on one {report['gpu']}**, random weights of the true "
        f"architecture, {report['dtype']}, {report['picture_size']} × {report['picture_size']}, "
        f"{report['steps']} steps with guidance and one ControlNet, one picture at a time, "
        f"{report['date']}, torch {report['packages']['torch']}. The floor of arithmetic is "
        f"{report['floor_seconds']:.3f} s. The card is the smallest common one that leaves 1 GB "
        "for the system; it is calculated, not tried:",
        "mode | s a picture | peak memory, GB | card, GB | difference | first picture, s",
        [
            f"{MODES[row['mode']]} | {row['seconds_per_picture']:.2f} | {row['peak_gb']:.2f} "
            f"| {next(card for card in CARDS if card >= row['peak_gb'] + 1)} "
            f"| {row['difference']:.2f} | {row['first_call_seconds']:.0f}"
            for row in report["rows"]
        ],
    )


def normal_maps() -> str:
    """Return the table of the normal map recipe."""
    return _table(
        "**The released recipe for normal maps**, the same bytes:",
        "size | by the released steps, ms | ours, ms | ratio",
        [
            f"{row['size']} × {row['size']} | {row['released_ms']:.1f} | {row['ours_ms']:.1f} "
            f"| {row['ratio']:.1f}"
            for row in _report("normal_maps")["rows"]
        ],
    )


def pose_decoding() -> str:
    """Return the table of the pose decoder."""
    return _table(
        "**From pose maps to people**, 512 × 512, the same people to the pixel:",
        "people | maps | controlnet_aux, ms | ours, ms | ratio",
        [
            f"{row['people']} | {row['map_rows']} × {row['map_rows']} "
            f"| {row['controlnet_aux_ms']:.0f} | {row['ours_ms']:.1f} | {row['ratio']:.0f}"
            for row in _report("pose_decoding")["rows"]
        ],
    )


def world() -> str:
    """Return the table of the toybox."""
    rows = []
    for name, what in (
        ("world", "CPU: photo with shadows and all truth"),
        ("world_h200", "GPU, compiled: photo, dense truth"),
        ("world_h200", "GPU, compiled: photo, dense truth, lines"),
    ):
        report = _report(name)
        where = report["gpu"] or f"CPU, {report['threads']} threads, one scene at a time"
        where += ", without straight lines" if what.endswith("dense truth") else ""
        (row,) = (row for row in report["rows"] if row["what"] == what)
        rows.append(f"{where} | {row['ms_per_scene']:.2g} | {row['scenes_per_s']:.0f}")
    return _table(
        "**A scene of the toybox**, 256 × 256, with soft shadows and all truth; on the GPU "
        "2,048 scenes a call, compiled, which takes a minute at the first call:",
        "where | ms a scene | scenes a second",
        rows,
    )


def with_tables(readme: str) -> str:
    """Return the text of README.md with its tables replaced."""
    before, rest = readme.split(BEGIN)
    return before + BEGIN + "\n" + tables() + "\n" + END + rest.split(END)[1]


def _table(caption: str, header: str, rows: list[str]) -> str:
    """Return a Markdown table; cells are separated by bars."""
    ruler = "|".join("---" for _ in header.split("|"))
    return "\n".join([caption, "", f"| {header} |", f"|{ruler}|", *(f"| {r} |" for r in rows), ""])


def _report(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "README.md"
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
