"""Tables in Markdown files that are made from measurements: between two marks, by a command."""

from pathlib import Path


def replace_between(text: str, begin: str, end: str, body: str) -> str:
    """Return a text with what stands between the lines `begin` and `end` replaced.

    Raises:
        ValueError: a mark is missing, or there twice.
    """
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(
            f"expected the marks {begin.strip()!r} and {end.strip()!r} once each, in this order; "
            "put them where the table belongs"
        )
    before, rest = text.split(begin)
    return f"{before}{begin}\n{body}\n{end}{rest.split(end)[1]}"


def update(path: Path, begin: str, end: str, body: str) -> None:
    """Replace what stands between two marks in a file; see `replace_between`."""
    text = replace_between(path.read_text(encoding="utf-8"), begin, end, body)
    path.write_text(text, encoding="utf-8", newline="\n")
