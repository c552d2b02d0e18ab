"""What an adapter may be called."""

from collections.abc import Collection

from torch import nn

from shira_lab.errors import AdapterError

#: What stands for "no adapter" among the names of a mixed batch.
BASE = "__base__"
#: Names that would collide with attributes of the containers that adapters live in.
_RESERVED = frozenset(dir(nn.ModuleDict())) | {BASE}


def check_adapter_name(name: object, taken: Collection[str]) -> None:
    """Raise :class:`AdapterError` for what cannot be the name of a new adapter beside those that are ``taken``."""
    named = isinstance(name, str) and name and not set(name) & set("./\\\0")
    if not named or name in _RESERVED:
        raise AdapterError(
            f"{name!r} cannot be an adapter name: use a non-empty string without dots and slashes that is no attribute "
            "of a module, for instance 'default'."
        )
    if name in taken:
        raise AdapterError(f"Adapter with name {name} already exists; delete it first or choose another name.")
