"""Notebooks run to their end, or say why not."""

from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.experiments import (
    NotebookError,
    main,
    parameter_names,
    run_notebook,
    run_suite,
    strip_run_records,
)

PARAMETERS = "seed = 1  # an integer\nprompt = 'a ball'  # words"


@pytest.fixture
def notebook(tmp_path):
    def write(*sources: str, name: str = "notebook.ipynb"):
        cells = [
            new_markdown_cell("# A notebook"),
            new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            *map(new_code_cell, sources),
        ]
        metadata = {
            "kernelspec": {"name": "python3", "display_name": "Python 3"},
            "language_info": {"name": "python"},
        }
        path = tmp_path / name
        nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
        return path

    return write


def printed(run) -> str:
    return "".join(
        output.text
        for cell in run.notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream"
    )


def test_parameters_reach_the_notebook_and_the_copy_keeps_them(notebook, tmp_path):
    path = notebook("print(seed, prompt)")
    before = path.read_bytes()
    run = run_notebook(path, {"seed": 7}, output=tmp_path / "out" / "copy.ipynb")
    assert printed(run) == "7 a ball\n"
    assert run.output.is_file()
    assert path.read_bytes() == before


def test_the_kernel_is_offline_single_threaded_and_beside_its_notebook(notebook, tmp_path):
    run = run_notebook(
        notebook(
            "import os; print(os.environ['HF_HUB_OFFLINE'], os.environ['OMP_NUM_THREADS'])\n"
            "print(os.getcwd())"
        ),
        output=tmp_path / "copy.ipynb",
    )
    assert printed(run) == f"1 1\n{tmp_path}\n"


def test_an_unknown_parameter_is_refused_before_the_run(notebook):
    path = notebook("print(seed)")
    assert parameter_names(path) == ["seed", "prompt"]
    with pytest.raises(ValueError, match=r"expected a parameter among seed, prompt; got 'sed'"):
        run_notebook(path, {"sed": 7})


def test_a_failing_cell_is_shown_with_its_source(notebook, tmp_path):
    path = notebook("ratio = 1 / (seed - 1)  # fails")
    with pytest.raises(NotebookError) as caught:
        run_notebook(path, output=tmp_path / "copy.ipynb")
    assert "ZeroDivisionError: division by zero" in str(caught.value)
    assert "    ratio = 1 / (seed - 1)  # fails" in str(caught.value)
    assert (tmp_path / "copy.ipynb").is_file()


def test_a_cell_that_takes_too_long_is_stopped(notebook, tmp_path):
    path = notebook("import time; time.sleep(60)")
    with pytest.raises(NotebookError, match="within 2 s"):
        run_notebook(path, output=tmp_path / "copy.ipynb", cell_timeout=2)


def test_a_dead_kernel_is_reported(notebook, tmp_path):
    path = notebook("import os; os._exit(1)")
    with pytest.raises(NotebookError, match="live kernel"):
        run_notebook(path, output=tmp_path / "copy.ipynb")


def test_there_must_be_a_notebook(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a notebook, found none at"):
        run_notebook(tmp_path / "missing.ipynb")


def test_notebooks_with_output_widgets_end_also_side_by_side(notebook, tmp_path):
    # Without polling, about every fourth of these waits for ever.
    path = notebook(
        "import ipywidgets\n"
        "out = ipywidgets.Output()\n"
        "slider = ipywidgets.IntSlider()\n"
        "def show(change):\n"
        "    out.clear_output(wait=True)\n"
        "    with out:\n"
        "        print(change.new)\n"
        "slider.observe(show, 'value')\n"
        "for value in range(1, 40):\n"
        "    slider.value = value",
        "print('done')",
    )
    with ThreadPoolExecutor(3) as pool:
        runs = [
            pool.submit(run_notebook, path, output=tmp_path / f"{number}.ipynb", cell_timeout=120)
            for number in range(6)
        ]
        # Each takes seconds; one that hangs would only end at its cell's limit.
        assert [printed(run.result(timeout=60)) for run in runs] == ["done\n"] * 6


def test_a_stored_notebook_keeps_its_outputs_and_no_records_of_the_run(
    notebook, capsys, monkeypatch
):
    path = notebook("import ipywidgets; ipywidgets.IntSlider()", "print(seed)")
    monkeypatch.chdir(path.parent)
    run_suite([path], store=True)
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    assert printed(type("Run", (), {"notebook": stored})) == "1\n"
    assert [cell.execution_count for cell in stored.cells if cell.cell_type == "code"] == [1, 2, 3]
    text = path.read_text(encoding="utf-8")
    assert '"papermill"' not in text
    assert "widget-state" not in text
    assert str(path.parent) not in text
    assert strip_run_records(stored) == nbformat.read(path, as_version=4)
    assert "[1/1] notebook.ipynb " in capsys.readouterr().out


def test_two_at_a_time_are_reported_as_they_end_and_returned_as_asked_for(notebook, capsys):
    slow = notebook("import time; time.sleep(3)", name="slow.ipynb")
    fast = notebook(name="fast.ipynb")
    runs = run_suite([slow, fast], jobs=2)
    assert [run.output.stem for run in runs] == ["slow", "fast"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["fast.ipynb", "slow.ipynb"]


def test_the_table_shows_the_last_line_of_the_cell_that_is_tagged_as_score(notebook, capsys):
    path = notebook("print('first line'); print('edge F1 0.91')")
    scored = nbformat.read(path, as_version=4)
    scored.cells[-1].metadata["tags"] = ["score"]
    nbformat.write(scored, path)
    run_suite([path, notebook("print('no score')", name="other.ipynb")])
    rows = capsys.readouterr().out.splitlines()[-3:]
    assert rows[0].endswith("  edge F1 0.91")
    assert rows[0].startswith("notebook ")
    assert "score" not in rows[1]


def test_a_failure_ends_the_suite_and_shows_the_cell(notebook, tmp_path):
    broken = notebook("assert seed == 2, 'the reason'", name="broken.ipynb")
    next_ones = [
        notebook(f"open('ran{number}', 'w').close()", name=f"{number}.ipynb") for number in range(3)
    ]
    with pytest.raises(NotebookError, match=r"(?s)broken\.ipynb.*the reason.*assert seed == 2"):
        run_suite([broken, *next_ones])
    # The first of them may have begun before the failure was known.
    assert not (tmp_path / "ran1").exists()
    assert not (tmp_path / "ran2").exists()


def test_outputs_are_not_stored_with_other_parameters(notebook):
    with pytest.raises(ValueError, match="expected no parameters when outputs are stored"):
        run_suite([notebook()], {"seed": 2}, store=True)


def test_the_command_reads_parameters_and_fails_with_the_notebook(notebook, capsys, monkeypatch):
    path = notebook("assert seed == 0.5 and prompt == 'b c', (seed, prompt)")
    monkeypatch.chdir(path.parent)
    assert main([str(path), "-p", "seed", "0.5", "-p", "prompt", "b c"]) == 0
    assert main([str(path)]) == 1
    assert "AssertionError" in capsys.readouterr().err
