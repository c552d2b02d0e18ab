"""What a merge and its undoing do to each entry of a weight, in floating point: codes, pixels and words."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shira_lab.course.figures.mask import SIDE
from shira_lab.course.figures.png import enlarged, palette_png
from shira_lab.course.figures.theme import BLACK, ORANGE, PAPER, rgb

#: Of entries that came back, that did not, and whose value never arrived.
ROUNDING_COLOURS = (PAPER, ORANGE, BLACK)
ROUNDING_LEGEND = "Pale: came back. Orange: did not. Black: the value was too small to arrive, W + S is W."
_BACK, _LOST, _UNMOVED = range(len(ROUNDING_COLOURS))


@dataclass(frozen=True)
class Rounding:
    """The fate of each entry of W, (m, n), under (W + S) - S: a place in :data:`ROUNDING_COLOURS`."""

    codes: NDArray[np.uint8]

    @classmethod
    def of(cls, weight: Tensor, values: Tensor) -> "Rounding":
        """Add ``values`` to ``weight`` and take them off again, both (m, n), in the weight's precision."""
        rounded = values.to(weight.dtype)
        merged = weight + rounded
        codes = torch.full(weight.shape, _BACK, dtype=torch.uint8)
        codes[merged - rounded != weight] = _LOST
        codes[(merged == weight) & (values != 0)] = _UNMOVED
        return cls(codes.numpy())

    @property
    def lost(self) -> int:
        """How many entries are not what they were."""
        return int((self.codes == _LOST).sum())

    @property
    def unmoved(self) -> int:
        """How many entries the merge has not changed, though their value is not zero."""
        return int((self.codes == _UNMOVED).sum())

    def png(self) -> bytes:
        """A pixel for each entry; a small weight is enlarged."""
        return palette_png(enlarged(self.codes, SIDE), [rgb(colour) for colour in ROUNDING_COLOURS])

    def in_words(self) -> str:
        """Both counts and their shares.

        >>> Rounding(np.array([[0, 1], [1, 2]], dtype=np.uint8)).in_words()
        '2 of 4 entries (50.0%) did not come back; 1 (25.0%) never changed'
        """
        shares = [f"({count / self.codes.size:.1%})" for count in (self.lost, self.unmoved)]
        return (
            f"{self.lost:,} of {self.codes.size:,} entries {shares[0]} did not come back; "
            f"{self.unmoved:,} {shares[1]} never changed"
        )
