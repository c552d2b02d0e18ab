"""Every lesson in a real browser: it runs, each control is moved once, nothing breaks, is empty or calls outside."""

from pathlib import Path

import nbformat
import pytest
import test_build_lesson
import test_first_lesson
import test_masks_lesson
from lab_server import ROOT
from lesson import Lesson

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

#: These have a file of tests of their own, which run them once, too.
ELSEWHERE = {test_first_lesson.NAME, test_masks_lesson.NAME, test_build_lesson.NAME}
LESSONS = sorted({path.name for path in (ROOT / "notebooks").glob("*.ipynb")} - ELSEWHERE)


@pytest.fixture(scope="module", params=LESSONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", autouse=True)
def running(name: str, lesson: Lesson, lab_address: str) -> None:
    cells = nbformat.read(ROOT / "notebooks" / name, as_version=4).cells
    lesson.complaints.clear()
    lesson.open(lab_address.format(name), sum(cell.cell_type == "code" for cell in cells))
    lesson.run_all()


def test_it_runs_without_a_traceback_or_a_warning(lesson: Lesson) -> None:
    assert lesson.tracebacks() == []


def test_no_picture_is_empty(lesson: Lesson, name: str, pictures: Path | None) -> None:
    lesson.check_pictures()
    if pictures:
        for number, output in enumerate(lesson.page.locator(".jp-CodeCell .jp-OutputArea-child").all()):
            if output.is_visible():
                output.screenshot(path=pictures / f"{Path(name).stem}-{number:02}.png")


def test_every_control_moves(lesson: Lesson) -> None:
    lesson.move_every_control()
    assert lesson.tracebacks() == []


def test_the_page_is_as_wide_as_the_screen(lesson: Lesson) -> None:
    assert lesson.too_wide() == []


def test_nothing_complained_and_nothing_left_the_machine(lesson: Lesson) -> None:
    assert lesson.complaints == []
