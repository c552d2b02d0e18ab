"""The control beside a trained update: random values wherever the adapter has trained ones.

A rank that a trained update shares with its control says what the positions allow, and nothing of the training.
"""

import torch
from torch import Tensor

from shira_lab.analysis.rank.report import random_delta
from shira_lab.layers import LoraAdapter, ShiraAdapter


def random_update(adapter: ShiraAdapter | LoraAdapter, seed: int = 0) -> Tensor:
    """The (m, n) update of ``adapter`` with independent normal values in place of its own; float32, on the CPU.

    SHiRA: S with a value at each of its positions. LoRA: B A with a value in each entry of B (m, r) and A (r, n).
    """
    if isinstance(adapter, ShiraAdapter):
        return random_delta(adapter.positions.cpu(), adapter.shape, seed).float()
    m, n = adapter.shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, adapter.r, generator=generator) @ torch.randn(adapter.r, n, generator=generator)
