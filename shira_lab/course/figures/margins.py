"""A mask with the counts of its rows and columns drawn along its margins, as the app draws them in the browser."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shira_lab.budget import Shape
from shira_lab.course.figures.mask import SIDE, VIEW_PIXELS, mask_pixels, mask_profile, pooling
from shira_lab.course.figures.png import enlarged, palette_png
from shira_lab.course.figures.theme import BLUE, GREY, PAPER, VERMILLION, WHITE, rgb

GAP, DEPTH = 4, 48  # pixels between mask and bars, and of the longest bar
_COLOURS = (WHITE, PAPER, BLUE, GREY, VERMILLION)
_WHITE, _PAPER, _INK, _BAR, _EMPTY = range(len(_COLOURS))


@dataclass(frozen=True)
class Bars:
    """Counts of rows or columns, one for each line of pixels.

    Attributes:
        heights: of the ``side`` rows under a line of pixels, the largest count.
        empty: whether any of these rows has no entry.
    """

    heights: NDArray[np.uint32]
    empty: NDArray[np.bool_]

    @classmethod
    def of(cls, counts: NDArray[np.int64], side: int) -> "Bars":
        starts = np.arange(0, len(counts), side)
        heights = np.maximum.reduceat(counts, starts).astype(np.uint32)
        return cls(heights, np.minimum.reduceat(counts, starts) == 0)


def mask_and_margins_png(positions: ArrayLike, shape: Shape, drawing: ArrayLike | None = None) -> bytes:
    """The mask of flat ``positions`` in an (m, n) weight as a PNG.

    Right of it a bar for each row, below it one for each column, as long as the row or column has entries; a row or
    column without any is marked over the whole length. Left of it, if given, the ``drawing`` (a, b) that it comes from.
    """
    profile, side = mask_profile(positions, shape), pooling(shape, VIEW_PIXELS)
    bars = Bars.of(profile.rows, side), Bars.of(profile.columns, side)
    return with_margins_png(mask_pixels(positions, shape, VIEW_PIXELS), *bars, drawing)


def with_margins_png(pixels: NDArray[np.bool_], rows: Bars, columns: Bars, drawing: ArrayLike | None = None) -> bytes:
    """:func:`mask_and_margins_png` of the mask's pixels, with the bars of their rows and columns."""
    mask = _page(pixels)
    scale = len(mask) // len(pixels)
    height, width = mask.shape
    page = np.full((height + GAP + DEPTH, width + GAP + DEPTH), _WHITE, dtype=np.uint8)
    page[:height, :width] = mask
    page[:height, width + GAP :] = _strip(rows).repeat(scale, axis=0)
    page[height + GAP :, :width] = _strip(columns).repeat(scale, axis=0).T
    if drawing is not None:
        page = _beside(_page(np.asarray(drawing)), page)
    return palette_png(page, [rgb(colour) for colour in _COLOURS])


def _page(inked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return enlarged(np.where(inked, _INK, _PAPER).astype(np.uint8), SIDE)


def _beside(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    page = np.full((max(len(left), len(right)), left.shape[1] + 6 * GAP + right.shape[1]), _WHITE, dtype=np.uint8)
    page[: len(left), : left.shape[1]] = left
    page[: len(right), -right.shape[1] :] = right
    return page


def _strip(bars: Bars) -> NDArray[np.int64]:
    """Codes (lines, DEPTH) of bars that grow to the right."""
    lengths = bars.heights * DEPTH / max(1, int(bars.heights.max()))
    codes = np.where(np.arange(DEPTH) < lengths[:, None], _BAR, _WHITE)
    codes[bars.empty] = _EMPTY
    return codes
