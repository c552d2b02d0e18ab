"""Stored notebooks are the same after every run, and the exported page needs no network."""

import re
from pathlib import Path

import nbformat
import pytest
from demo import to_html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from run_notebook import run_notebook
from store_notebooks import WIDGET_VIEW, normalise

LOADS = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)\s*=\s*[\"']?(?:https?:)?//", re.IGNORECASE)

CELLS = [
    new_markdown_cell("The adapter adds $W' = W + \\alpha S$, in code `$W$`.\n\n$$k = r(m + n)$$"),
    new_markdown_cell("Next: [masks](02-masks.ipynb). [The paper](https://arxiv.org/abs/2406.13175)."),
    new_code_cell("import plotly.io as pio\npio.renderers.default = 'plotly_mimetype'\nprint('a')\nprint('b')"),
    new_code_cell("import plotly.graph_objects as go\ngo.Figure(go.Scatter(y=[1, 3, 2])).show()"),
    new_code_cell("go.Figure(go.Bar(y=[1, 2])).show()"),
    new_code_cell("import ipywidgets\nipywidgets.IntSlider(value=8, description='r')"),
    new_code_cell("from shira_lab.course.figures.theme import themed\nthemed([], 'A figure', 'x', 'y')"),
    new_code_cell(
        "from torch import nn\nfrom shira_lab.course.widgets import MaskExplorer\n"
        "explorer = MaskExplorer(nn.Sequential(nn.Linear(48, 64)), r=2)\nexplorer"
    ),
    new_code_cell("explorer.r = 3"),
]


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lesson") / "lesson.ipynb"
    nbformat.write(new_notebook(cells=CELLS), path)
    return path


@pytest.fixture(scope="module")
def html(lesson: Path) -> str:
    return to_html(normalise(run_notebook(lesson), lesson.stem), title="A lesson")


def test_two_runs_store_the_same_notebook(lesson: Path) -> None:
    assert normalise(run_notebook(lesson), "lesson") == normalise(run_notebook(lesson), "lesson")


def test_a_stored_widget_keeps_its_text_and_loses_its_random_id(lesson: Path) -> None:
    data = normalise(run_notebook(lesson), "lesson").cells[5].outputs[0].data
    assert WIDGET_VIEW not in data and data["text/plain"] == "IntSlider(value=8, description='r')"


def test_the_page_loads_nothing_from_elsewhere(html: str) -> None:
    assert not LOADS.findall(html)


def test_the_page_carries_plotly_once_and_draws_every_figure(html: str) -> None:
    assert html.count("Plotly.newPlot(") == 3
    assert html.count("* plotly.js v") == 1


def test_a_figure_has_its_text(html: str) -> None:
    assert html.count('<div aria-label="Figure: A figure" role="img">') == 1


def test_an_app_shows_what_it_showed_last_with_all_that_it_had_to_compute(html: str) -> None:
    assert html.count("r(m + n) = 3 * ") == 1 and "r(m + n) = 2 * " not in html
    assert "rank of a random delta here" in html and 'alt=""' not in html


def test_a_link_to_a_lesson_that_is_not_in_the_page_is_text_and_others_lead_on(html: str) -> None:
    assert "Next: masks. " in html and '<a href="https://arxiv.org/abs/2406.13175">' in html


def test_formulas_are_drawn_by_the_browser_and_code_stays_code(html: str) -> None:
    assert html.count("<math") == 2 and "<code>$W$</code>" in html
