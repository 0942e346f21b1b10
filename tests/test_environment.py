"""pyproject.toml, requirements.txt and environment.yml tell one story; this machine follows it."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from environment import environment_yml, pinned_versions, read

PYPROJECT = read("pyproject.toml")
REQUIREMENTS = read("requirements.txt")
ENVIRONMENT = read("environment.yml")


def declared() -> list[Requirement]:
    project = tomllib.loads(PYPROJECT)["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for line in sum(extras, project["dependencies"])]


def test_environment_yml_is_what_make_pins_writes():
    assert environment_yml(PYPROJECT, REQUIREMENTS) == ENVIRONMENT


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_declared_package_has_a_pin_in_its_range(requirement):
    line = pinned_versions(REQUIREMENTS)[canonicalize_name(requirement.name)]
    pin = Requirement(line)
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert requirement.specifier.contains(exact.version)
    assert f'"{line}"' in ENVIRONMENT


def test_every_line_of_the_lock_is_an_exact_pin():
    for line in REQUIREMENTS.splitlines():
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9a-z.+]+( ; .+)?", line), line


@pytest.mark.parametrize("text", [PYPROJECT, REQUIREMENTS, ENVIRONMENT])
def test_no_pin_names_a_host_or_a_folder(text):
    assert "://" not in text
    assert not re.search(r"--(index|extra-index|find-links)", text)
    assert not re.search(r"[\s=\"']/\w+/", text)


def test_every_direct_package_says_why_it_is_there():
    lines = [line for line in ENVIRONMENT.splitlines() if '- "' in line]
    assert len(lines) == len({requirement.name for requirement in declared()})
    pins = yaml.safe_load(ENVIRONMENT)["dependencies"][-1]["pip"][2:]
    assert len(pins) == len(lines)
    for pin in pins:
        assert Requirement(pin).specifier, pin
    for line in lines:
        assert re.search(r"# \w.{5,}", line), line


def test_one_distribution_provides_cv2():
    providers = importlib.metadata.packages_distributions()["cv2"]
    assert set(providers) == {"opencv-python-headless"}, (
        f"{providers} write the same folder; uninstall all of them, "
        "then install opencv-python-headless"
    )
    opencv = [name for name in pinned_versions(REQUIREMENTS) if "opencv" in name]
    assert opencv == ["opencv-python-headless"]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_what_is_installed_is_in_the_declared_range(requirement):
    if requirement.marker and not requirement.marker.evaluate():
        pytest.skip(f"not for this platform: {requirement.marker}")
    installed = importlib.metadata.version(requirement.name)
    assert requirement.specifier.contains(installed, prereleases=True)


def run_quietly(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "", "an import is noisy"
    return result.stdout


def test_all_packages_import_together_without_a_word():
    code = (
        "import torch, torchvision, diffusers, transformers, accelerate, cv2, matplotlib\n"
        "import ipywidgets, papermill, jupyterlab\n"
        "from helpers.runtime import import_controlnet_aux\n"
        "print('detectors:', import_controlnet_aux().OpenposeDetector.__name__)\n"
    )
    assert run_quietly(code) == "detectors: OpenposeDetector\n"


def test_xformers_fits_the_torch_and_brings_its_kernels():
    marker = next(one.marker for one in declared() if one.name == "xformers")
    if not marker.evaluate():
        pytest.skip(f"xformers has a wheel only where {marker}")
    code = (
        "import xformers.ops\n"
        "from xformers.ops import fmha\n"
        "from xformers import _cpp_lib\n"
        "assert _cpp_lib._build_metadata is not None, 'xformers was built for another torch'\n"
        "assert fmha.cutlass.FwOp.is_available(), 'no attention kernel of xformers is available'\n"
    )
    run_quietly(code)
