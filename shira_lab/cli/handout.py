"""``shira-lab handout`` and ``shira-lab grade``: lessons for a class, and marks for what it hands in."""

import argparse
import secrets
from pathlib import Path

from shira_lab.errors import check_seed


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _add_handout(commands)
    _add_grade(commands)


def _add_handout(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    handout = commands.add_parser(
        "handout",
        help="make lessons for a class: without solutions, with points and hidden tests",
        description="Write lessons for learners without solutions, sheets of exercises with points, visible and hidden "
        "tests, and the teacher's version with notes and solutions. README.md in DIR says how to go on.",
    )
    handout.add_argument("lessons", nargs="+", metavar="LESSON", help="by name or number, or: all")
    handout.add_argument("--format", choices=("plain", "nbgrader", "otter"), default="plain", help="default: plain")
    handout.add_argument("--out", required=True, type=Path, metavar="DIR", help="a folder that is not there yet")
    handout.add_argument("--seed", type=int, help="of the hidden tests' inputs; default: drawn anew")
    handout.add_argument("--show-solutions", action="store_true", help="let learners' lessons show solutions")
    handout.set_defaults(run=run_handout)


def _add_grade(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    grade = commands.add_parser(
        "grade",
        help="mark the sheets of a plain handout",
        description="Run each notebook of a folder, with the code that learners wrote, and mark it.",
    )
    grade.add_argument("handins", type=Path, metavar="HANDINS", help="a folder of notebooks, named after learners")
    grade.add_argument("--lesson", required=True, help="by name or number")
    grade.add_argument("--marking", required=True, type=Path, metavar="FILE", help="marking.json of the handout")
    grade.add_argument("--out", type=Path, metavar="CSV", help="a table with all marks")
    grade.set_defaults(run=run_grade)


def run_handout(asked: argparse.Namespace) -> int:
    from shira_lab.course.handout.lesson import find_lessons
    from shira_lab.course.handout.write import Handout

    seed = secrets.randbelow(2**31) if asked.seed is None else check_seed(asked.seed)
    found = find_lessons(asked.lessons)
    Handout(found, seed, kept=not asked.show_solutions).write(asked.format, asked.out)
    tasks = sum(len(lesson.tasks) for lesson in found)
    print(f"{asked.out}: {len(found)} lessons with {tasks} exercises, for {asked.format}. Go on with README.md there.")
    return 0


def run_grade(asked: argparse.Namespace) -> int:
    from shira_lab.adapters.storage.files import write_atomic
    from shira_lab.course.handout.grade import as_csv, grade
    from shira_lab.course.handout.lesson import find_lessons

    [lesson] = find_lessons([asked.lesson])
    marks = []
    for one in grade(asked.handins, lesson, asked.marking):
        marks.append(one)
        print(f"{one.learner}: {one.total}", *(f"  {name}: {why}" for name, why in one.said.items()), sep="\n")
    if asked.out:
        write_atomic(asked.out, as_csv(marks).encode())
    return 0
