"""The product of a linear layer with a sparse update: y = x (W + S)^T + b, and its gradient.

W is only read, never written: other modules, threads and processes may hold it, a graph may need it as it is, and
``state_dict`` saves it. :func:`product` is the one place that decides how y is computed:

========== ============================================= ===============================================
way        how                                           when
========== ============================================= ===============================================
sparse     W + S in memory of its own, for this product; a layer that PyTorch's own linear product
           the gradient of k values alone                describes, in ordinary eager code
few tokens base_layer(x) + x S^T, S as sparse rows       the same, for a few tokens in ``no_grad``
dense      base_layer with W + S, made of operations     hooks on the base layer, a weight that trains,
           that PyTorch can differentiate and trace      compiling, tracing, ``torch.func``, subclasses
beside     base_layer(x) + x S^T, S dense                a base layer that computes its weight itself
========== ============================================= ===============================================

The first way is here; the others are in :mod:`shira_lab.layers.other_ways`.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.utils._python_dispatch import _get_current_dispatch_mode

from shira_lab.errors import AdapterError
from shira_lab.layers.other_ways import beside, dense, few_tokens
from shira_lab.layers.sampled import dense_product, sampled_product
from shira_lab.layers.shira import Delta, ShiraAdapter, plus, version_of

Way = Literal["sparse", "few tokens", "dense", "beside"]

# Tokens are few up to tokens * k = FEW * mn: then the product with S alone costs less than a copy of W.
FEW = 1.0
# Whether PyTorch can multiply sparse rows with a vector on the CPU: it leaves this to a library.
SPARSE_ROWS = torch.backends.mkl.is_available()


def product(base_layer: nn.Module, adapters: Sequence[ShiraAdapter], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x (W + S)^T + b for x (..., in_features), where S is the sum of the adapters' updates.

    Args:
        base_layer: the layer with W and b.
        adapters: those that act, on this layer's weight.
        x: the layer's input.
        *args: further arguments of the base layer, handed on; so are the keyword arguments.
    """
    if not adapters:
        output: Tensor = base_layer(x, *args, **kwargs)
        return output
    way = which_way(base_layer, adapters, x)
    if way == "beside":
        return beside(base_layer, adapters, x, *args, **kwargs)
    if way == "dense" or args or kwargs:
        return dense(base_layer, adapters, x, *args, **kwargs)
    if way == "few tokens":
        return few_tokens(base_layer, adapters, x)
    values = [adapter.shira_weight for adapter in adapters]
    output = SparseWeightGrad.apply(x, base_layer.weight, base_layer.bias, tuple(adapters), *values)
    return output


class SparseWeightGrad(torch.autograd.Function):
    """y = x (W + S)^T + b. Backward, the gradients of x and of the k values (`entries`; dense for dense masks):

        g = dL/dy,    dL/dx = g (W + S),    dL/dvalues_i = scaling * sum_t g[t, row_i] x[t, column_i]

    It saves x, as LoRA does, and W by reference. ``shira_lab.minimal`` shows the same without the care for half
    precision, second derivatives and several adapters.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, adapters: tuple[ShiraAdapter, ...], *values: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.fan_in_fan_out, ctx.patterns = adapters[0].fan_in_fan_out, [adapter.pattern for adapter in adapters]
        ctx.live = [Delta(v, a.positions, a.scaling) for v, a in zip(values, adapters, strict=True)]
        ctx.versions = [version_of(value) for value in values]
        # An optimizer may change the values before this pass comes back: what it needs of them is copied.
        ctx.deltas = [delta.snapshot() for delta in ctx.live] if ctx.needs_input_grad[0] else ctx.live
        return linear(x, plus(weight, ctx.live), bias, ctx.fan_in_fan_out)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        tokens_in, tokens_out = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
        a, b = (tokens_in, tokens_out) if ctx.fan_in_fan_out else (tokens_out, tokens_in)
        twice = torch.is_grad_enabled()  # a second derivative is wanted: operations that autograd can follow
        deltas, entries = (_unchanged(ctx), dense_product) if twice else (ctx.deltas, sampled_product)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = linear(g, plus(weight, deltas).to(g.dtype), None, not ctx.fan_in_fan_out).to(x.dtype)
        gradients = [
            (entries(a, b, pattern) * delta.scaling).to(delta.values.dtype) if wanted else None
            for pattern, delta, wanted in zip(ctx.patterns, deltas, ctx.needs_input_grad[4:], strict=True)
        ]
        return dx, None, None, None, *gradients


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, fan_in_fan_out: bool) -> Tensor:
    """x W^T + b as the base layer computes it; for a weight that is stored as (in, out), x W + b."""
    if not fan_in_fan_out and x.dim() <= 2:
        return F.linear(x, weight, bias)
    flat, matrix = x.reshape(-1, x.shape[-1]), weight if fan_in_fan_out else weight.t()
    flat = flat @ matrix if bias is None else torch.addmm(bias, flat, matrix)
    # No view, which would forbid operations in place on what an autograd function returns.
    output: Tensor = torch.ops.aten._unsafe_view(flat, [*x.shape[:-1], matrix.shape[1]])
    return output


# ---- which way ------------------------------------------------------------------------------------------------------


def which_way(base_layer: nn.Module, adapters: Sequence[ShiraAdapter], x: Tensor) -> Way:
    """The way in which :func:`product` computes this product; see the table above."""
    weight, bias = base_layer._parameters.get("weight"), base_layer._parameters.get("bias")
    # A weight that is pruned, normed, parametrized, quantized or elsewhere is no parameter (m, n) of numbers.
    if (
        weight is None
        or weight.is_meta
        or not weight.is_floating_point()
        or weight.shape != adapters[0].shape
        or "forward" in base_layer.__dict__
    ):
        return "beside"
    if _transformed() or not _plain(base_layer, adapters[0]):
        return "dense"
    frozen = [weight] if bias is None else [weight, bias]
    values = [adapter.shira_weight for adapter in adapters]
    tensors = [x, *frozen, *values]
    if not {type(tensor) for tensor in tensors} <= {Tensor, nn.Parameter}:
        return "dense"
    if torch.is_grad_enabled():  # so freezing the values changes no bit of the output
        return "dense" if any([tensor.requires_grad for tensor in frozen]) else "sparse"
    few = x.numel() * sum([value.numel() for value in values]) <= FEW * weight.numel() * x.shape[-1]
    wide = x.dtype in (torch.float32, torch.float64) and {tensor.dtype for tensor in tensors} == {x.dtype}
    here = SPARSE_ROWS and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return "few tokens" if few and wide and here else "sparse"


def _plain(base_layer: nn.Module, adapter: ShiraAdapter) -> bool:
    """Whether this is PyTorch's own linear layer (or transformers' Conv1D) without anybody's hooks."""
    hooked = (
        base_layer._forward_hooks or base_layer._forward_pre_hooks
        or base_layer._backward_hooks or base_layer._backward_pre_hooks
    )  # fmt: skip
    return (type(base_layer) is nn.Linear or adapter.fan_in_fan_out) and not hooked


def _transformed() -> bool:
    """Whether somebody looks on who needs operations of PyTorch's own: a compiler, a tracer, a function transform."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or _get_current_dispatch_mode() is not None
    )


# ---- second derivatives ---------------------------------------------------------------------------------------------


def _unchanged(ctx: Any) -> Sequence[Delta]:
    """S with the values themselves, which a second derivative goes through."""
    live: Sequence[Delta] = ctx.live
    if [version_of(delta.values) for delta in live] != ctx.versions:
        raise AdapterError(
            "The values of an adapter were changed in place between a forward pass and a second derivative through it. "
            "Call the backward pass before the optimizer's step."
        )
    return live
