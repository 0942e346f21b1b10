"""Every notebook runs from top to bottom, and what is stored in it is what a run gives."""

import json
import re
from itertools import islice
from pathlib import Path

import nbformat
import pytest

from helpers.catalogue import CONDITIONS
from helpers.experiments import run_notebook

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

INTRODUCTION, SPEED = "00_how_controlnet_works", "11_faster"

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

SPELLINGS = {
    "ControlNet": r"control[- ]?net",
    "OpenPose": r"open[- ]?pose",
    "Stable Diffusion": r"stable[- ]?diffusion",
    "UNet": r"u[- ]?net",
    "M-LSD": r"m[- ]?lsd",
    "ADE20K": r"ade[- ]?20[- ]?k",
    "OpenCV": r"open[- ]?cv",
}
"""Terms and what else they are written as, in any case."""

SECTIONS = [
    "What you will learn",
    "Setup",
    "The condition",
    "The mathematics",
    "From photo to control image",
    "Generate",
    "Did it follow?",
    "Turn the knobs",
    "When it fails",
    "Exercises",
    "Summary",
    "What next",
    "References",
]


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each code cell printed, without measured seconds."""
    texts = [
        "".join(output.text for output in cell.outputs if output.output_type == "stream")
        for cell in code_cells(notebook)
    ]
    return [re.sub(r"\b\d+\.\d s\b", "... s", text) for text in texts]


def cells_before_networks(notebook: nbformat.NotebookNode) -> int:
    """How many code cells come before the first network is loaded; all, if none is."""
    sources = [cell.source for cell in code_cells(notebook)]
    loading = (n for n, source in enumerate(sources) if re.search("load_(annotator|pipe)", source))
    after_imports = (n for n in loading if not sources[n].startswith(("import", "from")))
    return next(after_imports, len(sources))


def approx(numbers: list[float]) -> object:
    """What networks draw and read differs a little from processor to processor."""
    return pytest.approx(numbers, rel=0.03, abs=0.03)


def test_there_is_a_notebook_for_each_condition_one_before_them_and_one_about_speed():
    assert NOTEBOOKS
    names = {INTRODUCTION, SPEED, *(row.notebook for row in CONDITIONS.values())}
    assert {path.stem for path in NOTEBOOKS} == names


@notebooks
def test_a_notebook_runs_prints_what_is_stored_in_it_and_its_sliders_reach_their_ends(
    path, tmp_path
):
    longer = read(path)
    sliders = "explore(" in "".join(cell.source for cell in code_cells(longer))
    if sliders:
        source = "from helpers.widgets import try_extremes\n\nassert try_extremes() >= 3"
        longer.cells.append(nbformat.v4.new_code_cell(source))
    nbformat.write(longer, tmp_path / path.name)
    run = run_notebook(tmp_path / path.name, output=tmp_path / "executed.ipynb")
    ran, stored = printed(run.notebook)[: -1 if sliders else None], printed(read(path))
    exact = cells_before_networks(read(path))
    assert ran[:exact] == stored[:exact], "store the outputs anew: make outputs"
    for now, then in zip(ran[exact:], stored[exact:], strict=True):
        assert NUMBER.split(now) == NUMBER.split(then), "store the outputs anew: make outputs"
        numbers = [float(number) for number in NUMBER.findall(then)]
        assert [float(number) for number in NUMBER.findall(now)] == approx(numbers)


@notebooks
def test_stored_outputs_come_from_one_clean_run(path):
    notebook = read(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 1_000_000


@notebooks
def test_every_figure_says_in_words_what_it_shows(path):
    for cell in code_cells(read(path)):
        for output in cell.outputs:
            for kind in set(output.get("data", {})) & {"image/png", "image/jpeg"}:
                alt = output.metadata[kind]["alt"]
                assert len(alt.split()) >= 8, alt


@notebooks
def test_parameters_are_in_one_cell_and_each_is_explained(path):
    tagged = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert re.fullmatch(r"\w+ = .+  # .+", line), line


@notebooks
def test_cells_are_short_and_explained(path):
    notebook = read(path)
    lengths = [
        sum(bool(line.strip()) for line in cell.source.splitlines())
        for cell in code_cells(notebook)
    ]
    assert max(lengths) <= 25
    kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in notebook.cells)
    assert "ccc" not in kinds.removeprefix(kinds[: kinds.index("c") + 2]), "three cells in a row"
    for cell in code_cells(notebook):
        assert max(map(len, cell.source.splitlines())) <= 79


@pytest.mark.parametrize("row", CONDITIONS.values(), ids=lambda row: row.name)
def test_the_notebook_of_a_condition_has_the_same_sections_as_all_others(row):
    prose = markdown(read(ROOT / "notebooks" / f"{row.notebook}.ipynb"))
    assert re.findall(r"^## (.+)$", prose, re.MULTILINE) == SECTIONS
    assert prose.startswith(f"# {row.notebook[:2]} · {row.title}\n")


@notebooks
def test_a_notebook_promises_what_can_be_learnt_and_what_it_takes(path):
    prose = markdown(read(path))
    assert re.match(rf"# {path.stem[:2]} · .+\n\n> ", prose)
    assert len(re.findall(r"^- \*\*\w+", prose, re.MULTILINE)) >= 3, "three promises, verbs first"
    assert "**Before you start.**" in prose
    assert "**Time and hardware.**" in prose


@notebooks
def test_three_exercises_have_folded_solutions_that_assert(path):
    notebook = read(path)
    solutions = [
        cell for cell in code_cells(notebook) if "solution" in cell.metadata.get("tags", [])
    ]
    assert len(solutions) == 3
    for number, cell in enumerate(solutions, start=1):
        assert cell.source.startswith(f"# Solution {number}")
        assert "assert" in cell.source
        assert cell.metadata["jupyter"]["source_hidden"] is True


@notebooks
def test_references_are_numbered_and_cited(path):
    text, references = markdown(read(path)).split("## References")
    numbers = [int(number) for number in re.findall(r"^(\d)\. ", references, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not re.search(r"^ +\d{2,}\. ", references, re.MULTILINE), "would be a list of its own"
    prose = re.sub(r"\$+[^$]+\$+|`[^`]+`", "", text)
    groups = re.findall(r"\[(\d(?:, \d)*)\]", prose)
    cited = {int(number) for group in groups for number in group.split(",")}
    assert cited
    assert cited <= set(numbers)


@notebooks
def test_every_displayed_formula_is_followed_by_a_cell_that_evaluates_it(path):
    cells = read(path).cells
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "$$" in cell.source:
            following = (other for other in cells[number:] if other.cell_type == "code")
            assert "assert" in "".join(other.source for other in islice(following, 3)), cell.source


@notebooks
def test_terms_are_spelled_as_the_field_spells_them(path):
    prose = re.sub(r"`[^`]+`|\]\([^)]+\)|https?://\S+|\$[^$]+\$", "", markdown(read(path)))
    for term, written in SPELLINGS.items():
        found = set(re.findall(rf"(?i)(?<![\w/-])(?:{written})(?![\w/])", prose))
        assert found <= {term}, found


@notebooks
def test_links_to_files_lead_somewhere(path):
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
                if not target.startswith("https://"):
                    assert (path.parent / target).exists(), target


@notebooks
def test_a_stored_notebook_names_no_folder_of_a_machine(path):
    text = json.dumps([cell.get("outputs", []) for cell in read(path).cells])
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
