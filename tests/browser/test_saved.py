"""What a learner leaves and comes back to: a page reloaded, a kernel that is gone, a notebook opened the next day."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ipywidgets
import nbformat
import pytest
from lab_server import jupyter_lab
from lesson import Lesson
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, expect

from shira_lab.course.widgets.still import HINT, Still

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NAME = "kept.ipynb"
SECONDS = 1000
CELLS = {
    "set-up": """
from torch import nn
from shira_lab.course.exercises import check
from shira_lab.course.exercises.fine_tune import trainable_parameters
from shira_lab.course.widgets import FineTuneLab, MaskExplorer, Prediction
model = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 48))""",
    "explorer": "(explorer := MaskExplorer(model, r=2))",
    "lab": '(lab := FineTuneLab(method="lora", r=1, steps=4, eval_every=2, show=("r",)))',
    "train": "lab.run(); tuned = await lab.finished()",
    "verdict": "check(trainable_parameters)",
    "question": '(guess := Prediction("How many?", {"few": "They are counted.", "many": "There is room."}))',
    "answer": 'guess.compare("many")',
}


@dataclass
class Kept:
    """The notebook in the page and in its file."""

    lesson: Lesson
    address: str
    path: Path

    def cell(self, name: str) -> Locator:
        return self.lesson.cells.nth(list(CELLS).index(name))

    def live(self, name: str) -> Locator:
        return self.cell(name).locator(".jp-OutputArea-child:visible .jupyter-widgets.widget-vbox").first

    def still(self, name: str) -> Locator:
        return self.cell(name).locator(".shira-still")

    def open(self) -> None:
        self.lesson.page.goto("about:blank")
        self.lesson.open(self.address, len(CELLS))

    def save(self) -> list[str]:
        """Save; the HTML of every output in the file."""
        before = self.path.read_text()
        self.lesson.page.keyboard.press("Escape")
        self.lesson.page.keyboard.press("Control+s")
        while (text := self.path.read_text()) in ("", before):
            self.lesson.page.wait_for_timeout(200)
        cells = nbformat.reads(text, as_version=4).cells
        return [one.data["text/html"] for cell in cells for one in cell.outputs if "text/html" in one.get("data", {})]

    def kernel(self, command: str) -> None:
        self.lesson.page.get_by_role("menuitem", name="Kernel", exact=True).click()
        self.lesson.page.get_by_role("menuitem", name=re.compile(f"^{command}")).first.click()


@pytest.fixture(scope="module")
def kept(lesson: Lesson, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    notebooks = tmp_path_factory.mktemp("notebooks")
    cells = [new_code_cell(source.strip(), id=name) for name, source in CELLS.items()]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), notebooks / NAME)
    with jupyter_lab(notebooks, tmp_path_factory.mktemp("home")) as address:
        kept = Kept(lesson, address.format(NAME), notebooks / NAME)
        kept.open()
        lesson.run_all()
        yield kept


def test_while_the_kernel_lives_its_view_is_shown_and_the_still_is_not(kept: Kept) -> None:
    assert kept.lesson.tracebacks() == []
    for name in ("explorer", "lab"):
        expect(kept.live(name)).to_be_visible()
        expect(kept.still(name)).to_be_hidden()


def test_plain_keys_in_an_app_are_its_own_and_those_with_ctrl_are_jupyterlabs(kept: Kept) -> None:
    menu, cells = kept.cell("explorer").locator("select").first, kept.lesson.cells.count()
    menu.focus()
    for key in ("ArrowDown", "m", "b", "d", "d"):
        kept.lesson.page.keyboard.press(key)
    expect(menu).to_have_value("magnitude")
    kept.cell("question").get_by_label("few").press("m")
    expect(kept.lesson.cells).to_have_count(cells)
    menu.select_option("random")
    before = kept.path.read_text()
    menu.press("Control+s")
    while kept.path.read_text() in ("", before):
        kept.lesson.page.wait_for_timeout(200)


def test_an_answer_waits_for_the_commit_and_then_says_why_while_all_cells_have_run(kept: Kept) -> None:
    question, answer = kept.cell("question"), kept.cell("answer")
    expect(answer.locator("summary:visible")).to_contain_text("The answer waits for your prediction.")
    expect(answer.locator("details:visible")).not_to_have_attribute("open", "")
    question.get_by_label("few").check()
    question.get_by_role("button", name="Commit").click()
    said = "You predicted: few. They are counted. The answer: many. There is room."
    expect(question.get_by_role("status")).to_have_text(said)
    expect(answer.locator("p:visible")).to_have_text(said)


def test_what_was_seen_last_is_in_the_file(kept: Kept) -> None:
    slider = kept.cell("explorer").get_by_label("r", exact=True)
    slider.focus()
    slider.press("ArrowRight")
    expect(kept.live("explorer").get_by_role("status")).to_contain_text("r(m + n) = 3 *")
    kept.lesson.page.wait_for_timeout(3 * SECONDS)
    explorer, lab, verdict, question, answer = kept.save()
    assert "r(m + n) = 3 *" in explorer and "data:image/png;base64" in explorer
    assert "Finished after 4 steps" in lab and "data:image/svg+xml;base64" in lab
    assert "Well done!" in verdict
    assert "◉ few" in question and "You predicted: few." in question and "There is room." in answer
    assert kept.path.stat().st_size < 1_000_000


def test_a_page_that_is_reloaded_shows_what_the_kernel_knows(kept: Kept) -> None:
    before = kept.live("lab").locator("svg path.line").evaluate_all("all => all.map(one => one.getAttribute('d'))")
    kept.open()
    after = kept.live("lab").locator("svg path.line")
    expect(after).to_have_count(len(before))
    assert after.evaluate_all("all => all.map(one => one.getAttribute('d'))") == before
    expect(kept.live("explorer").get_by_label("r", exact=True)).to_have_value("3")
    expect(kept.live("explorer").get_by_role("status")).to_contain_text("r(m + n) = 3 *")


def test_on_a_small_screen_the_charts_of_a_run_stand_side_by_side(kept: Kept) -> None:
    kept.lesson.page.set_viewport_size({"width": 1024, "height": 640})
    boxes = [kept.live("lab").get_by_label(f"{what}:").bounding_box() for what in ("loss", "ranks")]
    kept.lesson.page.set_viewport_size({"width": 1280, "height": 800})
    left, right = boxes
    assert left and right and left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]


def test_an_app_whose_kernel_was_restarted_says_how_to_go_on(kept: Kept) -> None:
    kept.kernel("Restart Kernel…")
    kept.lesson.page.locator(".jp-Dialog .jp-mod-accept").click()
    for name in ("explorer", "lab"):
        expect(kept.still(name)).to_be_visible(timeout=60 * SECONDS)
        expect(kept.still(name)).to_contain_text(HINT)
        expect(kept.cell(name).locator(".jp-OutputArea-child:visible")).to_have_count(1)


def test_the_next_day_the_last_pictures_and_texts_are_there(kept: Kept) -> None:
    kept.kernel("Shut Down Kernel")
    kept.open()
    for name, text in (("explorer", "r(m + n) = 3 *"), ("lab", "Finished after 4 steps")):
        expect(kept.still(name)).to_contain_text(text)
        expect(kept.still(name).locator("img").first).to_be_visible()
        expect(kept.cell(name).locator(".jp-OutputArea-child:visible")).to_have_count(1)
    expect(kept.cell("verdict")).to_contain_text("Well done!")
    expect(kept.still("answer")).to_contain_text("You predicted: few.")
    expect(kept.lesson.page.get_by_text("model not found").locator("visible=true")).to_have_count(0)


def test_beside_a_live_view_in_vs_code_the_still_hides(kept: Kept) -> None:
    html = Still(ipywidgets.Label("seen"), lambda: "").bundle()["text/html"]
    live = '<div class="output_container"><div class="jupyter-widgets">live</div></div>'
    for view, visible in ((live, False), ("", True)):
        kept.lesson.page.set_content(
            f'<div class="cell_container"><div class="output_container">{html}</div>{view}</div>'
        )
        expect(kept.lesson.page.get_by_text("seen")).to_be_visible(visible=visible)
