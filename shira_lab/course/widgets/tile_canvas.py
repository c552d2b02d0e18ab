"""A matrix seen from afar: tiles from pale to dark, a few kilobytes to the browser."""

import anywidget
import traitlets

from shira_lab.course.widgets.controls import STATIC


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
