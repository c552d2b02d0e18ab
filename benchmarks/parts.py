"""What SHiRA's step is made of: the same step with kernels that leave a part of their work out."""

from itertools import chain

import torch
from torch import Tensor

from benchmarks.models import adapted, base_model, trained_numbers, training_step, with_kernel
from shira_lab.course.speed.timing import Ratio, Side, interleave
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import piece_size, turned


class _Partly:
    """A kernel that may write, and may turn matrices round, and computes no gradient."""

    def __init__(self, writes: bool, turns: bool) -> None:
        self._writes, self._turns = writes, turns

    def add_sampled_product(self, entries: Tensor, a: Tensor, b: Tensor, pattern: Pattern) -> None:
        size = piece_size(b.shape[1])
        stacks = chain(turned(a, size, entries.dtype), turned(b, size, entries.dtype))
        while self._turns and next(stacks, None) is not None:
            pass

    def read(self, weight: Tensor, positions: Tensor) -> Tensor:
        return weight.view(-1).index_select(0, positions)

    def write(self, weight: Tensor, positions: Tensor, values: Tensor) -> None:
        if self._writes:
            weight.put_(positions, values)  # as entries.write does


def parts_ratios(r: int = 16, layers: int = 2, patience_s: float = 60.0) -> dict[str, Ratio]:
    """A step over the frozen model's, with more of the work each time: each part costs what it adds to the one
    before."""
    step = training_step(adapted("shira", r, layers), 4, 128)
    sides: dict[str, Side] = {
        "floor": training_step(base_model(layers), 4, 128, numbers=trained_numbers(r, layers)),
        "calls": with_kernel(_Partly(writes=False, turns=False), step),
        "and writing": with_kernel(_Partly(writes=True, turns=False), step),
        "and turning round": with_kernel(_Partly(writes=True, turns=True), step),
        "and dot products": step,
    }
    return interleave(sides, "floor", patience_s=patience_s)


def turning_ratios(tokens: int = 512, width: int = 768, patience_s: float = 10.0) -> dict[str, Ratio]:
    """Turning a matrix round, over PyTorch's own copy of the transpose."""
    matrix = torch.randn(tokens, width)
    sides: dict[str, Side] = {
        "contiguous": lambda: matrix.t().contiguous(),
        "turned": lambda: list(turned(matrix, piece_size(width), matrix.dtype)),
    }
    return interleave(sides, "contiguous", patience_s=patience_s)
