"""What a mask function of your own returns is checked before anything is built on it."""

import torch
from torch import Tensor

from shira_lab.errors import MaskError


def check_mask(mask: object, weight: Tensor, k: int, layer: str = "layer") -> None:
    """Check the contract of a mask function: binary, shape, dtype and device of ``weight``, exactly ``k`` ones.

    >>> check_mask(torch.ones(2, 2), torch.zeros(2, 2), 3)
    Traceback (most recent call last):
        ...
    shira_lab.errors.MaskError: The mask for layer has 4 ones; r(m + n) = 3 are expected: leave out 1.

    Args:
        mask: what a mask function returned.
        weight: the weight that it is for.
        k: the ones that are expected, r(m + n).
        layer: the name of the layer in messages.

    Raises:
        MaskError: each broken promise has a message of its own.
    """
    name = f"The mask for {layer}"
    if not isinstance(mask, Tensor):
        raise MaskError(f"{name} is a {type(mask).__name__}; a mask function returns one torch.Tensor.")
    if mask.shape != weight.shape:
        raise MaskError(f"{name} has shape {tuple(mask.shape)}; expected the weight's, {tuple(weight.shape)}.")
    if mask.device != weight.device:
        raise MaskError(f"{name} is on device {mask.device}; expected the weight's, {weight.device}.")
    if mask.dtype not in (weight.dtype, torch.bool):
        raise MaskError(f"{name} has dtype {mask.dtype}; expected the weight's, {weight.dtype}, or torch.bool.")
    if not bool(((mask == 0) | (mask == 1)).all()):
        strange = mask[(mask != 0) & (mask != 1)][0]
        raise MaskError(f"{name} is not binary: it holds {strange:g}. Use 1 for an entry that trains, 0 for any other.")
    ones = int(mask.count_nonzero())
    if ones != k:
        verb = "leave out" if ones > k else "add"
        raise MaskError(f"{name} has {ones:,} ones; r(m + n) = {k:,} are expected: {verb} {abs(ones - k):,}.")
