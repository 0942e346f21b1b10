"""What the error asks to download is what is loaded, and a notebook shows that error alone."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import nbformat
import pytest
import tiny_models
import torch
from huggingface_hub.utils import filter_repo_objects
from nbformat.v4 import new_code_cell, new_notebook

from helpers.annotators import load_annotator
from helpers.catalogue import BASE_MODEL, CONDITIONS
from helpers.experiments import NotebookError, run_notebook
from helpers.hub import Download, missing_weights, needed_downloads
from helpers.pipelines import load_pipeline
from helpers.runtime import without_loading_bars


def copy_what_is_named(full: Path, downloads: list[Download], cache: Path) -> None:
    """Fill an empty cache with the files of `full` that the downloads name."""
    for one in downloads:
        snapshot = tiny_models.cached_repository(cache, one.repository)
        source = full / snapshot.relative_to(cache)
        names = [path.relative_to(source).as_posix() for path in source.rglob("*.*")]
        named = list(filter_repo_objects(names, allow_patterns=list(one.patterns)))
        for pattern in one.patterns:
            assert list(filter_repo_objects(named, allow_patterns=pattern)), pattern
        for name in named:
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, snapshot / name)


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_files_that_are_named_are_all_that_is_loaded(name, full_hub, tmp_path, monkeypatch):
    copy_what_is_named(full_hub, needed_downloads([name]), tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with without_loading_bars():
        assert load_pipeline(name, "sd15", device="cpu").config._name_or_path == BASE_MODEL
        assert load_annotator(name, "sd15", device="cpu")


def test_the_commands_are_understood_by_hf(full_hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(full_hub))
    for one in needed_downloads(["depth"]):
        program, *arguments = shlex.split(one.command)
        tool = Path(sys.executable).parent / program
        done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=True)
        assert str(full_hub / f"models--{one.repository.replace('/', '--')}") in done.stdout


def test_what_conditions_share_is_named_once():
    together = [one.repository for one in needed_downloads(["depth", "normal", "canny"])]
    assert len(together) == len(set(together)) == 5
    assert together[0] == BASE_MODEL


def test_the_error_adds_the_sizes_up():
    text = str(missing_weights(["depth"], OSError("first line\nsecond line")))
    sizes = [float(size) for size in re.findall(r"# ([\d.]+) GB", text)]
    assert sizes == [4.3, 1.4, 0.49]
    assert "expected 6.2 GB of weights" in text
    assert "got 'first line'" in text
    assert "second line" not in text


@pytest.mark.parametrize("found", [(), ("pipeline",)], ids=["nothing", "no annotator"])
def test_a_notebook_without_weights_or_network_ends_with_one_error(found, tmp_path, monkeypatch):
    """As the notebooks load them: the pipeline first, then the annotator."""
    cache = tmp_path / "cache"
    cache.mkdir()
    if found:
        tiny_models.tiny_sd15(cache, conditions=("hed",))
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    sources = [
        "from helpers.annotators import load_annotator\n"
        "from helpers.pipelines import load_pipeline",
        'pipeline = load_pipeline("hed", model)',
        'annotator = load_annotator("hed", model)',
    ]
    parameters = new_code_cell('model = "toybox"', metadata={"tags": ["parameters"]})
    notebook = new_notebook(
        cells=[parameters, *map(new_code_cell, sources)],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3"},
            "language_info": {"name": "python"},
        },
    )
    path, output = tmp_path / "notebook.ipynb", tmp_path / "executed.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(NotebookError) as failed:
        run_notebook(path, {"model": "sd15"}, output=output)
    for one in needed_downloads(["hed"]):
        assert f"{one.command}  # {one.gigabytes} GB" in str(failed.value)
    assert 'model="toybox", which needs no download' in str(failed.value)
    executed = nbformat.read(output, as_version=4)
    shown = [
        "\n".join(one.traceback)
        for cell in executed.cells
        for one in cell.get("outputs", [])
        if one.output_type == "error"
    ]
    assert len(shown) == 1
    assert sources[1 + len(found)] in failed.value.__cause__.source
    assert "another exception" not in shown[0]
    assert "direct cause" not in shown[0]


class Trap:
    """A pickle that runs code when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["depth", "seg", "hed", "mlsd", "openpose"])
def test_code_in_the_weights_of_an_annotator_is_not_run(name, full_hub, tmp_path, monkeypatch):
    cache, sprung = tmp_path / "cache", tmp_path / "sprung"
    cache.mkdir()
    annotator = needed_downloads([name])[-1]
    copy_what_is_named(full_hub, [annotator], cache)
    (weights,) = (path for path in cache.rglob("*") if path.suffix in {".bin", ".pth"})
    weights.unlink()
    torch.save({"weight": Trap(sprung)}, weights)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    with without_loading_bars(), pytest.raises(Exception, match=r"(?i)weights[_ ]only|unpickl"):
        load_annotator(name, "sd15", device="cpu")
    assert not sprung.exists()
