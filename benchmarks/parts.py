"""What SHiRA's step is made of: the same step with a part of its work left out."""

from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.models import adapted, base_model, trained_numbers, training_step
from shira_lab.course.speed.timing import Ratio, Side, interleave
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import piece_size, turned


def _no_gradient(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    return torch.zeros(pattern.positions.numel())


def _only_turned(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    size = piece_size(b.shape[1])
    for matrix in (a, b):
        for _ in turned(matrix, size, matrix.dtype):
            pass
    return _no_gradient(a, b, pattern)


def parts_ratios(r: int = 16, layers: int = 2, patience_s: float = 60.0) -> dict[str, Ratio]:
    """A step over the frozen model's, with more of the work each time: each part costs what it adds to the one
    before."""
    step = training_step(adapted("shira", r, layers), 4, 128)
    sides: dict[str, Side] = {
        "floor": training_step(base_model(layers), 4, 128, numbers=trained_numbers(r, layers)),
        "forward, and the input's gradient": lambda: _with(_no_gradient, step),
        "and turning round": lambda: _with(_only_turned, step),
        "and dot products": step,
    }
    return interleave(sides, "floor", patience_s=patience_s)


def _with(sampled_product: object, step: Side) -> None:
    with patch("shira_lab.layers.product.sampled_product", sampled_product):
        step()


def turning_ratios(tokens: int = 512, width: int = 768, patience_s: float = 10.0) -> dict[str, Ratio]:
    """Turning a matrix round, over PyTorch's own copy of the transpose."""
    matrix = torch.randn(tokens, width)
    sides: dict[str, Side] = {
        "contiguous": lambda: matrix.t().contiguous(),
        "turned": lambda: list(turned(matrix, piece_size(width), matrix.dtype)),
    }
    return interleave(sides, "contiguous", patience_s=patience_s)
