"""Step 2 of "Build it": W + S as a new tensor, and the layer that multiplies with it."""

from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.course.exercises.build.judging import Pictures, close, judged, linear, randn
from shira_lab.course.exercises.build.positions import mask_positions
from shira_lab.course.exercises.exercise import Exercise, Solution
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.course.exercises.trials import Wrong


def add_sparse(weight, positions, v):
    """W + S, a new tensor (m, n): S is v at the positions and zero elsewhere. W stays as it is."""
    changed = weight.take(positions) + v  # stub: -
    return weight.put(positions, changed.to(weight.dtype))  # stub: return weight


class ShiraLinear(nn.Module):
    """y = x (W + S)^T + b, with a frozen W; S holds k trainable parameters, all zero at first."""

    def __init__(self, base_layer, positions):
        super().__init__()
        self.base_layer = base_layer.requires_grad_(False)  # stub: self.base_layer = base_layer
        self.positions = nn.Buffer(positions)  # stub: self.positions = positions
        self.shira_weight = nn.Parameter(torch.zeros(len(positions)))  # stub: self.shira_weight = None

    def forward(self, x):
        weight = add_sparse(self.base_layer.weight, self.positions, self.shira_weight)  # stub: -
        return nn.functional.linear(x, weight, self.base_layer.bias)  # stub: return self.base_layer(x)


SQUARE, WIDE, R = (12, 12), (8, 18), 2


def _examine_sum(answer: Solution) -> Pictures:
    for (m, n), dtype in ((WIDE, torch.float32), (SQUARE, torch.float64), (WIDE, torch.bfloat16)):
        weight = randn(m, n, dtype=dtype)
        positions = mask_positions(weight, R, 0)
        v = randn(len(positions), seed=1).requires_grad_()
        found = answer(weight, positions, v)
        _is_the_sum(found, weight, randn(m, n, dtype=dtype), positions, v.detach())
        if not found.requires_grad:
            raise Wrong(
                "No gradient can reach v: `detach()`, `.data` and `torch.no_grad()` cut the way. `put` on the tensors "
                "themselves keeps it."
            )
    return {"what S changed": mask_picture(found != weight)}


def _is_the_sum(found: object, weight: Tensor, before: Tensor, positions: Tensor, v: Tensor) -> None:
    tried = f"(Tried: a weight of shape {tuple(weight.shape)}, {weight.dtype}.)"
    if not torch.equal(weight, before):
        raise Wrong(
            f"Your function writes into W, and the base model is lost. `put` makes a copy, `put_` does not. {tried}"
        )
    if not isinstance(found, Tensor):
        raise Wrong(f"Return W + S; yours is of type {type(found).__name__}. {tried}")
    if found.shape != weight.shape:
        raise Wrong(f"W + S has the shape of W, {tuple(weight.shape)}; yours has {tuple(found.shape)}. {tried}")
    if found.dtype != weight.dtype:
        raise Wrong(
            f"W + S comes out as {found.dtype}: a sum with float32 numbers is float32. Bring it back with "
            f"`.to(weight.dtype)`. {tried}"
        )
    if torch.equal(found, weight):
        raise Wrong(f"This is W as it was: add v at the positions. {tried}")
    others = torch.zeros_like(weight, dtype=torch.bool).put(positions, torch.ones_like(positions, dtype=torch.bool))
    here, pictures = found.detach().take(positions), {"what S changed": mask_picture(found != weight)}
    if close(here, (weight.take(positions) + v).to(weight.dtype)) and torch.equal(found[~others], weight[~others]):
        return
    if close(here, v) and not close(found[~others], weight[~others]):
        raise Wrong(f"This is S alone: add it to W. {tried}", pictures)
    if close(here, v):
        raise Wrong(
            f"At the positions stands v in the place of W + v: take what stands there, and add v. {tried}", pictures
        )
    if close(here, (weight.take(positions) - v).to(weight.dtype)):
        raise Wrong(f"This is W - S. {tried}", pictures)
    raise Wrong(
        f"Other entries than those at the positions have changed: position p is row p // n, column p % n. {tried}",
        pictures,
    )


def _examine_layer(answer: Any) -> Pictures:
    for (m, n), dtype in ((SQUARE, torch.float32), (WIDE, torch.float32), (WIDE, torch.bfloat16)):
        base, positions = linear(m, n, dtype), mask_positions(randn(m, n), R, 0)
        _holds_what_it_needs(answer(base, positions), len(positions), m * n)
        _multiplies_with_the_sum(answer(base, positions), linear(m, n, dtype), positions)
    layer = answer(linear(m, n), positions)
    return {"where it trains": mask_picture(torch.zeros(m, n).put(layer.positions, torch.ones(len(positions))))}


def _holds_what_it_needs(layer: Any, k: int, entries: int) -> None:
    for name in ("base_layer", "positions", "shira_weight"):
        if not hasattr(layer, name):
            raise Wrong(f"The layer has no `{name}`: keep `base_layer`, `positions` and `shira_weight` on `self`.")
    v = layer.shira_weight
    if not isinstance(v, nn.Parameter):
        raise Wrong(
            "`shira_weight` is no nn.Parameter: an optimizer asks the model for its parameters, and would never"
            " find it."
        )
    if v.shape != (k,):
        all_of_it = " As many as W has: then nothing is saved." if v.numel() == entries else ""
        raise Wrong(
            f"`shira_weight` should have shape ({k},), one number for each position; yours has shape {tuple(v.shape)}."
            f"{all_of_it}"
        )
    if v.dtype != torch.float32:
        raise Wrong(
            f"`shira_weight` is {v.dtype}: in half precision, a small step of training is lost in rounding. Keep it in "
            "float32."
        )
    if "positions" not in dict(layer.named_buffers(recurse=False)):
        raise Wrong(
            "`positions` is no buffer: `model.to(device)` would move the weight and leave them behind. Write "
            "`nn.Buffer(positions)`."
        )
    open_ = [name for name, parameter in layer.base_layer.named_parameters() if parameter.requires_grad]
    if open_:
        raise Wrong(
            f"The base layer's {' and '.join(open_)} would train, too: `base_layer.requires_grad_(False)` freezes both."
        )


@torch.no_grad()
def _multiplies_with_the_sum(layer: Any, base: nn.Linear, positions: Tensor) -> None:
    m, n = base.weight.shape
    x, tried = randn(2, 3, n, seed=2, dtype=base.weight.dtype), f"(Tried: a {m} x {n} weight, {base.weight.dtype}.)"
    if m == n and close(layer(x), x @ base.weight + base.bias):
        raise Wrong(f"This is x W: the weight of a linear layer is (outputs, inputs), so y = x W^T. {tried}")
    if close(layer(x), base(x) - base.bias):
        raise Wrong(f"The bias is missing: y = x (W + S)^T + b. {tried}")
    if close(layer(x), base(x) + base.bias):
        raise Wrong(f"The bias is added twice: the base layer's output has it already. {tried}")
    if not close(layer(x), base(x)):
        why = (
            "begin with zeros in `shira_weight`, so that S = 0"
            if layer.shira_weight.any()
            else "S = 0 gives y = x W^T + b"
        )
        raise Wrong(f"Before any training the layer should be the base layer: {why}. {tried}")
    layer.shira_weight.copy_(randn(len(positions), seed=3))
    weight = add_sparse(base.weight, positions, layer.shira_weight)
    found, expected = layer(x), nn.functional.linear(x, weight, base.bias)
    if close(found, base(x)):
        raise Wrong(
            f"`shira_weight` has changed, and y has not: W + S must be made in `forward`, at each call. {tried}"
        )
    if not close(found, expected):
        raise Wrong(f"y is not x (W + S)^T + b, with v at the layer's positions. {tried}")
    if not torch.equal(layer.base_layer.weight, base.weight):
        raise Wrong(f"`forward` writes into W: each call would add S once more. Make W + S as a new tensor. {tried}")
    with torch.enable_grad():
        if not layer(x).requires_grad:
            raise Wrong("No gradient can reach `shira_weight`: something in `forward` detaches it.")


ADD_SPARSE = Exercise(
    solution=add_sparse,
    check=judged(_examine_sum, "W + S in W's own precision, W untouched, and gradients can flow to v."),
    difficulty="easy",
    minutes=5,
    stub_says="This is W as it was: add v at the positions. (Tried: a weight of shape (8, 18), torch.float32.)",
)

SHIRA_LINEAR = Exercise(
    solution=ShiraLinear,
    check=judged(_examine_layer, "Frozen, equal to the base layer at first, and y = x (W + S)^T + b from then on."),
    difficulty="medium",
    minutes=10,
    stub_says=(
        "`shira_weight` is no nn.Parameter: an optimizer asks the model for its parameters, and would never find it."
    ),
)
