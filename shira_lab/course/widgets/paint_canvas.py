"""A grid to paint on with mouse, finger or keys, and its drawing as a short text."""

from base64 import b64decode, b64encode

import anywidget
import numpy as np
import torch
import traitlets
from torch import Tensor

from shira_lab.course.figures.png import palette_png
from shira_lab.course.figures.theme import BLUE, PAPER, rgb
from shira_lab.course.widgets.controls import STATIC
from shira_lab.course.widgets.pictures import pixelated
from shira_lab.course.widgets.still import image
from shira_lab.errors import ConfigError

SIZE = 32  # cells a side: a 192 x 192 weight has 6 x 6 entries under each


class PaintCanvas(anywidget.AnyWidget):
    """SIZE x SIZE cells. A stroke paints, or erases if it begins on paint; arrow keys move a cursor, space paints.

    Attributes:
        value: the drawing as :func:`drawing_text` writes it.
    """

    _esm = STATIC / "paint_canvas.js"
    _css = STATIC / "paint_canvas.css"

    description = traitlets.Unicode().tag(sync=True)
    value = traitlets.Unicode().tag(sync=True)
    size = traitlets.Int(SIZE).tag(sync=True)

    def still(self) -> str:
        """The drawing as an image in HTML."""
        cells = drawn_cells(self.value)
        picture = palette_png(cells.numpy().astype(np.uint8), (rgb(PAPER), rgb(BLUE)))
        alt = f"{self.description}: {SIZE} x {SIZE} cells, {int(cells.sum())} painted."
        return image("png", picture, alt, pixelated((SIZE, SIZE)))


def drawing_text(cells: Tensor) -> str:
    """Painted cells (SIZE, SIZE) as base64 of their bits, row by row, without the empty bytes at the end."""
    return b64encode(np.packbits(cells.numpy().astype(bool)).tobytes().rstrip(b"\0")).decode()


def drawn_cells(text: str) -> Tensor:
    """The painted cells (SIZE, SIZE) of a text that :func:`drawing_text` wrote.

    Raises:
        ConfigError: when the text is no drawing.
    """
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = None
    if data is None or len(data) > SIZE * SIZE // 8:
        raise ConfigError(
            f"`drawing={text!r}` is no drawing of {SIZE} x {SIZE} cells: expected what `state_text()` of a MaskPainter "
            "holds, or the empty text."
        )
    bits = np.unpackbits(np.frombuffer(data.ljust(SIZE * SIZE // 8, b"\0"), dtype=np.uint8))
    return torch.from_numpy(bits.reshape(SIZE, SIZE).astype(bool))
