"""How a walk over an app's controls is taken, and what the app shows after it."""

import os
import random
import re
from typing import Any

import ipywidgets

from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import FloatSlider, Slider

EVENTS = int(os.environ.get("SHIRA_LAB_EVENTS", "400"))
#: How long something took, and whether it was read from a disk: the same state may say it otherwise.
MEASURED = re.compile(r"(read from the folder and )?switched in \d+ ms; generated in \d+ ms")


def choices(control: Any, dice: random.Random) -> Any:
    """A value that a learner could give this control, ends included."""
    if isinstance(control, Slider) and control.stops:
        return dice.choice(control.stops)
    if isinstance(control, Slider | ipywidgets.BoundedIntText):
        return dice.choice((control.min, control.max, dice.randint(control.min, control.max)))
    if isinstance(control, FloatSlider):
        return round(dice.uniform(control.min, control.max), 2)
    if hasattr(control, "options"):
        return dice.choice(
            [value for _, value in control.options] if isinstance(control.options[0], tuple) else list(control.options)
        )
    if isinstance(control.value, bool):
        return not control.value
    return None


def press(app: App, dice: random.Random, leave: frozenset[str] = frozenset()) -> None:
    """Give one of the app's controls another value; not those to ``leave``."""
    control = app.controls[dice.choice(sorted(app.controls.keys() - leave))]
    value = choices(control, dice)
    if value is not None:
        control.value = value


def agree(app: App) -> None:
    """Hold every control against the state."""
    for name in app.state().keys() & app.controls.keys():
        assert app.controls[name].value == getattr(app, name), name


def shown(widget: ipywidgets.Widget) -> list[tuple[str, dict[str, object]]]:
    """What the browser is told of every widget below this one, except for names of its own."""
    told = {
        key: MEASURED.sub("", value) if isinstance(value, str) else value
        for key, value in widget.get_state().items()
        if key not in ("children", "layout", "style", "_esm", "_css")
    }
    mine = [
        (type(widget).__name__, {key: value for key, value in told.items() if not str(value).startswith("IPY_MODEL")})
    ]
    return mine + [row for child in getattr(widget, "children", ()) for row in shown(child)]


def pictures(app: App) -> list[tuple[str, object]]:
    """As :func:`shown`, without the controls, whose ends remember where they were, and of a faded mask, which is of a
    state before, that alone."""
    controls = {type(control).__name__ for control in app.controls.values()}
    rows = [row for row in shown(app.view) if row[0] not in controls]
    return [(name, "faded") if told.get("faded") else (name, told) for name, told in rows]
