"""A new SHiRA adapter out of several: what ``add_weighted_adapter`` of PEFT's LoRA is for SHiRA.

The ways to combine are those of PEFT's ``merge_utils``: linear is task arithmetic (arXiv 2212.04089), ties is TIES
(2306.01708), dare_linear and dare_ties drop entries at random first (DARE, 2311.03099), magnitude_prune drops the
smallest. They work on the union of the positions: elsewhere every update is zero, and so is every result.

The result is an ordinary adapter. Every layer of one has r(m + n) positions, for a single r, or PEFT could not load it.
So r is the smallest with room for each layer's combined positions, and what is left is filled with zeros at the
first free positions in row-major order: they change nothing, and can be trained.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.tree import check_adapter_name, check_known
from shira_lab.budget import Shape, max_r, num_params
from shira_lab.errors import AdapterError, is_finite
from shira_lab.layers import ShiraAdapter
from shira_lab.masks.positions import from_mask
from shira_lab.masks.scores import top_positions

if TYPE_CHECKING:
    from shira_lab.adapters.model import PeftModel

#: The mask type that a combined adapter is saved with; its positions come from the file, as for every adapter.
MASK_TYPE = "combined"


CombinationType = Literal["linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"]
MajoritySignMethod = Literal["total", "frequency"]


@dataclass(frozen=True)
class SparseDelta:
    """An update of a weight: ``values`` (k,) at sorted flat ``positions`` (k,), zero elsewhere."""

    positions: Tensor
    values: Tensor


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
    _check_combination(len(deltas), weights, combination_type, density, majority_sign_method)
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


def _check_combination(
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


@torch.no_grad()
def add_weighted_adapter(
    self: "PeftModel",
    adapters: Sequence[str],
    weights: Sequence[float],
    adapter_name: str,
    combination_type: CombinationType = "linear",
    density: float | None = None,
    majority_sign_method: MajoritySignMethod = "total",
) -> None:
    """Add a SHiRA adapter that combines others as they are now, scales included; it is not activated.

    "linear" is exact: the sum of w_i * delta_i, each entry rounded once. What the other types do, and what
    ``density`` is a share of, says :func:`shira_lab.adapters.weighted.combine`; how the result keeps the form
    r(m + n) of an ordinary adapter, :mod:`shira_lab.adapters.weighted`.

    Raises:
        AdapterError: when an adapter is missing or no SHiRA adapter, when an argument cannot work, or when a layer
            has no room for the result; the model is as before.
    """
    model = self.base_model
    check_known(model.peft_config, adapters)
    check_adapter_name(adapter_name, model.peft_config)
    _check_combination(len(adapters), weights, combination_type, density, majority_sign_method)
    _check_combinable([model.peft_config[name] for name in adapters], adapters)
    shapes: dict[str, Shape] = {}
    found: dict[str, SparseDelta] = {}
    for path, layer in model.adapter_layers():
        present = [(layer.get_adapter(name), w) for name, w in zip(adapters, weights, strict=True) if name in layer.r]
        if present:
            deltas = [_sparse_delta(adapter) for adapter, _ in present]
            shapes[path] = present[0][0].shape
            found[path] = combine(deltas, [w for _, w in present], combination_type, density, majority_sign_method)
    r = max(-(-delta.positions.numel() // sum(shapes[path])) for path, delta in found.items())
    r = max(r, 1)
    padded = {path: _pad(path, delta, shapes[path], r) for path, delta in found.items()}
    config = _config([model.peft_config[name] for name in adapters], r, list(found))
    model.add_adapter(adapter_name, config, positions={path: delta.positions for path, delta in padded.items()})
    for path, layer in model.adapter_layers():
        if path in padded:
            adapter = layer.get_adapter(adapter_name)
            assert isinstance(adapter, ShiraAdapter)
            adapter.shira_weight.copy_(padded[path].values)


def _sparse_delta(adapter: Any) -> SparseDelta:
    assert isinstance(adapter, ShiraAdapter)
    values = adapter.shira_weight.detach()
    return SparseDelta(adapter.positions, values if adapter.scaling == 1 else values.double() * adapter.scaling)


def _check_combinable(configs: Sequence[AdapterConfig], names: Sequence[str]) -> None:
    for name, config in zip(names, configs, strict=True):
        if not isinstance(config, ShiraConfig):
            raise AdapterError(
                f"'{name}' is a LoRA adapter, whose update has an entry everywhere and fits into no sparse adapter. "
                f"Combine SHiRA adapters only, or add the updates up as they are: set_adapter({list(names)})."
            )
        if config.modules_to_save:
            raise AdapterError(
                f"'{name}' has modules of its own ({', '.join(config.modules_to_save)}), and whole modules are not "
                "combined. Combine adapters without `modules_to_save`."
            )


def _config(configs: Sequence[AdapterConfig], r: int, paths: list[str]) -> ShiraConfig:
    """The combined adapter's config; its targets are those of the adapters if they share them, else the very layers."""
    first = configs[0]
    shared = all(c.target_modules == first.target_modules for c in configs)
    plain = not any(c.exclude_modules or c.layers_to_transform for c in configs)
    return ShiraConfig(
        r=r,
        mask_type=MASK_TYPE,
        target_modules=first.target_modules if shared and plain else "|".join(map(re.escape, paths)),
        fan_in_fan_out=first.fan_in_fan_out,
        task_type=first.task_type,
        base_model_name_or_path=first.base_model_name_or_path,
        inference_mode=True,
    )


def _pad(path: str, delta: SparseDelta, shape: Shape, r: int) -> SparseDelta:
    """``delta`` with zeros added at the first free positions, so that it has r(m + n)."""
    k, count = num_params(r, shape), delta.positions.numel()
    if r > max_r(shape):
        room = num_params(max_r(shape), shape)
        raise AdapterError(
            f"The combined adapter needs r={r}, but layer '{path}' of shape {shape} has room for r={max_r(shape)}, "
            f"{room:,} positions. Combine fewer or sparser adapters, or prune with a lower `density`."
        )
    free = torch.ones(shape[0] * shape[1], dtype=torch.bool, device=delta.positions.device)
    free[delta.positions] = False
    positions = torch.cat([delta.positions, from_mask(free)[: k - count]])
    values: Tensor = torch.cat([delta.values, delta.values.new_zeros(k - count)])
    order = positions.argsort()
    return SparseDelta(positions[order], values[order])
