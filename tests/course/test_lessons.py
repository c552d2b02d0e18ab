"""A learner's copies of the lessons are theirs: nothing writes over them, and a newer lesson is only offered."""

from pathlib import Path

import pytest

from shira_lab.cli import main
from shira_lab.course import lessons as module
from shira_lab.course.lessons import FIRST, Copied, copy_lessons, lessons
from shira_lab.errors import StorageError

NAMES = [lesson.name for lesson in lessons()]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small lessons in the place of those of the package."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("1.ipynb", "2.ipynb"):
        (folder / name).write_text(f"{name}, first version")
    monkeypatch.setattr(module, "lessons", lambda: sorted(folder.glob("*.ipynb")))
    return folder


def content(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.glob("*.ipynb")}


def test_all_lessons_are_copied_as_they_are(tmp_path: Path) -> None:
    assert copy_lessons(tmp_path / "mine").new == NAMES and NAMES[0] == FIRST
    assert all((tmp_path / "mine" / lesson.name).read_bytes() == lesson.read_bytes() for lesson in lessons())
    assert copy_lessons(tmp_path / "mine") == Copied()


def test_what_a_learner_wrote_is_kept(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    copy_lessons(mine)
    (mine / "1.ipynb").write_text("my solution")
    (mine / "2.ipynb").unlink()
    for take_newer in (False, True):
        copied = copy_lessons(mine, take_newer)
        assert copied.newer == copied.kept == []
    assert content(mine) == {"1.ipynb": "my solution", "2.ipynb": "2.ipynb, first version"}


def test_a_newer_lesson_is_offered_and_comes_only_when_asked_for(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    copy_lessons(mine)
    (mine / "1.ipynb").write_text("my solution")
    (shipped / "1.ipynb").write_text("second version")
    for _ in range(2):
        assert copy_lessons(mine) == Copied(newer=["1.ipynb"])
    assert copy_lessons(mine, take_newer=True) == Copied(new=["1.ipynb"], kept=["1.mine.ipynb"])
    (shipped / "1.ipynb").write_text("third version")
    assert copy_lessons(mine, take_newer=True) == Copied(new=["1.ipynb"], kept=["1.mine2.ipynb"])
    assert content(mine) == {
        "1.ipynb": "third version",
        "1.mine.ipynb": "my solution",
        "1.mine2.ipynb": "second version",
        "2.ipynb": "2.ipynb, first version",
    }
    assert copy_lessons(mine, take_newer=True) == Copied()


def test_a_file_that_was_there_before_is_kept_too(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "1.ipynb").write_text("of somebody else")
    assert copy_lessons(tmp_path) == Copied(new=["2.ipynb"], newer=["1.ipynb"])
    assert content(tmp_path)["1.ipynb"] == "of somebody else"


def test_the_command_says_what_it_did(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine"
    command = ["lab", str(mine), "--only-copy"]
    assert main(command) == 0
    assert capsys.readouterr().out == f"Copied into {mine}: 1.ipynb, 2.ipynb.\n"
    (shipped / "2.ipynb").write_text("second version")
    assert main(command) == 0
    offered = "Newer than yours: 2.ipynb. Yours are kept; --newer takes the new ones beside them.\n"
    assert capsys.readouterr().out == offered
    assert main([*command, "--newer"]) == 0
    assert capsys.readouterr().out == f"Copied into {mine}: 2.ipynb.\nYours are kept as 2.mine.ipynb.\n"


def test_a_folder_that_cannot_be_one_is_refused(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["lab", str(tmp_path / "file"), "--only-copy"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("shira-lab: ") and str(tmp_path / "file") in said and said.count("\n") == 1


def test_a_package_without_its_lessons_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "files", lambda package: tmp_path / package)
    with pytest.raises(StorageError, match=r"the lessons are missing from .*shira_lab: install shira-lab again"):
        lessons()
