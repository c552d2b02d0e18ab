"""What a mask function is: ``mask_fn(base_layer, r, **kwargs) -> mask``, PEFT's signature for SHiRA.

The built-in ones are written as the sorted positions of their ones; :class:`MaskFunction` turns them into dense masks
for whoever calls them, and lets the adapter layer skip the dense mask. A learner's own function is plain Python; what
it returns is validated before anything is built on it.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.budget import check_budget
from shira_lab.errors import MaskError, expect
from shira_lab.masks.positions import from_mask, shape_of, to_mask, weight_of

MaskFn = Callable[..., Tensor]


class MaskFunction:
    """A mask function given by its positions: ``positions(base_layer, r, **kwargs)`` gives them sorted, shape (k,)."""

    def __init__(self, positions: Callable[..., Tensor]) -> None:
        self.positions = positions
        self.__qualname__ = positions.__qualname__
        functools.update_wrapper(self, positions)

    def __call__(self, base_layer: nn.Module, r: int, **kwargs: Any) -> Tensor:
        """The dense binary mask: shape, dtype and device of ``base_layer.weight``, exactly r(m + n) ones."""
        return to_mask(self.positions(base_layer, r, **kwargs), weight_of(base_layer))

    def __reduce__(self) -> str:
        """Copied and pickled by name, as functions are."""
        return str(self.__qualname__)


def budget_of(base_layer: nn.Module, r: int, avoid: Tensor | None = None, layer: str | None = None) -> int:
    """r(m + n) for this layer, or an error that names the largest r with room beside the mask ``avoid``."""
    shape = shape_of(base_layer)
    layer = f"a layer of shape {shape}" if layer is None else layer
    k = check_budget(r, shape, layer)
    if avoid is None:
        return k
    expect(avoid, Tensor, "avoid", "a mask of the weight's shape", MaskError)
    if avoid.shape != weight_of(base_layer).shape:
        raise MaskError(f"`avoid` has shape {tuple(avoid.shape)}; expected the weight's, {shape}, for {layer}.")
    room = int((avoid == 0).sum())
    if k > room:
        raise MaskError(
            f"No room for r={r} in {layer}: r(m + n) = {k:,} positions are needed, and {room:,} of {shape[0]} * "
            f"{shape[1]} = {shape[0] * shape[1]:,} are not to be avoided. The largest r with room is "
            f"{room // sum(shape)}."
        )
    return k


def mask_positions(mask_fn: MaskFn, base_layer: nn.Module, r: int, layer: str = "layer", /, **kwargs: Any) -> Tensor:
    """The sorted positions (k,) of the mask that ``mask_fn`` gives this layer, checked; ``layer`` is its name in
    messages.

    Raises:
        ConfigError: when r is not legal for the layer's shape.
        MaskError: when the function returns something other than a binary mask of the right kind and count, or the
            positions to ``avoid`` leave no room.
    """
    avoid = kwargs.get("avoid")
    k = budget_of(base_layer, r, avoid, layer)
    if isinstance(mask_fn, MaskFunction):
        return mask_fn.positions(base_layer, r, **kwargs)
    mask = mask_fn(base_layer, r, **kwargs)
    check_mask(mask, weight_of(base_layer), k, layer)
    taken = 0 if avoid is None else int(((mask != 0) & (avoid != 0)).sum())
    if taken:
        raise MaskError(f"The mask for {layer} has {taken:,} ones where `avoid` has ones too; leave these entries out.")
    return from_mask(mask)


def check_mask(mask: object, weight: Tensor, k: int, layer: str = "layer") -> None:
    """Check the contract of a mask function: binary, shape, dtype and device of ``weight``, exactly ``k`` ones.

    Raises:
        MaskError: each broken promise has a message of its own.
    """
    name = f"The mask for {layer}"
    if not isinstance(mask, Tensor):
        raise MaskError(f"{name} is a {type(mask).__name__}; a mask function returns one torch.Tensor.")
    if mask.shape != weight.shape:
        raise MaskError(f"{name} has shape {tuple(mask.shape)}; expected the weight's, {tuple(weight.shape)}.")
    if mask.device != weight.device:
        raise MaskError(f"{name} is on device {mask.device}; expected the weight's, {weight.device}.")
    if mask.dtype not in (weight.dtype, torch.bool):
        raise MaskError(f"{name} has dtype {mask.dtype}; expected the weight's, {weight.dtype}, or torch.bool.")
    if not bool(((mask == 0) | (mask == 1)).all()):
        strange = mask[(mask != 0) & (mask != 1)][0]
        raise MaskError(f"{name} is not binary: it holds {strange:g}. Use 1 for an entry that trains, 0 for any other.")
    ones = int(mask.count_nonzero())
    if ones != k:
        verb = "leave out" if ones > k else "add"
        raise MaskError(f"{name} has {ones:,} ones; r(m + n) = {k:,} are expected: {verb} {abs(ones - k):,}.")


def accepted(mask_fn: MaskFn, offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the ``offered`` keyword arguments that ``mask_fn`` declares; all of them if it takes ``**kwargs``."""
    parameters = inspect.signature(mask_fn).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters) and not isinstance(mask_fn, MaskFunction):
        return offered
    names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    return {name: value for name, value in offered.items() if name in names}


def wants_gradient(mask_fn: MaskFn) -> bool:
    """Whether the function has a parameter named ``gradient``: such a mask is calibrated on data."""
    return "gradient" in inspect.signature(mask_fn).parameters
