"""The training loop that every part of the toybox shares, built on accelerate.

A part gives `train` a module whose forward takes a `torch.Generator` and returns the loss of a
batch that it draws itself, so that a step depends on the seed and the step's number alone and an
interrupted run goes on as if nothing had happened.

These networks are so small that a GPU waits for Python most of the time. So forward and backward
are recorded once, as a CUDA graph, and then only replayed: four times as many steps a second. The
module has to be one that can be recorded: nothing in its forward may look at values on the CPU.

A run writes into its folder

log.csv       a line every LOG_EVERY steps: step, loss, learning rate, seconds, and measurements
sheet.png     samples to look at, made anew at every checkpoint
state/        the checkpoint from which an interrupted run goes on
part.json     facts for the model card: steps, batch, minutes, device, seed, commit
"""

import argparse
import csv
import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from diffusers.training_utils import EMAModel
from torch import Generator, Tensor, nn
from tqdm import tqdm

LOG_EVERY = 50
CHECKPOINT_EVERY = 1000
RUNS, SMOKE_RUNS = Path("runs/toybox"), Path("runs/smoke")
_WARM_UP_STEPS, _FIRST_TIMED_STEPS, _TIMED_STEPS = 20, 40, 200
"""A run with a time limit measures its speed after the first steps, which are slow, then over some
few, and from then on over more."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast a part learns."""

    steps: int
    batch: int
    """Samples a step, over all GPUs together."""
    learning_rate: float
    warm_up: int = 200
    """Steps in which the learning rate rises from 0."""
    decay: float = 1.0
    """Last share of the steps, in which the learning rate falls to 0 along half a cosine."""
    average: float = 0.999
    """Decay of the exponential moving average of the weights; the average is what is kept."""
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.warm_up) < 1 or not 0 < self.decay <= 1:
            raise ValueError(
                "expected at least one step, one sample and one step of warm-up, and a decay above "
                f"0 and up to 1, got {self}"
            )

    def rate(self, step: int) -> float:
        """The learning rate of a step, as a share of the largest."""
        fallen = max(0.0, (step / self.steps - (1 - self.decay)) / self.decay)
        return min(1.0, (step + 1) / self.warm_up) * (1 + math.cos(math.pi * min(1.0, fallen))) / 2


def read_options(
    description: str, *, positional: dict[str, list[str]] | None = None, **more: str | bool
) -> argparse.Namespace:
    """Read the command line that all parts share.

    Args:
        description: of the command.
        positional: names of positional arguments and what they may be.
        more: names of further options: False makes a flag, a string a path, by default this one
            below the folder of all runs.
    """
    parser = argparse.ArgumentParser(description=description)
    for name, choices in (positional or {}).items():
        parser.add_argument(name, choices=choices)
    parser.add_argument("--out", type=Path, help=f"folder of all runs, {RUNS} or {SMOKE_RUNS}")
    parser.add_argument("--data", type=Path, help="what `toybox.data` made, OUT/data")
    parser.add_argument("--steps", type=int, help="instead of the plan's")
    parser.add_argument("--batch", type=int, help="samples a step over all GPUs, not the plan's")
    parser.add_argument("--minutes", type=float, help="plan as many steps as fit into this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-graph", action="store_true", help="no CUDA graph on a GPU")
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile: minutes at first, then twice as fast"
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see that it runs")
    for name, default in more.items():
        flag = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=Path, help=f"OUT/{default}")
    options = parser.parse_args()
    options.out = options.out or (SMOKE_RUNS if options.smoke else RUNS)
    for name, default in {"data": "data", **more}.items():
        if default is not False and getattr(options, name) is None:
            setattr(options, name, options.out / default)
    return options


def adapt(plan: Plan, options: argparse.Namespace) -> Plan:
    """Change a plan as the command line says."""
    if options.smoke:
        return replace(plan, steps=options.steps or 4, batch=options.batch or 4, warm_up=2)
    return replace(plan, steps=options.steps or plan.steps, batch=options.batch or plan.batch)


def write_scores(folder: Path, scores: dict[str, float]) -> None:
    """Write what a trained part reaches on held-out scenes beside it, and print it."""
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    print(json.dumps(scores))


def is_first_process() -> bool:
    """Whether this is the only process, or the one that writes."""
    return PartialState().is_main_process


def step_seed(seed: int, step: int, process: int) -> int:
    """Return the seed of one step of one process; a CPU uses its lower 32 bits only."""
    return int(np.random.SeedSequence((seed, step, process)).generate_state(1)[0])


def layout_for(device: torch.device) -> torch.memory_format:
    """Return the layout of pictures in memory that is fast: channels last on a GPU alone.

    On a CPU that layout makes training several times slower.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def draw_numbers(count: int, batch: int, generator: Generator) -> Tensor:
    """Draw `batch` numbers below `count` on the generator's device."""
    return torch.randint(count, (batch,), generator=generator, device=generator.device)


def train(
    name: str,
    make_module: Callable[[torch.device, int], nn.Module],
    plan: Plan,
    options: argparse.Namespace,
    *,
    measure: Callable[[nn.Module, int], dict[str, float]] | None = None,
    sheet: Callable[[nn.Module], object] | None = None,
) -> tuple[nn.Module, Path]:
    """Train a part, or go on with its run, and return the module with averaged weights.

    Args:
        name: of the part; its run folder is options.out / name.
        make_module: called with the device and the batch of one process; returns a module whose
            forward(generator) is the loss (a scalar), or (loss, {name: value to log}). Only
            parameters with requires_grad are trained.
        plan: already adapted to the options.
        options: what `read_options` returned.
        measure: called every LOG_EVERY steps from step 0 on with the module and the step, and at
            the end with the averaged weights; its numbers become columns of the log. It must not
            draw from global generators.
        sheet: called at every checkpoint with the averaged module; returns a Pillow image.

    Returns:
        The module on its device, and the run folder. On other processes than the first the
        module is the same; only the first may write.
    """
    accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    processes, rank = accelerator.num_processes, accelerator.process_index
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    module = make_module(accelerator.device, max(1, plan.batch // processes))
    if processes > 1:  # all begin with the weights of the first
        for tensor in [*module.parameters(), *module.buffers()]:
            torch.distributed.broadcast(tensor.data, src=0)
    weights = [p for p in module.parameters() if p.requires_grad]
    on_gpu = accelerator.device.type == "cuda"
    optimizer = torch.optim.AdamW(
        weights,
        plan.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=plan.weight_decay,
        fused=on_gpu,
    )
    average = EMAModel(weights, decay=plan.average, foreach=True)
    if options.compile:
        module.compile()
    # For evaluation: with mixed precision, but without a wrapper for several GPUs, which cannot be
    # recorded; `_average_gradients` is all that it would do.
    prepared = accelerator.prepare_model(module, evaluation_mode=True)
    optimizer = accelerator.prepare_optimizer(optimizer)
    progress = _Progress(options.seed, plan.batch)
    accelerator.register_for_checkpointing(average, progress)
    if (folder / "state").is_dir():
        accelerator.load_state(str(folder / "state"))
        progress.check(options.seed, plan.batch, folder / "state")
        average.to(accelerator.device)
        plan = replace(plan, steps=progress.planned)
    log = _Log(folder / "log.csv", progress.step) if accelerator.is_main_process else None
    generator = Generator(accelerator.device)

    def differentiate() -> tuple[Tensor, dict[str, Tensor]]:
        outcome = prepared(generator)
        loss, values = outcome if isinstance(outcome, tuple) else (outcome, {})
        accelerator.backward(loss)
        return loss.detach(), values

    recorded = on_gpu and not options.no_graph
    if recorded:
        differentiate = _record(differentiate, module, generator, optimizer)
    began, clock = time.monotonic(), _Clock(options.minutes)
    losses = [torch.tensor(loss, device=accelerator.device) for loss in progress.losses]
    steps = tqdm(total=plan.steps, initial=progress.step, desc=name, disable=log is None)
    while progress.step < plan.steps:
        step = progress.step
        if log and measure and step % LOG_EVERY == 0:
            log.measured = measure(module, step)
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * plan.rate(step)
        generator.manual_seed(step_seed(options.seed, step, rank))
        loss, values = differentiate()
        if processes > 1:
            _average_gradients(weights)
        accelerator.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if not recorded:  # a recorded backward overwrites the gradients
            optimizer.zero_grad(set_to_none=True)
        average.step(weights)
        losses.append(loss.clone())
        progress.step += 1
        steps.update()
        if step % LOG_EVERY == 0 or progress.step == plan.steps:
            mean = _mean_loss(losses, name, step)
            losses.clear()
            if log:
                values = {key: float(value) for key, value in values.items()}
                elapsed = progress.seconds + time.monotonic() - began
                log.write(step, mean, optimizer.param_groups[0]["lr"], elapsed, values)
                steps.set_postfix(loss=f"{mean:.4f}")
        plan = clock.replan(plan, step)
        steps.total = plan.steps
        if progress.step % CHECKPOINT_EVERY == 0 and progress.step < plan.steps:
            seconds, began = time.monotonic() - began, time.monotonic()
            progress.seconds += seconds
            progress.planned = plan.steps
            progress.losses = [loss.item() for loss in losses]
            accelerator.save_state(str(folder / "state"))
            if log and sheet:
                with _averaged(average, weights):
                    sheet(module).save(folder / "sheet.png")
    steps.close()
    average.copy_to(weights)
    progress.seconds += time.monotonic() - began
    if log:
        if measure:
            log.measure_again(measure(module, progress.step))
        if sheet:
            sheet(module).save(folder / "sheet.png")
        shutil.rmtree(folder / "state", ignore_errors=True)
        _write_facts(folder, progress, plan, processes)
    accelerator.wait_for_everyone()
    return module, folder


def _record(
    differentiate: Callable[[], tuple[Tensor, dict[str, Tensor]]],
    module: nn.Module,
    generator: Generator,
    optimizer: torch.optim.Optimizer,
) -> Callable[[], tuple[Tensor, dict[str, Tensor]]]:
    """Record forward and backward as a CUDA graph, and return a function that replays it.

    A replay draws from the generator as the recording did, at the generator's present seed.
    """
    buffers = list(module.buffers())
    before = [buffer.clone() for buffer in buffers]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # libraries choose their kernels in the first calls
            optimizer.zero_grad(set_to_none=True)
            differentiate()
    torch.cuda.current_stream().wait_stream(stream)
    for buffer, value in zip(buffers, before, strict=True):  # such as statistics of the batches
        buffer.copy_(value)
    optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    # Threads that watch over several GPUs may go on asking theirs how far it is.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outcome = differentiate()

    def replay() -> tuple[Tensor, dict[str, Tensor]]:
        graph.replay()
        return outcome

    return replay


def _average_gradients(weights: list[nn.Parameter]) -> None:
    """Give every process the mean of all gradients, sent as one piece."""
    gradients = [weight.grad for weight in weights]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat, torch.distributed.ReduceOp.AVG)
    pieces = flat.split([gradient.numel() for gradient in gradients])
    means = [piece.view_as(gradient) for piece, gradient in zip(pieces, gradients, strict=True)]
    torch._foreach_copy_(gradients, means)


class _Progress:
    """What a checkpoint has to remember beside weights, optimiser and average."""

    def __init__(self, seed: int, batch: int) -> None:
        self.seed, self.batch = seed, batch
        self.step, self.planned, self.seconds = 0, 0, 0.0
        self.losses: list[float] = []
        """Of the steps since the last line of the log."""

    def state_dict(self) -> dict:
        return dict(vars(self))

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state)

    def check(self, seed: int, batch: int, folder: Path) -> None:
        """Raise if the checkpoint is that of another run."""
        if (self.seed, self.batch) != (seed, batch):
            raise ValueError(
                f"{folder}: expected a checkpoint with seed {seed} and batch {batch}, got one with "
                f"{self.seed} and {self.batch}; take these, or delete it to begin anew"
            )


class _Clock:
    """Plans as many steps as fit into a time, again and again: a step takes longer when other
    programs share the GPU, and shorter when they have ended.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes, self.began = minutes, time.monotonic()
        self.timed_from: tuple[int, float] | None = None
        self.next: int | None = None

    def replan(self, plan: Plan, step: int) -> Plan:
        """Return the plan, now and then with the number of steps that the time allows."""
        if self.next is None:
            self.next = step + _WARM_UP_STEPS
        if not self.minutes or step < self.next:
            return plan
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.monotonic()
        before, self.timed_from = self.timed_from, (step, now)
        if not before:
            self.next = step + _FIRST_TIMED_STEPS
            return plan
        self.next = step + _TIMED_STEPS
        each = (now - before[1]) / (step - before[0])
        left = 60 * self.minutes - (now - self.began)
        fitting = [step + max(1, int(left / each))]
        broadcast_object_list(fitting)  # all processes end together
        return replace(plan, steps=fitting[0])


class _Log:
    """A CSV file that a resumed run continues; lines after the checkpoint are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.measured = path, {}
        self.rows = []
        if step and path.is_file():
            with path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) < step]

    def measure_again(self, measured: dict[str, float]) -> None:
        """Put what was measured after the last step into the last line."""
        self.rows[-1] |= {name: f"{value:.6g}" for name, value in measured.items()}
        self._save()

    def write(
        self, step: int, loss: float, rate: float, seconds: float, values: dict[str, float]
    ) -> None:
        facts = {"loss": loss, "learning_rate": rate} | values | self.measured
        row = {"step": step, "seconds": f"{seconds:.1f}"}
        self.rows.append(row | {name: f"{value:.6g}" for name, value in facts.items()})
        self._save()

    def _save(self) -> None:
        names = list(dict.fromkeys(name for one in self.rows for name in one))
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


def _mean_loss(losses: list[Tensor], name: str, step: int) -> float:
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise FloatingPointError(
            f"{name}: expected a finite loss, got {mean} at step {step}; "
            "lower the learning rate of its plan"
        )
    return mean


class _averaged:
    """Within this block the weights are their moving average."""

    def __init__(self, average: EMAModel, weights: Iterable[nn.Parameter]) -> None:
        self.average, self.weights = average, weights

    def __enter__(self) -> None:
        self.average.store(self.weights)
        self.average.copy_to(self.weights)

    def __exit__(self, *error: object) -> None:
        self.average.restore(self.weights)


def _write_facts(folder: Path, progress: _Progress, plan: Plan, processes: int) -> None:
    facts = {
        "steps": progress.step,
        "batch": max(1, plan.batch // processes) * processes,
        "learning_rate": plan.learning_rate,
        "minutes": round(progress.seconds / 60, 1),
        "device": _device_name(processes),
        "seed": progress.seed,
        "commit": _commit(),
    }
    (folder / "part.json").write_text(json.dumps(facts, indent=2) + "\n")


def _device_name(processes: int) -> str:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return name if processes == 1 else f"{processes} x {name}"


def _commit() -> str:
    """The commit of this checkout, or of SOURCE_COMMIT where the code came without git."""
    if "SOURCE_COMMIT" in os.environ:
        return os.environ["SOURCE_COMMIT"]
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(git, capture_output=True, text=True, check=False)
    except OSError:  # there is no git
        return "unknown"
    return answer.stdout.strip() or "unknown"
