"""The explorer of positions, without a browser: each control is driven by its value, and every picture must follow."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_lm import tiny_lm, tokenizer

from shira_lab.course.masks.choices import Choice
from shira_lab.course.widgets import PositionsExplorer
from shira_lab.course.widgets.choice_pictures import short_names
from shira_lab.course.widgets.positions_explorer import doublings, with_progress
from shira_lab.errors import ConfigError

FC1 = "model.decoder.layers.0.fc1"


@pytest.fixture(scope="module")
def calibrated() -> PositionsExplorer:
    return PositionsExplorer(tiny_lm(), tokenizer(), calibration_samples=4, r=2)


@pytest.fixture
def explorer(calibrated: PositionsExplorer) -> Iterator[PositionsExplorer]:
    calibration = calibrated.choices.calibration
    app = PositionsExplorer(tiny_lm(), tokenizer(), calibration=calibration, layer=FC1, r=2)
    yield app
    app.close()


def seen(app: PositionsExplorer) -> dict[str, object]:
    """All that the pictures show."""
    curves = app._curves
    return {"mask": app._mask.bits, "bars": app._bars.bars, "curves": (curves.curves, curves.stop), "alt": curves.alt}


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", " ", html)


@pytest.mark.parametrize(
    ("control", "value", "changes"),
    [
        ("layer", "model.decoder.layers.1.fc2", {"mask", "curves"}),
        ("score", "snip", {"mask", "curves"}),
        ("samples", 2, {"mask", "curves"}),
        ("reduction", "abs_mean", {"mask"}),
        ("r", 3, {"mask", "bars", "curves"}),
        ("scope", "global", {"mask", "bars", "curves"}),
    ],
)
def test_every_control_moves_the_pictures(
    explorer: PositionsExplorer, control: str, value: object, changes: set[str]
) -> None:
    explorer.samples = 4 if control == "reduction" else 1
    before, picture = seen(explorer), explorer.picture()
    explorer.controls[control].value = value
    assert getattr(explorer, control) == value
    after = seen(explorer)
    assert {name for name in changes if before[name] != after[name]} == changes
    assert explorer.picture() != picture


def test_setting_the_state_moves_the_controls(explorer: PositionsExplorer) -> None:
    explorer.samples, explorer.scope, explorer.reduction = 4, "global", "abs_mean"
    assert explorer.controls["samples"].value == 4
    assert explorer.controls["scope"].value == "global" and explorer.controls["reduction"].value == "abs_mean"


def test_it_keeps_every_doubling_of_the_samples(calibrated: PositionsExplorer) -> None:
    assert calibrated.choices.samples == (1, 2, 4)
    assert calibrated.controls["samples"].stops == [1, 2, 4]


@given(st.integers(1, 500))
def test_doublings_rise_to_any_number(largest: int) -> None:
    stops = doublings(largest)
    assert stops[0] == 1 and stops[-1] == largest
    assert all(a < b <= 2 * a for a, b in pairwise(stops))


def test_the_sentence_says_what_is_shared_and_what_chance_gives(explorer: PositionsExplorer) -> None:
    explorer.samples = 2
    choice = Choice("gradient", r=2, samples=2)
    share = explorer.choices.agreement(choice, Choice("gradient", r=2, samples=4), FC1)
    assert explorer.agreement == share
    assert (
        f"80 of 384 entries of this layer train. {share:.0%} of the positions are also chosen from all 4 samples; "
        "chance would give 21%."
    ) in explorer.status.value
    explorer.scope = "global"
    assert "of the positions of all layers are also chosen" in explorer.status.value
    explorer.score = "magnitude"
    assert "The magnitude mask looks at weights alone and needs no samples." in explorer.status.value


def test_facts_compare_with_the_other_reduction_and_with_magnitude(explorer: PositionsExplorer) -> None:
    explorer.samples = 1
    facts = text_of(explorer._facts.value)
    assert re.search(r"also chosen by \|mean g\|\s+100%", facts)  # one sample has nothing to cancel
    explorer.score = "magnitude"
    assert re.search(r"also chosen by magnitude\s+100%", text_of(explorer._facts.value))


def test_bars_add_up_to_the_budget_and_mark_each_layers_own(explorer: PositionsExplorer) -> None:
    explorer.scope = "global"
    counts = {bar["name"]: bar["count"] for bar in explorer._bars.bars}
    assert sum(counts.values()) == explorer.choices.budget(explorer.choice, *explorer.choices.layers)
    assert counts["0.fc1"] == len(explorer.positions)
    assert explorer._bars.chosen == "0.fc1"
    own = [2 * (m + n) / (m * n) for m, n in explorer.choices.shapes.values()]
    assert [bar["own"] for bar in explorer._bars.bars] == pytest.approx(own)


@pytest.mark.parametrize(
    ("trait", "value", "message"),
    [
        ("layer", "lm_head", "`layer='lm_head'` is not calibrated; there are model.decoder.layers.0.self_attn.k_proj,"),
        ("samples", 3, "`samples=3` was not kept; there are 1, 2, 4."),
        ("r", 9, "The largest r for this shape is 8."),
        ("r", 0, "`r` should be a positive integer"),
    ],
)
def test_a_state_that_cannot_be_is_refused_with_a_reason(
    explorer: PositionsExplorer, trait: str, value: object, message: str
) -> None:
    before = explorer.state()
    with pytest.raises(ConfigError, match=re.escape(message)):
        setattr(explorer, trait, value)
    assert explorer.state() == before


def test_the_state_survives_as_text(explorer: PositionsExplorer) -> None:
    explorer.samples, explorer.scope, explorer.score = 2, "global", "snip"
    text = explorer.state_text()
    assert text == f"layer={FC1} r=2 reduction=mean_abs samples=2 scope=global score=snip"
    again = PositionsExplorer.from_text(text, tiny_lm(), tokenizer(), calibration=explorer.choices.calibration)
    assert again.state() == explorer.state() and again.picture() == explorer.picture()


def test_pictures_are_told_in_words(explorer: PositionsExplorer) -> None:
    assert re.fullmatch(
        r"also chosen from all samples over samples; at 1: mean \|g\| \d+%; \|mean g\| \d+%; chance: 21%\.",
        explorer._curves.alt,
    )
    assert "80 in 0.fc1." in explorer._bars.alt
    assert repr(explorer).startswith(f"PositionsExplorer(layer={FC1}, r=2, ")


def test_controls_can_be_hidden(calibrated: PositionsExplorer) -> None:
    app = PositionsExplorer(tiny_lm(), tokenizer(), show=("samples",), calibration=calibrated.choices.calibration, r=2)
    assert app.view.children[0].children == (app.controls["samples"],)


def test_layers_can_be_named() -> None:
    app = PositionsExplorer(tiny_lm(), tokenizer(), calibration_samples=1, target_modules=["fc1"], r=2)
    assert list(app.choices.layers) == ["model.decoder.layers.0.fc1", "model.decoder.layers.1.fc1"]


def test_progress_passes_everything_on_and_goes_away() -> None:
    batches = with_progress(iter("abc"), 3)
    assert next(batches) == "a"
    assert list(batches) == ["b", "c"]


def test_names_lose_what_all_paths_share() -> None:
    assert short_names(["a.b.0.x", "a.b.1.x"]) == ["0.x", "1.x"]
    assert short_names(["a.b"]) == ["b"]
    assert short_names(["fc1", "fc1.inner"]) == ["fc1", "fc1.inner"]
