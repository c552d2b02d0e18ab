"""What PEFT's configs and functions take and ours do not: at PEFT's default it changes nothing, so it is taken too.

PEFT is not asked for its defaults, as it need not be installed: what is off there is None, False or empty. A value that
says more is refused by name, because without it the result would be another one.
"""

import dataclasses
import difflib
import functools
import inspect
import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

from shira_lab.errors import ConfigError, ShiraError

C = TypeVar("C")
_EMPTY = (bool, int, float, str, list, tuple, dict, set)
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


def takes_pefts_fields(cls: type[C]) -> type[C]:
    """Let a config class be called with fields that only PEFT's has, as long as they say nothing.

    Raises:
        ConfigError: for one with a value, or whose name is nearly that of a field that is on by default.
    """
    init: Any = cls.__init__
    known = set(inspect.signature(init).parameters)
    on = [name for name, p in inspect.signature(init).parameters.items() if p.default and p.default is not p.empty]

    @functools.wraps(init)
    def __init__(self: C, *args: Any, **given: Any) -> None:
        fields = {name: value for name, value in given.items() if name in known}
        unknown = {name: value for name, value in given.items() if name not in known | {"peft_version"}}
        if unknown.get("peft_type") == cls.peft_type:  # type: ignore[attr-defined]
            del unknown["peft_type"]
        for name in unknown:
            if close := difflib.get_close_matches(name, on, n=1, cutoff=0.85):
                raise ConfigError(f"{cls.__name__} has no field `{name}`; did you mean `{close[0]}`?")
        remedy = "Leave it out, or give PEFT's default: this library does not have what it asks for."
        refuse_unknown(cls.__name__, unknown, remedy, ConfigError)
        init(self, *args, **fields)

    cls.__init__ = __init__  # type: ignore[assignment, method-assign]
    return cls


def _says_nothing(value: Any) -> bool:
    """Whether this is None, False or empty, or an object with such fields alone."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(map(_says_nothing, vars(value).values()))
    return value is None or (isinstance(value, _EMPTY) and not value)
