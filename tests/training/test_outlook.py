"""The time of a step is tried out with the steps of the run itself, and trying leaves no trace."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from tiny import same_bits, snapshot
from tiny_lm import tiny_lm, tokenizer

from shira_lab.layers import AdapterLayer
from shira_lab.training import outlook as module
from shira_lab.training.methods import trained_layers
from shira_lab.training.outlook import in_words, outlook, seconds_per_step
from shira_lab.training.probe import watched
from shira_lab.training.settings import Settings

SHORT = Settings(model="tiny", steps=2, batch_size=4, eval_every=2, eval_stories=2, sample_tokens=4, r=2)


def short(**changes: object) -> Settings:
    return Settings(**{**vars(SHORT), **changes})


@pytest.mark.parametrize(
    "changes", [{}, {"mask_type": "snip"}, {"mask_moves": "learned"}, {"method": "lora"}, {"method": "full"}]
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_trying_out_a_step_changes_nothing(changes: dict[str, object], checkpointing: bool) -> None:
    model = tiny_lm().eval()
    model.lm_head.weight.requires_grad_(False)
    before, state = snapshot(model), torch.get_rng_state()
    trains = [parameter.requires_grad for parameter in model.parameters()]
    assert seconds_per_step(model, tokenizer(), short(gradient_checkpointing=checkpointing, **changes)) > 0
    assert same_bits(snapshot(model), before) and torch.equal(torch.get_rng_state(), state)
    assert [parameter.requires_grad for parameter in model.parameters()] == trains
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(isinstance(module, AdapterLayer) or module.training for module in model.modules())
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def test_full_computes_each_gradient_and_keeps_none() -> None:
    model = tiny_lm().eval()
    seen: list[int] = []

    def look(_: torch.Tensor) -> None:
        seen.append(sum(parameter.grad is not None for parameter in model.parameters()))

    hooks = [p.requires_grad_(True).register_post_accumulate_grad_hook(look) for p in model.parameters()]
    seconds_per_step(model, tokenizer(), short(method="full"))
    assert seen == [1] * (module.STEPS * len(hooks))


@pytest.mark.parametrize("method", ["shira", "lora", "full"])
def test_a_step_is_its_parts_and_one_update_of_all_that_trains(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_lm().eval()
    total = sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr(module, "STAND_IN", total // 4)
    rows: list[int] = []

    def clock(work: Callable[[], None]) -> float:
        work()
        assert isinstance(work, partial)
        if work.func is module._update:
            return 3.0
        rows.append(len(work.args[1]["input_ids"]))
        return 2.0

    monkeypatch.setattr(module, "seconds_of", clock)
    seconds = seconds_per_step(model, tokenizer(), short(method=method, gradient_accumulation_steps=2))
    updates = total / (total // 4) if method == "full" else 1
    assert seconds == 2.0 * 2 + 3.0 * updates and rows == [2] * module.STEPS


@pytest.mark.parametrize("moves, share", [("random", 0), ("rigl", 2 / 16), ("spiel", 8 / 16), ("learned", 11 / 16)])
def test_a_step_is_a_mean_over_those_that_look_at_dense_gradients(
    moves: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {module._pass: 2.0, module._look: 5.0, module._update: 1.0}
    monkeypatch.setattr(module, "seconds_of", lambda work: seconds[work.func])
    settings = short(mask_moves=moves, mask_type="random", steps=16, swap_every=4)
    expected = 1.0 + (1 - share) * 2.0 + share * 5.0
    assert seconds_per_step(tiny_lm().eval(), tokenizer(), settings) == pytest.approx(expected)


def test_what_a_run_will_be_is_told_in_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shira_lab.training.outlook.seconds_per_step", lambda *_: 50.0)
    monkeypatch.setattr("shira_lab.training.outlook.seconds_per_measurement", lambda *_: 20.0)
    said = outlook(tiny_lm().eval(), tokenizer(), short(steps=3))
    assert said.startswith("Texts: stories of the world sea, made as they are needed. Estimated memory at the peak ")
    assert said.endswith(" are free. About 50 s a step and 20 s for each of 3 measurements, 4 minutes in all.")


def test_a_measurement_is_as_many_batches_spectra_and_tokens_as_the_run_has(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def clock(work: Callable[[], object]) -> float:
        assert isinstance(work, partial)
        counted.append(work.func.__name__)
        return 1.0

    monkeypatch.setattr(module, "seconds_of", clock)
    monkeypatch.setattr(module, "rows_at_once", lambda *_: 2)
    settings = short(eval_stories=8, sample_tokens=64, reference_world="meadow", target_modules=("q_proj", "fc1"))
    model = tiny_lm().eval()
    layers = len(watched(trained_layers(model, settings)))
    assert layers == 4
    seconds = module.seconds_per_measurement(model, tokenizer(), settings)
    assert seconds == 2 * 8 / 2 + layers + 64 / module.TOKENS
    assert counted == ["row_loss", "row_loss", "spectrum", "spectrum", "sample"]


def test_times_are_in_words() -> None:
    assert [in_words(seconds) for seconds in (0.1234, 1.26, 12.3, 400)] == ["0.12 s", "1.3 s", "12 s", "7 minutes"]
