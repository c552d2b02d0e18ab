"""Mask types by name. A function registered here is a ``mask_type`` of the config and an entry in the menus."""

from collections.abc import Callable

from shira_lab.errors import MaskError
from shira_lab.masks import builtin, published
from shira_lab.masks.function import MaskFn

_MASKS: dict[str, MaskFn] = {
    "random": builtin.random_mask,
    "magnitude": builtin.magnitude_mask,
    "gradient": builtin.gradient_mask,
    "snip": builtin.snip_mask,
    "struct": builtin.struct_mask,
    "block": builtin.block_mask,
    "row_col": builtin.row_col_mask,
    "smallest": published.smallest_mask,
    "lift": published.lift_mask,
    "columns": published.columns_mask,
    "gradient_block": published.gradient_block_mask,
}
_BUILTIN = frozenset(_MASKS)


def mask_types() -> tuple[str, ...]:
    """The names of all mask types, built-in ones first, in the order of registration."""
    return tuple(_MASKS)


def find_mask(name: str) -> MaskFn | None:
    """The mask function of that name, or None."""
    return _MASKS.get(name)


def register_mask(name: str) -> Callable[[MaskFn], MaskFn]:
    """Decorator: make ``mask_fn(base_layer, r, **kwargs)`` the mask type ``name``. Running it again replaces it.

    What the function returns is validated each time it makes a mask; see :func:`shira_lab.masks.check_mask`. A function
    that has a parameter named ``gradient`` is calibrated on data like the built-in gradient mask.

    Raises:
        MaskError: when the name is not an identifier, or belongs to a built-in mask.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise MaskError(f"A mask type's name should be a Python identifier such as 'my_mask'; got {name!r}.")
    if name in _BUILTIN:
        raise MaskError(f"The mask type '{name}' is built in; choose another name for yours.")

    def register(mask_fn: MaskFn) -> MaskFn:
        if not callable(mask_fn):
            raise MaskError(f"The mask type '{name}' should be a function (base_layer, r, **kwargs); got {mask_fn!r}.")
        _MASKS[name] = mask_fn
        return mask_fn

    return register
