"""Write environment.yml, the conda way in, from pyproject.toml and requirements.txt.

Run by `make pins`. pyproject.toml says which packages are needed and why; requirements.txt says
which exact versions were chosen together. environment.yml only repeats both.
"""

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent

HEADER = """\
# Made from pyproject.toml and requirements.txt by `make pins`; do not edit.
#
#     conda env create -f environment.yml && conda activate controlnet-tutorial
#
# The packages come from pip, so that conda and `make` install the same files. There is one cv2:
# opencv-python and opencv-python-headless write the same folder and the last one installed wins,
# so only the headless build is listed, which controlnet_aux asks for. Nothing here opens windows.
name: controlnet-tutorial
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
      - --constraint requirements.txt
      - --editable .
"""


def pinned_versions(requirements: str) -> dict[str, str]:
    """Return {normalised name: "name==version ; marker"} for each line of requirements.txt."""
    return {
        canonicalize_name(Requirement(line).name): line
        for line in requirements.splitlines()
        if line and not line.startswith("#")
    }


def direct_requirements(pyproject: str) -> list[tuple[str, str]]:
    """Return (name, reason) for each requirement line of pyproject.toml, in its order."""
    lines = re.findall(r'^    "([A-Za-z0-9_.-]+)[^"]*",\s*(?:# (.*))?$', pyproject, re.MULTILINE)
    return [(canonicalize_name(name), reason) for name, reason in lines]


def environment_yml(pyproject: str, requirements: str) -> str:
    """Return the text of environment.yml."""
    pins = pinned_versions(requirements)
    lines = {}
    for name, reason in direct_requirements(pyproject):
        if name not in lines:
            lines[name] = f'      - "{pins[name]}"'.ljust(56) + f"  # {reason}"
    return HEADER + "\n".join(lines.values()) + "\n"


def read(name: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    text = environment_yml(read("pyproject.toml"), read("requirements.txt"))
    (ROOT / "environment.yml").write_text(text, encoding="utf-8")
