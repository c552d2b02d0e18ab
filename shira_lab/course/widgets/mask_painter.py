"""A mask drawn by hand: paint on a grid, see the mask that it becomes, train with it, take it along as Python text."""

from typing import Any

import ipywidgets
import traitlets
from torch import Tensor, nn

from shira_lab.budget import num_params
from shira_lab.course.figures.margins import mask_and_margins_png
from shira_lab.course.masks.drawn import drawn_mask, drawn_positions, stretched
from shira_lab.course.masks.drawn_source import drawn_source
from shira_lab.course.widgets.controls import button, row
from shira_lab.course.widgets.layer_app import LayerApp
from shira_lab.course.widgets.paint_canvas import SIZE, PaintCanvas, drawing_text, drawn_cells
from shira_lab.masks import MaskFn, register_mask


class MaskPainter(LayerApp):
    """Paint a mask: ``MaskPainter(model, r=8)``. The drawing is the mask type "drawn" for as long as Python runs.

    A drawing is a picture of 32 x 32 cells. It is stretched over any layer and brought to the exact budget r(m + n) by
    the rule of :mod:`shira_lab.course.masks.drawn`: too much paint is thinned at random, too little grows at its edge.

    Args:
        model: any model with linear layers, with or without adapters.
        show: the controls to be seen, out of layer, r and random_seed; None for all.
        state: initial ``layer``, ``r``, ``random_seed`` (of the random choice), ``drawing`` (a text) and ``name`` (of
            the mask type): attributes that can be set at any time.
    """

    controls_offered = ("layer", "r", "random_seed")

    drawing = traitlets.Unicode(help="painted cells, as text").tag(state=True)
    name = traitlets.Unicode("drawn", help="of the mask type").tag(state=True)

    def __init__(self, model: nn.Module, show: tuple[str, ...] | None = None, **state: Any) -> None:
        super().__init__(model, show, **state)

    # ---- the drawing ------------------------------------------------------------------------------------------------

    @property
    def cells(self) -> Tensor:
        """The drawing: a bool tensor (32, 32), True where it is painted."""
        return drawn_cells(self.drawing)

    def paint(self, picture: Tensor) -> None:
        """Take this picture as the drawing: a tensor (a, b) of any size, painted where it is not zero."""
        self.drawing = drawing_text(stretched(picture != 0, (SIZE, SIZE)))

    def clear(self) -> None:
        """Take all paint away, as the Clear button does."""
        self.drawing = ""

    # ---- the mask ---------------------------------------------------------------------------------------------------

    @property
    def mask_fn(self) -> MaskFn:
        """The mask function of the present drawing, for ``config.mask_fn``; later strokes do not change it."""
        return drawn_mask(self.cells, self.random_seed)

    def source(self) -> str:
        """A Python module that defines the mask function ``name`` for PEFT; it needs torch alone."""
        return drawn_source(self.cells, self.random_seed, self.name, self.r)

    def _positions(self) -> Tensor:
        return drawn_positions(self.cells, self.shape, num_params(self.r, self.shape), self.random_seed)

    @traitlets.validate("drawing")
    def _legal_drawing(self, proposal: Any) -> str:
        return drawing_text(drawn_cells(proposal["value"]))

    @traitlets.validate("name")
    def _legal_name(self, proposal: Any) -> str:
        register_mask(proposal["value"])  # checks the name; the function follows when the mask is drawn
        return proposal["value"]

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _make_controls(self) -> dict[str, ipywidgets.Widget]:
        canvas = PaintCanvas(description="drawing", value=self.drawing)
        return {**super()._make_controls(), "drawing": canvas}

    def _arrange(self, controls: ipywidgets.Widget) -> None:
        clear = button("Clear", "", self.clear, "Take all paint away")
        easel, panel = ipywidgets.VBox([self.controls["drawing"], clear]), self._panel
        panel.ranks = ipywidgets.HTML(layout={"min_height": "28px"})  # nothing below moves when it is filled
        pictures = row(easel, panel.mask, panel.beside, gap="8px 24px")
        self.view.children = (controls, panel.status, panel.ranks, pictures)  # in view while the hand paints

    def _draw(self) -> None:
        register_mask(self.name)(self.mask_fn)
        super()._draw()

    def _remark(self) -> str:
        painted, under = int(self.cells.sum()), int(stretched(self.cells, self.shape).sum())
        k = num_params(self.r, self.shape)
        if painted == 0:
            return "Nothing is painted yet, so they lie at random."
        count = f"{painted:,} of {SIZE * SIZE:,} cells are painted. {under:,} entries lie under the paint: "
        if under >= k:
            return count + (f"{k:,} of them are taken at random." if under > k else "exactly the budget.")
        return count + f"{k - under:,} around it are added, the nearest first."

    def picture(self) -> bytes | None:
        return mask_and_margins_png(self.positions, self.shape, drawing=self.cells)

    def __repr__(self) -> str:
        painted = f"{int(self.cells.sum()):,} of {SIZE * SIZE:,} cells painted"
        return f"MaskPainter(layer={self.layer}, r={self.r}, {painted}, {self._budget()})"
