"""How many threads a run takes: for a small model a second one gains little, and waits long where cores are shared."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALL = 20_000_000  # numbers of a model


@contextmanager
def threads_for(model: nn.Module) -> Iterator[None]:
    """One thread inside for a small model."""
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
