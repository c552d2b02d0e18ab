"""Every lesson in a real browser: it runs, each control is moved once, nothing breaks, is empty or calls outside.

Each training of a lab is stopped after its first steps, and the lesson goes on; nbval runs them whole.
"""

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import test_build_lesson
import test_first_lesson
import test_masks_lesson
from lab_server import ROOT
from lesson import Lesson

from shira_lab.course.expected import NOT_SO

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

#: These have a file of tests of their own, which run them once, too.
ELSEWHERE = {test_first_lesson.NAME, test_masks_lesson.NAME, test_build_lesson.NAME}
LESSONS = sorted({path.name for path in (ROOT / "notebooks").glob("*.ipynb")} - ELSEWHERE)


#: Lessons that expect something of what a lab has trained.
EXPECT = {"05-fine-tune.ipynb", "08-your-own-mask.ipynb"}


#: What stands in a cell in place of a lab's run.
STOPPED = r"""\1.run()
while len(\1.history.steps) < 2:
    await __import__("asyncio").sleep(0.1)
\1.stop()"""


@pytest.fixture(scope="module")
def change_source() -> Callable[[str], str]:
    return lambda source: re.sub(r"(\w*lab)\.run\(\)", STOPPED, source)


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


def test_after_a_stop_it_says_what_is_not_so(lesson: Lesson, name: str) -> None:
    said = lesson.page.locator(".jp-OutputArea", has_text=NOT_SO)
    assert bool(said.count()) == (name in EXPECT)


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
