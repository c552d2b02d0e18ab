"""Mark right and wrong answers to the exercises with nbgrader and Otter-Grader, and compare with what they deserve.

    make graders                                        every exercise, with both tools (an hour on two slow cores)
    python scripts/graders.py --tool nbgrader 4 10      two lessons, with one of them

All exercises stand in one sheet. It is handed in with the solutions, with the stubs, and with wrong answers of each
kind: nothing returned, each line of the solution left as the stub has it, and right for the inputs of the check alone.
What an answer deserves is what the two tests say of it by itself, outside of any tool. Those that never end are left
out. Needs signals (Linux, macOS).
"""

import argparse
import ast
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, NoReturn

import nbformat

from shira_lab.course.exercises import EXERCISES, Exercise
from shira_lab.course.handout import sheets
from shira_lab.course.handout.lesson import Task, find_lessons
from shira_lab.course.handout.marking import hidden, visible
from shira_lab.course.handout.points import points_of
from shira_lab.course.handout.write import NBGRADER_CONFIG

NAME, SEED = "course", 7
#: An answer whose tests take longer never ends.
SECONDS = 90
#: Code by the name of the exercise that it answers.
HandIn = dict[str, str]
Points = dict[str, float]


def wrong_answers(exercise: Exercise) -> list[str]:
    """One of each kind."""
    tree = ast.parse(exercise.stub)
    tree.body[-1].body = [ast.Pass()]
    answers = [ast.unparse(tree), *exercise.nearly]
    if isinstance(exercise.solution, FunctionType):
        answers.append(_right_for_the_check_alone(exercise))
    return answers


def _right_for_the_check_alone(exercise: Exercise) -> str:
    """An answer that gives nothing while the hidden test looks at it."""
    return f"""{exercise.answer}


def {exercise.name}(*given, right={exercise.name}, **named):
    from traceback import walk_stack
    if any(frame.f_code.co_name == "hidden" for frame, _ in walk_stack(None)):
        return None
    return right(*given, **named)"""


class NeverEndsError(KeyboardInterrupt):
    """Nothing that looks at answers takes it for an error of theirs."""


def _stop(*_: Any) -> NoReturn:
    raise NeverEndsError


@cache
def deserved(name: str, code: str) -> int:
    """The points of an answer that stands among the names of the exercise's module.

    Raises:
        NeverEndsError: it takes longer than :data:`SECONDS`.
    """
    exercise = EXERCISES[name]
    names = dict(vars(sys.modules[exercise.solution.__module__]))
    exec(code, names)
    earned = 0
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS)
    try:
        for test, worth in zip((visible, lambda answer: hidden(answer, SEED)), points_of(exercise), strict=True):
            try:
                test(names[name])
                earned += worth
            except AssertionError:
                pass
    finally:
        signal.alarm(0)
    return earned


def _ends(name: str, code: str) -> bool:
    try:
        deserved(name, code)
    except NeverEndsError:
        return False
    return True


def hand_ins(exercises: list[Exercise]) -> dict[str, HandIn]:
    """By the name of who hands them in; the wrong ones of an exercise begin anew where another one has more."""
    made = {
        "solutions": {exercise.name: exercise.answer for exercise in exercises},
        "stubs": {exercise.name: exercise.stub for exercise in exercises},
    }
    wrong = {one.name: [code for code in wrong_answers(one) if _ends(one.name, code)] for one in exercises}
    most = max(map(len, wrong.values()))
    rounds = zip(*(islice(cycle(answers), most) for answers in wrong.values()), strict=True)
    made |= {f"wrong-{number}": dict(zip(wrong, codes, strict=True)) for number, codes in enumerate(rounds, start=1)}
    return made


def filled(released: Path, tasks: list[Task], codes: HandIn, out: Path) -> Path:
    """What was released, with these answers in the cells of the stubs."""
    notebook, stubs = nbformat.read(released, as_version=4), {task.exercise.stub: task.exercise.name for task in tasks}
    for cell in notebook.cells:
        if (name := stubs.get(cell.source.strip())) is not None:
            cell.source = codes[name]
    out.parent.mkdir(parents=True)
    nbformat.write(notebook, out)
    return out


def call(*command: str, folder: Path) -> None:
    """Run one of a tool's commands, whose words are shown where it fails."""
    ran = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{ran.stdout}\n{ran.stderr}")


def with_nbgrader(lesson: Any, handed_in: dict[str, HandIn], folder: Path) -> dict[str, Points]:
    from nbgrader.api import Gradebook

    (folder / "source" / NAME).mkdir(parents=True)
    (folder / "nbgrader_config.py").write_text(NBGRADER_CONFIG)
    nbformat.write(sheets.sheet(lesson, sheets.for_nbgrader, SEED), folder / "source" / NAME / f"{NAME}.ipynb")
    call("nbgrader", "generate_assignment", NAME, folder=folder)
    released = folder / "release" / NAME / f"{NAME}.ipynb"
    for who, codes in handed_in.items():
        filled(released, lesson.tasks, codes, folder / "submitted" / who / NAME / f"{NAME}.ipynb")
        print(f"nbgrader: {who} ...", flush=True)
        call("nbgrader", "autograde", NAME, "--student", who, folder=folder)
    found = dict[str, Points]()
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        for who in handed_in:
            points = found[who] = Points()
            for grade in book.find_submission_notebook(NAME, NAME, who).grades:
                name = grade.name.rpartition("-")[0]
                points[name] = points.get(name, 0) + grade.auto_score
    return found


def with_otter(lesson: Any, handed_in: dict[str, HandIn], folder: Path) -> dict[str, Points]:
    sheet = sheets.sheet(lesson, sheets.for_otter, SEED)
    sheet.cells.insert(0, sheets.otter_config(lesson, kept=False))
    nbformat.write(sheets.numbered(sheet, NAME), folder / f"{NAME}.ipynb")
    call("otter", "assign", f"{NAME}.ipynb", "dist", folder=folder)
    [grader] = (folder / "dist" / "autograder").glob("*.zip")
    released, found = folder / "dist" / "student" / f"{NAME}.ipynb", dict[str, Points]()
    for who, codes in handed_in.items():
        path = filled(released, lesson.tasks, codes, folder / who / f"{NAME}.ipynb")
        print(f"otter: {who} ...", flush=True)
        call("otter", "run", "-a", str(grader), "-o", str(path.parent), "--no-logo", str(path), folder=folder)
        tests = json.loads((path.parent / "results.json").read_text())["tests"]
        found[who] = {test["name"]: test["score"] for test in tests if "max_score" in test}
    return found


TOOLS: dict[str, Callable[[Any, dict[str, HandIn], Path], dict[str, Points]]] = {
    "nbgrader": with_nbgrader,
    "otter": with_otter,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Mark right and wrong answers with the tools that a class may use.")
    parser.add_argument("lessons", nargs="*", default=["all"], metavar="LESSON", help="by name or number; default: all")
    parser.add_argument("--tool", choices=TOOLS, action="append", help="default: both")
    asked = parser.parse_args()
    tasks = [task for lesson in find_lessons(asked.lessons) for task in lesson.tasks]
    exercises = [task.exercise for task in tasks]
    lesson = SimpleNamespace(name=NAME, title="The course", tasks=tasks)
    handed_in = hand_ins(exercises)
    should = {who: {name: deserved(name, code) for name, code in codes.items()} for who, codes in handed_in.items()}
    faults = [
        f"{one.name} of {who} deserves {should[who][one.name]} of {sum(points_of(one))}"
        for one in exercises
        for who in handed_in
        if not _is_fair(who, should[who][one.name], sum(points_of(one)))
    ]
    print("exercise", *handed_in, sep="\t")
    for one in exercises:
        print(one.name, *(should[who][one.name] for who in handed_in), sep="\t", flush=True)
    for tool in asked.tool or TOOLS:
        with tempfile.TemporaryDirectory(prefix=f"{tool}-") as folder:
            found = TOOLS[tool](lesson, handed_in, Path(folder))
        faults += [
            f"{tool} gives {one.name} of {who} {found[who].get(one.name)} points, and not {should[who][one.name]}"
            for one in exercises
            for who in handed_in
            if found[who].get(one.name) != should[who][one.name]
        ]
        print(f"{tool}: {len(handed_in)} hand-ins of {len(exercises)} exercises")
    print(*faults or ["All have what they deserve."], sep="\n")
    return bool(faults)


def _is_fair(who: str, earned: float, worth: float) -> bool:
    """All for a solution, nothing for a stub, and never all for a wrong answer."""
    return {"solutions": earned == worth, "stubs": earned == 0}.get(who, earned < worth)


if __name__ == "__main__":
    sys.exit(main())
