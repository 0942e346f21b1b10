"""A run is what the plan says: interrupted or not, on one process or on two."""

import csv
import itertools
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn import functional

from helpers.runtime import OFFLINE_ENVIRONMENT
from toybox import training
from toybox.training import (
    Plan,
    adapt,
    draw_numbers,
    is_first_process,
    read_options,
    step_seed,
    train,
)

ROOT = Path(__file__).resolve().parents[1]
PLAN = Plan(steps=24, batch=4, learning_rate=0.1, warm_up=5, decay=0.5, average=0.9)


class Sum(nn.Module):
    """Learns to add three numbers with one layer; another layer is frozen."""

    def __init__(self, batch):
        super().__init__()
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.layer = nn.Linear(3, 1)
        self.batch = batch

    def forward(self, generator):
        x = torch.randn(self.batch, 3, generator=generator, device=generator.device)
        found = self.layer(self.frozen(x))
        return functional.mse_loss(found, x.sum(1, keepdim=True)), {"largest": x.max()}


def make_sum(device, batch):
    return Sum(batch).to(device)


@pytest.fixture
def options(monkeypatch, tmp_path):
    def read(*words, **arguments):
        monkeypatch.setattr(sys, "argv", ["part", "--out", str(tmp_path), *words])
        return read_options("A part.", **arguments)

    return read


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Log and save often, on the CPU, where sums are added in one order."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(training, "LOG_EVERY", 4)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def plain_loop(plan, seed=0, processes=1):
    """Return the weights before the first and after every step, by the shortest loop there is."""
    torch.manual_seed(seed)
    module = Sum(plan.batch // processes)
    weights = list(module.layer.parameters())
    optimizer = torch.optim.AdamW(
        weights, betas=(0.9, 0.99), weight_decay=plan.weight_decay, lr=plan.learning_rate
    )
    history = [[weight.detach().clone() for weight in weights]]
    for step in range(plan.steps):
        optimizer.param_groups[0]["lr"] = plan.learning_rate * plan.rate(step)
        optimizer.zero_grad()
        for rank in range(processes):
            number = step_seed(seed, step, rank)
            loss, _ = module(torch.Generator().manual_seed(number))
            (loss / processes).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        history.append([weight.detach().clone() for weight in weights])
    return history


def moving_average(history, decay):
    """Return the average of diffusers, which starts short: (1 + n) / (10 + n) until `decay`."""
    average = history[1]
    for n, weights in enumerate(history[2:], start=1):
        share = min(decay, (1 + n) / (10 + n))
        average = [share * a + (1 - share) * w for a, w in zip(average, weights, strict=True)]
    return average


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in {*first, *second})


def read_log(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# The plan.


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 0.01),
        (49, 0.5),
        (99, 1.0),
        (400, 1.0),
        (600, 1.0),
        (700, (1 + math.cos(math.pi / 4)) / 2),
        (800, 0.5),
        (900, (1 + math.cos(3 * math.pi / 4)) / 2),
        (1000, 0.0),
    ],
)
def test_the_rate_rises_stays_and_falls_along_half_a_cosine(step, share):
    plan = Plan(steps=1000, batch=1, learning_rate=1.0, warm_up=100, decay=0.4)
    assert plan.rate(step) == pytest.approx(share, abs=1e-12)


@given(
    steps=st.integers(1, 5000),
    warm_up=st.integers(1, 500),
    decay=st.floats(0.01, 1),
    share=st.floats(0, 1),
)
def test_the_rate_is_never_negative_nor_above_the_largest(steps, warm_up, decay, share):
    plan = Plan(steps=steps, batch=1, learning_rate=1.0, warm_up=warm_up, decay=decay)
    step = int(share * steps)
    assert 0 <= plan.rate(step) <= 1
    # Once it is warm it only falls.
    assert plan.rate(step + 1) <= plan.rate(step) + 1e-12 or step + 1 < warm_up


def test_the_command_line_changes_the_plan(options):
    assert adapt(PLAN, options()) == PLAN
    assert adapt(PLAN, options("--steps", "7", "--batch", "3")) == replace(PLAN, steps=7, batch=3)
    assert adapt(PLAN, options("--smoke")) == replace(PLAN, steps=4, batch=4, warm_up=2)
    smoke = adapt(PLAN, options("--smoke", "--steps", "5"))
    assert (smoke.steps, smoke.batch) == (5, 4)


def test_parts_add_their_own_options(options):
    more = {"positional": {"condition": ["canny", "depth"]}, "watch": False, "held_out": "h"}
    read = options("depth", "--watch", "--held-out", "elsewhere", **more)
    assert (read.condition, read.watch, read.held_out) == ("depth", True, Path("elsewhere"))
    assert not options("canny", **more).watch
    with pytest.raises(SystemExit):
        options("scribbles", **more)


def test_numbers_are_drawn_below_the_count_and_depend_on_the_seed_alone():
    def draw(seed):
        return draw_numbers(7, 500, torch.Generator().manual_seed(seed))

    assert set(draw(0).tolist()) == set(range(7))
    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))


# A run.


def test_a_run_is_the_plain_loop_and_keeps_the_moving_average(options, tmp_path):
    module, folder = train("sum", make_sum, PLAN, options("--seed", "3"))
    history = plain_loop(PLAN, seed=3)
    expected = moving_average(history, PLAN.average)
    for weight, average, last in zip(module.layer.parameters(), expected, history[-1], strict=True):
        torch.testing.assert_close(weight, average, rtol=1e-5, atol=1e-6)
        assert (weight - last).abs().max() > 1e-3
    assert folder == tmp_path / "sum"
    assert is_first_process()


class Interrupted(Exception):
    pass


def interrupt_at(stop):
    def measure(module, step):
        if step == stop:
            raise Interrupted
        return {"weight": module.layer.weight[0, 0].item()}

    return measure


def test_what_is_frozen_stays_and_is_unknown_to_the_optimiser(options):
    torch.manual_seed(0)
    before = Sum(1).frozen.state_dict()
    module, folder = train("sum", make_sum, PLAN, options())
    assert same(before, module.frozen.state_dict())
    with pytest.raises(Interrupted):
        train("halved", make_sum, PLAN, options(), measure=interrupt_at(PLAN.steps))
    state = folder.with_name("halved") / "state"
    saved = torch.load(state / "optimizer.bin", weights_only=True)
    shapes = [state["exp_avg"].shape for state in saved["state"].values()]
    assert shapes == [(1, 3), (1,)]


# Both leave a line in the log that is younger than the checkpoint.
@pytest.mark.parametrize(("stop", "checkpoint"), [(16, 10), (24, 20)])
def test_an_interrupted_run_ends_with_the_same_bits_and_the_same_log(
    options, tmp_path, stop, checkpoint
):
    whole, whole_folder = train("whole", make_sum, PLAN, options(), measure=interrupt_at(None))
    with pytest.raises(Interrupted):
        train("halved", make_sum, PLAN, options(), measure=interrupt_at(stop))
    # Other steps on the command line are ignored: the rate would no longer be that of the plan.
    other = replace(PLAN, steps=1000)
    halved, folder = train("halved", make_sum, other, options(), measure=interrupt_at(None))
    assert same(state_of(whole), state_of(halved))
    expected, found = read_log(whole_folder), read_log(folder)
    assert [row["step"] for row in found] == ["0", "4", "8", "12", "16", "20", "23"]
    for one, other in zip(expected, found, strict=True):
        for name in ("learning_rate", "weight", "largest"):
            assert one[name] == other[name]
        assert one["loss"] == other["loss"]


def test_a_checkpoint_of_another_run_is_not_continued(options):
    with pytest.raises(Interrupted):
        train("sum", make_sum, PLAN, options(), measure=interrupt_at(16))
    with pytest.raises(ValueError, match=r"state: expected a checkpoint with seed 3 .*delete it"):
        train("sum", make_sum, PLAN, options("--seed", "3"))


def test_every_seed_step_and_process_draws_its_own_numbers():
    drawn = {
        torch.rand(1, generator=torch.Generator().manual_seed(step_seed(*place))).item()
        for place in itertools.product(range(4), range(20), range(4))
    }
    assert len(drawn) == 4 * 20 * 4


def test_a_run_without_a_checkpoint_begins_anew(options):
    with pytest.raises(Interrupted):
        train("sum", make_sum, PLAN, options(), measure=interrupt_at(8))
    again, folder = train("sum", make_sum, PLAN, options())
    fresh, _ = train("fresh", make_sum, PLAN, options())
    assert same(state_of(again), state_of(fresh))
    steps = [int(row["step"]) for row in read_log(folder)]
    assert steps == sorted(set(steps))


def test_the_log_has_mean_losses_rates_and_measurements(options):
    asked = []

    def measure(module, step):
        asked.append((step, module.layer.bias.item()))
        return {"bias": module.layer.bias.item()}

    module, folder = train("sum", make_sum, PLAN, options(), measure=measure)
    rows = read_log(folder)
    history = plain_loop(PLAN)
    assert [step for step, _ in asked] == [0, 4, 8, 12, 16, 20, 24]
    for row, (step, bias) in zip(rows, asked, strict=True):
        assert float(row["bias"]) == pytest.approx(bias, rel=1e-5)
        rate = 0.1 * PLAN.rate(min(step, PLAN.steps - 1))
        assert float(row["learning_rate"]) == pytest.approx(rate, abs=1e-7)
        if step < PLAN.steps:  # the last line is that of the average
            assert bias == pytest.approx(history[step][1].item(), abs=1e-5)
    assert asked[-1][1] == module.layer.bias.item()
    twin = Sum(PLAN.batch)
    losses = []
    for step in range(1, 5):
        for weight, value in zip(twin.layer.parameters(), history[step], strict=True):
            weight.data.copy_(value)
        torch.manual_seed(0)
        twin.frozen.load_state_dict(Sum(1).frozen.state_dict())
        losses.append(twin(torch.Generator().manual_seed(step_seed(0, step, 0)))[0].item())
    assert float(rows[1]["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)


def test_sheets_show_the_average_and_leave_the_training_alone(options):
    seen = []

    def sheet(module):
        seen.append([weight.detach().clone() for weight in module.layer.parameters()])
        return Image.new("RGB", (2, 3), "red")

    with_sheets, folder = train("with", make_sum, PLAN, options(), sheet=sheet)
    without, _ = train("without", make_sum, PLAN, options())
    assert same(state_of(with_sheets), state_of(without))
    history = plain_loop(PLAN)
    assert len(seen) == 3
    for weights, step in zip(seen, (10, 20, 24), strict=True):
        expected = moving_average(history[: step + 1], PLAN.average)
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)
    assert Image.open(folder / "sheet.png").size == (2, 3)


def test_the_facts_of_a_run_are_written(options, monkeypatch):
    monkeypatch.setenv("SOURCE_COMMIT", "abc")
    _, folder = train("sum", make_sum, PLAN, options("--seed", "5"))
    facts = json.loads((folder / "part.json").read_text())
    assert facts.pop("minutes") >= 0
    assert facts == {
        "steps": 24,
        "batch": 4,
        "learning_rate": 0.1,
        "device": "CPU",
        "seed": 5,
        "commit": "abc",
    }


def test_the_commit_is_that_of_the_checkout(monkeypatch):
    monkeypatch.delenv("SOURCE_COMMIT", raising=False)
    assert training._commit() == "unknown" or len(training._commit()) == 40


def test_without_git_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.delenv("SOURCE_COMMIT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert training._commit() == "unknown"


def test_a_time_gives_the_number_of_steps(options):
    _, folder = train("sum", make_sum, replace(PLAN, steps=10**9), options("--minutes", "1e-9"))
    # Steps 20 to 59 are timed; then there is no time left, and one step is the least.
    assert json.loads((folder / "part.json").read_text())["steps"] == 61


@pytest.mark.parametrize("slower", [0.25, 1, 4])
def test_a_time_is_kept_although_the_steps_become_slower_or_faster(monkeypatch, slower):
    now = 0.0
    monkeypatch.setattr(training.time, "monotonic", lambda: now)
    clock, plan, step = training._Clock(minutes=10), replace(PLAN, steps=10**9), 0
    while step < plan.steps:
        now += 0.1 if step < 1500 else 0.1 * slower
        step += 1
        plan = clock.replan(plan, step - 1)
    # What is planned last is known to 200 steps of the speed before.
    assert 590 <= now <= 610


class Broken(Sum):
    """Has no finite loss from a step on."""

    def __init__(self, batch, first):
        super().__init__(batch)
        self.first = first

    def forward(self, generator):
        loss, values = super().forward(generator)
        return (loss / 0 if generator.initial_seed() >= self.first else loss), values


@pytest.mark.parametrize("first", [0, 6])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_part(options, first):
    def make(device, batch):
        return Broken(batch, first).to(device)

    with pytest.raises(FloatingPointError, match=r"^sum: expected a finite loss, got (inf|nan) at"):
        train("sum", make, PLAN, options())


def test_a_loss_that_is_not_finite_in_the_last_steps_stops_the_run_too(options):
    with pytest.raises(FloatingPointError):
        train("sum", lambda device, batch: Broken(batch, 22).to(device), PLAN, options())


# Two processes.

TWO = """
import sys
from dataclasses import replace
from pathlib import Path

import torch

from test_training import PLAN, make_sum
from toybox.training import is_first_process, read_options, train

out = sys.argv[2]
module, folder = train("sum", make_sum, replace(PLAN, average=0.0), read_options("A part."))
assert torch.distributed.get_world_size() == 2
rank = torch.distributed.get_rank()
assert is_first_process() == (rank == 0)
torch.save(list(module.layer.parameters()), Path(out) / f"{rank}.pt")
torch.distributed.destroy_process_group()
"""


def test_two_processes_take_the_mean_gradient_and_end_alike(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), "--out", str(tmp_path)],
        env=os.environ
        | OFFLINE_ENVIRONMENT
        | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    expected = plain_loop(PLAN, processes=2)[-1]
    torch.testing.assert_close([weight.detach() for weight in first], expected)
    facts = json.loads((tmp_path / "sum" / "part.json").read_text())
    assert facts["device"] == "2 x CPU"
    assert facts["batch"] == 4
