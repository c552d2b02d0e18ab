"""Every option of every question has its reason, and no lesson gives the answer away before it is chosen."""

import re

import nbformat
import pytest

from shira_lab.course.lessons import lessons
from shira_lab.course.reasons import reasons, written
from shira_lab.course.standing import contents
from shira_lab.errors import ConfigError


def code(lesson: str) -> str:
    [path] = [path for path in lessons() if path.stem == lesson]
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def test_the_reasons_are_those_of_the_questions_that_the_lessons_ask() -> None:
    assert list(written()) == [question for asked in contents().values() for question in asked.questions]


@pytest.mark.parametrize("question", written())
def test_every_option_has_a_sentence_of_its_own(question: str) -> None:
    whys = reasons(question)
    assert len(whys) >= 3 and len({*whys.values()}) == len(whys)
    assert all(re.fullmatch(r".+\w.+\.", why) for why in whys.values())


@pytest.mark.parametrize("lesson", contents())
def test_no_cell_gives_the_answer_away(lesson: str) -> None:
    source = code(lesson)
    whys = [why for question in contents()[lesson].questions for why in reasons(question).values()]
    assert [why for why in whys if why in source] == []
    calls = re.findall(r"\bguess\w*\.compare\(", source)
    literal = re.findall(r"\bguess\w*\.compare\(\s*f?[\"'][^\"'{]*[\"']\s*\)", source)
    assert calls and literal == []


def test_what_no_lesson_asks_needs_options() -> None:
    with pytest.raises(ConfigError, match=r"^'How many\?' is no question of a lesson; give its options, each with a"):
        reasons("How many?")
