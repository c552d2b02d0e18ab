"""Two masks of one weight in one picture: entries of the first alone, of the second alone, and of both."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shira_lab.budget import Shape
from shira_lab.course.figures.mask import SIDE, VIEW_PIXELS, mask_pixels, pooling
from shira_lab.course.figures.png import enlarged, palette_png
from shira_lab.course.figures.theme import BLACK, BLUE, ORANGE, PAPER, WHITE, rgb

#: Codes of a pixel, and the colours they have; these differ in brightness too.
NEITHER, FIRST, SECOND, BOTH = range(4)
COLOURS = (PAPER, BLUE, ORANGE, BLACK)
GAP = 16  # pixels between two masks


def overlap_pixels(
    first: ArrayLike, second: ArrayLike, shape: Shape, max_pixels: int = VIEW_PIXELS
) -> NDArray[np.uint8]:
    """Codes of two masks, given by their flat positions, laid over each other.

    Where a pixel stands for several entries, it says ``BOTH`` if any of them is in both masks, else the mask that has
    more of them.
    """
    ones, twos = _count(first, shape, max_pixels), _count(second, shape, max_pixels)
    codes = np.select([ones + twos == 0, ones >= twos], [NEITHER, FIRST], SECOND).astype(np.uint8)
    shared = np.intersect1d(np.asarray(first), np.asarray(second), assume_unique=True)
    codes[mask_pixels(shared, shape, max_pixels)] = BOTH
    return codes


def overlap_png(codes: NDArray[np.uint8]) -> bytes:
    """The pixels of :func:`overlap_pixels` as a PNG."""
    return palette_png(enlarged(codes, SIDE), [rgb(colour) for colour in COLOURS])


def two_masks_png(first: ArrayLike, first_shape: Shape, second: ArrayLike, second_shape: Shape) -> bytes:
    """Two masks, of one shape or of two, beside each other in the colours of an overlap."""
    one = enlarged(mask_pixels(first, first_shape, VIEW_PIXELS) * np.uint8(FIRST), SIDE)
    two = enlarged(mask_pixels(second, second_shape, VIEW_PIXELS) * np.uint8(SECOND), SIDE)
    colours = (*COLOURS, WHITE)
    page = np.full((max(len(one), len(two)), one.shape[1] + GAP + two.shape[1]), len(COLOURS), dtype=np.uint8)
    page[: len(one), : one.shape[1]] = one
    page[: len(two), one.shape[1] + GAP :] = two
    return palette_png(page, [rgb(colour) for colour in colours])


def _count(positions: ArrayLike, shape: Shape, max_pixels: int) -> NDArray[np.int64]:
    """Entries under each pixel."""
    (m, n), side = shape, pooling(shape, max_pixels)
    high, wide = -(-m // side), -(-n // side)
    rows, columns = np.divmod(np.asarray(positions, dtype=np.int64), n)
    return np.bincount(rows // side * wide + columns // side, minlength=high * wide).reshape(high, wide)
