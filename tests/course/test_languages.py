"""Every text of what a language promises is there, and only texts change."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import nbformat
import pytest

from shira_lab.cli import main
from shira_lab.course import language, progress
from shira_lab.course.handout.lesson import find_lessons
from shira_lab.course.language import ENGLISH, LOCALE, catalogue, languages, tr, use_language
from shira_lab.course.promised import missing, of_lesson, of_package, promised
from shira_lab.course.translated import in_language, texts
from shira_lab.course.widgets import Prediction
from shira_lab.errors import ConfigError

OTHERS = [code for code in languages() if code != ENGLISH]
TRANSLATED = [(code, lesson) for code in OTHERS for lesson in find_lessons(promised(code))]
every_language = pytest.mark.parametrize("code", OTHERS)
every_translation = pytest.mark.parametrize(
    ("code", "lesson"), TRANSLATED, ids=[f"{c}-{lesson.name}" for c, lesson in TRANSLATED]
)


@pytest.fixture(autouse=True)
def in_english_again() -> Iterator[None]:
    yield
    use_language(ENGLISH)


@every_language
def test_no_text_of_the_package_is_missing_or_stale(code: str) -> None:
    assert missing(code, of_package()) == []


@every_translation
def test_no_text_of_a_lesson_is_missing_or_stale(code: str, lesson: Any) -> None:
    assert missing(code, of_lesson(lesson)) == []


def test_there_is_a_whole_lesson_in_german() -> None:
    assert "01-start-here" in promised("de")


def test_a_text_that_changed_or_waits_for_a_translator_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shira_lab.course.promised.LOCALE", tmp_path)
    entries = ['msgid "here"\nmsgstr "hier"', '#, fuzzy\nmsgid "changed"\nmsgstr "vorher"', 'msgid "new"\nmsgstr ""']
    (tmp_path / "de.po").write_text("\n\n".join(entries))
    assert missing("de", ["here", "changed", "new", "unknown"]) == ["changed", "new", "unknown"]


def fields(text: str) -> set[tuple[str | None, str | None, str | None]]:
    return {field[1:] for field in Formatter().parse(text) if field[1] is not None}


@every_language
def test_a_translation_has_the_places_of_its_text_for_values(code: str) -> None:
    known = catalogue(code)
    wrong = [text for text in of_package() if fields(known.gettext(text)) != fields(text)]
    assert wrong == [] and fields("{ones:,} of {all!r}") == {("ones", ",", None), ("all", "", "r")}


def code_of(cell: Any) -> str:
    """The cell's code with every text made the same; what an f-string computes stays."""
    tree = compile(cell.source, "cell", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            node.values = [value for value in node.values if not isinstance(value, ast.Constant)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


@every_translation
def test_a_translated_lesson_has_the_same_cells_and_the_same_code(code: str, lesson: Any) -> None:
    translated = in_language(lesson.notebook, code).cells
    assert [cell.id for cell in translated] == [cell.id for cell in lesson.notebook.cells]
    before = [cell for cell in lesson.notebook.cells if cell.cell_type == "code"]
    after = [cell for cell in translated if cell.cell_type == "code"]
    chooses = f'from shira_lab.course.language import use_language\n\nuse_language("{code}")\n\n'
    assert after[0].source.startswith(chooses)
    after[0].source = after[0].source.removeprefix(chooses)
    assert list(map(code_of, after)) == list(map(code_of, before))
    assert not any(cell.outputs for cell in after)


@every_translation
def test_links_formulas_and_code_in_prose_stay(code: str, lesson: Any) -> None:
    kept = re.compile(r"\]\([^)]*\)|\$[^$]+\$|`[^`]+`")
    for before, after in zip(lesson.notebook.cells, in_language(lesson.notebook, code).cells, strict=True):
        if before.cell_type == "markdown":
            assert sorted(kept.findall(after.source)) == sorted(kept.findall(before.source)), before.id


def test_what_a_learner_reads_in_code_is_found() -> None:
    cell = nbformat.v4.new_code_cell(
        'é = "größer"; x = {"one": 1}  # a remark in words\n'
        'print(f"é, {x} entries trained")  # noqa: F401\n'
        'guess = Prediction("How many?", {"few": "They are few."})\n'
        'load("embedded"), guess.compare("few")'
    )
    found = [text.text for text in texts(cell) if text.in_code]
    assert found == ['f"é, {x} entries trained"', "# a remark in words"]
    assert [text.text for text in texts(cell) if not text.in_code] == ["How many?", "few", "They are few.", "few"]
    assert all(cell.source[text.start : text.end].strip('"') == text.text.strip('"') for text in texts(cell))


def test_an_answer_in_german_is_kept_as_in_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "mine.json"))
    use_language("de")
    guess = Prediction("Which?", {"all 192": "3,072 scattered", "about 8": "few"})
    assert [label for label, _ in guess.choices.options] == ["alle 192", "etwa 8"]
    guess.choices.value = "all 192"
    guess.commit_button.click()
    guess.compare("all 192")
    assert "Gut vorhergesagt. Die Antwort: alle 192." in guess.reply.value
    assert [(one.committed, one.right) for one in progress.kept().predictions] == [("all 192", True)]


def test_the_lab_copies_what_is_translated_and_the_rest_in_english(tmp_path: Path) -> None:
    assert main(["lab", str(tmp_path), "--language", "de", "--only-copy"]) == 0
    first, second = (nbformat.read(tmp_path / lesson.path.name, as_version=4) for lesson in find_lessons(["1", "2"]))
    assert first.cells[0].source.startswith("# Die ganze Idee")
    assert second == find_lessons(["2"])[0].notebook


def test_a_language_that_is_not_there_is_named_and_nothing_is_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", str(tmp_path / "lessons"), "--language", "xx", "--only-copy"]) == 2
    assert "There is no language 'xx'; there are de, en." in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    with pytest.raises(ConfigError):
        use_language("xx")
    assert tr("Well done!") == "Well done!"


def test_a_text_without_a_translation_stays_english() -> None:
    use_language("de")
    assert tr("What nobody has said, {times} times", times=2) == "What nobody has said, 2 times"
    assert language.VARIABLE == "SHIRA_LAB_LANGUAGE" and (LOCALE / "de.po").exists()
