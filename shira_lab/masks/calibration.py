"""Gradients of frozen weights on a few batches, to choose positions by (the paper's Grad and SNIP masks).

The paper leaves open how many samples to use and whether the absolute value comes before or after the mean over
batches. Both are offered, because they choose different positions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from shira_lab.errors import ConfigError, MaskError, expect
from shira_lab.masks.positions import weight_of

Reduction = Literal["mean_abs", "abs_mean"]
LossFn = Callable[[nn.Module, Any], Tensor]

#: A gradient of the weight of each layer, by the layer's path; shape of the weight.
Gradients = dict[str, Tensor]
#: Batches to calibrate on, or the gradients that :func:`calibrate` made of them.
Calibration = Iterable[Any] | Gradients


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

    >>> model, loss = nn.Sequential(nn.Linear(2, 1)), lambda model, x: model(x).sum()
    >>> batches = [torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 2.0])]
    >>> calibrate(model, ["0"], batches, "mean_abs", loss)
    {'0': tensor([[2., 2.]])}
    >>> calibrate(model, ["0"], batches, "abs_mean", loss)
    {'0': tensor([[1., 2.]])}

    Args:
        model: the base model; it is put in eval mode meanwhile, and its modes, gradients and flags come back as they
            were.
        paths: paths of the linear layers.
        batches: mappings, passed to the model as keyword arguments, whose output has a ``loss``; or anything
            ``loss_fn`` takes.
        reduction: "mean_abs" or "abs_mean".
        loss_fn: ``loss_fn(model, batch) -> scalar``, for models without a ``loss``.

    Raises:
        ConfigError: for an unknown reduction.
        MaskError: when there are no batches, or a gradient is not finite.
    """
    if reduction not in get_args(Reduction):
        raise ConfigError(f"`reduction` should be 'mean_abs' or 'abs_mean'; got {reduction!r}.")
    sums: Gradients = {}
    count = 0
    with batch_gradients(model, paths, batches, loss_fn) as gradients:
        for gradient in gradients:
            add_up(sums, gradient, reduction)
            count += 1
    return reduced(sums, count)


@contextmanager
def batch_gradients(
    model: nn.Module, paths: Iterable[str], batches: Iterable[Any], loss_fn: LossFn | None = None
) -> Iterator[Iterator[Gradients]]:
    """Inside, an iterator over the gradients g_b of one batch after the other; then the model is as it was.

    >>> model, batches = nn.Sequential(nn.Linear(2, 1)), torch.ones(3, 2)
    >>> with batch_gradients(model, ["0"], batches, lambda model, x: model(x).sum()) as gradients:
    ...     next(gradients)
    {'0': tensor([[1., 1.]])}

    Args:
        model, paths, batches, loss_fn: as for :func:`calibrate`.

    Raises:
        as :func:`calibrate`.
    """
    expect(batches, Iterable, "calibration", "a list of batches", MaskError)  # type: ignore[type-abstract]
    if loss_fn is not None and not callable(loss_fn):
        raise ConfigError(f"`loss_fn` should be a function (model, batch) -> loss; got {loss_fn!r}.")
    weights = {path: weight_of(_module(model, path)) for path in paths}

    def gradients(batch: Any) -> Gradients:
        _loss(model, batch, loss_fn).backward()
        found = {path: torch.zeros_like(w) if w.grad is None else w.grad for path, w in weights.items()}
        for weight in weights.values():
            weight.grad = None
        return found

    with _only_trainable(model, weights.values()):
        yield map(gradients, batches)


def add_up(sums: Gradients, gradients: Gradients, reduction: Reduction) -> None:
    """Add the gradients of a batch to ``sums``, as |g| or g. Sums are at least float32: in half precision, small
    gradients would be lost.

    >>> sums = {}
    >>> add_up(sums, {"0": torch.tensor([1.0, -2.0])}, "mean_abs")
    >>> sums
    {'0': tensor([1., 2.])}
    """
    for path, gradient in gradients.items():
        if path not in sums:
            sums[path] = torch.zeros_like(gradient, dtype=torch.promote_types(gradient.dtype, torch.float32))
        sums[path] += gradient.abs() if reduction == "mean_abs" else gradient


def reduced(sums: Gradients, count: int) -> Gradients:
    """|sum / count|.

    >>> reduced({"0": torch.tensor([2.0, -4.0])}, count=2)
    {'0': tensor([1., 2.])}

    Raises:
        MaskError: when there were no batches, or a sum is not finite.
    """
    if count == 0:
        raise MaskError("`calibration` has no batches; give at least one.")
    for path, total in sums.items():
        if not bool(total.isfinite().all()):
            raise MaskError(f"The calibration gradient of layer '{path}' is not finite; check the batches' loss.")
    return {path: (total / count).abs() for path, total in sums.items()}


def _module(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise ConfigError(
            f"`paths`: the model has no module '{path}'. Take paths from `model.named_modules()`."
        ) from None


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
