"""The lesson on other ways: its race, its counts, and what its exercise says of answers that are nearly right."""

from typing import Any

import pytest
import race_ways
import torch
from tiny_lm import tiny_lm, tokenizer
from torch import Tensor, nn

from shira_lab import LoraConfig, ShiraConfig
from shira_lab.adapters.config import AdapterConfig
from shira_lab.course.comparison.log import WAYS as RACE
from shira_lab.course.comparison.log import shipped
from shira_lab.course.exercises import judge
from shira_lab.course.exercises.own_way import OWN_WAY
from shira_lab.course.ways import file_bytes, kept_bytes, short_race
from shira_lab.training.ways import WAYS, WayConfig
from shira_lab.training.ways.way import Way, factors

SHAPE, R, TOKENS = (48, 32), 2, 16
K, FLOAT32, HEADER = R * (48 + 32), 4, 400
TARGET: dict[str, Any] = {"r": R, "target_modules": ["0"]}


def test_the_shipped_race_is_that_of_its_script_as_far_as_it_goes() -> None:
    race = shipped(RACE)
    assert race.protocol == race_ways.PROTOCOL
    assert race.cells and list(race.cells) == race_ways.CELLS[: len(race.cells)]
    runs = len(race.protocol.learning_rates) + len(race.protocol.seeds)
    assert len(race.runs) == len(race.cells) * runs
    budgets = {run.trainable for run in race.runs if run.cell.method not in ("dora", "shira_dora")}
    assert len(budgets) == 1


def test_a_way_that_was_raced_has_its_best_rate_as_its_default() -> None:
    race = shipped(RACE)
    raced = [cell for cell in race.cells if cell.method in WAYS]
    assert raced and not [cell for cell in race.cells if race.at_edge(cell)]
    assert {cell.method: WAYS[cell.method].learning_rate for cell in raced} == {
        cell.method: race.best_rate(cell) for cell in raced
    }


@pytest.mark.parametrize(
    ("config", "numbers"),
    [
        (ShiraConfig(**TARGET), 3 * K),  # values, and rows and columns as int32
        (LoraConfig(**TARGET), K),
        (WayConfig(way="fourier", **TARGET), K),
        (WayConfig(way="dora", **TARGET), K + 48),
        (WayConfig(way="shira_dora", **TARGET), 3 * K + 48),  # positions as int64
    ],
)
def test_bytes_of_a_file_are_those_of_its_numbers(config: AdapterConfig, numbers: int) -> None:
    assert 0 < file_bytes(config, SHAPE) - FLOAT32 * numbers < HEADER


def test_a_way_keeps_its_update_and_lora_its_narrow_output() -> None:
    kept = {name: kept_bytes(WayConfig(way=name, **TARGET), SHAPE, TOKENS) for name in ("hira", "haar")}
    assert min(kept.values()) >= FLOAT32 * 48 * 32
    assert kept_bytes(LoraConfig(**TARGET), SHAPE, TOKENS) == FLOAT32 * TOKENS * R


def test_a_short_race_measures_each_method_at_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shira_lab.course.ways.load_model", lambda name: (tiny_lm(), tokenizer()))
    excess = short_race({"lora": 0.03, "hira": 0.1}, steps=1)
    assert list(excess) == ["lora", "hira"] and len(set(excess.values())) == 2


class TooMany(Way):
    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        self.B, self.A = factors(self.m, r, self.n)
        self.lengths = nn.Parameter(torch.ones(self.m))

    def forward(self, weight: Tensor) -> Tensor:
        return self.lengths[:, None] * (self.B @ self.A)


class OnTheInput(OWN_WAY.solution):  # type: ignore[name-defined, misc]
    def forward(self, weight: Tensor) -> Tensor:
        return super().forward(weight).T


class BothDrawn(OWN_WAY.solution):  # type: ignore[name-defined, misc]
    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        nn.init.normal_(self.B)


class AllZero(OWN_WAY.solution):  # type: ignore[name-defined, misc]
    def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
        super().__init__(base_layer, r, seed)
        nn.init.zeros_(self.D)


class Modest(OWN_WAY.solution):  # type: ignore[name-defined, misc]
    @property
    def rank_bound(self) -> int:
        return self.r


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (TooMany, "It has 384 parameters where r(m + n) = 360 are to be."),
        (OnTheInput, "should return an update of the weight's shape (24, 36)."),
        (BothDrawn, "Before any training the update should be zero"),
        (AllZero, "Every gradient is zero, so it would stay zero for ever"),
        (Modest, "A random update has rank 9, above your `rank_bound` of 6."),
    ],
)
def test_a_wrong_way_is_told_what_is_wrong(answer: type[Way], hint: str) -> None:
    answer.__name__ = "MyWay"
    verdict = judge(answer)
    assert not verdict.passed and hint in verdict.message
