"""As test_random_walks.py, over the apps that hold a model: it is measured, switched, or trained as they walk.

What they do takes its time, and a learner goes on pressing meanwhile. These walks happen in an event loop, as in a
notebook, and an exception in any of its callbacks ends them.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tiny import fill_randomly
from tiny_lm import save_tiny_lm, tiny_lm, tokenizer
from walking import EVENTS, agree, pictures, press

from shira_lab import PeftModel, ShiraConfig
from shira_lab.adapters.shelf import AdapterShelf
from shira_lab.course.figures import losses_svg, training_svg
from shira_lab.course.widgets import AdapterSwitcher, Dashboard, FineTuneLab, FusionLab, PositionsExplorer
from shira_lab.course.widgets.adapter_switcher import SEED, TEMPERATURE, TOKENS
from shira_lab.course.widgets.dashboard import TABS
from shira_lab.errors import ConfigError
from shira_lab.training.evaluate import sample, story_loss
from shira_lab.training.history import History
from shira_lab.training.worlds import get_world

WORLDS = ("sea", "space")
SECONDS = 240

T = TypeVar("T")


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sliders rest as soon as the loop turns."""
    monkeypatch.setattr("shira_lab.course.widgets.resting.REST_SECONDS", 0)
    monkeypatch.setattr("shira_lab.course.widgets.resting.PAUSE_SECONDS", 0)


def in_a_notebook(walk: Coroutine[Any, Any, T]) -> T:
    """What the walk returns, taken in a loop; what a callback raises there, asyncio would only log."""
    raised: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        return await asyncio.wait_for(walk, SECONDS)

    found = asyncio.run(watched())
    assert not raised
    return found


async def until(ready: Callable[[], bool]) -> None:
    """Let the loop turn until ``ready()``; the walk's own limit ends a wait in vain."""
    while not ready():
        await asyncio.sleep(0.001)  # a loop that never sleeps would keep a training thread from Python's lock


def a_pair() -> PeftModel:
    model = PeftModel(tiny_lm())
    for seed, name in enumerate(WORLDS):
        model.add_adapter(name, ShiraConfig(2, "all-linear", random_seed=seed))
        fill_randomly(model, seed, only=name)
    return model


# ---- an app that compares when its slider rests ----------------------------------------------------------------------


def test_positions_are_those_of_the_last_move_however_quickly_it_came() -> None:
    calibration = PositionsExplorer(tiny_lm(), tokenizer(), calibration_samples=4, r=2).choices.calibration

    def made(**state: Any) -> PositionsExplorer:
        return PositionsExplorer(tiny_lm(), tokenizer(), calibration=calibration, **{"r": 2, **state})

    async def walk(app: PositionsExplorer, dice: random.Random) -> None:
        for _ in range(EVENTS // 4):
            press(app, dice)
            agree(app)
            if dice.random() < 0.3:
                await asyncio.sleep(0)
        await until(lambda: app._resting.idle)

    for seed in range(4):
        app = made()
        in_a_notebook(walk(app, random.Random(f"positions {seed}")))
        again = made(**app.state())  # in a script, where nothing waits
        assert (pictures(again), again.picture()) == (pictures(app), app.picture())
        for one in (app, again):
            one.close()


# ---- sliders whose every stop is measured ----------------------------------------------------------------------------


def test_two_scales_are_measured_where_they_came_to_rest() -> None:
    model = a_pair()
    stories = {world: get_world(world).stories(1, split="held-out") for world in WORLDS}

    def measured(lab: FusionLab) -> dict[str, float]:
        fresh = a_pair()
        for name in WORLDS:
            fresh.set_scale(name, getattr(lab, f"scale_{WORLDS.index(name) + 1}"))
        fresh.set_adapter(list(WORLDS), inference_mode=True)
        return {world: story_loss(fresh, tokenizer(), stories[world]).excess for world in WORLDS}

    async def walk(lab: FusionLab, dice: random.Random) -> None:
        for _ in range(EVENTS // 4):
            press(lab, dice)
            agree(lab)
            if dice.random() < 0.1:
                await until(lambda: lab._resting.idle)
                assert lab.now.scales == (lab.scale_1, lab.scale_2) and lab.now.excess == measured(lab)
                assert lab._losses.value == losses_svg(lab.now.excess, lab.before.excess, lab.alone, lab.base)
            elif dice.random() < 0.5:
                await asyncio.sleep(0)
        await until(lambda: lab._resting.idle)

    lab = FusionLab(model, tokenizer(), stories=1)
    in_a_notebook(walk(lab, random.Random("scales")))
    lab.close()


def test_the_adapter_of_the_number_is_in_the_model_and_tells_the_text(tmp_path: Path) -> None:
    pair = a_pair()
    pair.save_pretrained(tmp_path)
    told = {None: a_pair(), **dict.fromkeys(WORLDS, pair)}
    texts: dict[str | None, str] = {}
    for name, model in told.items():
        model.set_adapter([name] if name else [], inference_mode=True)
        texts[name] = sample(
            model, tokenizer(), prompt="Once there was", temperature=TEMPERATURE, seed=SEED, max_new_tokens=TOKENS
        )[0]
    app, dice = AdapterSwitcher(AdapterShelf(PeftModel(tiny_lm()), tmp_path), tokenizer()), random.Random("shelf")
    for _ in range(EVENTS // 8):
        press(app, dice)
        agree(app)
        assert app.text == texts[app.name] and app.shelf.model.active_adapters == ([app.name] if app.name else [])
    again = AdapterSwitcher(app.shelf, tokenizer(), **app.state())
    assert pictures(again) == pictures(app)
    for one in (app, again):
        one.close()


# ---- an app that trains ----------------------------------------------------------------------------------------------


class Learner:
    """Sets, runs, stops, switches, saves, reloads and looks, in any order, whether or not the button can be pressed."""

    def __init__(self, lab: FineTuneLab, dice: random.Random) -> None:
        self.lab, self.dice = lab, dice
        self.settings = lab.settings  # the last that could work

    async def act(self) -> None:
        lab, dice = self.lab, self.dice
        kind = dice.choices(
            ("set", "run", "stop", "switch", "save", "reload", "look", "turn", "wait"), (6, 2, 1, 1, 1, 1, 2, 8, 1)
        )[0]
        if kind == "set":
            press(lab, dice, frozenset({"model"}))
        elif kind == "switch":
            lab.adapter_off.value = not lab.adapter_off.value
        elif kind == "look":
            press(lab.updates, dice)
        elif kind == "turn":
            await asyncio.sleep(0)
        elif kind == "wait":
            await until(lambda: not lab.running)
        else:
            getattr(lab, f"{kind}_button").click()

    def look(self) -> None:
        """All that is shown belongs to one run, or to the settings of the next where there is none yet."""
        lab = self.lab
        agree(lab)
        agree(lab.updates)
        try:
            self.settings = lab.settings
        except ConfigError as error:
            assert lab.running or not lab.controls["steps"].disabled, error  # a control can mend it
        kept = lab.running or lab.result is not None
        histories = [lab.history] if kept else [*([lab.history] if lab.history else []), History(self.settings)]
        assert lab.chart.value in map(training_svg, histories)
        assert lab.run_button.disabled == lab.running != lab.stop_button.disabled
        assert lab.save_button.disabled == lab.reload_button.disabled == lab.adapter_off.disabled == (not lab.result)
        if lab.history:
            assert lab.updates._history is lab.history


def test_a_lab_in_any_hands_trains_stops_and_shows_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = str(save_tiny_lm(tmp_path / "tiny"))

    async def walk(learner: Learner) -> None:
        lab = learner.lab
        for _ in range(EVENTS // 4):
            await learner.act()
            learner.look()
        lab.stop_button.click()
        await until(lambda: not lab.running)
        lab.method, lab.target_modules, lab.r, lab.world = "shira", "all-linear", 1, "sea"
        lab.batch_size, lab.gradient_accumulation_steps, lab.mask_type = 2, 1, "random"
        lab.run_button.click()
        assert (await lab.finished()).history.status == "finished"  # after all that, it works as at first
        learner.look()

    lab = FineTuneLab(model=model, r=2, steps=3, eval_every=2, batch_size=2)
    for name, most in {"steps": 5, "r": 9, "batch_size": 4, "gradient_accumulation_steps": 3}.items():
        lab.controls[name].max = most
    learner = Learner(lab, random.Random("lab"))
    in_a_notebook(walk(learner))
    lab.close()


# ---- all of them on one page -----------------------------------------------------------------------------------------


def test_the_dashboard_shows_the_tab_of_its_state_and_each_app_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shira_lab.course.widgets.dashboard.load_model", lambda: (tiny_lm(), tokenizer()))
    small = {
        "Positions": replace(TABS["Positions"], state={"calibration_samples": 2, "r": 2}),
        "Fuse": replace(TABS["Fuse"], arguments=lambda model, tokenizer: (a_pair(), tokenizer, 1)),
    }
    monkeypatch.setattr("shira_lab.course.widgets.dashboard.TABS", {**TABS, **small})
    app, dice = Dashboard(), random.Random("dashboard")
    for _ in range(EVENTS // 4):
        if dice.random() < 0.4:
            app._tabs.selected_index = dice.randrange(len(TABS))
        else:
            press(app.apps[app.tab], dice, frozenset({"shape", "model"}))
        place = list(TABS).index(app.tab)
        assert app._tabs.selected_index == place and app._tabs.children[place].children == (app.apps[app.tab].view,)
        for one in app.apps.values():
            agree(one)
    assert app.apps.keys() == TABS.keys()
    app.close()
