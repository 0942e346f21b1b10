"""How the benchmarks measure: alternating blocks in one process, medians, and a JSON record."""

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def alternate(
    first: Callable[[], Any], second: Callable[[], Any], *, blocks: int = 7, seconds: float = 0.4
) -> tuple[float, float]:
    """Return the median seconds of one call of each, measured in alternating blocks.

    A block calls one of them again and again for about `seconds`, so that each finds the caches
    as it leaves them; the blocks alternate, so that a slow moment of the machine meets both.
    """
    medians: tuple[list[float], list[float]] = ([], [])
    for call in (first, second):
        call()
    for _ in range(blocks):
        for call, results in zip((first, second), medians, strict=True):
            times = []
            end = time.perf_counter() + seconds
            while len(times) < 2 or time.perf_counter() < end:
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            results.append(statistics.median(times[1:]))
    return statistics.median(medians[0]), statistics.median(medians[1])


def write_report(
    path: str | Path, rows: Sequence[dict[str, Any]], *, packages: Sequence[str], **settings: Any
) -> None:
    """Write the rows, and what they depend on, to a JSON file; folders are made."""
    report = {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        **settings,
        "rows": list(rows),
    }
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {target}")
