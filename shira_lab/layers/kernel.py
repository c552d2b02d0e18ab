"""Where compiled loops take PyTorch's place, if they are asked for: see :mod:`shira_lab.layers.compiled`."""

from typing import Protocol

import torch
from torch import Tensor

from shira_lab.layers.pattern import Pattern


class Kernel(Protocol):
    """What other loops than PyTorch's may do: float32 in main memory, positions flat, sorted, int64."""

    def add_sampled_product(self, entries: Tensor, a: Tensor, b: Tensor, pattern: Pattern) -> None:
        """entries += those of a^T b at the pattern's positions, (k,), for a (tokens, m) and b (tokens, n), which may be
        in half precision."""

    def read(self, weight: Tensor, positions: Tensor) -> Tensor:
        """The entries of ``weight`` at ``positions``, (k,)."""

    def write(self, weight: Tensor, positions: Tensor, values: Tensor) -> None:
        """Make them ``values``, (k,), and tell autograd that the weight has changed."""


_kernel: Kernel | None = None


def install(kernel: Kernel | None) -> None:
    """Use ``kernel`` from now on; None goes back to PyTorch's own."""
    global _kernel
    _kernel = kernel


def installed() -> Kernel | None:
    return _kernel


def kernel_for(*tensors: Tensor) -> Kernel | None:
    """The installed kernel, if it can take these tensors."""
    fit = all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
    return _kernel if fit else None
