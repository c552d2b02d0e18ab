"""A random walk in a real browser: keys, menus, drags and strokes, and then page, kernel and state say the same.

A longer one: ``SHIRA_LAB_EVENTS=4000 python -m pytest tests/browser/test_random_walk.py``.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab_server import jupyter_lab
from lesson import TO_RUN, Lesson
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

EVENTS = int(os.environ.get("SHIRA_LAB_EVENTS", "150"))
NAME = "walk.ipynb"
KEYS = ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown")
CELLS = {
    "explorer": """
import traceback
from torch import nn
from shira_lab.course.widgets import MaskExplorer, MaskOverlap, MaskPainter
model, raised, shell = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 48)), [], get_ipython()
shell.showtraceback = lambda *_, **__: raised.append(traceback.format_exc())  # of a callback, which no cell would show
(explorer := MaskExplorer(model, r=2))""",
    "overlap": "(overlap := MaskOverlap(model))",
    "painter": "(painter := MaskPainter(model, r=2))",
    "check": """
for app, make in ((explorer, MaskExplorer), (overlap, MaskOverlap), (painter, MaskPainter)):
    again = make(model, **app.state())
    agree = again.picture() == app.picture() and all(c.value == getattr(app, n) for n, c in app.controls.items())
    print(type(app).__name__, "agrees:", agree, app.status.value == again.status.value)
    again.close()
    print(*(f"{name}={control.value}" for name, control in app.controls.items() if hasattr(control, "value")))
print("raised:", raised)""",
}


@pytest.fixture(scope="module")
def page_log(lesson: Lesson, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The notebook, open and run; yields the server's log, where a kernel also writes."""
    notebooks, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    cells = [new_code_cell(source.strip(), id=name) for name, source in CELLS.items()]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), notebooks / NAME)
    with jupyter_lab(notebooks, home) as address:
        lesson.open(address.format(NAME), len(cells))
        lesson.run_all()
        yield home / "server.log"


class Hand:
    """Does something to one control of one app, as a learner does."""

    def __init__(self, lesson: Lesson, dice: random.Random) -> None:
        self.page, self.dice = lesson.page, dice
        self.apps = [lesson.cells.nth(place).locator(".jp-OutputArea") for place in range(3)]
        for app in self.apps:
            expect(app.locator("canvas").first).to_be_visible()
        found = "input[type=range]:enabled, input[type=number]:enabled, input[type=checkbox]:enabled, select:enabled"
        self.found = f"{found}, canvas.shira-paint"

    def act(self) -> None:
        controls = self.dice.choice(self.apps).locator(f":is({self.found}):visible").all()
        control = self.dice.choice(controls)
        kind = control.evaluate("one => one.type || one.tagName")
        if kind == "range":
            self.dice.choice((self.keys, self.drag))(control)
        elif kind == "number":
            control.fill(str(self.dice.choice((0, 7, self.dice.randrange(10_000)))))
            control.press("Tab")
        elif kind == "checkbox":
            control.click()
        elif kind == "select-one":
            control.select_option(index=self.dice.randrange(control.evaluate("one => one.options.length")))
        else:
            self.dice.choice((self.keys, self.drag))(control, ("Space", "Enter"))

    def keys(self, control: Locator, more: tuple[str, ...] = ()) -> None:
        control.focus()
        for _ in range(self.dice.randint(1, 4)):
            self.page.keyboard.press(self.dice.choice(KEYS + more))

    def drag(self, control: Locator, _: tuple[str, ...] = ()) -> None:
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        assert box
        ends = [(box["x"] + self.dice.random() * box["width"], box["y"] + self.dice.random() * box["height"])] * 2
        ends[1] = box["x"] + self.dice.random() * box["width"], ends[0][1]
        self.page.mouse.move(*ends[0])
        self.page.mouse.down()
        self.page.mouse.move(*ends[1], steps=5)
        self.page.mouse.up()


def values_on_the_page(app: Locator) -> dict[str, str]:
    """Every slider and number as the browser has it, by its accessible name."""
    named = app.locator("input[type=range]:visible")
    return {one.get_attribute("aria-label") or "": one.input_value() for one in named.all()}


def test_page_kernel_and_state_agree_after_a_random_walk(lesson: Lesson, page_log: Path) -> None:
    lesson.page.set_default_timeout(10_000)
    hand = Hand(lesson, random.Random("browser"))
    for _ in range(EVENTS):
        hand.act()
    check = lesson.cells.nth(3)
    prompt = check.locator(".jp-InputPrompt")
    before = prompt.inner_text()
    check.locator(".cm-content").click()
    lesson.page.keyboard.press("Shift+Enter")
    expect(prompt).not_to_have_text(before, timeout=60_000)
    expect(prompt).not_to_have_text(TO_RUN, timeout=60_000)
    said = check.locator(".jp-OutputArea-output").inner_text().splitlines()
    assert said[0::2] == [f"{name} agrees: True True" for name in ("MaskExplorer", "MaskOverlap", "MaskPainter")] + [
        "raised: []"
    ]
    for app, line in zip(hand.apps, said[1::2], strict=True):
        on_page = values_on_the_page(app)
        assert on_page and {f"{name}={value}" for name, value in on_page.items()} <= set(line.split())
    assert lesson.complaints == [] and lesson.tracebacks() == []
    assert "Traceback" not in page_log.read_text()
