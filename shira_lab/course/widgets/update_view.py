"""The update of a layer as it grows: its picture and its singular values, measurement by measurement."""

from base64 import b64decode
from typing import Any

import ipywidgets
import torch
import traitlets

from shira_lab.analysis.spectrum import Spectrum
from shira_lab.course.figures import figure_png, growth_figure, ranks_in_words
from shira_lab.course.figures.growth import control_beside
from shira_lab.course.language import tr
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Slider, dropdown, plain, row
from shira_lab.course.widgets.pictures import SpectrumPlot
from shira_lab.course.widgets.tile_canvas import TileCanvas
from shira_lab.training.history import History

RANDOM = "random values at the same positions"
NOTHING_YET = "Nothing was measured yet: the update is drawn when training begins."


class UpdateView(App):
    """``UpdateView(history)`` shows what a run has done to its layers; :meth:`show` takes a newer history.

    Attributes:
        layer: path of the layer that is shown.
        measurement: 1 for the measurement before the first step, and so on; the newest is followed until another one is
            chosen.
    """

    controls_offered = ("layer", "measurement")

    layer = traitlets.Unicode("").tag(state=True)
    measurement = traitlets.Int(1, min=1).tag(state=True)

    def __init__(self, history: History, show: tuple[str, ...] | None = None, **state: Any) -> None:
        super().__init__(show, **state)
        self._history = history
        self._tiles, self._spectrum, self._caption = TileCanvas(), SpectrumPlot(), ipywidgets.HTML()
        self.link("layer", dropdown("layer", plain([self.layer]), self.layer))
        self.link("measurement", Slider(description=tr("measurement"), value=self.measurement, max=self.measurement))
        self._pictures = row(self._tiles, self._spectrum, gap="8px 24px")
        self.view.children = (row(*(self.controls[name] for name in self.shown)), self._caption, self._pictures)
        self.on_change(self._draw, "layer", "measurement")
        self.show(history)

    def show(self, history: History) -> None:
        """Show this history; who looked at its newest measurement sees the newest again."""
        slider = self.controls["measurement"]
        follows = self.measurement >= slider.max
        self._history = history
        if history.layers and self.layer not in history.layers:
            self.controls["layer"].options = plain(history.layers)
            self.layer = history.layers[0]
        elif history.layers:
            self.offer("layer", *history.layers)
        slider.max = max(1, len(history.pictures_of(self.layer)))
        if follows or self.measurement > slider.max:
            self.measurement = slider.max
        self._draw()

    def _draw(self, _: Any = None) -> None:
        pictures = self._history.pictures_of(self.layer)
        self._pictures.layout.display = None if pictures else "none"
        if not pictures:
            self._caption.value = tr(NOTHING_YET)
            return
        place = min(self.measurement, len(pictures)) - 1
        picture, ranks = pictures[place], self._history.ranks_of(self.layer)[place]
        spectrum = Spectrum(torch.tensor(ranks.singular_values), ranks.shape)
        brightest = max(point.largest for point in pictures)
        alt = tr(
            "The update of {layer} after step {step}, dark where an entry is large.",
            layer=self.layer, step=picture.step,
        )  # fmt: skip
        self._tiles.show(
            b64decode(picture.levels), picture.shape, picture.largest / brightest if brightest else 0.0, alt
        )
        self._spectrum.show({tr("update"): spectrum, tr(RANDOM): control_beside(self._history, ranks)})
        self._caption.value = tr(
            "After step {step}: largest entry {largest:.3g}, {ranks}. With random values at the same positions: "
            "{controls}. A dark tile holds a large entry; all measurements share one scale.",
            step=picture.step, largest=picture.largest, ranks=ranks_in_words(ranks),
            controls=ranks_in_words(self._history.control_of(self.layer, ranks.step)),
        )  # fmt: skip

    def picture(self) -> bytes | None:
        return figure_png(growth_figure(self._history, self.layer)) if self.layer else None
