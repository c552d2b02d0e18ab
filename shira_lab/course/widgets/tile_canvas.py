"""A matrix seen from afar: tiles from pale to dark, a few kilobytes to the browser."""

import anywidget
import numpy as np
import traitlets

from shira_lab.course.figures.png import palette_png
from shira_lab.course.figures.theme import PAPER, SKY, rgb
from shira_lab.course.widgets.controls import STATIC
from shira_lab.course.widgets.pictures import pixelated
from shira_lab.course.widgets.still import image

COLOURS = (rgb(PAPER), rgb(SKY), rgb("#003A5C"))  # as in static/tile_canvas.js, from pale to dark


class TileCanvas(anywidget.AnyWidget):
    """Levels from 0 to 255, row by row; ``brightness`` in [0, 1] scales them, so that pictures can share one scale."""

    _esm = STATIC / "tile_canvas.js"
    _css = STATIC / "tile_canvas.css"

    levels = traitlets.Bytes(b"\0").tag(sync=True)
    shape = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(1, 1)).tag(sync=True)
    brightness = traitlets.Float(1.0).tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def show(self, levels: bytes, shape: tuple[int, int], brightness: float, alt: str) -> None:
        """Draw these tiles, in one message to the browser."""
        with self.hold_sync():
            self.levels, self.shape, self.brightness, self.alt = levels, shape, brightness, alt

    def still(self) -> str:
        """The tiles as an image in HTML."""
        levels = np.frombuffer(self.levels, dtype=np.uint8) * self.brightness
        shades = np.stack([np.interp(np.arange(256), (0, 127.5, 255), part) for part in zip(*COLOURS, strict=True)], 1)
        palette = [(int(red), int(green), int(blue)) for red, green, blue in shades]
        picture = palette_png(levels.astype(np.uint8).reshape(self.shape), palette)
        return image("png", picture, self.alt, pixelated(self.shape))
