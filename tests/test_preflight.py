"""Whoever cannot install the lab learns why, in one sentence and before anything long starts."""

import ast
from collections import namedtuple
from pathlib import Path

import preflight
import pytest
import torch_source

Usage = namedtuple("Usage", "total used free")


def test_an_old_python_is_told_which_one_to_install() -> None:
    assert preflight.python_is_new_enough((3, 10, 12)) == (
        "This is Python 3.10, and shira-lab needs 3.11 or newer: install one and name it, "
        "for example `make lab PYTHON=python3.11`."
    )
    assert preflight.python_is_new_enough((3, 11, 0)) is None


def test_an_old_python_can_read_the_file_that_says_so() -> None:
    ast.parse(Path(preflight.__file__).read_text(encoding="utf-8"), feature_version=(3, 7))


def test_a_python_without_venv_is_told_the_package() -> None:
    assert preflight.python_can_make_environments({"venv": "found"}.get) == (
        "This Python has no ensurepip module: on Debian and Ubuntu run `apt-get install python3-venv`, "
        "elsewhere install Python from python.org."
    )
    assert preflight.python_can_make_environments({"venv": "found", "ensurepip": "found"}.get) is None


def test_a_full_disk_is_told_the_room_that_is_needed() -> None:
    assert preflight.disk_has_room(2_500_000_000) == (
        "Only 2.5 GB are free on this disk, and the environment with its downloads needs 4 GB: "
        "make room, or work on another disk."
    )
    assert preflight.disk_has_room(4_000_000_000) is None


def test_a_problem_stops_the_set_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**9))
    assert preflight.main() == 1
    assert capsys.readouterr().err.startswith("Only 1.0 GB are free")


def test_the_cpu_index_is_added_only_where_pip_would_bring_cuda() -> None:
    assert torch_source.options(["torch", "filelock", "sympy"]) == []
    assert torch_source.options(["torch", "nvidia-cublas", "triton"]) == [
        "--extra-index-url",
        "https://download.pytorch.org/whl/cpu",
    ]
