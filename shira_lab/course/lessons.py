"""The lessons as files of a learner: copied into a folder of theirs, and never written over."""

import hashlib
import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import nbformat

from shira_lab.adapters.storage.files import read_json, write_atomic
from shira_lab.course.language import ENGLISH, catalogue
from shira_lab.errors import StorageError

FIRST = "01-start-here.ipynb"
#: In the learner's folder: the SHA-256 of each lesson as it was copied, by which a newer one is known.
RECORD = ".lessons.json"


@dataclass(frozen=True)
class Copied:
    """What came of a call of :func:`copy_lessons`: names of files in the folder.

    Attributes:
        new: lessons that were copied.
        newer: lessons of which the package has a newer version; the learner's file stands in its place.
        kept: the learner's files that made room for a newer lesson, under their new names.
    """

    new: list[str] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def lessons() -> list[Path]:
    """The lessons of this version: inside an installed package, or beside it in a checkout.

    Raises:
        StorageError: they are in neither place.
    """
    package = Path(str(files("shira_lab")))
    for folder in (package / "course" / "notebooks", package.parent / "notebooks"):
        if found := sorted(folder.glob("*.ipynb")):
            return found
    raise StorageError(f"the lessons are missing from {package}: install shira-lab again.")


def copy_lessons(folder: Path, take_newer: bool = False, language: str = ENGLISH) -> Copied:
    """Copy the lessons that a folder lacks into it, translated as far as they are. No file there is written over.

    With ``take_newer``, newer versions of lessons come too; the learner's file gets another name.

    Raises:
        StorageError: the folder cannot be written.
        ConfigError: there is no catalogue for the language.
    """
    catalogue(language)
    copied, record = Copied(), folder / RECORD
    known = read_json(record) if record.exists() else {}
    for lesson in lessons():
        content = _content(lesson, language)
        digest, mine = hashlib.sha256(content).hexdigest(), folder / lesson.name
        if mine.exists() and known.get(lesson.name) != digest and mine.read_bytes() != content:
            if not take_newer:
                copied.newer.append(lesson.name)
                continue
            copied.kept.append(_make_room(mine).name)
        if not mine.exists():
            write_atomic(mine, content)
            copied.new.append(lesson.name)
        known[lesson.name] = digest
    write_atomic(record, json.dumps(known, indent=1).encode())
    return copied


def _content(lesson: Path, language: str) -> bytes:
    """The lesson as it is, or translated where the language has it."""
    from shira_lab.course.promised import promised
    from shira_lab.course.translated import in_language

    if language == ENGLISH or lesson.stem not in promised(language):
        return lesson.read_bytes()
    return nbformat.writes(in_language(nbformat.read(lesson, as_version=4), language)).encode()


def _make_room(path: Path) -> Path:
    """Rename a file to the first name of its kind that is free: lesson.mine.ipynb, lesson.mine2.ipynb and so on."""
    number = 1
    while (free := path.with_suffix(f".mine{number if number > 1 else ''}{path.suffix}")).exists():
        number += 1
    return path.rename(free)
