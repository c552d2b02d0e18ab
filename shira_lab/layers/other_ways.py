"""y = x (W + S)^T + b where :mod:`shira_lab.layers.product` cannot or need not use its own function."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shira_lab.layers.sampled import csr
from shira_lab.layers.shira import ShiraAdapter


def few_tokens(base_layer: nn.Module, adapters: Sequence[ShiraAdapter], x: Tensor) -> Tensor:
    """base_layer(x) + x S^T with S as sparse rows; not differentiable."""
    output: Tensor = base_layer(x)
    tokens = x.reshape(-1, x.shape[-1])
    for adapter in adapters:
        values = adapter.shira_weight.detach()
        s = csr(adapter.pattern, values if adapter.scaling == 1 else values * adapter.scaling)
        if adapter.fan_in_fan_out:
            part = tokens @ s
        elif len(tokens) == 1:  # as in generating: a vector takes half of the time of a matrix with one column
            part = s @ tokens[0]
        else:
            part = (s @ tokens.t()).t()
        output = output + part.view(output.shape)
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
