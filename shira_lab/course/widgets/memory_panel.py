"""What saves memory: a few settings that are folded away until they are wanted, and buttons for what would fit."""

from collections.abc import Callable, Sequence
from typing import Final

import ipywidgets

from shira_lab.course.language import tr
from shira_lab.course.widgets.controls import button, row
from shira_lab.course.widgets.settings_controls import names
from shira_lab.course.widgets.still import tree
from shira_lab.training.forecast import Offer

#: The settings that cost or save memory and change little else.
MEMORY: Final = names("memory")


class MemoryPanel:
    """Part of an app.

    Widgets: ``view``, a box to tick with the controls that it unfolds, and ``offers``.
    """

    def __init__(self, controls: Sequence[ipywidgets.Widget]) -> None:
        self.unfold = ipywidgets.Checkbox(
            description=tr("settings for when memory is short"), indent=False, layout={"width": "max-content"}
        )
        self._controls = row(*controls, align_items="center")
        self.view = ipywidgets.VBox([self.unfold, self._controls])
        self.offers = row(gap="4px 12px")
        self.unfold.observe(self._fold, "value")
        self._fold()
        self.offer((), lambda _: None)

    def show(self, visible: bool) -> None:
        """Whether the box is to be seen; what it has unfolded stays as it is."""
        _display(self.view, visible)

    def offer(self, offers: Sequence[Offer], take: Callable[[Offer], None]) -> None:
        """A button for each of ``offers`` in the place of those before; pressed, they are gone, and ``take`` has one.

        The controls are unfolded beside them.
        """

        def pressed(offer: Offer) -> Callable[[], None]:
            def act() -> None:
                self.offer((), take)
                take(offer)

            return act

        old = self.offers.children
        made = [button(offer.name, "", pressed(offer), tr("change the settings to this")) for offer in offers]
        self.offers.children = made
        _display(self.offers, bool(made))
        self.unfold.value = self.unfold.value or bool(made)
        for child in old:
            for widget in tree(child):
                widget.close()

    def _fold(self, _: object = None) -> None:
        _display(self._controls, self.unfold.value)


def _display(widget: ipywidgets.Widget, visible: bool) -> None:
    widget.layout.display = None if visible else "none"
