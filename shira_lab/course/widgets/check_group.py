"""Several choices at once: a box to tick for each."""

from collections.abc import Sequence
from typing import Any

import ipywidgets
import traitlets


class CheckGroup(ipywidgets.Box):
    """Boxes side by side under a common name; ``value`` holds the names of the ticked ones, with commas.

    A name in ``value`` that is not offered yet gets a box of its own.
    """

    value = traitlets.Unicode()

    def __init__(self, description: str, options: Sequence[str], value: str = "") -> None:
        self._heading = ipywidgets.Label(f"{description}:")
        self.boxes: dict[str, ipywidgets.Checkbox] = {}
        super().__init__(layout={"flex_flow": "row wrap", "grid_gap": "0 16px", "align_items": "center"})
        self.offer(*options)
        self.value = value

    def offer(self, *names: str) -> None:
        """Add boxes for what is missing of ``names``; what is ticked stays."""
        for name in names:
            if name not in self.boxes:
                box = ipywidgets.Checkbox(False, description=name, indent=False, layout={"width": "max-content"})
                box.observe(self._follow, "value")
                self.boxes[name] = box
        self.children = (self._heading, *self.boxes.values())

    @traitlets.observe("value")
    def _tick(self, _: object) -> None:
        names = split_names(self.value)
        self.offer(*names)
        for name, box in self.boxes.items():
            box.value = name in names

    def _follow(self, change: Any) -> None:
        """Add or remove the name of the box that has changed; while boxes follow ``value``, there is nothing to do."""
        name, names = change["owner"].description, set(split_names(self.value))
        if change["new"] != (name in names):
            self.value = ", ".join(other for other in self.boxes if other in names ^ {name})


def split_names(text: str) -> tuple[str, ...]:
    """ "random, struct" as ("random", "struct")."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
