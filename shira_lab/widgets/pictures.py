"""Pictures that follow a slider without lag: the kernel sends a few bytes, the browser draws them.

A 768 x 768 mask is 74 kB of packed bits; as a plotly heatmap it would be megabytes of JSON.
"""

import anywidget
import numpy as np
import traitlets
from torch import Tensor

from shira_lab.budget import Shape
from shira_lab.figures import mask_pixels, ranks_in_words
from shira_lab.figures.mask import pooling
from shira_lab.spectrum import Spectrum
from shira_lab.widgets.controls import STATIC

MAX_PIXELS = 512  # what fits beside the facts at 1280 x 800


class MaskCanvas(anywidget.AnyWidget):
    """A mask, one pixel for each entry, or for a square of entries where it is large."""

    _esm = STATIC / "mask_canvas.js"
    _css = STATIC / "mask_canvas.css"

    bits = traitlets.Bytes(b"\0").tag(sync=True)
    shape = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(1, 1)).tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def show(self, positions: Tensor, shape: Shape) -> None:
        """Draw the mask of these flat positions in an (m, n) weight."""
        pixels = mask_pixels(positions, shape, MAX_PIXELS)
        side = pooling(shape, MAX_PIXELS)
        with self.hold_sync():
            self.bits, self.shape = np.packbits(pixels, axis=1).tobytes(), pixels.shape
            self.alt = f"Mask of a {shape[0]} x {shape[1]} weight: {len(positions):,} entries train." + (
                f" A pixel stands for {side} x {side} entries and is set if any of them trains." if side > 1 else ""
            )


class SpectrumPlot(anywidget.AnyWidget):
    """Singular values on a logarithmic axis; the curve ends at the rank."""

    _esm = STATIC / "spectrum_plot.js"
    _css = STATIC / "spectrum_plot.css"

    values = traitlets.Bytes().tag(sync=True)
    places = traitlets.Int(1).tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def show(self, spectrum: Spectrum) -> None:
        """Draw the singular values that are not zero."""
        with self.hold_sync():
            self.values = spectrum.values[: spectrum.rank].float().numpy().tobytes()
            self.places = min(spectrum.shape)
            self.alt = f"Singular values: {ranks_in_words(spectrum)}, at most {self.places} possible."
