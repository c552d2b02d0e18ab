"""A vote draws the hands that were counted, and keeps the answer until it is asked for."""

from collections.abc import Iterator

import nbformat
import pytest

from shira_lab.course.lessons import lessons
from shira_lab.course.questions import Question, questions
from shira_lab.course.widgets import Vote
from shira_lab.errors import ConfigError

ASKED = (
    Question("How many?", {"one": "Too few.", "two <2>": "As many as that.", "three": "Too many."}, "two <2>"),
    Question("Why?", {"because": "Yes.", "not": "No."}, "because"),
)


@pytest.fixture
def vote() -> Iterator[Vote]:
    app = Vote(ASKED)
    yield app
    app.close()


def drawn(vote: Vote) -> list[str]:
    return [bar.value for _, bar in vote._fields.values()]


def test_each_option_has_a_count_and_a_bar_in_proportion(vote: Vote) -> None:
    for (field, _), hands in zip(vote._fields.values(), (3, 12, 1), strict=True):
        field.value = hands
    assert vote.counts == {"one": 3, "two <2>": 12, "three": 1}
    assert ["width:5.0em" in drawn(vote)[0], "width:20.0em" in drawn(vote)[1]] == [True, True]
    assert "3 hands: one" in drawn(vote)[0] and "1 hand: three" in drawn(vote)[2] and "two &lt;2&gt;" in drawn(vote)[1]
    assert repr(vote) == "Vote: How many? (one: 3, two <2>: 12, three: 1)"


def test_the_answer_is_shown_when_it_is_asked_for_and_not_before(vote: Vote) -> None:
    assert vote._why.value == "" and not any("&#10003;" in bar for bar in drawn(vote))
    vote._reveal.click()
    assert "The answer: two &lt;2&gt;. As many as that." in vote._why.value
    assert ["&#10003;" in bar for bar in drawn(vote)] == [False, True, False]


def test_the_next_question_starts_at_no_hands_and_without_its_answer(vote: Vote) -> None:
    next(iter(vote._fields.values()))[0].value = 5
    vote.reveal()
    vote.place = 1
    assert vote.counts == {"because": 0, "not": 0} and vote._why.value == "" and "Why?" in vote._asked.value


def test_what_is_no_question_is_refused(vote: Vote) -> None:
    with pytest.raises(ConfigError, match="`place=2`: there are 2 questions, from 0"):
        vote.place = 2
    with pytest.raises(ConfigError, match="`questions` is empty"):
        Vote(())


def test_every_prediction_of_every_lesson_can_be_put_to_the_vote() -> None:
    for number, path in enumerate(lessons(), 1):
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        asked = sum(source.count("= Prediction(") for source in cells)
        assert len(questions(number)) == asked
        assert all(question.answer in question.options for question in questions(number))
