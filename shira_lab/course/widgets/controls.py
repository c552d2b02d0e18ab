"""The controls that the apps share: labelled in full, reachable by keyboard, named for screen readers.

The slider is a native range input of our own, because that of ipywidgets has no accessible name.
"""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from shira_lab.course.language import tr
from shira_lab.errors import ShiraError

STATIC = Path(__file__).parent / "static"
SPACE = {"margin": "0 0 8px 0"}
MAX_SEED = 9999
ERROR = "#A33D00"  # of text
_WHOLE_LABEL = {"description_width": "initial"}


class _Range(anywidget.AnyWidget):
    _esm = STATIC / "slider.js"
    _css = STATIC / "slider.css"

    description = traitlets.Unicode().tag(sync=True)
    of = traitlets.Unicode().tag(sync=True)
    step = traitlets.Float(1.0).tag(sync=True)
    stops = traitlets.List(traitlets.Int()).tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    @traitlets.default("of")
    def _between_value_and_most(self) -> str:
        return tr("of")


class Slider(_Range):
    """A whole number from ``min`` to ``max``; where there are ``stops``, one of these rising numbers."""

    value = traitlets.Int(1).tag(sync=True)
    min = traitlets.Int(1).tag(sync=True)
    max = traitlets.Int(100).tag(sync=True)


class FloatSlider(_Range):
    """A number from ``min`` to ``max``, in steps."""

    value = traitlets.Float(0.0).tag(sync=True)
    min = traitlets.Float(0.0).tag(sync=True)
    max = traitlets.Float(1.0).tag(sync=True)


def dropdown(description: str, options: Sequence[tuple[str, Any]], value: Any) -> ipywidgets.Dropdown:
    """A menu of (label, value), as wide as its longest label."""
    return ipywidgets.Dropdown(
        description=description, options=options, value=value, style=_WHOLE_LABEL, layout={"width": "max-content"}
    )


def plain(values: Sequence[Any]) -> list[tuple[str, Any]]:
    """Options that are called what they are."""
    return [(str(value), value) for value in values]


def number(description: str, value: int, low: int, high: int) -> ipywidgets.BoundedIntText:
    """A whole number to type."""
    width = f"{len(description) + len(str(high)) + 4}ch"
    return ipywidgets.BoundedIntText(
        value, min=low, max=high, description=description, style=_WHOLE_LABEL, layout={"width": width}
    )


def button(description: str, style: str, action: Callable[[], None], tooltip: str) -> ipywidgets.Button:
    """A button that calls ``action`` when pressed."""
    made = ipywidgets.Button(
        description=description, button_style=style, tooltip=tooltip, layout={"width": "max-content"}
    )
    made.on_click(lambda _: action())
    return made


def row(*widgets: ipywidgets.Widget, gap: str = "4px 20px", **layout: str) -> ipywidgets.Box:
    """Widgets side by side, wrapped where the page is narrow."""
    return ipywidgets.Box(
        widgets, layout={"flex_flow": "row wrap", "grid_gap": gap, "align_items": "flex-start", **SPACE, **layout}
    )


class Status(ipywidgets.HTML):
    """One sentence on what is going on, read out by screen readers when it changes."""

    def say(self, text: str, error: bool = False) -> None:
        colour = f"color:{ERROR}" if error else ""
        self.value = f'<p role="status" aria-live="polite" style="margin:4px 0;{colour}">{escape(text)}</p>'


def in_words(error: BaseException) -> str:
    """What went wrong, as a sentence; errors of this package are sentences already."""
    return str(error) if isinstance(error, ShiraError) else f"{type(error).__name__}: {error}"


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Facts as an HTML table, a name and its value in each row."""
    style = 'style="text-align:left;padding:2px 12px 2px 0;font-weight:{};vertical-align:top"'
    head, data = style.format("normal"), style.format("600")
    cells = (
        f'<tr><th scope="row" {head}>{escape(name)}</th><td {data}>{escape(value)}</td></tr>' for name, value in rows
    )
    return f'<table style="border-collapse:collapse;line-height:1.5">{"".join(cells)}</table>'
