"""Tables go between their marks and nowhere else."""

import pytest

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
