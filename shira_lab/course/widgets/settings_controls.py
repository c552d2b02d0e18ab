"""The state and the controls of a fine-tuning run's settings, as :mod:`shira_lab.training.settings` describes them."""

from typing import Any

import ipywidgets
import traitlets

from shira_lab.course.widgets.controls import Slider, dropdown, number, plain
from shira_lab.training.settings import Setting, Settings, settings_of


def names(*places: str, kind: type = Settings) -> tuple[str, ...]:
    """The settings that the lab has in these places: "control", "memory" or "state"."""
    return tuple(name for place in places for name, known in settings_of(kind).items() if known.lab == place)


def settings_state(kind: type) -> Any:
    """A class with a trait for each setting that the lab has."""
    traits = {name: _trait(known) for name, known in settings_of(kind).items() if known.lab}
    return type("SettingsState", (traitlets.HasTraits,), traits)


def settings_of_state(kind: type, state: dict[str, Any]) -> Any:
    """The settings that a state says.

    Raises:
        ConfigError: when they cannot work.
    """
    given = {}
    for name, value in state.items():
        known = settings_of(kind)[name]
        parts = tuple(part.strip() for part in value.split(",") if part.strip()) if known.several else ()
        given[name] = None if value == known.nothing else parts if known.several and len(parts) != 1 else value
    return kind(**given)


def settings_controls(kind: type, state: dict[str, Any]) -> dict[str, ipywidgets.Widget]:
    """A control for each setting that has one, by name; menus also offer what ``state`` holds."""
    return {name: _control(settings_of(kind)[name], state[name]) for name in names("control", "memory", kind=kind)}


def _trait(known: Setting) -> Any:
    value = known.nothing if known.default is None else known.default
    if known.type is bool:
        trait: Any = traitlets.Bool(value, help=known.help)
    elif known.type is str:
        trait = traitlets.Unicode(value, help=known.help)
    else:
        number = traitlets.Int if known.type is int else traitlets.Float
        trait = number(value, min=known.low, help=known.help)
    return trait.tag(state=True)


def _control(known: Setting, value: Any) -> ipywidgets.Widget:
    menu = known.menu or plain(known.choices or known.names())
    if menu:
        missing = [] if value in [offered for _, offered in menu] else plain([value])
        return dropdown(known.name, [*menu, *missing], value)
    if known.type is bool:
        return ipywidgets.Checkbox(
            value, description=known.name, indent=False, layout={"width": "max-content"}, tooltip=known.help
        )
    if known.slider:
        return Slider(description=known.name, value=value, min=int(known.low or 0), max=max(known.high, value))
    return number(known.name, value, int(known.low or 0), max(known.high, value))
