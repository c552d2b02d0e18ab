"""``shira-lab progress``: what a learner did in the lessons, and what a class did."""

import argparse
from pathlib import Path


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    progress = commands.add_parser(
        "progress",
        help="show your progress in the lessons, or that of a class",
        description="Show what you predicted, tried and passed in the lessons. It is kept in one file on this machine; "
        "the variable SHIRA_LAB_PROGRESS names another one, or is off.",
    )
    progress.add_argument(
        "--hand-in", type=Path, metavar="NAME.json", help="copy your file under your name, to hand in"
    )
    progress.add_argument("--collect", type=Path, metavar="DIR", help="make the page of a class from files in a folder")
    progress.add_argument("--out", type=Path, default=Path("class"), metavar="DIR", help="of the page; default: class")
    progress.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    if asked.collect:
        return _collect(asked.collect, asked.out)
    from shira_lab.adapters.storage.files import write_atomic
    from shira_lab.course.progress import VARIABLE, file, kept
    from shira_lab.course.standing import in_words
    from shira_lab.errors import StorageError

    path, found = file(), kept()
    if path is None:
        print(f"Nothing is kept: {VARIABLE} is off.")
        return 0
    print(in_words(found))
    print(f"Kept in {path}, on this machine alone; delete the file to forget it.")
    if asked.hand_in:
        if not path.exists():
            raise StorageError(f"There is nothing to hand in yet: {path} comes with the first check or prediction.")
        if asked.hand_in.exists():
            raise StorageError(f"{asked.hand_in} is there already: name another file. Nothing was written.")
        write_atomic(asked.hand_in, path.read_bytes())
        print(f"Hand in {asked.hand_in}.")
    return 0


def _collect(folder: Path, out: Path) -> int:
    from shira_lab.adapters.storage.files import write_atomic
    from shira_lab.course.classroom import as_csv, as_page, collect

    learners = collect(folder)
    write_atomic(out / "class.html", as_page(learners).encode())
    write_atomic(out / "class.csv", as_csv(learners).encode())
    print(*learners.problems, f"{len(learners.learners)} learners: {out / 'class.html'}, {out / 'class.csv'}", sep="\n")
    return 0
