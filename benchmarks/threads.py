"""What a second thread is worth, which decides how ratios measured with one thread and with two differ.

Where two threads are the two halves of one core, they share what it loads and multiplies in a moment. An operation that
one thread already does at the core's full speed gains nothing from the second; one that leaves half of it idle doubles.
"""

import torch
from torch import Tensor

from shira_lab.course.speed.timing import Ratio, Side, interleave
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import sampled_product
from shira_lab.masks.positions import random_positions


def thread_ratios(m: int = 768, n: int = 768, tokens: int = 512, r: int = 16) -> dict[str, Ratio]:
    """The time of each operation with one thread over its time with two."""
    torch.manual_seed(0)
    a, b, weight = torch.randn(tokens, m), torch.randn(tokens, n), torch.randn(m, n)
    pattern = Pattern.of(random_positions((m, n), r * (m + n), seed=0), (m, n))

    def sampled() -> Tensor:
        return sampled_product(a, b, pattern)

    operations: dict[str, Side] = {
        "matrix product": lambda: a @ weight,
        "sampled product": sampled,
    }
    return {name: _one_over_two(operation) for name, operation in operations.items()}


def _one_over_two(operation: Side) -> Ratio:
    def with_threads(count: int) -> Side:
        def run() -> None:
            torch.set_num_threads(count)
            for _ in range(10):
                operation()

        return run

    return interleave({"one": with_threads(1), "two": with_threads(2)}, "two", min_rounds=30, patience_s=10)["one"]
