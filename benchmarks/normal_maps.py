"""Time the recipe's normal map: by the released steps, and as `normal_map` computes it.

    python benchmarks/normal_maps.py [--json FILE]

Both run in one process, on one thread, in turn; the medians and their ratio are printed, and the
two results are compared to the byte. The input is the measured disparity map that comes with
scikit-image, resized.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from skimage import data
from timing import RESULTS, alternate, write_report

from helpers.conditions.depth import fill_missing
from helpers.conditions.normal import normal_map, normal_map_step_by_step


def main() -> None:
    """Measure, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", default=RESULTS / "normal_maps.json")
    path = parser.parse_args().json
    cv2.setNumThreads(1)
    disparity = fill_missing(data.stereo_motorcycle()[2])
    rows = []
    print(f"{'size':>6}{'released, ms':>14}{'ours, ms':>10}{'ratio':>8}")
    for size in (512, 2048):
        depth = cv2.resize(disparity, (size, size), interpolation=cv2.INTER_LINEAR)
        released, ours = alternate(
            lambda depth=depth: normal_map_step_by_step(depth),
            lambda depth=depth: normal_map(depth),
        )
        equal = np.array_equal(normal_map_step_by_step(depth), normal_map(depth))
        if not equal:
            raise SystemExit(f"expected the same bytes at {size} x {size}, got others")
        rows.append(
            {
                "size": size,
                "released_ms": released * 1e3,
                "ours_ms": ours * 1e3,
                "ratio": released / ours,
                "equal_bytes": equal,
            }
        )
        print(f"{size:>6}{released * 1e3:>14.2f}{ours * 1e3:>10.2f}{released / ours:>8.1f}")
    write_report(path, rows, packages=("numpy", "opencv-python-headless"))


if __name__ == "__main__":
    main()
