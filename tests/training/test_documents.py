"""Real text is read by the document, what is held out shares none with what trains, and tokens are counted."""

import dataclasses
from pathlib import Path

import pytest
from tiny_lm import tiny_lm, tokenizer

from shira_lab.errors import ConfigError, ShiraError
from shira_lab.training.corpus import Tales, Texts, find_corpus
from shira_lab.training.documents import read_documents, split
from shira_lab.training.finetune import finetune
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories
from shira_lab.training.summary import summary

SIZES = {"steps": 2, "batch_size": 4, "eval_every": 1, "eval_stories": 4, "sample_tokens": 4, "max_length": 24}
SHORT = Settings(model="tiny", world="python", r=2, **SIZES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve files that each have words of their own, and one that is no text."""
    for number in range(12):
        (tmp_path / f"part{number:02}.txt").write_text(f"word{number:02} " * 60)
    (tmp_path / "picture.png").write_bytes(b"\xff\xfe\x00")
    return tmp_path


def test_python_brings_its_own_language_reference() -> None:
    what, documents = read_documents("python")
    assert what.startswith("the language reference of Python 3.")
    assert len(documents) > 70 and sum(map(len, documents)) > 300_000


def test_a_document_is_held_out_as_a_whole(folder: Path) -> None:
    corpus = Texts(str(folder), tokenizer(), max_length=16)
    words = {number for number in range(12) if any(f"word{number:02}" in _words(row) for row in corpus.rows)}
    kept = {
        number for number in range(12) if any(f"word{number:02}" in _words(row) for row in corpus.held_out(99).rows)
    }
    assert words | kept == set(range(12)) and not words & kept and kept == {9}


def _words(row: object) -> str:
    return tokenizer().decode(list(row["input_ids"]))  # type: ignore[index]


def test_a_single_file_is_cut_at_its_paragraphs(tmp_path: Path) -> None:
    paragraphs = [f"paragraph {number}" + " and" * 300 for number in range(20)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs))
    _, documents = read_documents(str(tmp_path / "book.txt"))
    assert len(documents) > 2
    assert [p for document in documents for p in document.split("\n\n")] == paragraphs


def test_all_rows_come_once_in_each_epoch_and_in_another_order(folder: Path) -> None:
    corpus = Texts(str(folder), tokenizer(), max_length=16)
    n = len(corpus.rows)

    def epoch(seed: int, number: int) -> list[tuple[int, ...]]:
        return [tuple(corpus.row(seed, number * n + place)["input_ids"]) for place in range(n)]

    rows = sorted(tuple(row["input_ids"]) for row in corpus.rows)
    assert sorted(epoch(0, 0)) == sorted(epoch(0, 1)) == sorted(epoch(1, 0)) == rows
    assert epoch(0, 0) != epoch(0, 1) and epoch(0, 0) != epoch(1, 0) and epoch(0, 0) == epoch(0, 0)
    assert all(2 <= len(row) <= 16 for row in rows)


def test_the_tokens_are_counted_in_words(folder: Path) -> None:
    corpus = Texts(str(folder), tokenizer(), max_length=16)
    tokens = sum(len(row["input_ids"]) for row in corpus.rows)
    kept = sum(len(row["input_ids"]) for row in corpus.held_out(10**6).rows)
    assert corpus.about == (
        f"{folder}, 12 files: 11 documents with {tokens:,} tokens to train on, in rows of 16, and 1 documents with "
        f"{kept:,} tokens held out"
    )


def test_a_run_on_real_text_has_no_floor_and_says_what_it_read() -> None:
    history = finetune(tiny_lm(), tokenizer(), SHORT, on_event=lambda _: None).history
    assert history.status == "finished" and {point.floor for point in history.evals} == {0.0}
    rows = dict(summary(history, 0))
    assert "floor" not in rows and "excess" not in rows and rows["texts"] == history.texts
    assert history.texts.startswith("the language reference of Python") and "tokens held out" in history.texts


def test_parts_of_a_batch_and_checkpointing_learn_what_the_whole_batch_learns() -> None:
    """Up to rounding: the model has no dropout here, and rows of one length."""
    model = tiny_lm()
    model.config.dropout = 0.0
    for layer in model.model.decoder.layers:
        layer.dropout = 0.0
    model.model.decoder.dropout = 0.0

    def losses(**changes: object) -> list[float]:
        run = finetune(model, tokenizer(), dataclasses.replace(SHORT, **changes), on_event=lambda _: None)
        run.model.unload()
        return [point.loss for point in run.history.steps]

    whole = losses()
    assert losses(gradient_accumulation_steps=4) == pytest.approx(whole, rel=1e-2)
    assert losses(gradient_checkpointing=True) == pytest.approx(whole, rel=1e-5)


def test_a_world_is_found_before_a_file_of_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "sea").write_text("not this")
    assert isinstance(find_corpus("sea", tokenizer(), 16), Tales)
    assert len(Stories(SHORT, tokenizer())) == 8


def test_what_is_no_text_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(name: Path | str) -> str:
        with pytest.raises(ShiraError) as error:
            find_corpus(str(name), tokenizer(), 16)
        return str(error.value)

    assert refusal("mars") == (
        "there is no world 'mars', and no text file or folder of that name; the worlds are 'meadow', 'sea', 'space', "
        "'almanac', 'inventory', 'python'"
    )
    assert refusal(tmp_path).startswith(f"{tmp_path}, 0 files holds 0 documents, and it takes one to train on and one")
    (tmp_path / "latin.txt").write_bytes("Übermut".encode("latin-1"))
    assert refusal(tmp_path) == f"{tmp_path}/latin.txt is no text in UTF-8: save it as one, or leave it out."
    monkeypatch.setattr("shira_lab.training.documents.MOST_BYTES", 3)
    assert refusal(tmp_path).startswith("the text is 7 bytes long, more than the 3 bytes that are read at most")
    with pytest.raises(ConfigError, match="`gradient_accumulation_steps` is 3, and so many parts cannot share"):
        dataclasses.replace(SHORT, gradient_accumulation_steps=3)
    with pytest.raises(ConfigError, match="`max_length` should be at least 2"):
        dataclasses.replace(SHORT, max_length=1)


def test_of_two_documents_one_is_held_out() -> None:
    assert split(["a", "b"], "two") == (["a"], ["b"])
