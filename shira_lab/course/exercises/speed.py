"""The exercise on speed: a few entries of a gradient, without ever holding all of it."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict


def sampled_gradient(g, x, positions):
    """The entries of g^T x at sorted flat positions, for g (tokens, m) and x (tokens, n)."""
    n = x.shape[1]  # stub: -
    return (g[:, positions // n] * x[:, positions % n]).sum(dim=0)  # stub: return (g.t() @ x).flatten()[positions]


STUB_SAYS = (
    "The numbers are right, but a tensor with 12,288 numbers was made on the way: as many as the weight has. Multiply "
    "the columns that the positions need, and no others."
)
SHAPES = ((8, 6), (40, 70), (96, 128))
TOKENS = 5


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that is made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.numel = max([self.numel, *(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor))])
        return result


def _check(answer: Solution) -> Verdict:
    for m, n in SHAPES:
        generator = torch.Generator().manual_seed(m)
        g, x = (torch.randn(TOKENS, side, generator=generator, dtype=torch.float64) for side in (m, n))
        positions = torch.randperm(m * n, generator=generator)[: m * n // 50 + 2].sort().values
        expected = (g.t() @ x).flatten()[positions]
        with Largest() as largest:
            found = answer(g, x, positions)
        if not isinstance(found, Tensor) or found.shape != expected.shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            return Verdict(
                False, f"For {len(positions)} positions, return a tensor of shape {tuple(expected.shape)}; got {got}."
            )
        if not torch.allclose(found, expected):
            return Verdict(False, f"Some entries differ from g^T x at the positions, for a weight of {m} x {n}.")
    if largest.numel >= m * n:
        return Verdict(
            False,
            f"The numbers are right, but a tensor with {largest.numel:,} numbers was made on the way: as many as the "
            "weight has. Multiply the columns that the positions need, and no others.",
        )
    return Verdict(
        True, f"The entries are right for {len(SHAPES)} shapes, and nothing as large as the weight was made."
    )


SAMPLED_GRADIENT = Exercise(
    solution=sampled_gradient, check=_check, difficulty="medium", minutes=8, stub_says=STUB_SAYS
)
