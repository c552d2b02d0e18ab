"""Step 7 of "Build it": LoRA, with the same budget in the same frame."""

from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.budget import num_params
from shira_lab.course.exercises.build.judging import Pictures, close, judged, linear, randn
from shira_lab.course.exercises.exercise import Exercise
from shira_lab.course.exercises.trials import Wrong


class LoraLinear(nn.Module):
    """y = x (W + BA)^T + b, with a frozen W, B (m, r) of zeros and A (r, n) of small random numbers at first."""

    def __init__(self, base_layer, r):
        super().__init__()
        m, n = base_layer.weight.shape
        self.base_layer = base_layer.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(r, n) / n**0.5)  # stub: self.A = nn.Parameter(torch.zeros(r, n))
        self.B = nn.Parameter(torch.zeros(m, r))

    def forward(self, x):
        return self.base_layer(x) + x @ self.A.T @ self.B.T  # stub: return self.base_layer(x) + x @ self.A @ self.B


SHAPES, R = ((12, 12), (8, 18), (8, 400)), 2


def _examine(answer: Any) -> Pictures:
    for m, n in SHAPES:
        torch.manual_seed(0)
        base, layer, x = linear(m, n), answer(linear(m, n), R), randn(2, 3, n, seed=2)
        tried = f"(Tried: a {m} x {n} weight, r={R}.)"
        _has_the_budget(layer, m, n, tried)
        _begins_at_zero(layer, tried)
        _multiplies(layer, base, x, tried)
    return {}


def _has_the_budget(layer: Any, m: int, n: int, tried: str) -> None:
    for name, shape in (("A", (R, n)), ("B", (m, R))):
        matrix = getattr(layer, name, None)
        if not isinstance(matrix, nn.Parameter):
            raise Wrong(f"The layer needs `self.{name}`, an nn.Parameter of shape {shape}. {tried}")
        if matrix.shape != shape:
            raise Wrong(f"{name} has shape {tuple(matrix.shape)}; expected {shape}, so that BA is (m, n). {tried}")
    trained = sum(parameter.numel() for parameter in layer.parameters() if parameter.requires_grad)
    if trained != num_params(R, (m, n)):
        raise Wrong(
            f"{trained} parameters train where r(m + n) = {num_params(R, (m, n))} are to be: A and B alone; freeze the"
            f" base layer, its bias too. {tried}"
        )


@torch.no_grad()
def _begins_at_zero(layer: Any, tried: str) -> None:
    if not layer.A.any() and not layer.B.any():
        raise Wrong(
            "A and B are both zero: the gradient of each is a product with the other, so both would stay zero for"
            f" ever. Let A be random. {tried}"
        )
    if (layer.B @ layer.A).any():
        raise Wrong(
            f"Before any training the layer should be the base layer: BA = 0, so one of both begins at zero. {tried}"
        )
    if layer.A.any() and torch.linalg.matrix_rank(layer.A) < R:
        raise Wrong(
            "The rows of A are alike, so the columns of B get one and the same gradient: BA would keep rank 1. Let A be"
            f" random. {tried}"
        )
    if float(layer.A.abs().max()) > 3 * 5 / layer.A.shape[1] ** 0.5:
        raise Wrong(f"A is large: its numbers should be of size 1 / sqrt(n), or a first step of B is a leap. {tried}")


@torch.no_grad()
def _multiplies(layer: Any, base: nn.Linear, x: Tensor, tried: str) -> None:
    layer.A.copy_(randn(*layer.A.shape, seed=3))
    layer.B.copy_(randn(*layer.B.shape, seed=4))
    found, product = layer(x), x @ (layer.B @ layer.A).T
    if close(found, base(x) + product):
        return
    if close(found, base(x)):
        raise Wrong(f"A and B have changed, and y has not: add x (BA)^T in `forward`. {tried}")
    if close(found, product):
        raise Wrong(f"This is x (BA)^T alone: add it to the base layer's output. {tried}")
    if close(found, base(x) + base.bias + product):
        raise Wrong(f"The bias is added twice: the base layer's output has it already. {tried}")
    if close(found, base(x) - base.bias + product):
        raise Wrong(f"The bias is missing. {tried}")
    ratio = (found - base(x)) / product
    if close(ratio, ratio.flatten()[0].expand(ratio.shape)):
        raise Wrong(f"The update is {float(ratio.flatten()[0]):.3g} times BA: leave the scale at 1 here. {tried}")
    raise Wrong(f"y is not x (W + BA)^T + b. {tried}")


LORA_LINEAR = Exercise(
    solution=LoraLinear,
    check=judged(_examine, "r(m + n) trained parameters, equal to the base layer at first, and y = x (W + BA)^T + b."),
    difficulty="easy",
    minutes=10,
    stub_says=(
        "A and B are both zero: the gradient of each is a product with the other, so both would stay zero for ever. Let"
        " A be random. (Tried: a 12 x 12 weight, r=2.)"
    ),
)
