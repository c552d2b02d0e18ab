"""What a few batches say of frozen weights, to choose positions by: gradients (the paper's Grad and SNIP masks), or the
norms of inputs (Wanda).

For gradients the paper leaves open how many samples to use, and whether the absolute value comes before or after the
mean over batches. Both are offered, because they choose different positions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from shira_lab.errors import ConfigError, MaskError, expect
from shira_lab.masks.function import STATISTICS, Statistic
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
    collect: Statistic = "gradient",
) -> dict[str, Tensor]:
    """By the path of each layer: |G| of its weight over ``batches``, in the weight's shape, or the norms (n,) of its
    inputs.

    ``mean_abs`` is mean_b |g_b|: entries that matter to any batch. ``abs_mean`` is |mean_b g_b|: entries on whose
    direction the batches agree. g_b is the gradient of the loss of batch b; with batches of one sample it is that
    sample's.

    >>> model, loss = nn.Sequential(nn.Linear(2, 1)), lambda model, x: model(x).sum()
    >>> batches = [torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 2.0])]
    >>> calibrate(model, ["0"], batches, "mean_abs", loss)
    {'0': tensor([[2., 2.]])}
    >>> calibrate(model, ["0"], batches, "abs_mean", loss)
    {'0': tensor([[1., 2.]])}
    >>> calibrate(model, ["0"], batches, loss_fn=loss, collect="input_norm")
    {'0': tensor([3.1623, 2.8284])}

    Args:
        model: the base model; it is put in eval mode meanwhile, and its modes, gradients and flags come back as they
            were.
        paths: paths of the linear layers.
        batches: mappings, passed to the model as keyword arguments, whose output has a ``loss``; or anything
            ``loss_fn`` takes.
        reduction: "mean_abs" or "abs_mean".
        loss_fn: ``loss_fn(model, batch) -> scalar``, for models without a ``loss``.
        collect: "gradient", or "input_norm": ||x_j|| of each input j of a layer, over all its tokens. Padding counts
            like any token, so give samples one by one. There is no backward pass, and no ``reduction``.

    Raises:
        ConfigError: for an unknown reduction or statistic.
        MaskError: when there are no batches, or a gradient is not finite.
    """
    if reduction not in get_args(Reduction):
        raise ConfigError(f"`reduction` should be 'mean_abs' or 'abs_mean'; got {reduction!r}.")
    if collect not in STATISTICS:
        raise ConfigError(f"`collect` should be 'gradient' or 'input_norm'; got {collect!r}.")
    sums: dict[str, Tensor] = {}
    count, paths = 0, list(paths)
    collected = batch_gradients if collect == "gradient" else _batch_squares
    with collected(model, paths, batches, loss_fn) as found:
        for one in found:
            add_up(sums, one, reduction)
            count += 1
    means = reduced(sums, count)
    if collect == "gradient":
        return means
    if missed := [path for path in paths if path not in means]:
        raise MaskError(f"No calibration batch reached layer '{missed[0]}': give more batches, or leave the layer out.")
    return {path: (count * mean).sqrt() for path, mean in means.items()}


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
    weights = {path: weight_of(_module(model, path)) for path in paths}

    def gradients(batch: Any) -> Gradients:
        _loss(model, batch, loss_fn).backward()
        found = {path: torch.zeros_like(w) if w.grad is None else w.grad for path, w in weights.items()}
        for weight in weights.values():
            weight.grad = None
        return found

    with _calibrating(model, batches, loss_fn, weights.values()):
        yield map(gradients, batches)


@contextmanager
def _batch_squares(
    model: nn.Module, paths: Iterable[str], batches: Iterable[Any], loss_fn: LossFn | None
) -> Iterator[Iterator[dict[str, Tensor]]]:
    """Inside, an iterator over the sums over tokens of x_j^2, (n,) for each layer, of one batch after the other."""
    squares: dict[str, Tensor] = {}

    def look(path: str, x: Tensor) -> None:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        squares[path] = squares.get(path, 0) + x.square().flatten(0, -2).sum(0)

    def forward(batch: Any) -> dict[str, Tensor]:
        squares.clear()
        _loss(model, batch, loss_fn)
        return squares

    with _calibrating(model, batches, loss_fn), torch.no_grad(), ExitStack() as hooks:
        for path in paths:
            hook = _module(model, path).register_forward_pre_hook(lambda _, x, path=path: look(path, x[0].detach()))
            hooks.callback(hook.remove)
        yield map(forward, batches)


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
            raise MaskError(f"What calibration found for layer '{path}' is not finite; check the batches' loss.")
    return {path: (total / count).abs() for path, total in sums.items()}


def _module(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise ConfigError(
            f"`paths`: the model has no module '{path}'. Take paths from `model.named_modules()`."
        ) from None


@contextmanager
def _calibrating(model: nn.Module, batches: object, loss_fn: object, weights: Iterable[Tensor] = ()) -> Iterator[None]:
    """Inside, the model is in eval mode and only ``weights`` take gradients; then all is as it was."""
    expect(batches, Iterable, "calibration", "a list of batches", MaskError)  # type: ignore[type-abstract]
    if loss_fn is not None and not callable(loss_fn):
        raise ConfigError(f"`loss_fn` should be a function (model, batch) -> loss; got {loss_fn!r}.")
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
