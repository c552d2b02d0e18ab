"""The apps without a browser: each control is driven by its value, and the data behind the picture must follow."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import OPTConfig, OPTForCausalLM

from shira_lab import ShiraConfig, ShiraError, get_peft_model, register_mask
from shira_lab.budget import max_r, num_params
from shira_lab.course.figures import training_svg
from shira_lab.course.widgets import FineTuneLab, MaskExplorer
from shira_lab.course.widgets.fine_tune_lab import AFTER, BEFORE, OFF
from shira_lab.course.widgets.texts import outcome_sentence
from shira_lab.course.widgets.worker import Worker
from shira_lab.errors import ConfigError
from shira_lab.masks import mask_types
from shira_lab.masks.function import MaskFn
from shira_lab.models.hub import load_model
from shira_lab.training.history import EvalPoint, History, StepPoint
from shira_lab.training.settings import Settings

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 8))


@pytest.fixture
def explorer(model: nn.Module) -> Iterator[MaskExplorer]:
    app = MaskExplorer(model, r=4)
    yield app
    app.close()


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", " ", html)


# ---- the mask explorer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("control", "value"), [("r", 9), ("mask_type", "struct"), ("layer", "2"), ("random_seed", 7)])
def test_every_control_redraws_the_mask(explorer: MaskExplorer, control: str, value: object) -> None:
    before = explorer._panel.mask.bits, explorer._panel.spectrum.values, explorer.picture()
    explorer.controls[control].value = value if control != "r" else 3
    assert getattr(explorer, control) == explorer.controls[control].value
    assert explorer._panel.mask.bits != before[0] and explorer._panel.spectrum.values != before[1]
    assert explorer.picture() != before[2]


def test_setting_the_state_moves_the_controls(explorer: MaskExplorer) -> None:
    explorer.r, explorer.mask_type = 5, "block"
    assert explorer.controls["r"].value == 5 and explorer.controls["mask_type"].value == "block"


def test_the_mask_has_the_exact_budget_and_says_so(explorer: MaskExplorer) -> None:
    explorer.r = 3
    k = num_params(3, (64, 48))
    assert len(explorer.positions) == k
    assert (
        "r(m + n) = 3 * (64 + 48) = 336 of 3,072 entries train: 10.94%, above the usual 10%." in explorer.status.value
    )
    bits = sum(byte.bit_count() for byte in explorer._panel.mask.bits)
    assert bits == k


def test_the_facts_name_ranks_and_empty_rows(explorer: MaskExplorer) -> None:
    facts = text_of(explorer._panel.facts.value)
    assert f"{explorer.spectrum.rank} of 48 (LoRA with as many parameters: 4)" in facts
    assert f"{explorer.profile.empty_rows} of 64" in facts


def test_the_slider_ends_at_the_largest_legal_r(explorer: MaskExplorer) -> None:
    assert explorer.controls["r"].max == max_r((64, 48))
    explorer.layer = "2"
    assert explorer.controls["r"].max == max_r((8, 64))
    explorer.r = max_r((8, 64))
    explorer.layer = "0"
    explorer.r = max_r((64, 48))
    explorer.layer = "2"
    assert explorer.r == max_r((8, 64))


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("r", 100, "The largest r for this shape is 27."),
        ("r", 0, "`r` should be a positive integer"),
        ("layer", "9", "`layer='9'` is no linear layer; there are 0, 2."),
        ("mask_type", "stripes", "`mask_type='stripes'` is unknown; there are random,"),
    ],
)
def test_a_state_that_cannot_be_is_refused_with_a_reason(
    explorer: MaskExplorer, trait: str, value: object, message: str
) -> None:
    before = explorer.state()
    with pytest.raises(ConfigError, match=re.escape(message)):
        setattr(explorer, trait, value)
    assert explorer.state() == before


def test_the_state_survives_as_text(explorer: MaskExplorer, model: nn.Module) -> None:
    explorer.r, explorer.mask_type, explorer.random_seed = 2, "row_col", 11
    assert explorer.state_text() == "layer=0 mask_type=row_col r=2 random_seed=11"
    again = MaskExplorer.from_text(explorer.state_text(), model)
    assert again.state() == explorer.state() and torch.equal(again.positions, explorer.positions)


@pytest.mark.parametrize("text", ["colour=blue", "r", "r=many"])
def test_a_text_that_is_no_state_is_refused(model: nn.Module, text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(text))):
        MaskExplorer.from_text(text, model)


def test_an_app_reads_as_one_line_and_shows_a_picture_without_a_kernel(explorer: MaskExplorer) -> None:
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == "MaskExplorer(layer=0, mask_type=random, r=4, 448 of 3,072 = 14.58%)"
    assert bundle["image/png"].startswith("iVBORw0KGgo")  # the PNG signature in base64
    assert VIEW not in bundle and "448 of 3,072 entries train" in bundle["text/html"]


def test_controls_can_be_hidden(model: nn.Module) -> None:
    app = MaskExplorer(model, show=("r",), r=2)
    assert app.view.children[0].children == (app.controls["r"],)
    with pytest.raises(ConfigError, match="MaskExplorer has no control 'colour'; it has layer,"):
        MaskExplorer(model, show=("colour",))


@pytest.fixture
def stripes() -> MaskFn:
    @register_mask("stripes")
    def mask_fn(base_layer: nn.Module, r: int, **kwargs: object) -> torch.Tensor:
        mask = torch.zeros_like(base_layer.weight)
        mask.view(-1)[: num_params(r, tuple(mask.shape))] = 1
        return mask

    return mask_fn


def test_a_mask_that_is_registered_later_can_be_chosen(explorer: MaskExplorer, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("stripes")
    explorer.mask_type = "stripes"
    assert explorer.controls["mask_type"].value == "stripes"
    assert [value for _, value in explorer.controls["mask_type"].options] == list(mask_types())
    assert explorer.positions.tolist() == list(range(448))


def test_a_broken_mask_function_is_a_sentence_in_the_status_line(explorer: MaskExplorer) -> None:
    @register_mask("broken")
    def mask_fn(base_layer: nn.Module, r: int, **kwargs: object) -> torch.Tensor:
        raise KeyError("row")

    explorer.mask_type = "broken"
    assert "KeyError: " in text_of(explorer.status.value)
    assert explorer.picture() is None


def test_gradient_masks_ask_for_batches_or_use_them() -> None:
    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 5)

        def forward(self, x: torch.Tensor) -> object:
            return type("Output", (), {"loss": self.layer(x).square().mean()})

    without = MaskExplorer(Squared(), r=1, mask_type="gradient")
    assert "MaskExplorer(model, calibration=batches)" in without.status.value
    for mask_type in ("snip", "wanda"):
        app = MaskExplorer(Squared(), r=1, mask_type=mask_type, calibration=[{"x": torch.ones(2, 6)}])
        assert app.positions.numel() == 11


def test_a_model_that_carries_adapters_shows_its_own_layers(model: nn.Module) -> None:
    adapted = get_peft_model(model, ShiraConfig(r=1, target_modules="all-linear", random_seed=0))
    assert [value for _, value in MaskExplorer(adapted, r=1).controls["layer"].options] == ["0", "2"]


@pytest.mark.parametrize("quick", [0, 1e9], ids=["when the slider rests", "after every move"])
def test_singular_values_come_after_the_mask_and_belong_to_the_last_move(
    quick: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shira_lab.course.widgets.mask_panel.QUICK", quick)

    async def move() -> tuple[bytes, bytes]:
        app = MaskExplorer(nn.Sequential(nn.Linear(100, 100)), r=2)
        at_once = app._panel.spectrum.values
        for r in (3, 4, 5):
            app.r = r
        while str(app.spectrum.rank) not in app._panel.facts.value or "row" not in app._panel.facts.value:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert len(app._panel.spectrum.values) == 4 * app.spectrum.rank
        assert f"LoRA with as many parameters: {app.r}" in app._panel.facts.value
        return at_once, app._panel.spectrum.values

    at_once, later = asyncio.run(move())
    assert at_once == b"" and len(later) > 0


def test_a_first_picture_has_the_exact_rank_and_says_that_its_curve_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shira_lab.course.widgets.mask_panel.EXACT", 0)
    pictures: list[tuple[bytes, str]] = []

    async def move() -> MaskExplorer:
        app = MaskExplorer(nn.Sequential(nn.Linear(100, 60)), r=2)
        app._panel.facts.observe(
            lambda _: pictures.append((app._panel.spectrum.values, app._panel.facts.value)), "value"
        )
        for r in (3, 4):
            app.r = r
        while len(pictures) < 2 or "to four digits" in pictures[-1][1]:
            await asyncio.sleep(0.01)
        return app

    app = asyncio.run(move())
    (first, said), (exact, settled) = pictures[-2:]
    assert "to four digits, exact when the slider rests" in said and "to four digits" not in settled
    rank = f"{app.spectrum.rank} of 60"
    assert rank in said and rank in settled
    first, exact = (torch.frombuffer(bytearray(values), dtype=torch.float32) for values in (first, exact))
    assert torch.equal(exact, app.spectrum.values.float())
    torch.testing.assert_close(first, exact, rtol=0, atol=2e-3 * float(exact[0]))


@pytest.mark.parametrize("mask_type", ["random", "magnitude", "struct", "row_col", "block"])
def test_a_first_spectrum_has_the_rank_of_the_exact_one(mask_type: str) -> None:
    app = MaskExplorer(nn.Sequential(nn.Linear(100, 60)), r=2, mask_type=mask_type)
    first = app.mask.first_spectrum
    assert first.rank == app.spectrum.rank
    assert first.stable_rank == pytest.approx(app.spectrum.stable_rank, rel=1e-3)


def test_nothing_listens_after_close(explorer: MaskExplorer) -> None:
    explorer.close()
    before = explorer._panel.mask.bits
    explorer.controls["r"].value = 1
    assert explorer.r == 4 and explorer._panel.mask.bits == before
    assert not [h for handlers in explorer._trait_notifiers.values() for hs in handlers.values() for h in hs]


def test_running_a_cell_again_closes_what_it_made(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"metadata": {"cellId": "a"}, "header": {"msg_id": "1"}}
    monkeypatch.setattr("shira_lab.course.widgets.cells._current", lambda: ("a", run["header"]["msg_id"]))
    first, second = MaskExplorer(model), MaskExplorer(model)
    assert first.view.comm is not None and second.view.comm is not None
    run["header"]["msg_id"] = "2"
    third = MaskExplorer(model)
    assert not first._links and not second._links and third._links


# ---- the fine-tuning lab --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a model that trains in a second."""
    _, tokenizer = load_model("embedded")
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=32,
        word_embed_proj_dim=16, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    OPTForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def lab(tiny: str) -> Iterator[FineTuneLab]:
    app = FineTuneLab(model=tiny, r=2, steps=4, eval_every=2)
    yield app
    if app.running:
        app.stop()
        app.wait()
    app.close()


SETTINGS = [
    ("method", "lora"), ("mask_type", "random"), ("r", 3), ("target_modules", "q_proj, v_proj"), ("world", "space"),
    ("learning_rate", 1e-2), ("steps", 7), ("seed", 5), ("batch_size", 3), ("max_length", 16),
    ("gradient_accumulation_steps", 4), ("gradient_checkpointing", True),
]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), SETTINGS)
def test_every_control_changes_what_run_would_do(lab: FineTuneLab, control: str, value: object) -> None:
    lab.controls[control].value = value
    expected = tuple(value.split(", ")) if control == "target_modules" else value
    assert getattr(lab.settings, control) == expected


def test_the_status_line_counts_what_would_train(lab: FineTuneLab) -> None:
    before = text_of(lab.status.value)
    lab.controls["r"].value = 4
    assert before.startswith(" Ready for SHiRA magnitude, r=2: 448 of") and "r=4: 896 of" in lab.status.value


def test_controls_that_a_method_does_not_use_are_off(lab: FineTuneLab) -> None:
    lab.method = "lora"
    assert lab.controls["mask_type"].disabled and not lab.controls["r"].disabled
    lab.method = "full"
    assert lab.controls["r"].disabled and lab.controls["target_modules"].disabled
    lab.method = "shira"
    assert not lab.controls["mask_type"].disabled


def test_run_trains_and_the_figure_shows_it(lab: FineTuneLab) -> None:
    lab.run_button.click()
    history = lab.wait().history
    assert history.status == "finished" and [point.step for point in history.evals] == [0, 2, 4]
    assert lab.history == history
    assert lab.chart.value == training_svg(history) != training_svg(History(lab.settings))
    for title in (BEFORE, AFTER):
        assert f"<strong>{title}</strong>" in lab._texts.value
    assert "Finished after 4 steps" in lab.status.value and "448 of" in lab.status.value


@pytest.mark.parametrize(("steps", "said"), [(0, "0 steps and"), (1, "1 step and"), (2, "2 steps and")])
def test_one_step_is_no_steps(steps: int, said: str) -> None:
    points = [StepPoint(step + 1, 1.0, 1.0) for step in range(steps)]
    history = History(Settings(), steps=points, evals=[EvalPoint(0, 1.0, 0.3)], status="stopped")
    assert outcome_sentence(history).startswith(f"Stopped after {said}")


def test_while_it_trains_controls_are_off_and_run_does_nothing(lab: FineTuneLab) -> None:
    lab.steps = 500
    lab.run()
    worker = lab._worker
    assert all(control.disabled for control in lab.controls.values()) and lab.run_button.disabled
    assert not lab.stop_button.disabled
    lab.run_button.click()
    lab.run()
    assert lab._worker is worker
    lab.stop_button.click()
    lab.stop_button.click()
    history = lab.wait().history
    assert history.status == "stopped" and 0 < history.step < 500
    assert "Stopped after" in lab.status.value
    assert not lab.run_button.disabled and lab.stop_button.disabled and not lab.controls["r"].disabled
    lab.stop()
    assert "Stopped after" in lab.status.value


def test_a_setting_changed_while_it_trains_is_for_the_next_run(lab: FineTuneLab) -> None:
    lab.run()
    lab.r = 3
    assert lab.wait().history.settings.r == 2
    lab.run()
    assert lab.wait().history.settings.r == 3


def test_the_same_settings_give_the_same_run(lab: FineTuneLab) -> None:
    losses = []
    for _ in range(2):
        lab.run()
        losses.append([point.loss for point in lab.wait().history.steps])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("method", ["shira", "lora", "hira", "full"])
def test_without_the_adapter_it_is_the_old_model_and_reloaded_it_is_the_new_one(
    lab: FineTuneLab, method: str, tmp_path: Path
) -> None:
    lab.method = method
    lab.run()
    lab.wait()
    lab.adapter_off.value = True
    assert "identical: True" in lab.checked.value and f"<strong>{OFF}</strong>" in lab._texts.value
    lab.adapter_off.value = False
    assert f"<strong>{AFTER}</strong>" in lab._texts.value
    lab.folder.value = str(tmp_path / "saved")
    lab.save_button.click()
    assert f"Saved in {tmp_path / 'saved'}: 0." in lab.checked.value
    lab.reload_button.click()
    assert "logits identical: True" in lab.checked.value


def test_what_goes_wrong_in_the_thread_is_said_and_raised(lab: FineTuneLab) -> None:
    lab.target_modules = "no_such_layer"
    lab.run()
    with pytest.raises(ShiraError, match="no_such_layer"):
        lab.wait()
    assert "no_such_layer" in lab.status.value and not lab.run_button.disabled
    lab.target_modules = "all-linear"
    lab.run()
    assert lab.wait().history.status == "finished"


def test_waiting_for_a_run_that_never_began_is_refused(lab: FineTuneLab) -> None:
    with pytest.raises(ShiraError, match="Nothing was run yet: press Run"):
        lab.wait()
    lab.save_button.disabled = False
    lab.save_button.click()
    assert "There is no result yet" in lab.checked.value


def test_in_a_notebook_the_loop_stays_free_while_it_trains(lab: FineTuneLab) -> None:
    async def notebook() -> None:
        lab.steps = 500
        lab.run()
        with pytest.raises(ShiraError, match=r"await app\.finished"):
            lab.wait()
        while not (lab.history and lab.history.steps):
            await asyncio.sleep(0.01)
        lab.stop_button.click()
        result = await lab.finished()
        assert result.history.status == "stopped" and "Stopped after" in lab.status.value
        assert await lab.finished() is result

    asyncio.run(notebook())


def test_cancelling_the_wait_stops_the_run(lab: FineTuneLab) -> None:
    async def interrupted() -> None:
        lab.steps = 500
        lab.run()
        waiting = asyncio.ensure_future(lab.finished())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await lab.finished()).history.status == "stopped"

    asyncio.run(interrupted())


def test_the_labs_state_survives_as_text(lab: FineTuneLab) -> None:
    lab.learning_rate, lab.prompt = 0.02, "At dawn 'she' sailed"
    again = FineTuneLab.from_text(lab.state_text())
    assert again.state() == lab.state() and again.settings == lab.settings
    again.close()


def test_the_labs_text_says_its_settings_alone(lab: FineTuneLab) -> None:
    before = lab._repr_mimebundle_()["text/plain"]
    lab.run()
    lab.wait()
    assert lab._repr_mimebundle_()["text/plain"] == before
    assert "method=shira" in before and "steps=4" in before


def test_closing_the_lab_stops_it_and_lets_go(lab: FineTuneLab) -> None:
    lab.steps = 500
    lab.run()
    lab.close()
    assert lab.wait().history.status == "stopped"
    lab.controls["r"].value = 9
    assert lab.r == 2


# ---- threads --------------------------------------------------------------------------------------------------------


def test_of_messages_that_wait_only_the_newest_is_delivered() -> None:
    heard: list[int] = []

    async def main() -> None:
        def work(worker: Worker[int]) -> int:
            for number in range(100):
                worker.tell(lambda number=number: heard.append(number))
            return 1

        worker = Worker(work, lambda result, error: heard.append(-1))
        time.sleep(0.2)  # the loop is busy, as under a cell that computes
        assert await worker.finished() == 1

    asyncio.run(main())
    assert heard == [99, -1]
