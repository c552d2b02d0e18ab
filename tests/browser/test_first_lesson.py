"""The first lesson in a real browser: it runs, its controls move, its buttons work, and nothing leaves the machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab_server import ROOT
from lesson import Lesson
from playwright.sync_api import Locator, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NAME = "01-start-here.ipynb"
SECONDS = 1000
INKED = """canvas => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, place) => place % 4 === 0 && value === 0).length;
}"""


@pytest.fixture(scope="module", autouse=True)
def first_lesson(lesson: Lesson, lab_address: str) -> None:
    cells = nbformat.read(ROOT / "notebooks" / NAME, as_version=4).cells
    lesson.open(lab_address.format(NAME), sum(cell.cell_type == "code" for cell in cells))
    lesson.run_all()


@pytest.fixture(autouse=True)
def picture(request: pytest.FixtureRequest, lesson: Lesson, pictures: Path | None) -> Iterator[None]:
    yield
    if pictures:
        lesson.page.screenshot(path=pictures / f"{request.node.name}.png")


@pytest.fixture
def explorer(lesson: Lesson) -> Locator:
    app = lesson.cell_of("explorer = MaskExplorer")
    app.scroll_into_view_if_needed()
    return app


@pytest.fixture
def lab(lesson: Lesson) -> Locator:
    app = lesson.cell_of("lab = FineTuneLab").locator(".jupyter-widgets.widget-vbox").first
    app.get_by_role("button", name="Run").scroll_into_view_if_needed()
    return app


def test_all_cells_run_without_a_traceback_or_a_warning(lesson: Lesson) -> None:
    assert lesson.tracebacks() == []


def test_no_figure_is_empty(lesson: Lesson) -> None:
    figures = lesson.page.locator(".js-plotly-plot")
    expect(figures).to_have_count(2)
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        assert figure.locator(".scatterlayer .trace path.js-line").count() > 0
    for canvas in lesson.page.locator("canvas.shira-mask:visible").all():
        assert canvas.evaluate(INKED) > 0
    expect(lesson.page.locator("svg path.line:visible")).not_to_have_count(0)


def test_dragging_r_redraws_the_mask(explorer: Locator, lesson: Lesson) -> None:
    slider, canvas = explorer.get_by_label("r", exact=True), explorer.locator("canvas")
    before = canvas.evaluate(INKED)
    box = slider.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    lesson.page.mouse.move(box["x"] + box["width"] * 0.1, middle)
    lesson.page.mouse.down()
    lesson.page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=10)
    lesson.page.mouse.up()
    expect(explorer.get_by_role("status")).not_to_contain_text("r(m + n) = 8 *")
    assert canvas.evaluate(INKED) > before


def test_the_arrow_keys_move_r(explorer: Locator) -> None:
    slider = explorer.get_by_label("r", exact=True)
    slider.focus()
    value = int(slider.input_value())
    slider.press("ArrowRight")
    expect(explorer.get_by_role("status")).to_contain_text(f"r(m + n) = {value + 1} *")


def test_choosing_another_mask_redraws_it(explorer: Locator) -> None:
    explorer.get_by_label("mask_type").select_option("row_col")
    expect(explorer.get_by_role("table")).to_contain_text("rank of a random delta here")
    expect(explorer.locator("canvas")).to_have_attribute("aria-label", re.compile("^Mask of a 192 x 192 weight"))


def test_pictures_and_controls_have_names(lesson: Lesson) -> None:
    nameless = lesson.page.locator(
        ".jp-OutputArea :is(input, select, button, canvas, svg.shira-spectrum):not([aria-label]):not([id]):not([title])"
    )
    assert nameless.evaluate_all("all => all.filter(one => !one.closest('label') && !one.textContent.trim())") == []


def test_run_tells_a_new_text_and_stop_keeps_it(lab: Locator) -> None:
    lab.get_by_label("mask_type").select_option("random")
    lab.get_by_role("button", name="Run").click()
    expect(lab.get_by_role("button", name="Run")).to_be_disabled()
    expect(lab.get_by_label("mask_type")).to_be_disabled()
    expect(lab.locator("summary")).to_have_text("all texts on the way (2)", timeout=120 * SECONDS)
    lab.get_by_role("button", name="Stop").click()
    expect(lab.get_by_role("status").first).to_contain_text("Stopped after", timeout=30 * SECONDS)
    expect(lab.locator("section").last).to_contain_text("Once there was")


def test_switching_the_adapter_off_brings_the_old_text_back(lab: Locator) -> None:
    lab.get_by_label("adapter off").check()
    expect(lab.get_by_role("status").last).to_contain_text("identical: True", timeout=30 * SECONDS)
    before, now = (text.split("\n", 1)[1] for text in lab.locator("section").all_inner_texts())
    assert before == now


def test_every_control_moves(lesson: Lesson) -> None:
    lesson.move_every_control()
    assert lesson.tracebacks() == []


def test_the_page_is_as_wide_as_the_screen(lesson: Lesson) -> None:
    assert lesson.too_wide() == []


def test_nothing_complained_and_nothing_left_the_machine(lesson: Lesson) -> None:
    assert lesson.complaints == []
