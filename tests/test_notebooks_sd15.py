"""The notebooks that draw pictures draw them with Stable Diffusion 1.5 too, offline.

The cache of the hub holds small random networks in the files of the released ones, so what is
tested is every call; what the pictures look like is not.
"""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from helpers.experiments import run_notebook

PROOF = """
from helpers.pipelines import model_of

assert model_of(pipeline).name == "sd15"
assert {control}.shape == {picture}.shape == (512, 512, 3)
"""
NAMES = {"control": "controls[0]", "picture": "result.picture"}
NAMES_IN_THE_INTRODUCTION = {"control": "depth_map", "picture": "first_picture"}


def draws_pictures(path: Path) -> bool:
    cells = nbformat.read(path, as_version=4).cells
    return any("load_pipeline(" in cell.source for cell in cells)


FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = [path for path in sorted(FOLDER.glob("*.ipynb")) if draws_pictures(path)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_with_stable_diffusion_from_the_cache(
    path, full_hub, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(full_hub))
    longer = nbformat.read(path, as_version=4)
    names = NAMES_IN_THE_INTRODUCTION if path.stem.startswith("00") else NAMES
    longer.cells.append(new_code_cell(PROOF.format(**names)))
    nbformat.write(longer, tmp_path / path.name)
    run_notebook(
        tmp_path / path.name,
        {"model": "sd15", "sampling_steps": 2},
        output=tmp_path / "executed.ipynb",
    )
