"""Binder builds the environment that was tested here, and opens it on the first lesson."""

import os
import tomllib
from pathlib import Path

import pytest
from links import badges

ROOT = Path(__file__).parent.parent
BINDER = ROOT / "binder"

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> list[str]:
    lines = (BINDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_binder_takes_its_versions_from_the_constraints_and_torch_from_the_cpu_index() -> None:
    assert requirements() == [
        "--extra-index-url https://download.pytorch.org/whl/cpu",
        "--constraint ../constraints.txt",
        "--editable .[course]",
        "peft",
    ]
    assert (BINDER / "../constraints.txt").is_file()


def test_binder_runs_the_oldest_python_that_the_package_promises() -> None:
    assert (BINDER / "runtime.txt").read_text().strip() == "python-" + PROJECT["requires-python"].removeprefix(">=")


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_what_binder_runs_is_executable(name: str) -> None:
    assert os.access(BINDER / name, os.X_OK)
    assert (BINDER / name).read_text().startswith("#!/usr/bin/env bash\n")


def test_start_hands_over_to_the_command_it_is_given() -> None:
    assert (BINDER / "start").read_text().endswith('exec "$@"\n')


def test_the_badge_opens_the_first_lesson() -> None:
    """Where the repository has an address; README has no badge while it has none (tests/test_links.py)."""
    address = "https://mybinder.org/v2/gh/someone/tales/HEAD?urlpath=lab/tree/notebooks/01-start-here.ipynb"
    assert f"]({address})" in badges("https://github.com/someone/tales")
    assert (ROOT / "notebooks" / "01-start-here.ipynb").is_file()
