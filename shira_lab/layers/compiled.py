"""An optional compiled kernel: used only when asked for, missed by nobody who has it not.

It computes what PyTorch computes, to rounding, in less time. The loops are in :mod:`shira_lab.layers.loops`; numba
compiles them, no C++ compiler is needed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from shira_lab.errors import ShiraError
from shira_lab.layers import kernel
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import turned


def use() -> None:
    """Compile the loops (a few seconds, once; later processes find them in numba's cache) and use them from now on.

    Raises:
        ShiraError: when numba is missing or does not run here; everything goes on with PyTorch's own kernels.
    """
    try:
        kernel.install(_Loops())
    except ImportError as error:
        raise ShiraError(
            f'The compiled kernel needs numba ({error}): `pip install "shira-lab[compiled]"`. Without it everything '
            "works, a little slower."
        ) from None


def remove() -> None:
    """Go back to PyTorch's own kernels."""
    kernel.install(None)


class _Loops:
    """The loops as a :class:`~shira_lab.layers.kernel.Kernel`, with as many threads as PyTorch uses."""

    def __init__(self) -> None:
        import numba

        from shira_lab.layers import loops

        self._loops, self._set_num_threads = loops, numba.set_num_threads
        self._most_threads: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # made when it starts
        # Where numba finds no OpenMP, two threads must not enter its loops at once.
        self._one_at_a_time = threading.Lock()
        weight, first = torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64)
        self.write(weight, first, self.read(weight, first))
        self.add_sampled_product(torch.zeros(1), weight, weight, Pattern.of(first, (1, 1)))

    def add_sampled_product(self, entries: Tensor, a: Tensor, b: Tensor, pattern: Pattern) -> None:
        rows, columns = pattern.row_starts.numpy(), pattern.columns.numpy()
        size = self._loops.TOKENS
        with self._threads() as threads:
            for lines_a, lines_b in zip(turned(a, size, entries.dtype), turned(b, size, entries.dtype), strict=True):
                self._loops.add_dots(lines_a.numpy(), lines_b.numpy(), rows, columns, entries.numpy(), threads)

    def read(self, weight: Tensor, positions: Tensor) -> Tensor:
        entries = torch.empty(positions.numel())
        with self._threads():
            self._loops.read(weight.view(-1).numpy(), positions.numpy(), entries.numpy())
        return entries

    def write(self, weight: Tensor, positions: Tensor, values: Tensor) -> None:
        with self._threads():
            self._loops.write(weight.detach().view(-1).numpy(), positions.numpy(), values.detach().numpy())
        increment_version(weight)

    @contextmanager
    def _threads(self) -> Iterator[int]:
        with self._one_at_a_time:
            threads = min(torch.get_num_threads(), self._most_threads)
            self._set_num_threads(threads)
            yield threads
