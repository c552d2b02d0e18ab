"""The apps for several adapters without a browser: two scales, and a shelf under the arrow keys."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from shira_lab import PeftModel
from shira_lab.adapters.shelf import AdapterShelf
from shira_lab.course.fusion.blends import save_blends
from shira_lab.course.fusion.pair import shipped_pair
from shira_lab.course.widgets import AdapterSwitcher, FusionLab
from shira_lab.course.widgets.fusion_lab import WRITING
from shira_lab.errors import ConfigError
from shira_lab.models.hub import load_model
from shira_lab.training.evaluate import sample, story_loss
from shira_lab.training.worlds import get_world

Pair = tuple[PeftModel, PreTrainedTokenizerBase]


@pytest.fixture(scope="module")
def pair() -> Pair:
    torch.set_num_threads(1)
    return shipped_pair()


@pytest.fixture
def lab(pair: Pair) -> Iterator[FusionLab]:
    app = FusionLab(*pair, stories=1)
    yield app
    app.close()


def excess(model: PeftModel, tokenizer: PreTrainedTokenizerBase, world: str) -> float:
    return story_loss(model, tokenizer, get_world(world).stories(1, split="held-out")).excess


def test_at_first_the_first_adapter_acts_alone(lab: FusionLab, pair: Pair) -> None:
    assert lab.worlds == ("sea", "space") and lab.now.scales == (1.0, 0.0)
    assert lab.now.excess["sea"] == pytest.approx(lab.alone["sea"], abs=1e-4)
    assert lab.alone["sea"] < 1.5 and lab.base["sea"] > 5
    assert lab.base["space"] == pytest.approx(excess(load_model()[0], pair[1], "space"), abs=1e-4)


@pytest.mark.parametrize("slider", ["scale_1", "scale_2"])
def test_each_slider_is_followed_by_losses_and_a_text(lab: FusionLab, pair: Pair, slider: str) -> None:
    first, told = lab.now, lab._texts.value
    lab.controls[slider].value = 0.6
    assert getattr(lab, slider) == 0.6 and lab.before == first and lab.now.scales == (lab.scale_1, lab.scale_2)
    model, tokenizer = pair
    for name, scale in zip(lab.worlds, lab.now.scales, strict=True):
        model.set_scale(name, scale)
    model.set_adapter(list(lab.worlds), inference_mode=True)
    assert lab.now.excess == pytest.approx({world: excess(model, tokenizer, world) for world in lab.worlds})
    assert lab.now.text in lab._texts.value.replace("&quot;", '"').replace("&#x27;", "'") and lab._texts.value != told
    assert f"sea {lab.now.excess['sea']:.2f}" in lab.status.value
    assert f"now {lab.now.excess['space']:.2f}, before {first.excess['space']:.2f}" in lab._losses.value


def test_in_a_notebook_only_the_place_where_the_slider_rests_is_measured(lab: FusionLab) -> None:
    first = lab.now

    async def drag() -> None:
        for scale in (0.3, 0.5, 0.8):
            lab.scale_2 = scale
        assert lab.now is first and "when the sliders rest" in lab.status.value
        while lab.now is first or lab.now.text == WRITING:
            await asyncio.sleep(0.05)

    pictures: list[str] = []
    lab._losses.observe(lambda _: pictures.append(lab.now.text), "value")
    asyncio.run(asyncio.wait_for(drag(), 60))
    assert pictures == [WRITING]  # the losses do not wait for the text
    assert lab.before is first and lab.now.scales == (1.0, 0.8)


def test_the_state_travels_as_a_line(lab: FusionLab, pair: Pair) -> None:
    lab.scale_2 = 0.5
    again = FusionLab.from_text(lab.state_text(), *pair, stories=1)
    assert again.state() == lab.state() and again.now == lab.now
    assert repr(again) == "FusionLab(scale_1=1.0, scale_2=0.5)"
    again.close()


def test_hidden_sliders_are_not_in_the_view(pair: Pair) -> None:
    app = FusionLab(*pair, stories=1, show=("scale_2",))
    assert app.view.children[0].children == (app.controls["scale_2"],)
    app.close()


def test_a_model_without_a_pair_is_refused(pair: Pair) -> None:
    with pytest.raises(ConfigError) as error:
        FusionLab(PeftModel(load_model()[0]), pair[1])
    assert str(error.value) == "A FusionLab fuses two adapters; this model has 0."


@pytest.fixture(scope="module")
def shelf(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> AdapterShelf:
    folder = tmp_path_factory.mktemp("shelf")
    model = pair[0]
    for name in ("sea", "space"):
        model.set_scale(name, 1)
    save_blends(model, ["sea", "space"], 3, folder)
    return AdapterShelf(PeftModel(load_model()[0]), folder)


def test_the_arrow_keys_walk_along_the_shelf_and_the_text_follows(shelf: AdapterShelf, pair: Pair) -> None:
    app = AdapterSwitcher(shelf, pair[1])
    base = app.text
    texts = []
    for number, name in enumerate(shelf.names, start=1):
        app.controls["number"].value = number
        assert app.name == name and shelf.model.active_adapters == [name]
        assert "read from the folder and switched in" in app.status.value and name in app._card.value
        texts.append(app.text)
    assert len({base, *texts}) == 4
    app.controls["number"].value = 1
    assert app.text == texts[0] and app.status.value.count("read from the folder") == 0
    app.number = 0
    told = sample(load_model()[0], pair[1], temperature=0.5, seed=0, max_new_tokens=40)[0]
    assert app.text == base == told and app.name is None and "base model" in app._card.value
    app.close()


def test_what_is_not_on_the_shelf_cannot_be_chosen(shelf: AdapterShelf, pair: Pair) -> None:
    app = AdapterSwitcher(shelf, pair[1], number=2)
    with pytest.raises(ConfigError) as error:
        app.number = 4
    assert str(error.value) == "`number=4` is not on the shelf: it holds 3 adapters."
    assert repr(app) == "AdapterSwitcher(number=2)"
    again = AdapterSwitcher.from_text(app.state_text(), shelf, pair[1])
    assert again.text == app.text
    for one in (app, again):
        one.close()


def test_the_switcher_can_read_a_folder_saved_by_anybody(shelf: AdapterShelf, tmp_path: Path, pair: Pair) -> None:
    model = pair[0]
    model.save_pretrained(tmp_path, selected_adapters=["space"])
    app = AdapterSwitcher(AdapterShelf(PeftModel(load_model()[0]), tmp_path), pair[1], number=1)
    assert app.name == "space" and app.controls["number"].max == 1
    app.close()
