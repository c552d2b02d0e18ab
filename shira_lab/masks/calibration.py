"""Gradients of frozen weights on a few batches, to choose positions by (the paper's Grad and SNIP masks).

The paper leaves open how many samples to use and whether the absolute value comes before or after the mean over
batches. Both are offered, because they choose different positions.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from shira_lab.errors import ConfigError, MaskError, expect
from shira_lab.masks.positions import weight_of

Reduction = Literal["mean_abs", "abs_mean"]
#: As formulas.
REDUCTION_NAMES: dict[Reduction, str] = {"mean_abs": "mean |g|", "abs_mean": "|mean g|"}
LossFn = Callable[[nn.Module, Any], Tensor]

#: |G| of the weight of each layer, by the layer's path; shape of the weight.
Gradients = dict[str, Tensor]


def calibrate(
    model: nn.Module,
    paths: Iterable[str],
    batches: Iterable[Any],
    reduction: Reduction = "mean_abs",
    loss_fn: LossFn | None = None,
) -> Gradients:
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
    (found,) = running_calibration(model, paths, batches, None, (reduction,), loss_fn).values()
    return found[reduction]


def running_calibration(
    model: nn.Module,
    paths: Iterable[str],
    batches: Iterable[Any],
    after: Collection[int] | None,
    reductions: Collection[Reduction] = get_args(Reduction),
    loss_fn: LossFn | None = None,
) -> dict[int, dict[Reduction, Gradients]]:
    """What :func:`calibrate` would give after each of several numbers of batches, from one pass over them.

    ``found[8]["mean_abs"][path]`` is mean |g| over the first 8 batches. It holds a float32 for each weight, reduction
    and number.

    Args:
        after: numbers of batches, such as (8, 32, 128); reading ends after the largest. None reads all batches and
            gives their number alone.

    Raises:
        as :func:`calibrate`; MaskError also when the batches end before the largest number.
    """
    _check(reductions, after)
    expect(batches, Iterable, "calibration", "a list of batches", MaskError)  # type: ignore[type-abstract]
    if loss_fn is not None and not callable(loss_fn):
        raise ConfigError(f"`loss_fn` should be a function (model, batch) -> loss; got {loss_fn!r}.")
    weights = {path: weight_of(_module(model, path)) for path in paths}
    sums: dict[Reduction, Gradients] = {
        reduction: {path: torch.zeros_like(weight, dtype=_wide(weight)) for path, weight in weights.items()}
        for reduction in reductions
    }
    found: dict[int, dict[Reduction, Gradients]] = {}
    count = 0
    with _only_trainable(model, weights.values()):
        for batch in batches:
            _loss(model, batch, loss_fn).backward()
            count += 1
            for path, weight in weights.items():
                if weight.grad is not None:
                    for reduction, total in sums.items():
                        total[path] += weight.grad.abs() if reduction == "mean_abs" else weight.grad
                weight.grad = None
            if after is not None and count in after:
                found[count] = _means(sums, count)
                if count == max(after):
                    return found
    if count == 0:
        raise MaskError("`calibration` has no batches; give at least one.")
    if after is not None:
        raise MaskError(f"`calibration` has {count} batches; {max(after)} were asked for. Give more, or ask for fewer.")
    return {count: _means(sums, count)}


def _module(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise ConfigError(
            f"`paths`: the model has no module '{path}'. Take paths from `model.named_modules()`."
        ) from None


def _check(reductions: Collection[str], after: Collection[int] | None) -> None:
    for reduction in reductions:
        if reduction not in get_args(Reduction):
            raise ConfigError(f"`reduction` should be 'mean_abs' or 'abs_mean'; got {reduction!r}.")
    if after is not None and (not after or min(after) < 1):
        raise ConfigError(f"`after` should hold positive numbers of batches; got {after!r}.")


def _wide(weight: Tensor) -> torch.dtype:
    """The dtype of sums: float32 for the halves, in which many small gradients would be lost."""
    return torch.promote_types(weight.dtype, torch.float32)


@contextmanager
def _only_trainable(model: nn.Module, weights: Iterable[Tensor]) -> Iterator[None]:
    """Inside, the model is in eval mode and only ``weights`` take gradients; then all is as it was."""
    flags = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval().requires_grad_(False).zero_grad()
        for weight in weights:
            weight.requires_grad_(True)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad, grad in flags:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad


def _means(sums: dict[Reduction, Gradients], count: int) -> dict[Reduction, Gradients]:
    """|sum / count|, checked.

    Raises:
        MaskError: when a sum is not finite.
    """
    broken = [path for total in sums.values() for path, entry in total.items() if not bool(entry.isfinite().all())]
    if broken:
        raise MaskError(f"The calibration gradient of layer '{broken[0]}' is not finite; check the batches' loss.")
    return {name: {path: (entry / count).abs() for path, entry in total.items()} for name, total in sums.items()}


def _loss(model: nn.Module, batch: Any, loss_fn: LossFn | None) -> Tensor:
    with torch.enable_grad():
        loss = loss_fn(model, batch) if loss_fn is not None else getattr(model(**_named(batch)), "loss", None)
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss
    if loss_fn is None and not isinstance(loss, Tensor):
        raise ConfigError("The model gave no `loss` for a calibration batch; include `labels`, or pass `loss_fn`.")
    got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
    raise ConfigError(f"The loss of a calibration batch should be a tensor with one number; got {got}.")


def _named(batch: Any) -> Mapping[str, Any]:
    if not isinstance(batch, Mapping) or not all(isinstance(name, str) for name in batch):
        got = f"one with keys {list(batch)}" if isinstance(batch, Mapping) else type(batch).__name__
        raise ConfigError(f"A calibration batch should be a mapping of model inputs by name; got {got}.")
    return batch
