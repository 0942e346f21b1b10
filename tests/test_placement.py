"""Where a model runs is chosen from what is there, and every choice can be made by hand."""

import json
from pathlib import Path

import pytest
import torch

from helpers.catalogue import get_model
from helpers.placement import FREE_GIGABYTES, MEMORY_MODES, Placement, choose_placement

RESULTS = Path(__file__).parent.parent / "benchmarks/results"
TOYBOX, SD15 = get_model("toybox"), get_model("sd15")
GPU = {"device": "cuda"}  # a name; nothing is moved there


@pytest.mark.parametrize(
    ("free", "memory"),
    [(140, "all"), (5, "all"), (4.9, "model"), (3.5, "model"), (3.4, "group"), (0.5, "group")],
)
def test_the_first_mode_that_fits_is_taken(free, memory):
    assert choose_placement(SD15, **GPU, free_gigabytes=free).memory == memory
    assert choose_placement(TOYBOX, **GPU, free_gigabytes=free).memory == "all"


def test_a_mode_is_chosen_where_what_was_measured_fits():
    report = json.loads((RESULTS / "memory_h200.json").read_text())
    rows = {row["mode"]: row for row in report["rows"]}
    for mode, free in FREE_GIGABYTES.items():
        assert free >= 1.3 * rows[mode]["peak_gb"]
    seconds = [rows[mode]["seconds_per_picture"] for mode in MEMORY_MODES]
    assert seconds == sorted(seconds), "from the fastest to the slowest"


@pytest.mark.parametrize("model", [TOYBOX, SD15], ids=lambda model: model.name)
def test_a_gpu_takes_16_bits(model):
    assert choose_placement(model, **GPU, free_gigabytes=8).dtype == torch.float16


@pytest.mark.parametrize("matrix_units", [True, False])
def test_a_cpu_takes_16_bits_for_a_large_model_if_it_has_units_for_them(monkeypatch, matrix_units):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: matrix_units)
    large = torch.bfloat16 if matrix_units else torch.float32
    assert choose_placement(SD15, device="cpu").dtype == large
    assert choose_placement(TOYBOX, device="cpu").dtype == torch.float32


def test_what_is_given_is_kept_and_said():
    chosen = choose_placement(SD15, device="cpu", dtype=torch.float64, memory="all")
    assert chosen == Placement(
        device=torch.device("cpu"),
        dtype=torch.float64,
        memory="all",
        attention="sdpa",
        decoder="whole",
    )
    assert str(chosen) == (
        "CPU, float64, all weights stay on the device, attention of sdpa, all pictures of a batch "
        "decoded at once"
    )
    small = choose_placement(SD15, **GPU, memory="sequential")
    assert (small.memory, small.decoder) == ("sequential", "slices")
    assert choose_placement(SD15, device="cpu", decoder="tiles").decoder == "tiles"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory": "half"}, "memory: expected one of all, model, group, sequential; got 'half'"),
        ({"decoder": "fast"}, "decoder: expected one of whole, slices, tiles; got 'fast'"),
        ({"attention": "flash"}, "attention: expected one of sdpa, xformers; got 'flash'"),
        ({"memory": "model"}, "expected a CUDA GPU for memory='model'.* got the device 'cpu'"),
        ({"attention": "xformers"}, 'expected a CUDA GPU for attention="xformers", got .*cpu'),
    ],
)
def test_what_cannot_be_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_placement(SD15, device="cpu", **arguments)
