"""What a run needs is known before it starts; where there is not the memory, what fits is offered instead."""

from pathlib import Path

import pytest
from tiny import tiny_opt
from tiny_lm import save_tiny_lm, tiny_lm, tokenizer

from shira_lab.cli import main
from shira_lab.errors import ShiraError
from shira_lab.training import forecast as module
from shira_lab.training import machine
from shira_lab.training.finetune import finetune
from shira_lab.training.forecast import DoesNotFit, check_fits, forecast
from shira_lab.training.settings import Settings

SHORT = Settings(model="tiny", steps=2, batch_size=4, eval_every=2, eval_stories=2, sample_tokens=4, r=2)


def needs(**changes: object) -> module.Forecast:
    found = forecast(tiny_lm(), tokenizer(), Settings(**{**vars(SHORT), **changes}))
    assert found is not None
    return found


@pytest.mark.parametrize("method", ["shira", "lora", "full"])
def test_the_trained_numbers_are_those_of_the_run(method: str) -> None:
    settings = Settings(**{**vars(SHORT), "method": method})
    trained = finetune(tiny_lm(), tokenizer(), settings, on_event=lambda _: None).history.trainable
    assert needs(method=method).parts["gradients"] == 4 * trained


def test_smaller_parts_and_checkpointing_take_less() -> None:
    model = tiny_opt(num_hidden_layers=8, vocab_size=len(tokenizer()), max_position_embeddings=256, pad_token_id=0)

    def activations(**changes: object) -> int:
        settings = Settings(**{**vars(SHORT), "eval_stories": 1, "batch_size": 64, **changes})
        return forecast(model, tokenizer(), settings).parts["activations"]

    assert activations(gradient_accumulation_steps=64) < activations(gradient_accumulation_steps=8) < activations()
    assert activations(gradient_checkpointing=True) < activations()


def test_a_run_without_the_memory_is_refused_with_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    full, shira = needs(method="full"), needs()
    monkeypatch.setattr(module, "free", lambda: (full.added + shira.added) // 2)
    with pytest.raises(DoesNotFit) as error:
        check_fits(tiny_lm(), tokenizer(), Settings(**{**vars(SHORT), "method": "full"}))
    said = str(error.value)
    assert [offer.changes for offer in error.value.offers][-2:] == [{"method": "shira"}, {"model": "embedded"}]
    assert said.startswith("There is not enough memory to train tiny by full: memory at the peak about ")
    assert "method=shira (about " in said and said.endswith("; the embedded model.")
    assert check_fits(tiny_lm(), tokenizer(), SHORT) is not None


def test_two_changes_are_offered_where_one_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_opt(num_hidden_layers=8, vocab_size=len(tokenizer()), max_position_embeddings=256, pad_token_id=0)
    settings = Settings(**{**vars(SHORT), "eval_stories": 1, "batch_size": 64})
    parts, recomputed = {"gradient_accumulation_steps": 64}, {"gradient_checkpointing": True}

    def offered(room: int) -> list[dict[str, object]]:
        monkeypatch.setattr(module, "free", lambda: room)
        with pytest.raises(DoesNotFit) as error:
            check_fits(model, tokenizer(), settings)
        return [offer.changes for offer in error.value.offers]

    def added(**changes: object) -> int:
        told = forecast(model, tokenizer(), Settings(**{**vars(settings), **changes}))
        assert told is not None
        return told.added

    assert offered(max(added(**parts), added(**recomputed)))[:2] == [parts, recomputed]
    assert parts | recomputed not in offered(max(added(**parts), added(**recomputed)))
    assert offered(added(**parts, **recomputed))[0] == parts | recomputed


def test_where_nothing_fits_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free", lambda: 0)
    with pytest.raises(ShiraError, match=r"What fits: nothing smaller of this model\."):
        check_fits(tiny_lm(), tokenizer(), Settings(**{**vars(SHORT), "model": "embedded"}))


def test_the_command_line_refuses_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny_lm(tmp_path / "model")
    monkeypatch.setattr(module, "free", lambda: 0)
    short = ["--steps", "1", "--batch-size", "2", "--r", "2", "--sample-tokens", "4", "--out", str(tmp_path / "run")]
    assert main(["finetune", "--model", str(tmp_path / "model"), *short]) == 2
    assert "There is not enough memory to train" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(["finetune", "--model", str(tmp_path / "model"), "--regardless", *short]) == 0


def test_a_model_whose_activations_cannot_be_counted_has_no_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("needs numbers")

    monkeypatch.setattr(module, "bytes_per_token", fail)
    assert check_fits(tiny_lm(), tokenizer(), SHORT) is None


# ---- the memory of the machine and of its control groups -------------------------------------------------------------


def test_the_process_holds_something_and_something_is_left() -> None:
    assert machine.resident() > 50_000_000 and machine.free() > 0


@pytest.mark.parametrize(
    ("line", "limit", "used", "cache", "top"),
    [
        ("0::/user/lab", "memory.max", "memory.current", "inactive_file", ""),
        ("4:memory:/user/lab", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory"),
    ],
)
def test_the_tightest_control_group_counts(
    line: str, limit: str, used: str, cache: str, top: str, tmp_path: Path
) -> None:
    (tmp_path / "groups").write_text(f"9:cpu:/other\n{line}\n")
    inner, outer = tmp_path / "mount" / top / "user/lab", tmp_path / "mount" / top / "user"
    inner.mkdir(parents=True)
    for folder, most, taken in ((inner, "max", 10), (outer, "2000", 700)):
        (folder / limit).write_text(f"{most}\n")
        (folder / used).write_text(f"{taken}\n")
        (folder / "memory.stat").write_text(f"anon 5\n{cache} 100\n")
    assert machine._left_in_groups(tmp_path / "groups", tmp_path / "mount") == [2000 - 700 + 100]


def test_a_system_without_control_groups_has_no_such_limit(tmp_path: Path) -> None:
    assert machine._left_in_groups(tmp_path / "none", tmp_path) == []
