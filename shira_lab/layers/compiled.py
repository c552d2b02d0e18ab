"""An optional compiled kernel for sampled products: used only when asked for, missed by nobody who has it not.

It computes what :func:`shira_lab.layers.sampled.sampled_product` computes, to rounding, in about half the time. The
loops are in :mod:`shira_lab.layers.loops`; numba compiles them, no C++ compiler is needed.
"""

import threading

import torch
from torch import Tensor

from shira_lab.errors import ShiraError
from shira_lab.layers import sampled
from shira_lab.layers.pattern import Pattern

# Where numba finds no OpenMP, two threads must not enter its loops at once.
_one_at_a_time = threading.Lock()


def use() -> None:
    """Compile the kernel (a few seconds, once; later processes find it in numba's cache) and use it from now on.

    Raises:
        ShiraError: when numba is missing or does not run here; everything goes on with PyTorch's own kernel.
    """
    try:
        import numba

        from shira_lab.layers import loops
    except ImportError as error:
        raise ShiraError(
            f'The compiled kernel needs numba ({error}): `pip install "shira-lab[compiled]"`. Without it everything '
            "works, a little slower."
        ) from None

    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # made when numba starts

    def kernel(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
        entries = torch.zeros(pattern.positions.numel())
        rows, columns = pattern.row_starts.numpy(), pattern.columns.numpy()
        threads = min(torch.get_num_threads(), most)
        with _one_at_a_time:
            numba.set_num_threads(threads)
            for lines_a, lines_b in zip(sampled.turned(a, loops.TOKENS), sampled.turned(b, loops.TOKENS), strict=True):
                loops.add_dots(lines_a.numpy(), lines_b.numpy(), rows, columns, entries.numpy(), threads)
        return entries

    kernel(torch.zeros(1, 1), torch.zeros(1, 1), Pattern.of(torch.zeros(1, dtype=torch.int64), (1, 1)))
    sampled.install_kernel(kernel)


def remove() -> None:
    """Go back to PyTorch's own kernel."""
    sampled.install_kernel(None)
