"""Notebooks as experiments: run them from top to bottom with other parameters, and keep the record.

    python -m helpers.experiments notebooks/*.ipynb            # run, write to runs/
    python -m helpers.experiments notebooks/*.ipynb --store    # run, keep the outputs in place
    python -m helpers.experiments notebooks/06_normal_maps.ipynb -p seed 7

papermill does the running. Three things are added, each for a fault that was seen: the kernel's
answers are polled (nbclient can wait for ever when a notebook captures output in a widget,
jupyter/nbclient issue 312), unknown parameters are refused (papermill only logs them), and the
kernel is offline and computes with one thread, unless the environment says otherwise.
"""

import argparse
import ast
import asyncio
import os
import queue
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from helpers.runtime import OFFLINE_ENVIRONMENT
from helpers.widgets import WIDGET_VIEW

RUNS = Path("runs")
NO_PROGRESS_BARS = {"TQDM_DISABLE": "1"}
"""A bar moves in JupyterLab; a stored notebook would keep its remains as errors."""
SCORE = "score"
"""Tag of the cell whose last printed line goes into the table of `run_suite`."""
CELL_TIMEOUT = 600
POLL_SECONDS = 0.5


class NotebookError(RuntimeError):
    """A notebook did not run to its end; the message shows the failing cell."""


@dataclass(frozen=True)
class NotebookRun:
    """The record of one notebook that ran to its end."""

    notebook: nbformat.NotebookNode
    """The notebook with its outputs."""
    output: Path
    seconds: float
    """Wall time, kernel start included."""


class _PollingClient(PapermillNotebookClient):
    """Waits for the kernel in slices, so that a lost wake-up costs half a second, not for ever."""

    def start_new_kernel_client(self) -> Any:
        client = super().start_new_kernel_client()
        receive = client.shell_channel.get_msg

        async def receive_in_slices(timeout: float | None = None) -> dict:
            deadline = None if timeout is None else time.monotonic() + timeout
            while True:
                left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
                try:
                    return await receive(timeout=max(0.0, min(POLL_SECONDS, left)))
                except queue.Empty:
                    if deadline is not None and time.monotonic() >= deadline:
                        raise
                    await asyncio.sleep(0)

        client.shell_channel.get_msg = receive_in_slices
        return client


class _PollingEngine(NBClientEngine):
    """papermill's engine over `_PollingClient`; the kernel starts beside its notebook, offline."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        notebook_folder: str,
        execution_timeout: int,
        **_: Any,
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="nb-") as folder:
            config = Config()
            if os.name == "posix":
                # Sockets in a folder of this run: nothing on the network, and runs at the same
                # time cannot take each other's names.
                config.KernelManager.transport = "ipc"
                config.KernelManager.ip = str(Path(folder) / "k")
            client = _PollingClient(
                nb_man,
                kernel_name=kernel_name,
                timeout=execution_timeout,
                coalesce_streams=True,
                shutdown_kernel="immediate",
                config=config,
            )
            environment = {**OFFLINE_ENVIRONMENT, **NO_PROGRESS_BARS, **os.environ}
            client.execute(cwd=notebook_folder, env=environment)


papermill_engines.register("polling", _PollingEngine)


def parameter_names(path: str | os.PathLike) -> list[str]:
    """Return the names that the cell tagged `parameters` sets, in its order."""
    return list(papermill.inspect_notebook(str(path)))


def run_notebook(
    path: str | os.PathLike,
    parameters: Mapping[str, Any] | None = None,
    *,
    output: str | os.PathLike | None = None,
    cell_timeout: int = CELL_TIMEOUT,
) -> NotebookRun:
    """Run one notebook from top to bottom in a fresh kernel and write the executed copy.

    Args:
        path: the notebook; its folder is the kernel's working folder, as in JupyterLab.
        parameters: values that replace those of the cell tagged `parameters`.
        output: where the executed copy goes; default runs/NAME.ipynb. It is written cell by cell,
            also when the run fails.
        cell_timeout: seconds that one cell may take.

    Raises:
        FileNotFoundError: there is no such notebook.
        ValueError: the notebook has no parameter of that name.
        NotebookError: a cell failed, took too long, or the kernel died.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a notebook, found none at {path}; check the path")
    known = parameter_names(path)
    for name in parameters or {}:
        if name not in known:
            raise ValueError(
                f"{path.name}: expected a parameter among {', '.join(known) or '(none)'}; "
                f"got {name!r}; parameters are set in the cell tagged 'parameters'"
            )
    output = Path(output) if output else RUNS / path.name
    output.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        notebook = papermill.execute_notebook(
            str(path),
            str(output),
            parameters=dict(parameters or {}),
            engine_name="polling",
            progress_bar=False,
            notebook_folder=str(path.parent.resolve()),
            execution_timeout=cell_timeout,
        )
    except PapermillExecutionError as error:
        raise NotebookError(
            f"{path.name}: a cell failed with {error.ename}: {error.evalue}\n\n"
            f"{_indented(error.source)}\n\nThe whole record is in {output}."
        ) from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(
            f"{path.name}: expected every cell to end within {cell_timeout} s in a live kernel; "
            f"{error}\nThe record up to there is in {output}."
        ) from error
    return NotebookRun(notebook, output, time.perf_counter() - start)


def strip_run_records(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what a run leaves besides outputs: timings, file names, widgets (in place).

    Code hosts refuse to show a notebook with widget state that they do not know, and without its
    state a widget is shown as an error. The words that stand for it are kept.
    """
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        for key in ("papermill", "execution", "widgets"):
            metadata.pop(key, None)
    for cell in notebook.cells:
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def run_suite(
    paths: Sequence[str | os.PathLike],
    parameters: Mapping[str, Any] | None = None,
    *,
    store: bool = False,
    jobs: int = 1,
) -> list[NotebookRun]:
    """Run notebooks, with a line for each when it has ended and a table at the end.

    Args:
        paths: the notebooks.
        parameters: given to every one of them.
        store: write the outputs into the notebooks themselves; only with their own parameters.
        jobs: how many run at a time. Each kernel computes with one thread, so as many as there
            are cores are in nobody's way.

    Raises:
        ValueError: `store` together with `parameters`.
        NotebookError: a notebook failed; those that had not begun by then are left out.
    """
    if store and parameters:
        raise ValueError(
            "expected no parameters when outputs are stored: a stored notebook shows its own; "
            f"got {dict(parameters)}; run without --store, the copy is in {RUNS}/"
        )
    start = time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        pending = {pool.submit(run_notebook, path, parameters): Path(path) for path in paths}
        try:
            for number, future in enumerate(as_completed(pending), start=1):
                run, path = future.result(), pending[future]
                print(f"[{number}/{len(pending)}] {path.name} {run.seconds:.1f} s", flush=True)
                if store:
                    nbformat.write(strip_run_records(run.notebook), path)
        except NotebookError:
            pool.shutdown(cancel_futures=True)
            raise
    runs = [future.result() for future in pending]
    print(_table(runs, time.perf_counter() - start))
    return runs


def _table(runs: Sequence[NotebookRun], seconds: float) -> str:
    rows = [f"{'notebook':<28}{'seconds':>9}  score of the picture that it draws"]
    for run in runs:
        rows.append(f"{run.output.stem:<28}{run.seconds:>9.1f}  {_score(run.notebook)}".rstrip())
    rows.append(f"{'all, by the clock':<28}{seconds:>9.1f}")
    return "\n".join(["", *rows])


def _score(notebook: nbformat.NotebookNode) -> str:
    lines = [
        line
        for cell in notebook.cells
        if SCORE in cell.metadata.get("tags", [])
        for output in cell.outputs
        for line in output.get("text", "").splitlines()
    ]
    return lines[-1] if lines else ""


def _indented(source: str) -> str:
    return "\n".join(f"    {line}" for line in source.splitlines())


def _python_value(text: str) -> Any:
    """Read 7, 0.5, True, [1, 2] as Python does; anything else is a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebooks named on the command line; return 0 if all of them ran to their end."""
    parser = argparse.ArgumentParser(description="Run notebooks from top to bottom.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument(
        "-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE")
    )
    parser.add_argument("--store", action="store_true", help="keep the outputs in the notebooks")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks that run at a time")
    chosen = parser.parse_args(arguments)
    parameters = {name: _python_value(text) for name, text in chosen.parameter}
    try:
        run_suite(chosen.notebooks, parameters, store=chosen.store, jobs=chosen.jobs)
    except (NotebookError, ValueError, FileNotFoundError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
