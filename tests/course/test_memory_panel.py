"""Settings that save memory are out of sight until they matter, and what would fit is one press away."""

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tiny_lm import save_tiny_lm, tiny_lm, tokenizer

from shira_lab.course.widgets import FineTuneLab
from shira_lab.course.widgets.memory_panel import MEMORY
from shira_lab.errors import ShiraError
from shira_lab.training import forecast as module


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[FineTuneLab]:
    with closing(FineTuneLab(model=str(save_tiny_lm(tmp_path)), r=2, steps=2, eval_every=2)) as app:
        yield app


def is_seen(lab: FineTuneLab) -> bool:
    return lab.memory.view.layout.display is None


def is_unfolded(lab: FineTuneLab) -> bool:
    return is_seen(lab) and lab.memory._controls.layout.display is None


def refuse(lab: FineTuneLab, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "free", lambda: room)
        lab.run()
        with pytest.raises(ShiraError, match="There is not enough memory"):
            lab.wait()


def test_the_embedded_model_has_none_and_others_have_them_folded(lab: FineTuneLab) -> None:
    assert is_seen(lab) and not is_unfolded(lab)
    lab.memory.unfold.value = True
    assert is_unfolded(lab)
    lab.model = "embedded"
    assert not is_seen(lab)


@pytest.mark.parametrize(("show", "seen"), [(None, False), (("method", "r"), False), (("r", "batch_size"), True)])
def test_a_teacher_decides_whether_they_are_there(show: tuple[str, ...] | None, seen: bool) -> None:
    with closing(FineTuneLab(show=show)) as lab:
        assert is_seen(lab) == seen
        lab.model = "facebook/opt-125m"
        assert is_seen(lab) == (seen or show is None)


def test_what_fits_is_a_press_away(lab: FineTuneLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.batch_size = 64
    in_parts = dataclasses.replace(lab.settings, gradient_accumulation_steps=64)
    told = module.forecast(tiny_lm(), tokenizer(), in_parts)
    assert told is not None
    refuse(lab, monkeypatch, told.added)
    assert lab.status.value.count("There is not enough memory to train") == 1 and "What fits:" in lab.status.value
    names = [button.description for button in lab.memory.offers.children]
    assert is_unfolded(lab) and names[0].startswith("gradient_accumulation_steps=64 (about ")
    assert names[-1] == "the embedded model"
    lab.memory.offers.children[0].click()
    assert lab.controls["gradient_accumulation_steps"].value == 64 and lab.memory.offers.children == ()
    assert "Press Run." in lab.status.value
    lab.run()
    assert lab.wait().history.settings.gradient_accumulation_steps == 64


def test_fewer_layers_can_be_offered(lab: FineTuneLab, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(lab, monkeypatch, room=0)
    assert [button.description for button in lab.memory.offers.children] == ["the embedded model"]
    lab._take(module.Offer("target_modules=q_proj,v_proj", {"target_modules": ("q_proj", "v_proj")}))
    assert lab.settings.target_modules == ("q_proj", "v_proj") and lab.controls["target_modules"].value


def test_another_run_takes_old_offers_away(lab: FineTuneLab, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(lab, monkeypatch, room=0)
    lab.run()
    assert lab.memory.offers.children == () and lab.wait().history.status == "finished"


def test_the_controls_save_what_they_say(lab: FineTuneLab) -> None:
    assert set(MEMORY) < set(lab.controls)
    lab.controls["gradient_accumulation_steps"].value = 3
    assert "so many parts cannot share" in lab.status.value
    lab.controls["batch_size"].value = 6
    assert "Press Run." in lab.status.value
