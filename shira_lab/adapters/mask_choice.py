"""The mask of a config: a name and a function that always belong together, whichever of the two is assigned."""

from typing import Any

from shira_lab.errors import ConfigError
from shira_lab.masks import MaskFn, find_mask
from shira_lab.masks.function import mask_name

#: The mask type of a function that no name was given for.
_OWN = "custom"


class KeptName(str):
    """A mask type as a config keeps it. One that a caller gives is a plain string: ``dataclasses.replace`` hands over
    what was kept and what was given alike, and given beside another mask's function, the name decides."""


class MaskChoice:
    """The fields ``mask_type`` and ``mask_fn`` of a dataclass. The function is looked up by the name; only one that is
    registered under no name is kept itself."""

    mask_type: str

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "mask_type" and "_own_mask" in vars(self):
            vars(self).update(mask_type=KeptName(_check_mask_type(value)), _own_mask=None)
        else:
            super().__setattr__(name, value)

    def get_mask_fn(self) -> MaskFn | None:
        own: MaskFn | None = vars(self)["_own_mask"]
        return own or find_mask(self.mask_type)

    def set_mask_fn(self, mask_fn: MaskFn | None) -> None:
        """``__init__`` comes here last, so from then on mask type and function belong together."""
        if mask_fn is not None and not callable(mask_fn):
            raise ConfigError(f"`mask_fn` should be a function (base_layer, r, **kwargs); got {mask_fn!r}.")
        mask_type = _check_mask_type(self.mask_type)
        given = not isinstance(mask_type, KeptName)
        name = mask_name(mask_fn) if mask_fn else None
        own = mask_fn if name is None else None
        if own and find_mask(mask_type):
            if given:
                raise ConfigError(
                    f"`mask_type='{mask_type}'` is a mask of its own, and `mask_fn` is another. Give one of them, or "
                    "your function another name."
                )
            mask_type = _OWN
        elif name and not given:
            mask_type = name
        vars(self).update(mask_type=KeptName(mask_type), _own_mask=own)


def _check_mask_type(mask_type: Any) -> str:
    if not isinstance(mask_type, str):
        raise ConfigError(f"`mask_type` should be a name such as 'random'; got {mask_type!r}.")
    return mask_type
