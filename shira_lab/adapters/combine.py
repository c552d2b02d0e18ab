"""Several sparse updates made into one: weighted sums, and the merges that the field uses for task vectors.

linear is task arithmetic (arXiv 2212.04089), ties is TIES (2306.01708), dare_linear and dare_ties drop entries at
random first (DARE, 2311.03099), magnitude_prune drops the smallest. The definitions are those of PEFT's
``merge_utils``, on the union of the positions: elsewhere every update is zero, and so is every result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from shira_lab.errors import AdapterError, is_finite
from shira_lab.masks.scores import top_positions

CombinationType = Literal["linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"]
MajoritySignMethod = Literal["total", "frequency"]


@dataclass(frozen=True)
class SparseDelta:
    """An update of a weight: ``values`` (k,) at sorted flat ``positions`` (k,), zero elsewhere."""

    positions: Tensor
    values: Tensor

    def dense(self, shape: tuple[int, int]) -> Tensor:
        flat = torch.zeros(shape[0] * shape[1], dtype=self.values.dtype, device=self.values.device)
        return flat.index_put((self.positions,), self.values).view(shape)


def combine(
    deltas: Sequence[SparseDelta],
    weights: Sequence[float],
    combination_type: CombinationType = "linear",
    density: float | None = None,
    majority_sign_method: MajoritySignMethod = "total",
) -> SparseDelta:
    """One update out of several, at the union of the positions that pruning leaves.

    With T_i the updates, pruned unless linear, and w_i the weights:

    * linear, dare_linear, magnitude_prune:  sum_i w_i T_i;
    * ties, dare_ties:  at each position the mean of w_i T_i over those i whose sign is the elected one.

    Sums are taken in float64 and rounded once.

    Args:
        density: share of each update's own k values that stays, in (0, 1]; needed by all but linear. magnitude_prune
            and ties keep the int(density * k) largest; dare keeps each with this probability, drawn from torch's
            global generator, and divides it by ``density``.
        majority_sign_method: how a position's sign is elected: that of the sum of the T_i ("total"), or of the sum of
            their signs ("frequency"). A draw is positive.

    Raises:
        AdapterError: for unknown names, a density that cannot work, or weights that do not match.
    """
    check_combination(len(deltas), weights, combination_type, density, majority_sign_method)
    pruned = [_prune(delta, combination_type, density) for delta in deltas]
    union = torch.cat([delta.positions for delta in pruned]).unique()
    tasks = torch.zeros(len(pruned), union.numel(), dtype=torch.float64, device=union.device)
    for task, delta in zip(tasks, pruned, strict=True):
        task[torch.searchsorted(union, delta.positions)] = delta.values.double()
    weighted = tasks * torch.tensor(weights, dtype=torch.float64, device=union.device).unsqueeze(1)
    if combination_type.endswith("ties"):
        votes = tasks if majority_sign_method == "total" else tasks.sign()
        elected = torch.where(votes.sum(0) >= 0, 1.0, -1.0)
        agree = tasks.sign() == elected
        values = (weighted * agree).sum(0) / agree.sum(0).clamp(min=1)
    else:
        values = weighted.sum(0)
    return SparseDelta(union, values.to(deltas[0].values.dtype))


def check_combination(
    count: int, weights: Sequence[float], combination_type: str, density: float | None, majority_sign_method: str
) -> None:
    """Raise what :func:`combine` would raise for ``count`` updates."""
    if not isinstance(weights, Sequence) or not all(map(is_finite, weights)):
        raise AdapterError(f"`weights` should be a list of finite numbers, one for each adapter; got {weights!r}.")
    if count == 0 or len(weights) != count:
        raise AdapterError(f"Each adapter needs one weight: got {count} adapters and {len(weights)} weights.")
    if combination_type not in get_args(CombinationType):
        known = ", ".join(get_args(CombinationType))
        raise AdapterError(f"`combination_type` should be one of {known}; got {combination_type!r}.")
    if majority_sign_method not in get_args(MajoritySignMethod):
        raise AdapterError(f"`majority_sign_method` should be 'total' or 'frequency'; got {majority_sign_method!r}.")
    if combination_type != "linear" and not (is_finite(density) and density is not None and 0 < density <= 1):
        raise AdapterError(
            f"`density` should be in (0, 1] for '{combination_type}', the share of each adapter's values to keep; got "
            f"{density!r}."
        )


def _prune(delta: SparseDelta, combination_type: CombinationType, density: float | None) -> SparseDelta:
    if combination_type == "linear" or density is None or density == 1:
        return delta
    if combination_type.startswith("dare"):
        kept = torch.bernoulli(torch.full_like(delta.values, density)).nonzero().flatten()
        return SparseDelta(delta.positions[kept], delta.values[kept] / density)
    k = int(density * delta.values.numel())
    kept = top_positions(delta.values.abs(), k) if k else torch.empty(0, dtype=torch.int64)
    return SparseDelta(delta.positions[kept], delta.values[kept])
