"""Pictures that follow a slider without lag: the kernel sends a few bytes, the browser draws them.

A 768 x 768 mask is 74 kB of packed bits, or 18 kB as it is shown; as a plotly heatmap it would be megabytes of JSON.
"""

from collections.abc import Mapping, Sequence
from html import escape

import anywidget
import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor

from shira_lab.analysis.spectrum import Spectrum
from shira_lab.budget import Shape
from shira_lab.course.figures import MaskProfile, mask_pixels, ranks_in_words
from shira_lab.course.figures.chart import Chart, Line
from shira_lab.course.figures.margins import DEPTH, GAP, Bars, with_margins_png
from shira_lab.course.figures.mask import SIDE, VIEW_PIXELS, pooling
from shira_lab.course.figures.methods import looks
from shira_lab.course.figures.overlap import COLOURS, overlap_pixels
from shira_lab.course.figures.png import depth_of, packed, packed_png
from shira_lab.course.figures.theme import BLUE, PAPER, rgb
from shira_lab.course.language import tr
from shira_lab.course.widgets.controls import STATIC
from shira_lab.course.widgets.still import image

FADED = "opacity:0.35;"


class MaskCanvas(anywidget.AnyWidget):
    """A mask or two, one pixel for each entry, or for a square of entries where the weight is large.

    Attributes:
        bits: the pixels' codes, row by row, with as many bits each as the palette needs.
        rows, columns: the longest of the bars along the margins is that of the largest count; empty for no bars.
        empty_rows, empty_columns: lines of pixels in which a row or column has no entry.
        faded: whether it is the mask before one that cannot be drawn.
    """

    _esm = STATIC / "mask_canvas.js"
    _css = STATIC / "mask_canvas.css"

    bits = traitlets.Bytes(b"\0").tag(sync=True)
    shape = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(1, 1)).tag(sync=True)
    palette = traitlets.List(traitlets.Unicode(), [PAPER, BLUE]).tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    rows = traitlets.Bytes().tag(sync=True)
    columns = traitlets.Bytes().tag(sync=True)
    empty_rows = traitlets.Bytes().tag(sync=True)
    empty_columns = traitlets.Bytes().tag(sync=True)
    faded = traitlets.Bool(False).tag(sync=True)

    def show(
        self, positions: Tensor, shape: Shape, profile: MaskProfile | None = None, ink: str = BLUE, caption: str = ""
    ) -> None:
        """Draw the mask of these flat positions in an (m, n) weight, with the counts of its ``profile`` along it."""
        alt = tr("Mask of a {m} x {n} weight: {k:,} entries train.", m=shape[0], n=shape[1], k=len(positions))
        side = pooling(shape, VIEW_PIXELS)
        if side > 1:
            alt += " " + tr("A pixel stands for {side} x {side} entries and is set if any of them trains.", side=side)
        with self.hold_sync():
            self._draw(mask_pixels(positions, shape, VIEW_PIXELS).view(np.uint8), (PAPER, ink))
            self.alt, self.caption = alt, caption
            self.rows = self.columns = self.empty_rows = self.empty_columns = b""
            if profile is not None:
                self._draw_margins(profile, side)

    def show_overlap(self, first: Tensor, second: Tensor, shape: Shape, alt: str, caption: str) -> None:
        """Draw two masks of an (m, n) weight over each other, in three colours."""
        self.show_codes(overlap_pixels(first, second, shape), COLOURS, alt, caption)

    def show_codes(self, codes: NDArray[np.uint8], palette: Sequence[str], alt: str, caption: str) -> None:
        """Draw pixels (rows, columns) in the colours of ``palette`` that they are the places of."""
        with self.hold_sync():
            self._draw(codes, palette)
            self.alt, self.caption = alt, caption

    def fade(self) -> None:
        """Keep the mask, as one that is not asked for any more."""
        if not self.faded:
            before = self.alt and tr("As it was before: {alt}", alt=self.alt)
            self.faded, self.alt, self.caption = True, before, tr("The mask before.") if before else ""

    def still(self) -> str:
        """The mask, the bars along it and its caption as HTML."""
        data = np.frombuffer(self.bits, dtype=np.uint8).reshape(self.shape[0], -1)
        if self.rows:
            pixels = np.unpackbits(data, axis=1)[:, : self.shape[1]].view(bool)
            drawn = image("png", with_margins_png(pixels, *self._bars()), self.alt, FADED if self.faded else "")
        else:
            picture = packed_png(data, self.shape, [rgb(colour) for colour in self.palette])
            drawn = image("png", picture, self.alt, pixelated(self.shape))
        style = f"margin:0;max-width:{VIEW_PIXELS + GAP + DEPTH}px"  # a long caption makes no room for itself
        return f'<figure style="{style}">{drawn}<figcaption>{escape(self.caption)}</figcaption></figure>'

    def _bars(self) -> tuple[Bars, Bars]:
        """Those of rows and of columns."""
        sides = ((self.rows, self.empty_rows), (self.columns, self.empty_columns))
        rows, columns = (Bars(np.frombuffer(high, np.uint32), np.frombuffer(empty, bool)) for high, empty in sides)
        return rows, columns

    def _draw(self, codes: NDArray[np.uint8], palette: Sequence[str]) -> None:
        self.bits, self.shape = packed(codes, depth_of(len(palette))).tobytes(), codes.shape
        self.palette, self.faded = list(palette), False

    def _draw_margins(self, profile: MaskProfile, side: int) -> None:
        rows, columns = Bars.of(profile.rows, side), Bars.of(profile.columns, side)
        self.rows, self.columns = rows.heights.tobytes(), columns.heights.tobytes()
        self.empty_rows, self.empty_columns = rows.empty.tobytes(), columns.empty.tobytes()
        self.alt += " " + tr(
            "{rows} rows and {columns} columns have none.", rows=profile.empty_rows, columns=profile.empty_columns
        )
        self.caption = tr(
            "Bars: entries of each row, at most {row:,}, and of each column, at most {column:,}. "
            "Orange: without an entry.",
            row=profile.rows.max(), column=profile.columns.max(),
        )  # fmt: skip


class SpectrumPlot(anywidget.AnyWidget):
    """Singular values on a logarithmic axis, one curve or several; each ends at its rank.

    Attributes:
        values: those of all curves in float32, one curve behind the other.
        curves: for each its name, its colour and how many values are its.
    """

    _esm = STATIC / "spectrum_plot.js"
    _css = STATIC / "spectrum_plot.css"

    values = traitlets.Bytes().tag(sync=True)
    curves = traitlets.List(traitlets.Dict(), []).tag(sync=True)
    places = traitlets.Int(1).tag(sync=True)
    x_title = traitlets.Unicode().tag(sync=True)
    y_title = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    @traitlets.default("x_title")
    def _index(self) -> str:
        return tr("index of the singular value")

    @traitlets.default("y_title")
    def _singular_value(self) -> str:
        return tr("singular value")

    def show(self, spectra: Spectrum | Mapping[str, Spectrum]) -> None:
        """Draw the singular values that are not zero; of several spectra, each in its method's colour."""
        named = {"": spectra} if isinstance(spectra, Spectrum) else spectra
        curves = [one.values[: one.rank].float() for one in named.values()]
        words = "; ".join(f"{name} {ranks_in_words(one)}".strip() for name, one in named.items())
        with self.hold_sync():
            self.values = torch.cat(curves).numpy().tobytes() if curves else b""
            self.curves = [
                {"name": name, "colour": look.colour, "length": len(curve)}
                for (name, look), curve in zip(looks(named).items(), curves, strict=True)
            ]
            self.places = max((min(one.shape) for one in named.values()), default=1)
            self.alt = tr("Singular values: {words}, at most {places} possible.", words=words, places=self.places)

    def still(self) -> str:
        """The curves as an SVG picture in HTML."""
        ends = np.cumsum([curve["length"] for curve in self.curves])
        parts = np.split(np.frombuffer(self.values, dtype=np.float32), ends[:-1]) if self.curves else []
        lines = [
            Line(range(1, len(part) + 1), part.tolist(), curve["name"], curve["colour"])
            for curve, part in zip(self.curves, parts, strict=True)
        ]
        chart = Chart(tr("Singular values"), self.x_title, self.y_title, self.places, lines, log=True)
        return image("svg+xml", chart.svg().encode(), self.alt)


def pixelated(shape: tuple[int, ...]) -> str:
    """The style of a picture with one pixel for each entry: squares, at least as large as a glance needs."""
    return f"image-rendering:pixelated;width:{max(SIDE * shape[1] // max(shape), shape[1])}px;"
