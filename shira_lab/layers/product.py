"""The product of a linear layer with a sparse update: y = x (W + S)^T + b, and its gradient.

W is only read, never written: other modules, threads and processes may hold it, a graph may need it as it is, and
``state_dict`` saves it. :func:`product` is the one place that decides how y is computed:

========== ============================================= ===============================================
way        how                                           when
========== ============================================= ===============================================
sparse     W + S in memory of its own, for this product; a layer that PyTorch's own linear product
           the gradient of k values, nothing dense       describes, in ordinary eager code
few tokens base_layer(x) + x S^T, S as sparse rows       the same, for a few tokens without a gradient
dense      base_layer with W + S, made of operations     hooks on the base layer, a weight that trains,
           that PyTorch can differentiate and trace      compiling, tracing, ``torch.func``, subclasses
beside     base_layer(x) + x S^T, S dense                a base layer that computes its weight itself
========== ============================================= ===============================================
"""

import copy
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.utils._python_dispatch import _get_current_dispatch_mode

from shira_lab.errors import AdapterError
from shira_lab.layers.deltas import version_of, with_deltas
from shira_lab.layers.sampled import csr, sampled_product
from shira_lab.layers.shira import ShiraAdapter
from shira_lab.masks.positions import is_conv1d, weight_of

Way = Literal["sparse", "few tokens", "dense", "beside"]

# Up to so many multiplications for each entry of the weight, the product with S alone costs less than a copy of W.
FEW = 1.0


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
    if computes_its_weight(base_layer):
        output = base_layer(x, *args, **kwargs)
        delta = _dense(adapters)
        update = linear(x.to(delta.dtype), delta, None, adapters[0].fan_in_fan_out)
        return output + update.to(output.dtype)
    weight, bias = weight_of(base_layer), bias_of(base_layer)
    way = "dense" if args or kwargs else which_way(base_layer, adapters, x)
    if way == "sparse":
        output = SparseWeightGrad.apply(x, weight, bias, tuple(adapters), *(a.shira_weight for a in adapters))
        return output
    if way == "few tokens":
        output = base_layer(x)
        return output + _few_tokens(adapters, x)
    delta = _dense(adapters)
    wide = torch.promote_types(weight.dtype, delta.dtype)
    changed = (weight.to(wide) + delta.to(wide)).to(weight.dtype)
    if args or kwargs or not is_plain(base_layer):
        output = _like(base_layer, changed)(x, *args, **kwargs)
        return output
    return linear(x, changed, bias, adapters[0].fan_in_fan_out)


def which_way(base_layer: nn.Module, adapters: Sequence[ShiraAdapter], x: Tensor) -> Way:
    """The way in which :func:`product` computes this product; see the table above."""
    if computes_its_weight(base_layer):
        return "beside"
    weight, bias = weight_of(base_layer), bias_of(base_layer)
    tensors = [x, weight, *([] if bias is None else [bias]), *(adapter.shira_weight for adapter in adapters)]
    trains = torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad))
    ordinary = all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)
    if trains or not ordinary or not is_plain(base_layer) or _transformed():
        return "dense"
    same = x.dtype == weight.dtype and all(adapter.shira_weight.dtype == x.dtype for adapter in adapters)
    if same and x.dtype in (torch.float32, torch.float64) and not torch.is_grad_enabled() and x.device.type == "cpu":
        tokens = x.numel() // max(x.shape[-1], 1)
        if not torch.is_autocast_enabled("cpu") and tokens * sum(a.r for a in adapters) * (sum(weight.shape)) <= (
            FEW * weight.numel()
        ):
            return "few tokens"
    return "sparse"


def computes_its_weight(base_layer: nn.Module) -> bool:
    """Whether W is no parameter (m, n) of numbers here: it is pruned, normed, parametrized, quantized, or elsewhere."""
    weight = base_layer._parameters.get("weight")
    if weight is None or "forward" in base_layer.__dict__:
        return True
    sizes = (getattr(base_layer, "out_features", None), getattr(base_layer, "in_features", None))
    packed = not is_conv1d(base_layer) and tuple(weight.shape) != sizes
    return packed or not weight.is_floating_point() or weight.is_meta


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, fan_in_fan_out: bool) -> Tensor:
    """x W^T + b as the base layer computes it; for a weight that is stored as (in, out), x W + b."""
    if not fan_in_fan_out and x.dim() <= 2:
        return F.linear(x, weight, bias)
    flat, matrix = x.reshape(-1, x.shape[-1]), weight if fan_in_fan_out else weight.t()
    flat = flat @ matrix if bias is None else torch.addmm(bias, flat, matrix)
    # No view, which would forbid operations in place on what an autograd function returns.
    output: Tensor = torch.ops.aten._unsafe_view(flat, [*x.shape[:-1], matrix.shape[1]])
    return output


class SparseWeightGrad(torch.autograd.Function):
    """y = x (W + S)^T + b. Backward, the gradients of x and of the k values of S, and no dense gradient of W:

        g = dL/dy,    dL/dx = g (W + S),    dL/dvalues_i = scaling * sum_t g[t, row_i] x[t, column_i]

    It saves x, as LoRA does, and W by reference. ``shira_lab.minimal`` shows the same without the care for half
    precision, second derivatives and several adapters.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, adapters: tuple[ShiraAdapter, ...], *values: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        # An optimizer may change the values before this pass comes back: what it needs of them is copied.
        ctx.live, ctx.versions = values, [version_of(value) for value in values]
        ctx.values = [value.detach().clone() for value in values] if ctx.needs_input_grad[0] else values
        ctx.adapters, ctx.scalings = adapters, [adapter.scaling for adapter in adapters]
        ctx.patterns = [adapter.pattern for adapter in adapters]
        changed = with_deltas(weight, [adapter.delta() for adapter in adapters])
        return linear(x, changed, bias, adapters[0].fan_in_fan_out)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        fan_in_fan_out = ctx.adapters[0].fan_in_fan_out
        tokens_in, tokens_out = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
        a, b = (tokens_in, tokens_out) if fan_in_fan_out else (tokens_out, tokens_in)
        twice = torch.is_grad_enabled()  # a second derivative is wanted: operations that autograd can follow
        values = _unchanged(ctx) if twice else ctx.values
        dx = None
        if ctx.needs_input_grad[0]:
            changed = _sum(weight, ctx, values)
            dx = linear(g, changed.to(g.dtype), None, not fan_in_fan_out).to(x.dtype)
        needed = ctx.needs_input_grad[4:]
        gradients: list[Tensor | None] = []
        for i, pattern in enumerate(ctx.patterns):
            if not needed[i]:
                gradients.append(None)
                continue
            wide = torch.promote_types(a.dtype, b.dtype)
            entries = (
                (a.to(wide).t() @ b.to(wide)).flatten()[pattern.positions] if twice else sampled_product(a, b, pattern)
            )
            gradients.append((entries * ctx.scalings[i]).to(values[i].dtype))
        return dx, None, None, None, *gradients


def _unchanged(ctx: Any) -> Sequence[Tensor]:
    """The values themselves, which a second derivative goes through."""
    if [version_of(value) for value in ctx.live] != ctx.versions:
        raise AdapterError(
            "The values of an adapter were changed in place between a forward pass and a second derivative through it. "
            "Call the backward pass before the optimizer's step."
        )
    live: Sequence[Tensor] = ctx.live
    return live


def _sum(weight: Tensor, ctx: Any, values: Sequence[Tensor]) -> Tensor:
    """W + S with the values, positions and scales of the forward pass; differentiable in the values."""
    total = weight
    wide = weight.dtype
    for value in values:
        wide = torch.promote_types(wide, value.dtype)
    total = weight.to(wide, copy=True).flatten()
    for value, pattern, scaling in zip(values, ctx.patterns, ctx.scalings, strict=True):
        total = total.index_add(0, pattern.positions, (value * scaling).to(wide))
    return total.view(weight.shape).to(weight.dtype)


def _few_tokens(adapters: Sequence[ShiraAdapter], x: Tensor) -> Tensor:
    """x S^T without a dense matrix, shape (..., out_features)."""
    tokens = x.reshape(-1, x.shape[-1])
    total: Tensor | None = None
    for adapter in adapters:
        s = csr(adapter.pattern, adapter.shira_weight.detach() * adapter.scaling)
        part = tokens @ s if adapter.fan_in_fan_out else (s @ tokens.t()).t()
        total = part if total is None else total + part
    assert total is not None
    return total.view(*x.shape[:-1], total.shape[-1])


def _like(base_layer: nn.Module, weight: Tensor) -> nn.Module:
    """The base layer with another weight, its hooks included. The layer itself stays as it is."""
    other = copy.copy(base_layer)
    other._parameters = {name: value for name, value in base_layer._parameters.items() if name != "weight"}
    other.__dict__["weight"] = weight
    return other


def is_plain(base_layer: nn.Module) -> bool:
    """Whether this is PyTorch's own linear layer (or transformers' Conv1D) without anybody's hooks."""
    hooks = (
        base_layer._forward_hooks, base_layer._forward_pre_hooks, base_layer._backward_hooks,
        base_layer._backward_pre_hooks,
    )  # fmt: skip
    return (type(base_layer) is nn.Linear or is_conv1d(base_layer)) and not any(hooks)


def bias_of(base_layer: nn.Module) -> Tensor | None:
    bias = base_layer.bias
    assert bias is None or isinstance(bias, Tensor)
    return bias


def _dense(adapters: Sequence[ShiraAdapter]) -> Tensor:
    """S as a dense matrix, differentiable in the values."""
    total = adapters[0].delta_weight()
    for adapter in adapters[1:]:
        total = total + adapter.delta_weight()
    return total


def _transformed() -> bool:
    """Whether somebody looks on who needs operations of PyTorch's own: a compiler, a tracer, a function transform."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or _get_current_dispatch_mode() is not None
    )
