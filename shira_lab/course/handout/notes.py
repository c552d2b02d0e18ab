"""The teacher's notes of each lesson: inside an installed package, or in docs/teaching of a checkout."""

from importlib.resources import files
from pathlib import Path

from shira_lab.errors import StorageError


def notes_of(lesson: str) -> str:
    """The notes of the lesson of this name, ``01-start-here`` for instance, as Markdown.

    Raises:
        StorageError: they are in neither place.
    """
    package = Path(str(files("shira_lab")))
    for folder in (package / "course" / "teaching", package.parent / "docs" / "teaching"):
        if (found := folder / f"{lesson[:2]}.md").is_file():
            return found.read_text(encoding="utf-8")
    raise StorageError(f"the notes of lesson {lesson} are missing from {package}: install shira-lab again.")
