"""The lesson "Build it" from stub to end in a real browser: each step is tried wrongly once, and then solved."""

import re
from pathlib import Path

import nbformat
import pytest
from lab_server import ROOT
from lesson import TO_RUN, Lesson
from playwright.sync_api import Locator, expect

from shira_lab.course.exercises import EXERCISES
from shira_lab.course.expected import NOT_SO

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

NAME = "12-build-it.ipynb"
#: What a beginner writes first in the place of a line of the solution, and what the check says of it.
FIRST_TRIES = {
    "mask_positions": ("r * (m + n)", "r * m", "the columns count, too."),
    "add_sparse": ("weight.take(positions) + v", "v", "stands v in the place of W + v"),
    "ShiraLinear": ("base_layer.requires_grad_(False)", "base_layer", "weight and bias would train, too"),
    "SparseWeightGrad": ("dy @ add_sparse(weight, positions, v)", "dy @ weight", "dx = dy W leaves S out"),
    "inject": ("    model.requires_grad_(False)\n", "", "embed.weight is not frozen."),
    "train": ("        optimizer.zero_grad()\n", "", "they add up until `optimizer.zero_grad()`."),
    "unload": ("copy.deepcopy(base)", "base", "Merging wrote into W itself"),
    "save": (".to(torch.int32)", "", "shira_indices is torch.int64; PEFT has torch.int32"),
    "LoraLinear": ("torch.zeros(m, r)", "torch.randn(m, r)", "so one of both begins at zero."),
}


@pytest.fixture(scope="module")
def cells() -> list[str]:
    """The sources of the lesson's code cells."""
    found = nbformat.read(ROOT / "notebooks" / NAME, as_version=4).cells
    return [cell.source for cell in found if cell.cell_type == "code"]


@pytest.fixture(scope="module", autouse=True)
def build_lesson(lesson: Lesson, lab_address: str, cells: list[str]) -> None:
    lesson.open(lab_address.format(NAME), len(cells))
    lesson.page.set_default_timeout(20_000)


def run(lesson: Lesson, cell: Locator, source: str | None = None) -> None:
    """Write the source into the cell, where there is one, run it, and wait for the end."""
    prompt = cell.locator(".jp-InputPrompt")
    cell.scroll_into_view_if_needed()
    before = prompt.inner_text()
    if source is not None:
        cell.locator(".cm-content").click()
        lesson.page.keyboard.press("Control+A")
        lesson.page.keyboard.insert_text(source)
    while prompt.inner_text() == before:  # JupyterLab drops the keys while it is still connecting to the kernel
        cell.locator(".cm-content").click()
        lesson.page.keyboard.press("Shift+Enter")
        lesson.page.wait_for_timeout(1000)
    expect(prompt).not_to_have_text(TO_RUN, timeout=240_000)


def test_each_step_is_told_its_mistake_then_solved_and_run_on(
    lesson: Lesson, cells: list[str], pictures: Path | None
) -> None:
    name = ""
    for number, source in enumerate(cells):
        cell = lesson.cells.nth(number)
        name = next((one for one in FIRST_TRIES if EXERCISES[one].stub == source), name)
        if source != f"check({name})":
            run(lesson, cell)
            continue
        exercise, (right, wrong, told) = lesson.cells.nth(number - 1), FIRST_TRIES[name]
        for code, said in (
            (None, EXERCISES[name].stub_says),
            (EXERCISES[name].answer.replace(right, wrong), told),
            (EXERCISES[name].answer, "Well done!"),
        ):
            run(lesson, exercise, code)
            run(lesson, cell)
            expect(cell.locator(".jp-OutputArea")).to_contain_text(said)
            if pictures:
                cell.screenshot(path=pictures / f"{name}-{said[:4].strip()}.png")
    assert lesson.tracebacks() == []


def test_every_step_went_on_with_the_learners_code(lesson: Lesson) -> None:
    said = "\n".join(lesson.page.locator(".jp-OutputArea-output pre").all_inner_texts())
    assert sorted(re.findall(r"On with your (\w+)\.", said)) == sorted(FIRST_TRIES)
    for promise in (
        "the two curves are less than 0.001 apart",
        "every number of the base model is back: True",
        "LoRA: rank 8;",
    ):
        assert promise in said
    assert NOT_SO not in said
    assert said.count("equal logits: True") == 2


def test_the_learners_code_stands_beside_the_packages(lesson: Lesson, pictures: Path | None) -> None:
    page = lesson.cell_of("page = Beside(")
    page.scroll_into_view_if_needed()
    expect(page.locator("table")).to_contain_text("class SparseWeightGrad(torch.autograd.Function)")
    if pictures:
        page.screenshot(path=pictures / "beside.png")


def test_no_picture_is_empty(lesson: Lesson) -> None:
    lesson.check_pictures()


def test_every_control_moves(lesson: Lesson) -> None:
    lesson.move_every_control()
    assert lesson.tracebacks() == []


def test_the_page_is_as_wide_as_the_screen(lesson: Lesson) -> None:
    assert lesson.too_wide() == []


def test_nothing_complained_and_nothing_left_the_machine(lesson: Lesson) -> None:
    assert lesson.complaints == []
