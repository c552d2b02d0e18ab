"""constraints.txt pins everything, to versions that pyproject.toml allows and every promised Python can install."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)
PINS = {
    re.sub(r"[-_.]+", "-", name).lower(): version
    for name, version in PIN.findall((ROOT / "constraints.txt").read_text(encoding="utf-8"))
}
OLDEST_PYTHON = PROJECT["requires-python"].removeprefix(">=") + ".0"

REQUIREMENTS = [
    Requirement(line)
    for line in (*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra))
]


@pytest.mark.parametrize("requirement", [r for r in REQUIREMENTS if r.name != PROJECT["name"]], ids=str)
def test_every_dependency_is_pinned_to_a_version_that_is_allowed(requirement: Requirement) -> None:
    assert requirement.specifier.contains(PINS[requirement.name])


def test_the_oldest_python_that_is_promised_can_install_every_pin() -> None:
    """Some projects leave out the first patch releases of a Python, and Debian ships one of those."""
    refused = {}
    for name in PINS:
        try:
            needs = metadata(name).get("Requires-Python") or ""
        except PackageNotFoundError:
            continue
        if not SpecifierSet(needs).contains(OLDEST_PYTHON) and metadata(name)["Version"] == PINS[name]:
            refused[name] = needs
    assert not refused


def test_the_pins_that_hold_the_widgets_together_are_kept() -> None:
    assert PINS["ipykernel"] == "7.4.0" and PINS["anywidget"] == "0.9.16" and PINS["jsonschema"] == "4.24.1"


def test_no_pin_is_bound_to_one_build_of_torch() -> None:
    assert "+" not in PINS["torch"]
