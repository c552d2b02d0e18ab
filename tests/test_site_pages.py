"""What the site is made of: every public name, lessons that say what takes a kernel, and docstrings as plain text."""

import importlib
import inspect
import json
import re
from html import unescape
from pathlib import Path

import nbformat
import peft
import pytest
from links import ROOT
from nbformat import NotebookNode
from rooms import FILES
from site_apps import PAGES
from site_lessons import STILL, prepared
from site_reference import IN_PEFT, as_rst, names, pages, public

import shira_lab
from shira_lab.course.exercises import EXERCISES
from shira_lab.course.pages.build import APPS
from shira_lab.course.widgets.still import HINT

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    return pages()


def test_every_module_that_names_what_it_offers_is_public() -> None:
    packages = [name for name, path in FILES.items() if path.name == "__init__.py"]
    assert {name for name in packages if hasattr(importlib.import_module(name), "__all__")} <= set(public())


@pytest.mark.parametrize("module", public())
def test_no_public_name_is_missing(module: str, reference: dict[str, str]) -> None:
    shown = re.findall(r"^\.\. auto(?:class|function|data):: \S+\.(\w+)$", reference[module], re.MULTILINE)
    assert shown == names(module) and set(getattr(importlib.import_module(module), "__all__", ())) <= set(shown)
    assert f"{module} <{module}>" in reference["index"]


def test_what_is_said_of_peft_is_there() -> None:
    named = {path for note in IN_PEFT.values() for path in re.findall(r"``(peft\.[\w.]+)``", note)}
    for path in named:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path
    assert {name for name in shira_lab.__all__ if hasattr(peft, name)} <= IN_PEFT.keys()


def test_each_class_of_the_library_says_what_is_the_same_in_peft(reference: dict[str, str]) -> None:
    for module in ("shira_lab", "shira_lab.layers", "shira_lab.adapters.tuner"):
        classes = [name for name in names(module) if inspect.isclass(getattr(importlib.import_module(module), name))]
        assert reference[module].count("**In PEFT:**") >= len(classes)


def test_a_docstring_keeps_its_signs_and_its_code() -> None:
    said = "The k largest |W|, by m_ * n; `a|b`, ``c*d`` and :func:`e_`.\n\n>>> 2 * 3 | 1\n7"
    assert as_rst(said) == said.replace("|W|", r"\|W\|").replace("m_ *", r"m\_ \*")


# ---- lessons --------------------------------------------------------------------------------------------------------


def shown(lesson: NotebookNode) -> str:
    """The texts of all cells, and what they show as HTML."""
    outputs = (output.get("data", {}) for cell in lesson.cells for output in cell.get("outputs", []))
    return "\n".join([*(cell.source for cell in lesson.cells), *(data.get("text/html", "") for data in outputs)])


def stored(path: Path) -> NotebookNode:
    return prepared(nbformat.read(path, as_version=4), path.name)


@every_lesson
def test_an_exercise_has_its_hint_and_its_solution_folded(path: Path) -> None:
    before, after = nbformat.read(path, as_version=4), stored(path)
    asked = [name for cell in before.cells for name in re.findall(r"^check\((\w+)\)$", cell.source, re.MULTILINE)]
    for name in asked:
        [cell] = [cell for cell in after.cells if f"`check({name})` takes a kernel" in cell.source]
        hint, solution = re.findall(r"<details>(.*?)</details>", cell.source, re.DOTALL)
        assert "Not yet." in hint and EXERCISES[name].answer in solution


@every_lesson
def test_what_takes_a_kernel_says_so(path: Path) -> None:
    lesson = stored(path)
    assert 'id="with-a-kernel"' in lesson.cells[1].source and f'href="{path.name}"' in lesson.cells[1].source
    before, after = (shown(notebook) for notebook in (nbformat.read(path, as_version=4), lesson))
    assert HINT in before and HINT not in after and "<style>" not in after
    assert STILL in after or 'class="shira-app"' in after
    assert "YourProgress" in before and "YourProgress" not in after


@every_lesson
def test_each_figure_is_a_picture_with_a_text(path: Path) -> None:
    for cell in stored(path).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            assert not any("plotly" in kind for kind in data)
            assert "image/png" not in data or cell.metadata["mystnb"]["image"]["alt"].startswith("Figure: ")


@every_lesson
def test_an_app_moves_where_it_does_not_need_a_kernel(path: Path) -> None:
    lesson = stored(path)
    places = re.findall(r'<div class="shira-app" data-app="(\w+)"', shown(lesson))
    assert places
    last = lesson.cells[-1].source
    assert last.endswith('<script defer src="../apps/apps.js"></script>')
    assert [name for name in ("masks", "trainings") if f"../apps/{name}.js" in last] == [
        data for data, apps in (("masks", "MaskExplorer MaskOverlap MaskPainter"), ("trainings", "FineTuneLab"))
        if set(apps.split()) & set(places)
    ]  # fmt: skip


def test_every_app_stands_on_a_page_without_a_lesson() -> None:
    assert sorted(app for _, apps in PAGES.values() for app in apps) == sorted(APPS)


@every_lesson
def test_a_prediction_on_a_page_has_its_own_answer_also_while_others_wait(path: Path) -> None:
    lesson = prepared(nbformat.read(path, as_version=4), path.name)
    contents = [json.loads(unescape(found)) for found in re.findall(r'data-content="([^"]*)"', shown(lesson))]
    asked = [content for content in contents if content]
    assert len(asked) == sum(cell.source.count("= Prediction(") for cell in lesson.cells if cell.cell_type == "code")
    assert all(content["answer"] in content["options"] for content in asked)
