"""Calibrated gradients after each of several numbers of samples, in both reductions, from one pass over them."""

from collections.abc import Collection, Iterable
from typing import Any, get_args

from torch import nn

from shira_lab.errors import ConfigError, MaskError
from shira_lab.masks.calibration import Gradients, LossFn, Reduction, add_up, batch_gradients, reduced

#: As formulas.
REDUCTION_NAMES: dict[Reduction, str] = {"mean_abs": "mean |g|", "abs_mean": "|mean g|"}


def running_calibration(
    model: nn.Module,
    paths: Iterable[str],
    batches: Iterable[Any],
    after: Collection[int],
    loss_fn: LossFn | None = None,
) -> dict[int, dict[Reduction, Gradients]]:
    """What :func:`~shira_lab.masks.calibration.calibrate` would give after each of several numbers of batches.

    ``found[8]["mean_abs"][path]`` is mean |g| over the first 8 batches. It holds a float32 for each weight, reduction
    and number.

    Args:
        model, paths, batches, loss_fn: as for ``calibrate``.
        after: numbers of batches, such as (8, 32, 128); reading ends after the largest.

    Raises:
        as ``calibrate``; MaskError also when the batches end before the largest number.
    """
    if not after or min(after) < 1:
        raise ConfigError(f"`after` should hold positive numbers of batches; got {after!r}.")
    sums: dict[Reduction, Gradients] = {reduction: {} for reduction in get_args(Reduction)}
    found: dict[int, dict[Reduction, Gradients]] = {}
    count = 0
    with batch_gradients(model, paths, batches, loss_fn) as gradients:
        for gradient in gradients:
            count += 1
            for reduction, total in sums.items():
                add_up(total, gradient, reduction)
            if count in after:
                found[count] = {reduction: reduced(total, count) for reduction, total in sums.items()}
            if count == max(after):
                return found
    raise MaskError(f"`calibration` has {count} batches; {max(after)} were asked for. Give more, or ask for fewer.")
