"""The film of a mask that moves, in numbers and in pixels: what a swap kept, dropped and grew."""

import zlib
from base64 import b64decode

import numpy as np
from numpy.typing import NDArray

from shira_lab.course.figures.mask import SIDE
from shira_lab.course.figures.png import enlarged, palette_png
from shira_lab.course.figures.theme import BLACK, ORANGE, PAPER, SKY, rgb
from shira_lab.training.history import SwapPoint

#: Of entries that never trained, and of those that a swap kept, dropped and grew; these differ in brightness too.
FILM_COLOURS = (PAPER, SKY, ORANGE, BLACK)
LEGEND = "Pale blue: kept. Orange: dropped. Black: grown."


def film_pixels(swap: SwapPoint) -> NDArray[np.uint8]:
    """Codes of the pixels, (rows, columns): places in :data:`FILM_COLOURS`."""
    return np.frombuffer(zlib.decompress(b64decode(swap.codes)), dtype=np.uint8).reshape(swap.shape)


def film_png(swap: SwapPoint) -> bytes:
    """The pixels as a PNG; a small one is enlarged."""
    return palette_png(enlarged(film_pixels(swap), SIDE), [rgb(colour) for colour in FILM_COLOURS])


def swap_in_words(swap: SwapPoint) -> str:
    """What a swap has done to the mask of its layer.

    >>> swap_in_words(SwapPoint(10, "fc1", 700, 300, 1500, 192, (1, 1), ""))
    'after step 10: 700 entries kept, 300 dropped and 300 grown; so far 1,500 have trained, 1.5 times the budget; \
random values at the new positions have rank 192'
    """
    budget = swap.kept + swap.grown
    return (
        f"after step {swap.step}: {swap.kept:,} entries kept, {swap.grown:,} dropped and {swap.grown:,} grown; "
        f"so far {swap.ever:,} have trained, {swap.ever / budget:.2g} times the budget; random values at the new "
        f"positions have rank {swap.rank}"
    )
