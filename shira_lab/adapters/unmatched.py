"""A warning for names in a config that mean no module of the model, beside others that do.

A name that is spelled wrong would change nothing without a word: the layer would keep the general r, or no adapter.
It is a warning and no error, because one config often serves several models.
"""

import warnings
from collections.abc import Collection, Iterable, Mapping

from torch import nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.patterns import pattern_matches
from shira_lab.adapters.targets import layer_index, path_matches
from shira_lab.adapters.walk import walk


def warn_unmatched(model: nn.Module, config: AdapterConfig, targets: Mapping[str, nn.Module], stacklevel: int) -> None:
    """Warn of each field of ``config`` with names that match nothing.

    Args:
        model: the user's model; names of ``target_modules`` and ``exclude_modules`` should match a module of it.
        targets: the layers that get the adapter, by path; patterns and ``layers_to_transform`` should match one of
            these.
        stacklevel: as for :func:`warnings.warn`, counted from the caller.
    """
    paths = [path for path, _ in walk(model)]
    for field in ("target_modules", "exclude_modules"):
        wanted = getattr(config, field) or []
        # A string is one regular expression; each name of a list is looked for by itself.
        parts = {wanted: wanted} if isinstance(wanted, str) else {name: [name] for name in wanted}
        lost = [name for name, part in parts.items() if not any(path_matches(path, part) for path in paths)]
        _warn(field, set(lost) - {"all-linear"}, "module of the model", stacklevel)
    layer = "layer that gets the adapter"
    for field in ("rank_pattern", "alpha_pattern", "scale_pattern"):
        patterns: Collection[str] = getattr(config, field, {})
        lost = [pattern for pattern in patterns if not any(pattern_matches(pattern, path) for path in targets)]
        _warn(field, lost, layer, stacklevel)
    indices = config.layers_to_transform
    if isinstance(indices, Collection):
        _warn("layers_to_transform", set(indices) - {layer_index(path) for path in targets}, layer, stacklevel)


def _warn(field: str, names: Iterable[object], what: str, stacklevel: int) -> None:
    listed = ", ".join(sorted(map(repr, names)))
    if listed:
        warnings.warn(
            f"`{field}`: no {what} matches {listed}, so this has no effect. Check the spelling, or leave it out.",
            stacklevel=stacklevel + 2,
        )
