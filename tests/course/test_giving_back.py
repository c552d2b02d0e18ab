"""A kernel gives freed memory back after each cell."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from shira_lab.course.widgets.giving_back import gives_back_after_each_cell


def test_many_apps_have_memory_given_back_once_after_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks: list[tuple[str, Any]] = []
    shell = SimpleNamespace(events=SimpleNamespace(register=lambda *hook: hooks.append(hook)))
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    gives_back_after_each_cell.cache_clear()
    for _ in range(3):
        gives_back_after_each_cell()
    gives_back_after_each_cell.cache_clear()
    assert [event for event, _ in hooks] == ["post_run_cell"] * (sys.platform == "linux")
    for _, give_back in hooks:
        give_back(None)
