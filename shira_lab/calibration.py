"""Gradients of frozen weights on a few batches, to choose positions by (the paper's Grad and SNIP masks).

The paper leaves open how many samples to use and whether the absolute value comes before or after the mean over
batches. Both are offered, because they choose different positions.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from shira_lab.errors import ConfigError, MaskError
from shira_lab.masks.positions import weight_of

Reduction = Literal["mean_abs", "abs_mean"]


def calibrate(
    model: nn.Module,
    paths: Iterable[str],
    batches: Iterable[Any],
    reduction: Reduction = "mean_abs",
    loss_fn: Callable[[nn.Module, Any], Tensor] | None = None,
) -> dict[str, Tensor]:
    """|G| of the weight of each layer, shape of the weight, over ``batches``.

    ``mean_abs`` is mean_b |g_b|: entries that matter to any batch. ``abs_mean`` is |mean_b g_b|: entries on whose
    direction the batches agree. g_b is the gradient of the loss of batch b; with batches of one sample it is that
    sample's.

    Args:
        model: the base model; it is put in eval mode meanwhile, and its modes, gradients and flags come back as they
            were.
        paths: paths of the linear layers.
        batches: mappings, passed to the model as keyword arguments, whose output has a ``loss``; or anything
            ``loss_fn`` takes.
        loss_fn: ``loss_fn(model, batch) -> scalar``, for models without a ``loss``.

    Raises:
        ConfigError: for an unknown reduction.
        MaskError: when there are no batches, or a gradient is not finite.
    """
    if reduction not in ("mean_abs", "abs_mean"):
        raise ConfigError(f"`reduction` should be 'mean_abs' or 'abs_mean'; got {reduction!r}.")
    weights = {path: weight_of(model.get_submodule(path)) for path in paths}
    total = {path: torch.zeros_like(weight, dtype=torch.float32) for path, weight in weights.items()}
    flags = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    count = 0
    try:
        model.eval().requires_grad_(False).zero_grad()
        for weight in weights.values():
            weight.requires_grad_(True)
        for batch in batches:
            _loss(model, batch, loss_fn).backward()
            count += 1
            for path, weight in weights.items():
                if weight.grad is not None:
                    total[path] += weight.grad.abs() if reduction == "mean_abs" else weight.grad
                weight.grad = None
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad, grad in flags:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
    if count == 0:
        raise MaskError("`calibration` has no batches; give at least one.")
    broken = [path for path, gradient in total.items() if not bool(torch.isfinite(gradient).all())]
    if broken:
        raise MaskError(f"The calibration gradient of layer '{broken[0]}' is not finite; check the batches' loss.")
    return {path: (gradient / count).abs() for path, gradient in total.items()}


def _loss(model: nn.Module, batch: Any, loss_fn: Callable[[nn.Module, Any], Tensor] | None) -> Tensor:
    with torch.enable_grad():
        if loss_fn is not None:
            return loss_fn(model, batch)
        if not isinstance(batch, Mapping):
            raise ConfigError(f"A calibration batch should be a mapping of model inputs; got {type(batch).__name__}.")
        loss = getattr(model(**batch), "loss", None)
    if not isinstance(loss, Tensor):
        raise ConfigError("The model gave no `loss` for a calibration batch; include `labels`, or pass `loss_fn`.")
    return loss
