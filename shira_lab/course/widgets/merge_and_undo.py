"""A merge and its undoing, W + S - S, entry by entry: rounding decides which numbers come back."""

from typing import Any

import torch
import traitlets
from torch import Tensor

from shira_lab.course.figures.rounding import ROUNDING_COLOURS, ROUNDING_LEGEND, Rounding
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Slider, Status, dropdown, plain, row
from shira_lab.course.widgets.pictures import MaskCanvas

PRECISIONS = ("float32", "bfloat16", "float16")
MAX_HALVINGS = 30  # far below the last digit of any weight


class MergeAndUndo(App):
    """``MergeAndUndo(weight)`` adds a random value to each entry of a weight, (m, n), and subtracts it again.

    Attributes:
        precision: in which the weight is held, and in which both are computed.
        halvings: the values are drawn evenly from -1 to 1 and then halved so many times.
        rounding: what has become of each entry.
    """

    controls_offered = ("precision", "halvings")

    precision = traitlets.Enum(PRECISIONS, "float32").tag(state=True)
    halvings = traitlets.Int(3, min=0, max=MAX_HALVINGS).tag(state=True)

    def __init__(self, weight: Tensor, show: tuple[str, ...] | None = None, **state: Any) -> None:
        super().__init__(show, **state)
        self._weight = weight.detach().float().cpu()
        self._values = 2 * torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) - 1
        self._canvas, self.status = MaskCanvas(), Status()
        self.link("precision", dropdown("precision", plain(PRECISIONS), self.precision))
        self.link("halvings", Slider(description="halvings", value=self.halvings, min=0, max=MAX_HALVINGS))
        self.view.children = (row(*(self.controls[name] for name in self.shown)), self.status, self._canvas)
        self.on_change(self._draw, "precision", "halvings")
        self._draw()

    def _draw(self, _: Any = None) -> None:
        weight = self._weight.to(getattr(torch, self.precision))
        self.rounding = Rounding.of(weight, self._values / 2**self.halvings)
        said = f"{self.rounding.in_words()}, in {self.precision} with values up to {2.0**-self.halvings:.2g}."
        self.status.say(said)
        self._canvas.show_codes(self.rounding.codes, ROUNDING_COLOURS, said, ROUNDING_LEGEND)

    def picture(self) -> bytes:
        return self.rounding.png()
