"""Costs by counting and by the clock, side by side, as the layer grows."""

from collections.abc import Sequence
from typing import Any

import ipywidgets
import traitlets

from shira_lab.course.figures.count import Compared, compared, count_in_words, count_svg, sizes
from shira_lab.course.speed.growth import Growth, shipped
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Slider, Status, row
from shira_lab.errors import ConfigError


class CountAndClock(App):
    """``CountAndClock()``: what counting foretells of each cost, and what was measured, at a size of your choice.

    Args:
        growth: the measurements; None for those of the package.

    Attributes:
        size: m = n of the layer, one of the measured sizes.

    Raises:
        ConfigError: when the size was not measured.
    """

    controls_offered = ("size",)

    size = traitlets.Int(1024).tag(state=True)

    def __init__(self, growth: Growth | None = None, show: tuple[str, ...] | None = None, **state: Any) -> None:
        self._growth = growth or shipped()
        self._sizes = sizes(self._growth)
        super().__init__(show, **state)
        self._picture, self.status = ipywidgets.HTML(), Status()
        slider = Slider(description="m = n", value=self.size, max=self._sizes[-1], stops=self._sizes)
        self.link("size", slider)
        self.view.children = (row(*(self.controls[name] for name in self.shown)), self.status, self._picture)
        self.on_change(self._draw, "size")
        self._draw()

    @traitlets.validate("size")
    def _measured(self, proposal: Any) -> int:
        if proposal["value"] not in self._sizes:
            known = ", ".join(map(str, self._sizes))
            raise ConfigError(f"`size={proposal['value']}` was not measured; there are {known}.")
        return int(proposal["value"])

    def _draw(self, _: Any = None) -> None:
        rows = compared(self._growth, self.size)
        self.status.say(switch_in_words(self.size, rows))
        self._picture.value = count_svg(rows)

    def __repr__(self) -> str:
        return f"CountAndClock(size={self.size}): {count_in_words(compared(self._growth, self.size))}"


def switch_in_words(size: int, rows: Sequence[Compared]) -> str:
    """What counting and the clock say of a switch in a layer of this size."""
    switch = next(one for one in rows if one.name == "SHiRA's switch")
    return (
        f"{size} x {size}: a switch writes {switch.counted:.2g} times as many numbers as LoRA's, "
        f"and took {switch.median:.2g} times as long."
    )
