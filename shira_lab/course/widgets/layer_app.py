"""What the apps on one mask of one layer share: the layer, r and the seed, what these may be, and the panel below."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import ipywidgets
import traitlets
from torch import Tensor, nn

from shira_lab.analysis.spectrum import Spectrum
from shira_lab.budget import Shape, check_budget, density, max_r, num_params
from shira_lab.course.figures import MaskProfile
from shira_lab.course.figures.margins import mask_and_margins_png
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import MAX_SEED, Slider, dropdown, number, row
from shira_lab.course.widgets.layer_mask import LayerMask
from shira_lab.course.widgets.mask_panel import MaskPanel
from shira_lab.course.widgets.model_masks import ModelMasks
from shira_lab.course.widgets.still import tree


class LayerApp(App):
    """Base of these apps: a subclass says where the entries lie, and adds its controls and views.

    Attributes:
        mask: the mask of the present state, with all that follows from it.
    """

    layer = traitlets.Unicode(help="path of the layer").tag(state=True)
    r = traitlets.Int(8).tag(state=True)
    random_seed = traitlets.Int(0, min=0).tag(state=True)

    def __init__(
        self,
        model: nn.Module,
        show: tuple[str, ...] | None = None,
        calibration: Iterable[Any] | None = None,
        **state: Any,
    ) -> None:
        self._masks = ModelMasks(model, calibration)
        super().__init__(show, **{"layer": next(iter(self._masks.layers)), **state})
        self._panel = MaskPanel()
        self.status = self._panel.status
        for name, control in self._make_controls().items():
            self.link(name, control)
        self._arrange(row(*(self.controls[name] for name in self.shown)))
        self.on_change(self._fit_r, "layer")
        self.on_change(self._renew, *self.traits(state=True))
        self._draw()

    # ---- what a subclass says ---------------------------------------------------------------------------------------

    def _positions(self) -> Tensor:
        """The sorted positions (k,) of the mask."""
        raise NotImplementedError

    def _make_controls(self) -> dict[str, ipywidgets.Widget]:
        return {
            "layer": dropdown("layer", self._masks.menu, self.layer),
            "r": Slider(description="r", value=self.r, max=max_r(self.shape)),
            "random_seed": number("random_seed", self.random_seed, 0, MAX_SEED),
        }

    def _arrange(self, controls: ipywidgets.Widget) -> None:
        """Put the parts into the view."""
        self.view.children = (controls, self._panel.view)

    def _remark(self) -> str:
        """A sentence behind the budget's in the status line."""
        return ""

    # ---- what the state says ----------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """(m, n) of the layer's weight."""
        return self._masks.shape(self.layer)

    @cached_property
    def mask(self) -> LayerMask:
        return LayerMask(self._positions(), self.shape, self.r)

    @property
    def positions(self) -> Tensor:
        """Sorted flat positions (k,) of the mask."""
        return self.mask.positions

    @property
    def profile(self) -> MaskProfile:
        """Entries by row and column."""
        return self.mask.profile

    @property
    def spectrum(self) -> Spectrum:
        """Singular values of a delta with normally distributed values at the positions."""
        return self.mask.spectrum

    @traitlets.validate("layer")
    def _known_layer(self, proposal: Any) -> str:
        return self._masks.check_layer(proposal["value"])

    @traitlets.validate("r")
    def _legal_r(self, proposal: Any) -> int:
        check_budget(proposal["value"], self.shape, f"layer '{self.layer}'")
        return proposal["value"]

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _fit_r(self, _: Any) -> None:
        self.r = min(self.r, max_r(self.shape))
        self.controls["r"].max = max_r(self.shape)

    def _renew(self, _: Any) -> None:
        self.__dict__.pop("mask", None)
        self._draw()

    def _draw(self) -> None:
        self._panel.show(lambda: self.mask, self.shape, self._remark)

    def _settle(self) -> None:
        self._panel.settle()

    def close(self) -> None:
        self._panel.rest()
        super().close()
        for widget in tree(self._panel.view):  # a subclass may show the panel's parts without their frame
            widget.close()

    def picture(self) -> bytes | None:
        try:
            return mask_and_margins_png(self.positions, self.shape)
        except Exception:  # as in the live view, where the status line says what it was
            return None

    def _budget(self) -> str:
        """The budget for the app's text: "448 of 3,072 = 14.58%"."""
        m, n = self.shape
        return f"{num_params(self.r, self.shape):,} of {m * n:,} = {density(self.r, self.shape):.2%}"
