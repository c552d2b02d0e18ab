"""The rank law of a way, and what random values measure, for a slider r."""

from typing import Any

import ipywidgets
import torch
import traitlets
from torch import nn

from shira_lab.analysis.spectrum import spectrum
from shira_lab.budget import check_budget
from shira_lab.course.figures.way_ranks import way_ranks_svg
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Slider, Status, dropdown, row
from shira_lab.errors import ConfigError
from shira_lab.masks.positions import shape_of
from shira_lab.training.ways import WAYS

MOST_R = 14


class WayRanks(App):
    """``WayRanks(base_layer)``: how many directions a way with r(m + n) parameters reaches on a weight (m, n).

    Attributes:
        way: one of :data:`~shira_lab.training.ways.WAYS`.
        r: even, as GraLoRA cuts a weight in halves; LoRA with the same r stands beside it.
        rank: of an update of the way with random parameters.
        rank_bound: what the way's law says: no update has a larger rank.

    Raises:
        ConfigError: no way has this name, or r is odd, or too large for the weight.
    """

    controls_offered = ("way", "r")

    way = traitlets.Unicode("gralora").tag(state=True)
    r = traitlets.Int(4).tag(state=True)

    def __init__(self, base_layer: nn.Linear, show: tuple[str, ...] | None = None, **state: Any) -> None:
        self._layer = base_layer
        super().__init__(show, **state)
        self._picture, self.status = ipywidgets.HTML(), Status()
        self.link("way", dropdown("way", [(way.kind, name) for name, way in WAYS.items()], self.way))
        self.link("r", Slider(description="r", value=self.r, max=MOST_R, stops=list(range(2, MOST_R + 1, 2))))
        self.view.children = (row(*(self.controls[name] for name in self.shown)), self.status, self._picture)
        self.on_change(self._draw, "way", "r")
        self._draw()

    @traitlets.validate("way")
    def _known(self, proposal: Any) -> str:
        if proposal["value"] not in WAYS:
            raise ConfigError(f"`way={proposal['value']!r}` is no way; there are {', '.join(WAYS)}.")
        return str(proposal["value"])

    @traitlets.validate("r")
    def _even(self, proposal: Any) -> int:
        r = proposal["value"]
        check_budget(r, shape_of(self._layer), "the weight")
        if r % 2 or r > MOST_R:
            raise ConfigError(f"`r={r}` should be even and at most {MOST_R}.")
        return int(r)

    def _draw(self, _: Any = None) -> None:
        way = WAYS[self.way](self._layer, self.r)
        found = spectrum(way.random_update())
        self.rank, self.rank_bound = found.rank, way.rank_bound
        count, (m, n) = sum(parameter.numel() for parameter in way.parameters()), way.shape
        generator = torch.Generator().manual_seed(0)
        lora = torch.randn(m, self.r, generator=generator) @ torch.randn(self.r, n, generator=generator)
        self.status.say(
            f"{way.kind}, r = {self.r}: {count:,} parameters, {count / (m * n):.0%} of the weight. Rank at most "
            f"{self.rank_bound} of {min(m, n)}; random parameters have {self.rank}, LoRA's {self.r}."
        )
        self._picture.value = way_ranks_svg(
            way.kind, found.values.tolist(), spectrum(lora).values.tolist(), self.rank_bound
        )

    def __repr__(self) -> str:
        return f"WayRanks(way={self.way}, r={self.r}): rank {self.rank}, at most {self.rank_bound}"
