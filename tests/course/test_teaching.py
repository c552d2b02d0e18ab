"""Each lesson has its teacher's notes: every heading filled, and the minutes of the lesson."""

import re
from pathlib import Path

import pytest

from shira_lab.course.handout.lesson import Lesson, find_lessons
from shira_lab.course.handout.notes import notes_of

FOLDER = Path(__file__).parents[2] / "docs" / "teaching"
HEADINGS = (
    "After this lesson, learners can",
    "What they need before",
    "Minutes",
    "The one idea",
    "Ask before you show",
    "Where people stumble",
    "In 45 minutes",
    "Without a network",
)
TABLE = re.compile(r"^\| part \|.*\n(?:\|.*\n?)+", re.MULTILINE)
every_lesson = pytest.mark.parametrize("lesson", find_lessons(["all"]), ids=lambda lesson: lesson.name)


def parts(lesson: Lesson) -> dict[str, str]:
    """The sections of the notes by their headings."""
    _, *sections = re.split(r"^## (.+)\n", notes_of(lesson.name), flags=re.MULTILINE)
    return dict(zip(sections[::2], sections[1::2], strict=True))


def prose(lesson: Lesson) -> str:
    return "\n".join(cell.source for cell in lesson.notebook.cells if cell.cell_type == "markdown")


@every_lesson
def test_a_lesson_has_notes_with_every_heading_filled(lesson: Lesson) -> None:
    found = parts(lesson)
    assert tuple(found) == HEADINGS
    assert all(text.strip() for text in found.values())
    assert notes_of(lesson.name).startswith(f"# Lesson {int(lesson.name[:2])}: notes for teachers\n")


@every_lesson
def test_parts_and_minutes_are_those_of_the_lesson(lesson: Lesson) -> None:
    of_the_lesson, of_the_notes = (TABLE.findall(text) for text in (prose(lesson), parts(lesson)["Minutes"]))
    assert of_the_notes and of_the_notes == of_the_lesson


@every_lesson
def test_a_question_comes_with_answers_that_one_will_hear(lesson: Lesson) -> None:
    questions = re.split(r"^\*\*", parts(lesson)["Ask before you show"], flags=re.MULTILINE)[1:]
    assert len(questions) >= 2
    assert all(re.search(r"^- \*“.+”\* .+", question, re.MULTILINE) for question in questions)


@every_lesson
def test_a_long_number_in_the_notes_stands_in_the_lesson(lesson: Lesson) -> None:
    """Numbers of three figures or more, and those with decimals, are read off the lesson, not remembered."""
    cells = lesson.notebook.cells
    printed = " ".join(
        "".join(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for cell in cells
        for output in cell.get("outputs", [])
    )
    known = printed + " ".join(cell.source for cell in cells)
    text = "".join(parts(lesson)[name] for name in ("The one idea", "Ask before you show", "Where people stumble"))
    said = re.findall(r"(?<![\d.,])\d[\d,]*\.\d+|(?<![\d.,])\d[\d,]{2,}\d*", text)
    missing = [number for number in said if number not in known and number.replace(",", "") not in known]
    assert missing == []


def test_the_plan_of_a_lecture_takes_ninety_minutes() -> None:
    rows = re.findall(r"^\| (\d+) \|", (FOLDER / "one-lecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sum(map(int, rows)) == 90


def test_the_plan_of_six_weeks_has_every_lesson_once_and_six_weeks() -> None:
    rows = re.findall(
        r"^\| (\d) \| (.+?) \| (.+?) \|", (FOLDER / "six-weeks.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [int(week) for week, *_ in rows] == [1, 2, 3, 4, 5, 6]
    given = sorted(int(n) for _, *cells in rows for cell in cells for n in re.findall(r"(?:^|; )(\d+),", cell))
    assert given == [int(lesson.name[:2]) for lesson in find_lessons(["all"])]
