"""A live view and its still: the same pictures and texts as HTML, for where no kernel moves the view.

A notebook's file keeps what was displayed, not widgets. So an app is displayed as two outputs: the still first, which
follows whatever the view shows and which the file keeps, and then the live view. Rules of style show the view while
its kernel answers, and the still at all other times. They know the pages of JupyterLab and of VS Code by their classes.
"""

import base64
import re
import uuid
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets

from shira_lab.course.language import tr
from shira_lab.course.widgets.resting import WhenResting

REST_SECONDS = 1.0  # the still may be a moment late: nobody sees it while the view lives
HINT = (
    "This is a picture of the app, as it was last. To move it, run the lesson's first cell, what its section asks for, "
    "and this one."
)

_OUTPUT, _AREA = ".jp-OutputArea-child", "> .jp-OutputArea-output"
_STILL, _GONE = f"{_OUTPUT}:has(.shira-still)", ".jupyter-widgets-disconnected"
#: The still hides before a live view; a view hides that is cut off from its kernel, or that JupyterLab does not find.
STYLE = (
    f"<style>{_STILL}:has(+ {_OUTPUT} {_AREA} > .jupyter-widgets:not({_GONE})),"
    f"{_STILL} + {_OUTPUT}:has({_AREA} > {_GONE}),"
    f"{_STILL} + {_OUTPUT}:has({_AREA}.jupyter-widgets),"
    # In VS Code, each output of a cell is a container in the cell's.
    ".cell_container:has(.jupyter-widgets) .output_container:has(.shira-still){display:none}"
    # Where JupyterLab would break a printed line anywhere, it is broken between words.
    ".jp-OutputArea-output.jp-RenderedText pre{word-break:normal;overflow-wrap:anywhere}"
    # The view's text grows with the window, for whoever reads it from the last row.
    f"{_STILL} + {_OUTPUT}{{--jp-widgets-font-size:clamp(13px,0.85vw,17px)}}</style>"
)


class OwnKeys(anywidget.AnyWidget):
    """Shows nothing, and keeps the plain keys in the box around it from JupyterLab; those with Ctrl or Shift go on."""

    _esm = Path(__file__).parent / "static" / "own_keys.js"


class Still:
    """Displays ``view`` and its still, which then follows.

    Args:
        text: says what is shown where HTML is not read.
        hint: stands above the still.
        settle: finishes what the view waits for.
    """

    def __init__(
        self,
        view: ipywidgets.Widget,
        text: Callable[[], str],
        hint: str = HINT,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._view, self._text, self._hint, self._settle = view, text, hint, settle
        self._name = ""
        self._live = ipywidgets.VBox()
        self._resting = WhenResting(REST_SECONDS)

    def display(self) -> None:
        """Show both, in the cell that runs."""
        from IPython.display import display

        self._name = self._name or uuid.uuid4().hex
        self._watch()
        display(self.bundle(), raw=True, display_id=self._name)
        if not self._live.children:
            self._live.children = self._view, OwnKeys(layout={"display": "none"})
        live = self._live._repr_mimebundle_() or {}
        display({kind: data for kind, data in live.items() if kind != "text/plain"}, raw=True)

    def catch_up(self) -> None:
        """Follow at once. At the end of a cell, it is the last moment at which nbconvert takes what a cell shows."""
        if self._name:
            self._settle()
            self._resting.finish()

    def bundle(self) -> dict[str, str]:
        """The still, by kinds of media."""
        said = tr(HINT) if self._hint == HINT else self._hint
        html = f'{STYLE}<div class="shira-still"><p><em>{said}</em></p>{as_html(self._view)}</div>'
        return {"text/html": html, "text/plain": self._text()}

    def close(self) -> None:
        """Follow the view no longer."""
        self._resting.cancel()
        self._name = ""
        self._live.children = self._live.children[1:]  # the view is closed by whoever made it
        for widget in tree(self._live):
            widget.close()

    def _watch(self) -> None:
        for widget in tree(self._view):
            widget.observe(self._changed)  # whom it knows already, a widget does not tell twice

    def _changed(self, _: Any) -> None:
        if self._name:
            self._resting.run([self._renew])

    def _renew(self) -> None:
        from IPython.display import update_display

        self._watch()
        update_display(self.bundle(), raw=True, display_id=self._name)


def tree(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    """The widget and all below it, with their layouts and styles, which are widgets too and stay when it is closed."""
    below = [inner for child in getattr(widget, "children", ()) for inner in tree(child)]
    looks = [look for name in ("layout", "style") if isinstance(look := getattr(widget, name, None), ipywidgets.Widget)]
    return [*below, *looks, widget]


def as_html(widget: ipywidgets.Widget) -> str:
    """What a widget shows now; its pictures are images with a text, which also a page that is not trusted keeps."""
    if widget.layout.display == "none":
        return ""
    if hasattr(widget, "still"):
        return str(widget.still())
    if isinstance(widget, ipywidgets.Tab):
        return as_html(widget.children[widget.selected_index]) if widget.selected_index is not None else ""
    if isinstance(widget, ipywidgets.Box):
        inner = "".join(map(as_html, widget.children))
        if isinstance(widget, ipywidgets.VBox):
            return f"<div>{inner}</div>"
        return f'<div style="display:flex;flex-wrap:wrap;gap:4px 24px">{inner}</div>'
    if isinstance(widget, ipywidgets.HTML):
        return f"<div>{re.sub(r'<svg .*?</svg>', _as_image, widget.value, flags=re.DOTALL)}</div>"
    if isinstance(widget, ipywidgets.Label):
        return escape(widget.value)
    if isinstance(widget, ipywidgets.Button):
        return ""
    return _control(widget)


def image(kind: str, data: bytes, alt: str, style: str = "") -> str:
    """A picture that carries its own data."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{escape(alt)}" style="max-width:100%;{style}" src="{source}">'


def _as_image(svg: re.Match[str]) -> str:
    """An SVG element, of which sanitizers leave nothing, as an image with the same name."""
    drawn = svg[0] if "xmlns=" in svg[0] else svg[0].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    label, style = (re.search(rf'\b{name}="([^"]*)"', drawn) for name in ("aria-label", "style"))
    return image("svg+xml", drawn.encode(), unescape(label[1]) if label else "", style[1] if style else "")


def _control(widget: ipywidgets.Widget) -> str:
    """A control as its name and its value."""
    if isinstance(widget, ipywidgets.RadioButtons):
        # ipywidgets keeps options as they were given: labels alone, or pairs of a label and a value.
        labels = (option[0] if isinstance(option, tuple) else option for option in widget.options)
        marks = (f"{'◉' if at == widget.index else '○'} {escape(str(label))}" for at, label in enumerate(labels))
        return f"<p>{'<br>'.join(marks)}</p>"
    if isinstance(widget, ipywidgets.Checkbox):
        return f"<span>{'☑' if widget.value else '☐'} {escape(widget.description)}</span>"
    value = getattr(widget, "label", None) or getattr(widget, "value", "")
    return f"<span>{escape(widget.description)}: <strong>{escape(str(value))}</strong></span>"
