"""Costs are measured side by side, and the measurement that ships holds every curve that is drawn."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from shira_lab.course.figures import cost_growth_figure
from shira_lab.course.speed import ROWS, LayerSetting, interleave, shipped
from shira_lab.course.speed.growth import read_growth
from shira_lab.errors import StorageError

TINY = LayerSetting(m=12, n=10, r=1, tokens=3)


@pytest.mark.parametrize("cost", ROWS)
def test_each_cost_compares_shira_with_something_whose_ratio_is_one(cost: str) -> None:
    ratios = ROWS[cost](TINY, 0.0)  # type: ignore[call-arg]
    assert ratios["SHiRA"].median > 0
    assert any(ratio.median == ratio.low == ratio.high == 1 for side, ratio in ratios.items() if side != "SHiRA")


def test_a_side_that_does_twice_the_work_is_called_slower_by_its_own_rounds() -> None:
    work = {"once": 0, "twice": 0}

    def side(name: str, times: int) -> None:
        for _ in range(times):
            work[name] += 1
            sum(range(20_000))

    found = interleave(
        {"once": lambda: side("once", 1), "twice": lambda: side("twice", 2)}, "once", min_rounds=9, patience_s=0.0
    )
    assert found["twice"].rounds == found["once"].rounds == 9
    assert work["once"] == 9 + 2 and work["twice"] == 2 * (9 + 2)
    assert found["twice"].low <= found["twice"].median <= found["twice"].high


class Event:
    """A CUDA event on a GPU whose clock is the number of things that happened."""

    happened: ClassVar[list[str]] = []

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.happened.append("recorded")
        self._at = len(self.happened)

    def elapsed_time(self, last: "Event") -> float:
        assert self.happened[-1] == "waited"
        return 1000.0 * (last._at - self._at)


def test_a_gpu_is_timed_by_its_own_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: Event.happened.append("waited"))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    sides = {
        "one": lambda: Event.happened.append("worked"),
        "three": lambda: Event.happened.extend(["worked"] * 3),
    }
    found = interleave(sides, "one", min_rounds=3)
    assert [found[side].seconds for side in sides] == [2.0, 4.0]


def test_the_shipped_measurement_holds_every_curve_of_the_figure() -> None:
    figure = cost_growth_figure(shipped())
    assert len(figure.data) == 11 and all(len(curve.x) >= 6 for curve in figure.data)


def test_the_shipped_measurement_says_on_which_machine_it_was_made() -> None:
    assert {"processor", "threads", "accelerator", "torch"} <= shipped().machine.keys()


@pytest.mark.parametrize("content", ["", "{}\n[1]", '{}\n{"cost": "a"}', "no json"])
def test_another_file_is_no_measurement(content: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(content)
    with pytest.raises(StorageError, match=r"log\.jsonl is not the log of measured costs"):
        read_growth(path)


def test_a_point_knows_its_density() -> None:
    point = next(iter(shipped().series(next(iter(ROWS)), "size")))
    assert point.density == point.r * (point.m + point.n) / (point.m * point.n)
    assert json.loads(json.dumps(point.to_dict()))["m"] == point.m
