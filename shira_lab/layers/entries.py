"""Entries of a weight at flat positions (k,), read and written; None in place of positions is the whole weight."""

import torch
from torch import Tensor

from shira_lab.layers.kernel import kernel_for


def read(weight: Tensor, positions: Tensor | None) -> Tensor:
    """A copy of these entries: (k,), or in the weight's shape."""
    weight = weight.detach()
    if positions is None:
        return weight.clone()
    if kernel := kernel_for(weight):
        return kernel.read(weight, positions)
    return weight.view(-1).index_select(0, positions)


def write(weight: Tensor, positions: Tensor | None, values: Tensor) -> None:
    """Make these entries ``values``, of the weight's dtype."""
    if positions is None:
        weight.copy_(values)
    elif kernel := kernel_for(weight, values):
        kernel.write(weight, positions, values)
    elif weight.device.type == "cpu" and not torch.are_deterministic_algorithms_enabled():
        weight.put_(positions, values)  # in all threads; deterministic where, as here, no position comes twice
    else:
        weight.view(-1).scatter_(0, positions, values)
