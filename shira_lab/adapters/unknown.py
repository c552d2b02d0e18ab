"""What PEFT's configs and functions take and ours do not: at PEFT's default it changes nothing, so it is taken too.

PEFT is not asked for its defaults, as it need not be installed: what is off there is None, False or empty, and none is
0. A value that says more is refused by name, because without it the result would be another one.
"""

import dataclasses
import difflib
import inspect
import reprlib
from collections.abc import Mapping
from typing import Any

from shira_lab.errors import ConfigError, ShiraError

_EMPTY = (bool, str, list, tuple, dict, set)
#: Values that change nothing here all the same: options of features that are off, and ways to get the same result.
_OPTIONS = [
    ("megatron_core", "megatron.core"), ("qalora_group_size", 16), ("low_cpu_mem_usage", True),
    ("local_files_only", True), ("save_embedding_layers", "auto"),
]  # fmt: skip


def refuse_unknown(owner: str, given: Mapping[str, Any], remedy: str, error: type[ShiraError]) -> None:
    """Raise if any of these arguments, which ``owner`` does not have, says something."""
    for name, value in given.items():
        if not _says_nothing(value) and (name, value) not in _OPTIONS:
            raise error(f"{owner} has no `{name}` here; got {reprlib.repr(value)}. {remedy}")


def check_unknown_fields(cls: type[Any], unknown: dict[str, Any]) -> None:
    """Check fields that a config was given and its class does not have: they are PEFT's, and off.

    Raises:
        ConfigError: for one with a value, or whose name is nearly that of a field that is on by default.
    """
    parameters = inspect.signature(cls).parameters.items()
    on = [name for name, p in parameters if p.default and p.default is not p.empty]
    fields = {name: value for name, value in unknown.items() if name != "peft_version"}
    if fields.get("peft_type") == cls.peft_type:
        del fields["peft_type"]
    for name in fields:
        if close := difflib.get_close_matches(name, on, n=1, cutoff=0.85):
            raise ConfigError(f"{cls.__name__} has no field `{name}`; did you mean `{close[0]}`?")
    remedy = "Leave it out, or give PEFT's default: this library does not have what it asks for."
    refuse_unknown(cls.__name__, fields, remedy, ConfigError)


def _says_nothing(value: Any) -> bool:
    """Whether this is None, False or empty, or an object with such fields alone."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(map(_says_nothing, vars(value).values()))
    return value is None or (isinstance(value, _EMPTY) and not value)
