"""y = x (W + S)^T + b where :mod:`shira_lab.layers.product` cannot or need not use its own function."""

import copy
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import csr
from shira_lab.layers.shira import ShiraAdapter

# What :func:`rows` has made. Not on the adapter: PyTorch can neither copy nor pickle such tensors.
_made: WeakKeyDictionary[ShiraAdapter, tuple[Pattern, int, Tensor]] = WeakKeyDictionary()


def rows(adapter: ShiraAdapter) -> Tensor:
    """S / scaling, the values alone, as compressed sparse rows (out_features, in_features), not differentiable.

    For a weight stored as (out, in) they are made once: they read the values where these lie, and so see what is
    written there. For one stored as (in, out) they are made at each call.
    """
    pattern, values = adapter.pattern, adapter.shira_weight.detach()
    if adapter.fan_in_fan_out:
        order, transposed = pattern.transposed
        return csr(transposed, values.index_select(0, order))
    place, made = values.data_ptr(), _made.get(adapter)
    if made is None or made[0] is not pattern or made[1] != place:
        made = _made[adapter] = pattern, place, csr(pattern, values)
    return made[2]


def few_tokens(base_layer: nn.Module, adapters: Sequence[ShiraAdapter], x: Tensor) -> Tensor:
    """base_layer(x) + x S^T with S as sparse rows; not differentiable."""
    output: Tensor = base_layer.forward(x)
    for adapter in adapters:
        if x.numel() == x.shape[-1]:  # one token: a vector takes half of the time of a matrix with one column
            output.view(-1).addmv_(rows(adapter), x.reshape(-1), alpha=adapter.scaling)
        else:
            update = (rows(adapter) @ x.reshape(-1, x.shape[-1]).t()).t()
            output.add_(update.view(output.shape), alpha=adapter.scaling)
    return output


def dense(base_layer: nn.Module, adapters: Sequence[ShiraAdapter], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """base_layer(x) with W + S in place of W; differentiable in everything as often as the base layer is."""
    weight, delta = base_layer._parameters["weight"], _sum(adapters)
    assert weight is not None
    wide = torch.promote_types(weight.dtype, delta.dtype)
    # Another module with the base layer's hooks, bias and attributes. The base layer itself stays as it is.
    changed = copy.copy(base_layer)
    changed._parameters = {name: value for name, value in base_layer._parameters.items() if name != "weight"}
    changed.__dict__["weight"] = (weight.to(wide) + delta.to(wide)).to(weight.dtype)
    output: Tensor = changed(x, *args, **kwargs)
    return output


def beside(base_layer: nn.Module, adapters: Sequence[ShiraAdapter], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """base_layer(x) + x S^T, whatever the base layer does with x."""
    output: Tensor = base_layer(x, *args, **kwargs)
    delta = _sum(adapters)
    update = F.linear(x.to(delta.dtype), delta.t() if adapters[0].fan_in_fan_out else delta)
    return output + update.to(output.dtype)


def _sum(adapters: Sequence[ShiraAdapter]) -> Tensor:
    """S as a dense matrix, differentiable in the values."""
    total = adapters[0].delta_weight()
    for adapter in adapters[1:]:
        total = total + adapter.delta_weight()
    return total
