"""The film of a mask that moves: what each swap kept, dropped and grew, and the rank that the mask allows then."""

from typing import Any

import ipywidgets
import traitlets

from shira_lab.course.figures.film import FILM_COLOURS, LEGEND, film_pixels, film_png, swap_in_words
from shira_lab.course.language import tr
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Slider, dropdown, plain, row
from shira_lab.course.widgets.pictures import MaskCanvas
from shira_lab.training.history import History

STAYS = "The mask has not moved."


class FilmView(App):
    """``FilmView(history)`` shows where the masks of a run have moved; :meth:`show` takes a newer history.

    Attributes:
        layer: path of the layer that is shown.
        swap: 1 for the first swap, and so on; the newest is followed until another one is chosen.
    """

    controls_offered = ("layer", "swap")

    layer = traitlets.Unicode("").tag(state=True)
    swap = traitlets.Int(1, min=1).tag(state=True)

    def __init__(self, history: History, show: tuple[str, ...] | None = None, **state: Any) -> None:
        super().__init__(show, **state)
        self._history = history
        self._canvas, self._caption = MaskCanvas(), ipywidgets.HTML()
        self.link("layer", dropdown("layer", plain([self.layer]), self.layer))
        self.link("swap", Slider(description="swap", value=self.swap, max=self.swap))
        self._controls = row(*(self.controls[name] for name in self.shown))
        self.view.children = (self._controls, self._caption, self._canvas)
        self.on_change(self._draw, "layer", "swap")
        self.show(history)

    def show(self, history: History) -> None:
        """Show this history; who looked at its newest swap sees the newest again."""
        slider = self.controls["swap"]
        follows = self.swap >= slider.max
        self._history = history
        layers = list(dict.fromkeys(point.layer for point in history.swaps))
        if layers and self.layer not in layers:
            self.controls["layer"].options = plain(layers)
            self.layer = layers[0]
        slider.max = max(1, len(history.swaps_of(self.layer)))
        if follows or self.swap > slider.max:
            self.swap = slider.max
        self._draw()

    def _draw(self, _: Any = None) -> None:
        swaps = self._history.swaps_of(self.layer)
        self._controls.layout.display = self._canvas.layout.display = None if swaps else "none"
        if not swaps:
            self._caption.value = tr(STAYS)
            return
        place = min(self.swap, len(swaps))
        said = swap_in_words(swaps[place - 1])
        self._caption.value = f"Swap {place} of {len(swaps)}, {said}."
        alt = f"The mask of {self.layer} {said}."
        self._canvas.show_codes(film_pixels(swaps[place - 1]), FILM_COLOURS, alt, LEGEND)

    def picture(self) -> bytes | None:
        swaps = self._history.swaps_of(self.layer)
        return film_png(swaps[min(self.swap, len(swaps)) - 1]) if swaps else None
