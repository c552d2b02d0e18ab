"""Step 3 of "Build it": the gradient of k entries, without the dense gradient G = dy^T x of all mn."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shira_lab.course.exercises.build.judging import Pictures, close, judged, randn, stopped
from shira_lab.course.exercises.build.layer import add_sparse
from shira_lab.course.exercises.build.positions import mask_positions
from shira_lab.course.exercises.exercise import Exercise
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.course.exercises.trials import Wrong
from shira_lab.masks.positions import to_mask


class SparseWeightGrad(torch.autograd.Function):
    """y = x (W + S)^T + b, of shape (..., m) for x (..., n); its backward pass makes k numbers of the weight's mn."""

    @staticmethod
    def forward(ctx, x, v, weight, positions, bias):
        ctx.save_for_backward(x, v, weight, positions)
        return nn.functional.linear(x, add_sparse(weight, positions, v), bias)

    @staticmethod
    def backward(ctx, dy):
        x, v, weight, positions = ctx.saved_tensors
        m, n = weight.shape  # stub: -
        dx = dy @ add_sparse(weight, positions, v)  # stub: dx = torch.zeros_like(x)
        rows, columns = positions // n, positions % n  # stub: -
        dy, x = dy.reshape(-1, m).T.contiguous(), x.reshape(-1, n).T.contiguous()  # stub: -
        of_rows = [x[columns[rows == i]] @ dy[i] for i in range(m)]  # stub: -
        dv = torch.cat(of_rows)  # stub: dv = torch.zeros_like(v)
        return dx, dv, None, None, None


INPUTS = ("x", "v", "weight", "positions", "bias")
SHAPES = ((40, 5), (2, 30, 7), (60, 4, 6))  # shapes of x: with and without a batch; many tokens
M, R = 9, 1


class _Made(TorchDispatchMode):
    """Keeps the largest tensor that is made inside, and whether one of them was ``dense``, as it is or transposed."""

    def __init__(self, dense: Tensor) -> None:
        super().__init__()
        self.dense, self.numel, self.was_dense = dense, 0, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self.numel = max(self.numel, made.numel())
                flat = made.flatten()
                self.was_dense |= any(close(flat, dense.flatten()) for dense in (self.dense, self.dense.t()))
        return result


def _examine(answer: type[torch.autograd.Function]) -> Pictures:
    for shape in SHAPES:
        n, dtype = shape[-1], torch.float64
        weight, bias, x = randn(M, n, dtype=dtype), randn(M, seed=1, dtype=dtype), randn(*shape, seed=2, dtype=dtype)
        positions = mask_positions(weight, R, 0)
        v, dy = randn(len(positions), seed=3, dtype=dtype), randn(*shape[:-1], M, seed=4, dtype=dtype)
        tried = f"(Tried: x of shape {shape}, and k = {len(positions)} of the {M} * {n} entries of W.)"
        full = add_sparse(weight, positions, v)
        y = answer.apply(x.requires_grad_(), v.requires_grad_(), weight, positions, bias)
        if not isinstance(y, Tensor) or not close(y, nn.functional.linear(x, full, bias)):
            raise Wrong(f"`forward` does not give x (W + S)^T + b. {tried}")
        dense = dy.reshape(-1, M).t() @ x.detach().reshape(-1, n)
        with _Made(dense) as made:
            dx, dv = _gradients(y, x, v, dy, tried)
        _is_the_gradient_of_x(dx, dy, weight, full, tried)
        _is_the_gradient_of_v(dv, dense, positions, dy.numel() // M, tried)
        if made.was_dense:
            raise Wrong(
                f"The numbers are right, but all {M * n} entries of G = dy^T x were made on the way, and"
                f" {len(positions)} are needed. Entry (i, j) of G is the product of column i of dy and column j of x:"
                f" take one row of W at a time, with the columns that train in it. {tried}"
            )
        allowed = max(x.numel(), dy.numel(), weight.numel())
        if made.numel > allowed:
            raise Wrong(
                f"The numbers are right, and G was not made, but a tensor of {made.numel:,} numbers was, larger than x,"
                f" dy and W: a column for each position. Take one row of W at a time. {tried}"
            )
    chosen = to_mask(positions, dense)
    return {"dense autograd makes": mask_picture(torch.ones_like(dense)), "you make": mask_picture(chosen)}


def _gradients(y: Tensor, x: Tensor, v: Tensor, dy: Tensor, tried: str) -> tuple[Tensor, Tensor]:
    try:
        dx, dv = torch.autograd.grad(y, (x, v), dy, allow_unused=True)
    except RuntimeError as error:
        if "incorrect number of gradients" in str(error):
            raise Wrong(
                f"`backward` returns one gradient for each input of `forward`, in the same order: {', '.join(INPUTS)}; "
                "None for those that do not train."
            ) from None
        if "invalid gradient at index" in str(error):
            raise Wrong(
                f"A gradient has the shape of what it is the gradient of: dx that of x, {tuple(x.shape)}, and dv that "
                f"of v, {tuple(v.shape)}. PyTorch says: {error}. {tried}"
            ) from None
        axes = "Before the last axis, x may have any number of axes: `x.reshape(-1, n)` makes one of them."
        raise Wrong(f"{stopped(error, axes)} {tried}") from None
    for name, gradient in (("x", dx), ("v", dv)):
        if gradient is None:
            raise Wrong(f"`backward` returns None for {name}, so nothing before it can learn. {tried}")
    return dx, dv


def _is_the_gradient_of_x(dx: Tensor, dy: Tensor, weight: Tensor, full: Tensor, tried: str) -> None:
    if close(dx, dy @ full):
        return
    if not dx.any():
        raise Wrong(f"dx is zero: the layers below would learn nothing. y = x (W + S)^T gives dx = dy (W + S). {tried}")
    if close(dx, dy @ weight):
        raise Wrong(f"dx = dy W leaves S out, and x was multiplied with W + S. {tried}")
    raise Wrong(f"dx is not dy (W + S). {tried}")


def _is_the_gradient_of_v(dv: Tensor, dense: Tensor, positions: Tensor, tokens: int, tried: str) -> None:
    expected = dense.flatten()[positions]
    if close(dv, expected):
        return
    if not dv.any():
        raise Wrong(f"dv is zero: the layer would never learn. It holds k entries of G = dy^T x. {tried}")
    if close(dv * tokens, expected):
        raise Wrong(f"dv is the mean over the tokens, and y depends on v through each of them: add them up. {tried}")
    ratio = dv / expected
    if close(ratio, ratio[:1].expand(len(ratio))):
        raise Wrong(f"dv is {float(ratio[0]):.3g} times what it should be: the same factor in each entry. {tried}")
    if close(dv.sort().values, expected.sort().values):
        raise Wrong(f"The right entries of G in another order: entry number p of dv belongs to positions[p]. {tried}")
    if close(dv, dense.t().flatten()[positions]):
        raise Wrong(
            f"These are entries of x^T dy: a position counts the rows of W, outputs, and its columns, inputs. {tried}"
        )
    raise Wrong(f"dv differs from dense autograd's entries of G = dy^T x at the positions. {tried}")


SPARSE_WEIGHT_GRAD = Exercise(
    solution=SparseWeightGrad,
    check=judged(_examine, "Dense autograd's numbers, in float64, and nothing larger than x, dy or W was made."),
    difficulty="hard",
    minutes=15,
    stub_says=(
        "dx is zero: the layers below would learn nothing. y = x (W + S)^T gives dx = dy (W + S). (Tried: x of shape "
        "(40, 5), and k = 14 of the 9 * 5 entries of W.)"
    ),
)
