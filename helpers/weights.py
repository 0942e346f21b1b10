"""Where the toybox's weights lie, and whether they are still the ones that were trained.

manifest.json beside the weights lists every file with its size and its SHA-256. Before a part is
loaded, its files are compared with that list: a damaged file then has a name, where it would
otherwise be a strange picture.
"""

import hashlib
import json
from pathlib import Path

TOYBOX_WEIGHTS = Path(__file__).resolve().parents[1] / "toybox" / "weights"
MANIFEST = "manifest.json"


def verify_weights(*parts: str, folder: Path = TOYBOX_WEIGHTS) -> None:
    """Raise unless the files of some parts of the weights are exactly those of the manifest.

    Args:
        parts: files or folders below `folder`, such as "base" or "controlnet/canny"; only these
            are read. None means everything.
        folder: that of the weights.

    Raises:
        FileNotFoundError: a file, a part or the manifest is missing.
        ValueError: a file is damaged or not listed, or the manifest cannot be read.
    """
    listed = read_manifest(folder)["files"]
    there = weight_files(folder)
    for part in parts or [""]:
        names = [name for name in sorted({*listed, *there}) if _belongs(name, part)]
        if not names:
            raise FileNotFoundError(
                f"expected a part of the weights such as 'base', got {part!r}, which is neither "
                f"in {folder} nor in its {MANIFEST}; check the name"
            )
        for name in names:
            _verify_file(folder / name, listed.get(name))


def read_manifest(folder: Path) -> dict[str, dict]:
    """Return what manifest.json in `folder` holds, under the keys "files" and "parts".

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not such a list.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected the list of the weights; {_restore(path)}")
    try:
        manifest = json.loads(path.read_bytes())
        files = {
            name: {"bytes": facts["bytes"], "sha256": facts["sha256"]}
            for name, facts in manifest["files"].items()
        }
        return {"files": files, "parts": dict(manifest["parts"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected a list of files with bytes and sha256, but it cannot be read: "
            f"{error!r}; {_restore(path)}"
        ) from error


def weight_files(folder: Path) -> dict[str, Path]:
    """Return the files below `folder`, hidden ones and the manifest left out, by posix name."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: path
        for name, path in sorted(found.items())
        if path.is_file() and name != MANIFEST and not path.name.startswith(".")
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _belongs(name: str, part: str) -> bool:
    return part in ("", name) or name.startswith(f"{part}/")


def _verify_file(path: Path, facts: dict | None) -> None:
    if facts is None:
        raise ValueError(
            f"{path}: expected only files that {MANIFEST} lists, and it is not among them; "
            "move it elsewhere, or list it with `python -m toybox.manifest` if it belongs there"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected a file of {facts['bytes']:,} bytes, found none; {_restore(path)}"
        )
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise ValueError(
            f"{path}: expected {facts['bytes']:,} bytes, got {size:,}; {_restore(path)}"
        )
    if sha256(path) != facts["sha256"]:
        raise ValueError(
            f"{path}: its bytes are not those that {MANIFEST} lists, so it was damaged or "
            f"changed; {_restore(path)}"
        )


def _restore(path: Path) -> str:
    return f'get it back with `git checkout -- "{path}"`, or download the repository again'
