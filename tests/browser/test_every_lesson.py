"""Every lesson in a real browser: it runs, each control is moved once, nothing breaks, is empty or calls outside."""

from pathlib import Path

import nbformat
import pytest
from lab_server import ROOT
from lesson import Lesson
from playwright.sync_api import ElementHandle, TimeoutError, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
CONTROLS = ".jp-OutputArea :is(input[type=range], input[type=number], input[type=checkbox], select):not([disabled])"
COLOURS = """canvas => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
}"""
MARKS = "svg => svg.querySelectorAll('polyline, path, rect, circle, line').length"


@pytest.fixture(scope="module", params=LESSONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def running(name: str, lesson: Lesson, lab_address: str) -> None:
    cells = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
    lesson.complaints.clear()
    lesson.open(lab_address.format(name), sum(cell.cell_type == "code" for cell in cells))
    lesson.run_all()


def move(control: ElementHandle) -> None:
    """Another value, by the keyboard for what has one: the next option, a step up, the other state."""
    kind = control.evaluate("node => node.type")
    if kind == "select-one":
        options, chosen = control.query_selector_all("option"), control.evaluate("node => node.selectedIndex")
        control.select_option(index=(chosen + 1) % len(options))
    elif kind == "checkbox":
        control.click()
    else:
        control.focus()
        control.press("ArrowUp")
        if kind == "number":
            control.press("Enter")


def test_it_runs_without_a_traceback_or_a_warning(lesson: Lesson) -> None:
    assert lesson.tracebacks() == []


def test_no_picture_is_empty(lesson: Lesson, name: str, pictures: Path | None) -> None:
    for figure in lesson.page.locator(".js-plotly-plot").all():
        figure.scroll_into_view_if_needed()
        expect(figure.locator(":is(.scatterlayer .trace, .heatmaplayer .hm, .barlayer .point)").first).to_be_attached()
    for canvas in lesson.page.locator(".jp-OutputArea canvas:visible").all():
        assert canvas.evaluate(COLOURS) > 1
    for plot in lesson.page.locator(".jp-OutputArea svg[role=img]").all():
        assert plot.evaluate(MARKS) > 1
    if pictures:
        for number, output in enumerate(lesson.page.locator(".jp-CodeCell .jp-OutputArea-child").all()):
            if output.is_visible():
                output.screenshot(path=pictures / f"{Path(name).stem}-{number:02}.png")


def test_every_control_moves(lesson: Lesson) -> None:
    # The elements themselves, not their places in the page: one control may show, hide or disable others.
    for control in lesson.page.locator(CONTROLS).element_handles():
        if control.is_visible() and control.is_enabled():
            try:
                control.scroll_into_view_if_needed()
                move(control)
            except TimeoutError:
                movable = control.is_visible() and control.is_enabled()
                assert not movable, f"{control.evaluate('node => node.outerHTML')} does not move"
    expect(lesson.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible(timeout=60_000)
    assert lesson.tracebacks() == []


def test_the_page_is_as_wide_as_the_screen(lesson: Lesson) -> None:
    wide = lesson.page.locator(".jp-OutputArea-child").evaluate_all(
        "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent.slice(0, 80))"
    )
    assert wide == []


def test_nothing_complained_and_nothing_left_the_machine(lesson: Lesson) -> None:
    assert lesson.complaints == []
