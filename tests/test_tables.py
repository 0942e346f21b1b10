"""Tables go between their marks and nowhere else."""

import pytest

from toybox.card import table
from toybox.manifest import write_manifest
from toybox.tables import replace_between, update

TEXT = "before\n<!-- a -->\n\nold\n\n<!-- b -->\nafter\n"


def test_only_what_stands_between_the_marks_changes():
    once = replace_between(TEXT, "<!-- a -->\n", "<!-- b -->\n", "| new |\n")
    assert once == "before\n<!-- a -->\n\n| new |\n\n<!-- b -->\nafter\n"
    assert replace_between(once, "<!-- a -->\n", "<!-- b -->\n", "| new |\n") == once


@pytest.mark.parametrize(
    "text", ["nothing", TEXT + TEXT, "<!-- b -->\n<!-- a -->\n", TEXT.replace("<!-- b -->\n", "")]
)
def test_marks_that_are_missing_or_there_twice_are_refused(text):
    with pytest.raises(ValueError, match=r"expected the marks '<!-- a -->' and '<!-- b -->'"):
        replace_between(text, "<!-- a -->\n", "<!-- b -->\n", "new")


def test_a_file_is_updated_in_place(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(TEXT)
    update(path, "<!-- a -->\n", "<!-- b -->\n", "new\n")
    assert path.read_text() == TEXT.replace("old", "new")


@pytest.mark.parametrize("learnt_on", [False, True])
def test_the_card_lists_the_parts_there_are(tmp_path, learnt_on):
    (tmp_path / "base/vae").mkdir(parents=True)
    (tmp_path / "base/vae/config.json").write_text("{}")
    facts = {"steps": 3, "batch": 4, "minutes": 0.1, "device": "CPU"}
    parts = ["autoencoder", *(["decoder"] if learnt_on else []), "text-to-image"]
    write_manifest(tmp_path, dict.fromkeys(parts, facts))
    listed = [
        line.split(" | ")[0].removeprefix("| ") for line in table(tmp_path).splitlines()[2:-1]
    ]
    assert listed == parts
