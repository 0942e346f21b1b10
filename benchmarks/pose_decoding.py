"""Time the decoding of pose maps: controlnet_aux, and `helpers.conditions.openpose_decode`.

    python benchmarks/pose_decoding.py [--json FILE]

The network of controlnet_aux is replaced by one that gives both the same synthetic maps, so that
only the way from maps to people is timed. Both run in one process, on one thread, in turn; the
medians and their ratio are printed. The people must be the same, joint by joint, to the pixel.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from pose_reference import controlnet_aux_decoder, random_people
from timing import RESULTS, alternate, write_report

from helpers.conditions.openpose_decode import decode_pose, maps_from_people

SIZE = (512, 512)


def main() -> None:
    """Measure, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", default=RESULTS / "pose_decoding.json")
    path = parser.parse_args().json
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = []
    print(f"people    maps{'controlnet_aux, ms':>20}{'ours, ms':>10}{'ratio':>8}")
    for map_rows in (23, 46):
        for people in (1, 5, 20):
            row = compare(people, map_rows)
            if not row["equal_people"]:
                raise SystemExit(f"expected the same people for {people} of them, got others")
            rows.append(row)
            print(
                f"{people:>6}{f'{map_rows}x{map_rows}':>8}{row['controlnet_aux_ms']:>20.1f}"
                f"{row['ours_ms']:>10.1f}{row['ratio']:>8.1f}"
            )
    packages = ("numpy", "scipy", "opencv-python-headless", "torch", "controlnet_aux")
    write_report(path, rows, packages=packages)


def compare(people: int, map_rows: int) -> dict[str, float]:
    """Decode the same maps of `people` people with both; return times and agreement."""
    rng = np.random.default_rng(0)
    joints = random_people(people, SIZE, rng, tall=0.9 if people == 1 else 0.35)
    heatmaps, fields = maps_from_people(joints, SIZE, rows=map_rows)
    picture = np.zeros((*SIZE, 3), dtype=np.uint8)
    reference = controlnet_aux_decoder(heatmaps, fields)
    theirs, ours = reference(picture), decode_pose(heatmaps, fields, SIZE)
    theirs_seconds, ours_seconds = alternate(
        lambda: reference(picture), lambda: decode_pose(heatmaps, fields, SIZE), blocks=3
    )
    return {
        "people": people,
        "people_found": len(ours),
        "map_rows": map_rows,
        "threads": torch.get_num_threads(),
        "controlnet_aux_ms": theirs_seconds * 1e3,
        "ours_ms": ours_seconds * 1e3,
        "ratio": theirs_seconds / ours_seconds,
        "equal_people": np.array_equal(ours[..., :2], theirs[..., :2], equal_nan=True),
    }


if __name__ == "__main__":
    main()
