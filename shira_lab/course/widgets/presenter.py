"""The row above the apps of a lecture: presenter's mode on or off, where one is, how to go on, and a link to here."""

from collections.abc import Callable
from html import escape

import anywidget
import ipywidgets
import traitlets

from shira_lab.course.widgets.controls import STATIC, button, row
from shira_lab.course.widgets.vote import Vote

#: Classes of the tabs while one app is shown alone, and of a page in large type.
ALONE, LARGE = "shira-alone", "shira-large"
_STYLE = f"""<style>
.{ALONE} > .lm-TabBar {{ display: none !important; }}
.{LARGE} {{ --jp-widgets-font-size: 20px; --jp-widgets-inline-height: 36px; font-size: 20px; }}
.{LARGE} .widget-html-content {{ font-size: 20px; line-height: 1.4; }}
</style>"""


class PageKeys(anywidget.AnyWidget):
    """Page Down and Page Up anywhere on the page, while ``listening``: a message 1 or -1 for each."""

    _esm = STATIC / "page_keys.js"

    listening = traitlets.Bool(False).tag(sync=True)


class Presenter:
    """The row, and below it what is put to the vote.

    Args:
        step: is called with 1 to go on and with -1 to go back.

    Attributes:
        switch: presenter's mode, on or off.
    """

    def __init__(self, step: Callable[[int], None]) -> None:
        self.switch = ipywidgets.Checkbox(description="Presenter's mode", indent=False, layout={"width": "max-content"})
        self.keys = PageKeys()
        self.keys.on_msg(lambda _, by, __: step(1 if by > 0 else -1))
        self.back = button("Previous", "", lambda: step(-1), "the app before; also Page Up")
        self.on = button("Next", "", lambda: step(1), "the next app; also Page Down")
        self.title = ipywidgets.HTML()
        self.link = ipywidgets.Text(description="Link", disabled=True, layout={"width": "30em"})
        self.link.tooltip = "put it behind the address of this page, and the page opens in this state"
        self._moves = row(self.back, self.on, self.title, self.link)
        self._vote = ipywidgets.VBox()
        self.view = ipywidgets.VBox((ipywidgets.HTML(_STYLE), self.switch, self._moves, self._vote, self.keys))

    def show(self, title: str, link: str, vote: Vote | None) -> None:
        """Show where one is; the ``vote`` and the ways to go on in presenter's mode alone."""
        presenting = self.keys.listening = bool(self.switch.value)
        self.title.value = f"<strong>{escape(title)}</strong>"
        self.link.value = link
        self._moves.layout.display = None if presenting else "none"
        self._vote.children = () if vote is None else (vote.view,)
