"""The card says what was measured, and says so when a bar is missed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from model_card import EXCESS_GATE, GATE, Measurements, write_card

import shira_lab
from shira_lab.training.evaluate import StoryLoss
from shira_lab.training.worlds import get_world
from shira_lab.training.worlds.scoring import Tally

EMBEDDED = Path(shira_lab.__file__).parent / "models" / "embedded"


def measurements(excess: float = 0.01, **counts: Tally) -> Measurements:
    losses = {"meadow": StoryLoss(loss=0.5 + excess, floor=0.5, tokens=1000, stories=10)}
    samples = [story.text for story in get_world("meadow").stories(3)] + ["Once there was nothing."]
    return Measurements(losses, dict.fromkeys(GATE, Tally(200, 200)) | counts, samples, "Once there was", seed=0)


@pytest.mark.parametrize(
    ("measured", "missed"),
    [
        (measurements(), []),
        (measurements(friend=Tally(196, 200)), []),
        (measurements(friend=Tally(195, 200)), ["friend"]),
        (measurements(object=Tally(0, 0)), ["object"]),
        (measurements(excess=EXCESS_GATE + 0.001), ["excess"]),
    ],
)
def test_a_bar_is_missed_exactly_below_it(measured: Measurements, missed: list[str]) -> None:
    assert measured.missed() == missed


def test_the_card_reports_counts_and_what_is_missed(tmp_path: Path) -> None:
    folder = shutil.copytree(EMBEDDED, tmp_path / "model")
    card = write_card(folder, measurements(friend=Tally(190, 200)), parameters=1234567, vocabulary=1000)
    assert card == (folder / "README.md").read_text()
    assert "| friend | 190/200 | 95.0% | 98% |" in card
    assert "| meadow | 0.5000 | 0.5100 | 0.0100 | 1,000 |" in card
    assert "1,234,567 parameters" in card
    assert "3 of the 4 texts are, word for word, stories that the grammar can tell" in card
    assert "It misses its bar for: friend." in card


def test_the_card_tells_of_a_run_that_was_extended(tmp_path: Path) -> None:
    folder = shutil.copytree(EMBEDDED, tmp_path / "model")
    rates = [1e-3, 3e-3, 2e-3, 0.0, 5e-4, 4e-4, 3e-4, 2e-4, 1e-4, 0.0]  # at steps 100, 200, ...
    lines = [
        {"step": step, "tokens": step, "seconds": step, "loss": 1.0, "learning_rate": rate}
        for step, rate in zip(range(100, 1100, 100), rates, strict=True)
    ]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    card = write_card(folder, measurements(), parameters=1, vocabulary=1)
    assert "The run was extended after 400 steps: the rate fell to 0 again from 5.0e-04." in card
    assert card.count("extended") == 1
