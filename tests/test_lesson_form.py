"""Each lesson says what one will be able to do, after what, and in how many minutes; last it asks two questions."""

import re
from pathlib import Path

import nbformat
from test_notebooks_stored import FOLDED, NUMBERS, START, TABLE, WORDS_A_MINUTE, every_notebook

EXERCISE = re.compile(r"Your turn \((?:easy|medium|hard), (\d+) minutes\)")
ROW = re.compile(r"^\| (.+?) \|(?:.*\|)? (\d+) \|$", re.MULTILINE)
TOGETHER = re.compile(r"^\| \*\*together\*\* \|.* \*\*(\d+)\*\* \|$", re.MULTILINE)
QUESTIONS = "Two questions without a button"
CLOSING = ("What you have learned", QUESTIONS)
#: A bar ends a cell of a table, also inside of |g|, unless it is escaped.
BAR = re.compile(r"(?<!\\)\|")
COUNTS = ("", "one", "two", "three", *NUMBERS)
COUNTED = re.compile(r"\b(\w+) (exercises|predictions)\b")
#: The minutes that the longest exercise of a lesson takes at least.
WORTH = 10


def opening(path: Path) -> str:
    """The prose before the first code."""
    cells = nbformat.read(path, as_version=4).cells
    first = next(number for number, cell in enumerate(cells) if cell.cell_type == "code")
    return "\n\n".join(cell.source for cell in cells[:first])


def parts(path: Path) -> dict[str, str]:
    """The prose under each heading."""
    prose = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    pieces = re.split(r"^## (.+)$", "\n\n".join(prose), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def minutes_of(heading: str, prose: str) -> float:
    """An exercise takes the minutes that its heading names; what else there is is read aloud."""
    exercise = EXERCISE.search(heading)
    words = len(TABLE.sub("", START.sub("", FOLDED.sub("", prose))).split())
    return int(exercise[1]) if exercise else words / WORDS_A_MINUTE


@every_notebook
def test_a_lesson_begins_with_what_one_will_be_able_to_do_and_what_it_builds_on(path: Path) -> None:
    said = opening(path)
    assert re.search(r"^\*\*After this lesson you can\*\* \w+", said, re.MULTILINE)
    assert re.search(r"^\*\*Before it:\*\* \S", said, re.MULTILINE)


@every_notebook
def test_the_minutes_of_each_part_are_enough_for_it_and_add_up(path: Path) -> None:
    promised = {name.replace(r"\|", "|"): int(minutes) for name, minutes in ROW.findall(opening(path))}
    needed: dict[str, float] = {}
    for heading, prose in parts(path).items():
        if heading not in CLOSING:
            row = next((name for name in promised if re.match(rf"{re.escape(name)}(?!\w)", heading)), None)
            assert row, f"no row of the table is about '{heading}'"
            needed[row] = needed.get(row, 0) + minutes_of(heading, prose)
    assert needed.keys() == promised.keys()
    assert {name: minutes for name, minutes in needed.items() if minutes > promised[name]} == {}
    assert TOGETHER.findall(opening(path)) == [str(sum(promised.values()))]


@every_notebook
def test_each_row_of_a_table_has_as_many_cells_as_its_head(path: Path) -> None:
    for prose in [opening(path), *parts(path).values()]:
        for table in re.findall(r"(?:^\|.*\|$\n?)+", prose, re.MULTILINE):
            head, *rows = table.splitlines()
            assert [row for row in rows if len(BAR.findall(row)) != len(BAR.findall(head))] == []


@every_notebook
def test_the_opening_counts_the_exercises_and_predictions_that_there_are(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    minutes = [int(found) for cell in cells for found in re.findall(rf"^## .*{EXERCISE.pattern}", cell.source, re.M)]
    there = {"exercises": len(minutes), "predictions": sum(cell.source.count("= Prediction(") for cell in cells)}
    said = opening(path)
    counted = [(what, word) for word, what in COUNTED.findall(said) if word.lower() in COUNTS]
    assert counted == [(what, word) for what, word in counted if COUNTS[there[what]] == word.lower()]
    assert set(re.findall(r"the exercises (\d+)", said)) <= {str(sum(minutes))}


@every_notebook
def test_a_lesson_ends_with_two_questions_that_have_no_button(path: Path) -> None:
    last = nbformat.read(path, as_version=4).cells[-1].source
    assert last.startswith(f"## {QUESTIONS}\n")
    asked = re.findall(r"^\d\. (.+?\?.*?)(?=^\d\. |\Z)", last, re.MULTILINE | re.DOTALL)
    assert len(asked) == 2 and all(question.rstrip().endswith("?") for question in asked)


@every_notebook
def test_a_lesson_has_an_exercise_worth_the_time(path: Path) -> None:
    assert max(int(found[1]) for found in map(EXERCISE.search, parts(path)) if found) >= WORTH
