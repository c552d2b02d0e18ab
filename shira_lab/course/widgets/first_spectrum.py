"""Singular values while a slider moves: the rank exact, the values to some four digits, in half of the time."""

import torch
from torch import Tensor

from shira_lab.analysis.rank import random_delta, structural_rank
from shira_lab.analysis.spectrum import Spectrum, spectrum
from shira_lab.budget import Shape

SMALLEST = 1e-6  # share of the largest singular value that a value above zero has at least here


def first_spectrum(positions: Tensor, shape: Shape, seed: int = 0) -> Spectrum:
    """About the spectrum of :func:`~shira_lab.analysis.rank.random_delta` for a weight (m, n), computed in float32.

    The values are roots of the eigenvalues of M M^T, with errors of some 1e-4 of the largest, less than a line in a
    picture is wide. Small ones are lost in that, so the rank is not counted: it is the structural rank, which random
    values have with probability 1.

    >>> first_spectrum(torch.tensor([0, 4, 5]), (3, 3)).rank
    2
    """
    delta = random_delta(positions, shape, seed)
    rough = (delta if shape[0] <= shape[1] else delta.T).float()
    try:
        squares = torch.linalg.eigvalsh(rough @ rough.T).flip(0).double()
    except RuntimeError:  # does not converge in float32, as may be where most columns are empty
        return spectrum(delta)
    values = squares.clamp(min=SMALLEST**2 * float(squares[0])).sqrt()
    values[structural_rank(positions, shape) :] = 0
    return Spectrum(values, shape)
