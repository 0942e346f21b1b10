"""Damaged weights have a name, and the list of the weights is true."""

import json

import pytest

from helpers.weights import TOYBOX_WEIGHTS, read_manifest, verify_weights
from toybox import manifest
from toybox.manifest import read_parts, write_manifest


@pytest.fixture
def folder(tmp_path):
    weights = tmp_path / "weights"
    for name in ("base/config.json", "base/unet/model.safetensors", "pose.safetensors"):
        path = weights / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    (weights / "base/config.json").write_text(json.dumps({"name": "base" * 4000}))
    write_manifest(weights, {"base": {"steps": 3}})
    return weights


def test_the_weights_lie_beside_the_world():
    assert TOYBOX_WEIGHTS.parent.joinpath("world").is_dir()


def test_sound_weights_pass_whole_and_in_parts(folder):
    verify_weights(folder=folder)
    verify_weights("base", "base/unet", "pose.safetensors", folder=folder)


def test_one_changed_byte_is_found_and_the_file_named(folder):
    path = folder / "base" / "unet" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(content)
    verify_weights("pose.safetensors", folder=folder)
    with pytest.raises(ValueError, match=r"unet.model\.safetensors: its bytes .*git checkout -- "):
        verify_weights("base", folder=folder)


def test_a_file_that_is_cut_off_is_found_by_its_size(folder):
    path = folder / "pose.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    expected = r"pose\.safetensors: expected 16,000 bytes, got 15,999; get it back with `git"
    with pytest.raises(ValueError, match=expected):
        verify_weights("pose.safetensors", folder=folder)


def test_a_missing_file_is_named(folder):
    (folder / "base" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json: expected a file of .*git checkout"):
        verify_weights("base", folder=folder)


def test_a_file_too_many_is_named(folder):
    (folder / "base" / "old.safetensors").write_bytes(b"x")
    verify_weights("pose.safetensors", folder=folder)
    with pytest.raises(ValueError, match=r"old\.safetensors: expected only files that .* lists"):
        verify_weights("base", folder=folder)


def test_hidden_files_of_the_operating_system_do_not_count(folder):
    (folder / "base" / ".DS_Store").write_bytes(b"x")
    verify_weights(folder=folder)
    write_manifest(folder, {})
    assert len(read_manifest(folder)["files"]) == 3


def test_a_part_is_a_file_or_a_whole_folder_never_the_beginning_of_a_name(folder):
    for part in ("bas", "base/unet/model", "controlnet/canny"):
        with pytest.raises(FileNotFoundError, match=f"got '{part}'"):
            verify_weights(part, folder=folder)


def test_without_a_list_nothing_is_sound(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"manifest\.json: expected the list.*git checkout"):
        verify_weights("base", folder=folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"a": {}}, "parts": {}}'])
def test_a_list_that_is_damaged_is_named(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json: expected a list .*git checkout"):
        verify_weights("base", folder=folder)


def test_the_list_is_the_same_whenever_it_is_written(folder):
    before = (folder / "manifest.json").read_bytes()
    write_manifest(folder, {"base": {"steps": 3}})
    assert (folder / "manifest.json").read_bytes() == before


def test_only_weights_and_their_settings_may_lie_there(folder):
    (folder / "sheet.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"sheet\.png: expected files ending in \.json"):
        write_manifest(folder, {})


def test_no_file_may_be_too_large_nor_all_together(folder, monkeypatch):
    monkeypatch.setattr(manifest, "LARGEST_FILE", 20_000)
    with pytest.raises(ValueError, match=r"model\.safetensors: expected at most 0 MB"):
        write_manifest(folder, {})
    monkeypatch.setattr(manifest, "LARGEST_FILE", 100_000)
    monkeypatch.setattr(manifest, "LARGEST_TOTAL", 50_000)
    with pytest.raises(ValueError, match=r"weights: expected at most 0 MB"):
        write_manifest(folder, {})
    monkeypatch.setattr(manifest, "LARGEST_TOTAL", 100_000)
    write_manifest(folder, {})


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected weights, found no file"):
        write_manifest(tmp_path, {})


def test_the_command_takes_facts_from_the_runs_and_keeps_the_others(folder, tmp_path, capsys):
    for name, steps in {"autoencoder": 5, "controlnet/canny": 7}.items():
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "part.json").write_text(json.dumps({"steps": steps}))
    manifest.main([str(tmp_path / "runs")], folder=folder)
    facts = {"base": {"steps": 3}, "autoencoder": {"steps": 5}, "controlnet/canny": {"steps": 7}}
    assert read_manifest(folder)["parts"] == facts
    assert "3 files, 0.1 MB" in capsys.readouterr().out
    manifest.main([], folder=folder)
    assert read_manifest(folder)["parts"] == facts


def test_results_of_runs_are_collected_without_the_paths_they_were_loaded_from(folder, tmp_path):
    run = tmp_path / "runs" / "controlnet-canny"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"_name_or_path": "/somewhere", "width": 3}))
    (run / "diffusion_pytorch_model.safetensors").write_bytes(b"weights")
    (run / "sheet.png").write_bytes(b"not a weight")
    (run / "part.json").write_text(json.dumps({"steps": 7}))
    (run / "scores.json").write_text(json.dumps({"f1": 0.5}))
    manifest.main([str(tmp_path / "runs")], folder=folder)
    there = folder / "controlnet/canny"
    assert json.loads((there / "config.json").read_text()) == {"width": 3}
    assert sorted(path.name for path in there.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    facts = {"steps": 7, "scores": {"f1": 0.5}}
    assert read_manifest(folder)["parts"]["controlnet-canny"] == facts
    verify_weights(folder=folder)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected runs with a part\.json, found none"):
        read_parts(tmp_path)
