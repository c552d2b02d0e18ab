"""Beginners press everything in any order: no control ever raises, and what is shown is what the state says.

After a walk over its controls, an app shows exactly what a new one in the same state shows. Longer walks:

    SHIRA_LAB_EVENTS=20000 python -m pytest tests/course/test_random_walks.py
"""

import gc
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import pytest
import torch
from torch import nn
from walking import EVENTS, agree, pictures, press

from shira_lab import PeftModel, ShiraConfig
from shira_lab.course.widgets import (
    BudgetExplorer,
    ComparisonTable,
    MaskExplorer,
    MaskOverlap,
    MaskPainter,
    RankExplorer,
)
from shira_lab.course.widgets.app import App

#: Apps whose every answer takes long walk fewer steps, and keep off the controls that make weights large.
SLOW, LARGE = {"ranks": 20, "budgets": 20, "comparison": 2}, frozenset({"shape"})
LAYERS = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 8))


APPS: dict[str, Callable[..., App]] = {
    "masks": lambda **state: MaskExplorer(LAYERS, **state),
    "two masks": lambda **state: MaskOverlap(LAYERS, **state),
    "painter": lambda **state: MaskPainter(LAYERS, **state),
    "ranks": lambda **state: RankExplorer(**{"shape": "48x64", **state}),
    "budgets": lambda **state: BudgetExplorer(**{"model": "embedded", **state}),
    "comparison": lambda **state: ComparisonTable(**state),
}


@pytest.mark.parametrize("name", APPS)
def test_a_random_walk_never_raises_and_shows_what_the_state_says(name: str) -> None:
    make = APPS[name]
    for seed in range(4):
        walk(make, random.Random(f"{name} {seed}"), EVENTS // SLOW.get(name, 1) // 4)


def walk(make: Callable[..., App], dice: random.Random, events: int) -> None:
    app = make()
    for _ in range(events):
        press(app, dice, LARGE)
        agree(app)
    again = make(**app.state())
    assert pictures(again) == pictures(app) and again.picture() == app.picture()
    app.close()
    again.close()


def live() -> tuple[int, int]:
    """How many tensors and widgets there are."""
    gc.collect()
    tensors = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
    return tensors, len(ipywidgets.widgets.widget._instances)


def test_a_thousand_moves_leave_as_many_tensors_widgets_and_observers_as_before() -> None:
    app = MaskExplorer(LAYERS)
    slider = app.controls["r"]

    def move(moves: int) -> None:
        for number in range(moves):
            slider.value = 1 + number % slider.max

    def observers() -> int:
        return sum(
            len(found)
            for widget in (app, slider)
            for kinds in widget._trait_notifiers.values()
            for found in kinds.values()
        )

    move(20)
    before = (*live(), observers())
    move(1000)
    assert (*live(), observers()) == before
    app.close()


def test_apps_that_are_closed_leave_nothing_behind() -> None:
    def one(name: str) -> None:
        APPS[name]().close()

    for name in APPS:
        one(name)
    before = live()
    for _ in range(3):
        for name in APPS:
            one(name)
    assert live() == before


@pytest.fixture
def busy(tmp_path: Any) -> Iterator[PeftModel]:
    torch.manual_seed(0)
    yield PeftModel(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)))


def test_rounds_of_attaching_training_switching_and_removing_leave_the_tensors_as_they_were(busy: PeftModel) -> None:
    x = torch.randn(8, 12)
    base = {key: value.clone() for key, value in busy.get_base_model().state_dict().items()}

    def one_round(seed: int) -> None:
        for name in ("sea", "space"):
            busy.add_adapter(name, ShiraConfig(1, "all-linear", random_seed=seed))
            busy.set_adapter(name)
            optimizer = torch.optim.AdamW([p for p in busy.parameters() if p.requires_grad], 0.1)
            busy(x).square().mean().backward()
            optimizer.step()
        for names in ("sea", ["sea", "space"], "space"):
            busy.set_adapter(names)
            busy(x)
        busy.merge_adapter()
        for name in ("space", "sea"):
            busy.delete_adapter(name)

    one_round(0)
    before = live()
    for seed in range(int(os.environ.get("SHIRA_LAB_ROUNDS", "200"))):
        one_round(seed)
    assert live() == before
    found = busy.unload().state_dict()
    assert found.keys() == base.keys() and all(torch.equal(found[key], base[key]) for key in base)


def test_a_mask_that_cannot_be_drawn_leaves_no_picture_of_the_one_before() -> None:
    app = MaskOverlap(LAYERS)
    assert app._pictures.children
    app.mask_type_1 = "snip"  # which needs batches
    assert not app._pictures.children and "give batches" in app.status.value
    app.mask_type_1 = "struct"
    assert app._pictures.children
    app.close()
