"""What README.md promises is there, and its numbers are those that were measured."""

import re
from pathlib import Path

import pytest

from benchmarks.tables import with_tables
from helpers.catalogue import CONDITIONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_measured_results():
    assert with_tables(README) == README, "run python benchmarks/tables.py"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_leads_somewhere(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_notebook_is_in_the_table(path):
    assert f"(notebooks/{path.name})" in README


@pytest.mark.parametrize("target", re.findall(r"(?:`|^)make (\w+)", README, re.M))
def test_a_command_of_the_text_is_a_target_with_a_line_of_help(target):
    assert re.search(rf"^{target}:.*## \w", MAKEFILE, re.MULTILINE)


def test_all_eight_conditions_are_named():
    for name in CONDITIONS:
        assert name in README


@pytest.mark.parametrize("picture", sorted((ROOT / "images").glob("*.png")), ids=lambda p: p.name)
def test_every_picture_has_its_source(picture):
    assert picture.name in (ROOT / "images/SOURCES.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("alt", re.findall(r"!\[([^\]]*)\]", README))
def test_every_picture_of_the_page_is_described(alt):
    assert len(alt.split()) >= 8
