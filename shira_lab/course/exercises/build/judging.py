"""What the checks of the lesson "Build it" share: a finding ends a check, and names are looked up where they live."""

import inspect
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.course.exercises.exercise import Solution, Verdict
from shira_lab.course.exercises.trials import Wrong

#: What a check shows under its sentence: PNG files by title.
Pictures = Mapping[str, bytes]

#: What is behind an error of PyTorch's or Python's that beginners meet here, by a part of its message.
BEHIND = {
    "before Module.__init__() call": "A module begins its `__init__` with `super().__init__()`.",
    "can require gradients": "Positions are whole numbers, which no step can move: `nn.Buffer`, not `nn.Parameter`.",
    "dictionary changed size": (
        "The model changes while you walk through it: walk through `list(model.named_modules())`. And `setattr` knows"
        " no paths with dots: `model.set_submodule(path, new)` does."
    ),
    "to have the same dtype": "W may be in half precision, and v is float32: bring both to one dtype before they meet.",
    "must match the size of tensor": "v has k numbers and W mn: they meet at the positions, `weight.take(positions)`.",
    "as parameter": "A weight is an nn.Parameter: copy the numbers into it, `weight.copy_(...)`, or make another one.",
    "out of bounds for dimension": (
        "Positions are flat, p = row * n + column, and `w[positions]` asks for whole rows: `take` and `put` go by"
        " entries. The row is p // n, the column p % n."
    ),
    "'NoneType' object has no attribute": "None stands where a tensor or a layer should: is a `return` missing?",
    "stack expects each tensor": "Rows of W have different numbers of entries: `torch.cat` joins them.",
    "shapes cannot be multiplied": "The weight of a linear layer is (outputs, inputs), so y = x W^T, and dx = dy W.",
    "positional argument": "A batch is a dict of arguments by name: `model(**batch)`.",
}


def judged(examine: Callable[[Any], Pictures], praise: str) -> Callable[[Solution], Verdict]:
    """A check that passes with ``praise`` where ``examine`` gives pictures, and fails with the Wrong that it raises."""

    def check(answer: Solution) -> Verdict:
        try:
            pictures = examine(answer)
        except Wrong as wrong:
            return Verdict(False, wrong.message, wrong.pictures)
        except Exception as error:  # whatever a learner's code may raise
            return Verdict(False, stopped(error))
        return Verdict(True, praise, pictures)

    return check


def stopped(error: Exception, otherwise: str = "") -> str:
    """With which error a learner's code stopped, and what is behind it, or may be."""
    behind = next((why for part, why in BEHIND.items() if part in str(error)), otherwise)
    return f"It stopped with {type(error).__name__}: {str(error).rstrip('.')}. {behind}".rstrip()


def names_of(answer: Solution) -> dict[str, Any]:
    """The names among which a function, or the methods of a class, were written."""
    for function in functions_of(answer):
        return function.__globals__
    return vars(sys.modules[answer.__module__])  # of a class that has no method yet


def functions_of(answer: Solution) -> list[FunctionType]:
    """A function as it was written, or those of a class."""
    written = vars(answer).values() if inspect.isclass(answer) else [answer]
    plain = (inspect.unwrap(getattr(one, "__func__", one)) for one in written)
    return [function for function in plain if isinstance(function, FunctionType)]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normally distributed numbers, the same at each call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def linear(m: int, n: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Linear:
    """A layer with an (m, n) weight and a bias, the same at each call."""
    layer = nn.Linear(n, m, dtype=dtype)
    layer.load_state_dict({"weight": randn(m, n, seed=seed, dtype=dtype), "bias": randn(m, seed=seed + 1, dtype=dtype)})
    return layer


def close(one: Tensor, two: Tensor) -> bool:
    """Equal but for rounding, and in shape; a product in bfloat16 keeps 8 bits."""
    rtol, atol = (2e-2, 2e-2) if torch.bfloat16 in (one.dtype, two.dtype) else (1e-4, 1e-6)
    return one.shape == two.shape and torch.allclose(one.double(), two.double(), rtol=rtol, atol=atol)
