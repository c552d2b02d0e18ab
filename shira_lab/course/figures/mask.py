"""A mask as a picture, and how its entries are spread over rows and columns.

A large mask is pooled by maximum: a pixel is set if any entry under it trains, so that no entry vanishes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from shira_lab.budget import Shape
from shira_lab.course.figures.png import enlarged, palette_png
from shira_lab.course.figures.theme import BLUE, HEIGHT, PAPER, TEMPLATE, VERMILLION, Figure, rgb

MAX_PIXELS = 1024
VIEW_PIXELS = 512  # of a mask that stands beside something else in a page
SIDE = 384  # pixels of the longer side that a small mask is enlarged to


@dataclass(frozen=True)
class MaskProfile:
    """How many trained entries each row and each column of a mask has."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @property
    def empty_rows(self) -> int:
        """Rows without an entry: outputs that the adapter cannot change."""
        return int((self.rows == 0).sum())

    @property
    def empty_columns(self) -> int:
        """Columns without an entry: inputs that the adapter cannot see."""
        return int((self.columns == 0).sum())


def pooling(shape: Shape, max_pixels: int = MAX_PIXELS) -> int:
    """Side of the square of entries under one pixel, the smallest with at most ``max_pixels`` pixels a side."""
    return max(1, -(-max(shape) // max_pixels))


def mask_pixels(positions: ArrayLike, shape: Shape, max_pixels: int = MAX_PIXELS) -> NDArray[np.bool_]:
    """The mask of flat ``positions`` in an (m, n) weight as pixels (rows, columns), pooled if it is larger."""
    (m, n), side = shape, pooling(shape, max_pixels)
    rows, columns = np.divmod(np.asarray(positions, dtype=np.int64), n)
    pixels = np.zeros((-(-m // side), -(-n // side)), dtype=bool)
    pixels[rows // side, columns // side] = True
    return pixels


def mask_png(positions: ArrayLike, shape: Shape, max_pixels: int = MAX_PIXELS, side: int = 0) -> bytes:
    """The mask as a PNG, dark where an entry trains; a small one is enlarged to nearly ``side`` pixels."""
    pixels = mask_pixels(positions, shape, max_pixels).view(np.uint8)
    return palette_png(enlarged(pixels, side), (rgb(PAPER), rgb(BLUE)))


def mask_profile(positions: ArrayLike, shape: Shape) -> MaskProfile:
    """The entries of flat ``positions`` counted by row and by column of an (m, n) weight."""
    m, n = shape
    rows, columns = np.divmod(np.asarray(positions, dtype=np.int64), n)
    return MaskProfile(np.bincount(rows, minlength=m), np.bincount(columns, minlength=n))


def profile_figure(positions: ArrayLike, shape: Shape) -> Figure:
    """Trained entries of each row and of each column, side by side."""
    profile = mask_profile(positions, shape)
    figure = Figure(make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06))
    figure.add_bar(y=profile.rows, name=f"rows, {profile.empty_rows} empty", marker_color=BLUE, row=1, col=1)
    figure.add_bar(
        y=profile.columns, name=f"columns, {profile.empty_columns} empty", marker_color=VERMILLION, row=1, col=2
    )
    figure.update_layout(
        template=TEMPLATE, height=HEIGHT, bargap=0, title_text="Trained entries by row and by column of the weight"
    )
    figure.update_xaxes(title_text="row (output)", col=1).update_xaxes(title_text="column (input)", col=2)
    return figure.update_yaxes(title_text="trained entries", col=1)
