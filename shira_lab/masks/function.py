"""What a mask function is: ``mask_fn(base_layer, r, **kwargs) -> mask``, PEFT's signature for SHiRA.

The built-in ones are written as the sorted positions of their ones; :class:`MaskFunction` turns them into dense masks
for callers, and lets the adapter layer skip the dense mask. Your own function is plain Python; what it returns is
checked before anything is built on it. A function with a name is a ``mask_type`` of the config and an entry in menus.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, Literal

from torch import Tensor, nn

from shira_lab.budget import check_budget
from shira_lab.errors import MaskError, expect
from shira_lab.masks.check import check_mask
from shira_lab.masks.positions import from_mask, shape_of, to_mask, weight_of

#: A function ``mask_fn(base_layer, r, **kwargs)`` that returns the mask (m, n) of a layer, with r(m + n) ones.
MaskFn = Callable[..., Tensor]
#: What a mask can be calibrated by, see :func:`shira_lab.calibrate`; what each is, for messages.
Statistic = Literal["gradient", "input_norm"]
STATISTICS: Final[dict[Statistic, str]] = {"gradient": "a gradient", "input_norm": "the norms of its inputs"}

_BUILT_IN: dict[str, MaskFn] = {}
_REGISTERED: dict[str, MaskFn] = {}


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
    """r(m + n) for this layer, or an error that names the largest r with room outside the mask ``avoid``.

    >>> budget_of(nn.Linear(3, 2), r=1)
    5

    Args:
        base_layer, r: a linear layer, and its budget r(m + n).
        avoid: a mask (m, n) of entries that stay out.
        layer: its name in messages.
    """
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
    """The sorted positions (k,) of the mask that ``mask_fn`` gives this layer, checked.

    >>> import torch
    >>> mask_positions(lambda layer, r: torch.tensor([[1.0, 1, 1], [0, 1, 1]]), nn.Linear(3, 2), 1)
    tensor([0, 1, 2, 4, 5])

    Args:
        mask_fn, base_layer, r: a mask function and the arguments that every one takes.
        layer: the name of the layer in messages.

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


def accepted(mask_fn: MaskFn, offered: dict[str, Any]) -> dict[str, Any]:
    """The ``offered`` keyword arguments that ``mask_fn`` declares; all, if it is not built in and takes ``**kwargs``.

    >>> accepted(lambda base_layer, r, block_size: ..., {"block_size": 16, "random_seed": 0})
    {'block_size': 16}
    """
    parameters = inspect.signature(mask_fn).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters) and not isinstance(mask_fn, MaskFunction):
        return offered
    names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    return {name: value for name, value in offered.items() if name in names}


def calibrated_by(mask_fn: MaskFn | None) -> Statistic | None:
    """What the function wants of data, by the name of its parameter: "gradient", "input_norm", or None for nothing.

    >>> calibrated_by(lambda base_layer, r, gradient: ...)
    'gradient'
    """
    parameters = inspect.signature(mask_fn).parameters if mask_fn else ()
    return next((name for name in STATISTICS if name in parameters), None)


def built_in(positions: Callable[..., Tensor]) -> MaskFunction:
    """Decorator: the body of ``NAME_mask`` gives sorted positions (k,); the name then gives the dense mask, for good.

    >>> find_mask("row_col").__name__
    'row_col_mask'
    """
    mask = _BUILT_IN[positions.__name__.removesuffix("_mask")] = MaskFunction(positions)
    return mask


def mask_types() -> tuple[str, ...]:
    """The names of all mask types, built-in ones first, in the order of registration.

    >>> mask_types()[:4]
    ('random', 'magnitude', 'gradient', 'snip')
    """
    return (*_BUILT_IN, *_REGISTERED)


def find_mask(name: str) -> MaskFn | None:
    """The mask function of that name, or None.

    >>> find_mask("random").__name__
    'random_mask'
    """
    return _BUILT_IN.get(name) or _REGISTERED.get(name)


def mask_name(mask_fn: MaskFn) -> str | None:
    """The name of that mask function, or None where it is registered under none.

    >>> mask_name(find_mask("struct"))
    'struct'
    """
    known = {**_REGISTERED, **_BUILT_IN}
    return next((name for name, other in known.items() if other is mask_fn), None)


def register_mask(name: str) -> Callable[[MaskFn], MaskFn]:
    """Decorator: make ``mask_fn(base_layer, r, **kwargs)`` the mask type ``name``. Running it again replaces it.

    What the function returns is validated each time it makes a mask; see :func:`shira_lab.masks.check_mask`. A function
    that has a parameter named ``gradient`` or ``input_norm`` is calibrated on data like the built-in gradient and Wanda
    masks.

    >>> import torch
    >>> @register_mask("first")
    ... def first_mask(base_layer, r, **kwargs):
    ...     mask = torch.zeros_like(base_layer.weight)
    ...     mask.view(-1)[: r * sum(mask.shape)] = 1
    ...     return mask
    >>> mask_positions(find_mask("first"), nn.Linear(3, 2), 1)
    tensor([0, 1, 2, 3, 4])

    Raises:
        MaskError: when the name is not an identifier, or belongs to a built-in mask.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise MaskError(f"A mask type's name should be a Python identifier such as 'my_mask'; got {name!r}.")
    if name in _BUILT_IN:
        raise MaskError(f"The mask type '{name}' is built in; choose another name for yours.")

    def register(mask_fn: MaskFn) -> MaskFn:
        if not callable(mask_fn):
            raise MaskError(f"The mask type '{name}' should be a function (base_layer, r, **kwargs); got {mask_fn!r}.")
        _REGISTERED[name] = mask_fn
        return mask_fn

    return register
