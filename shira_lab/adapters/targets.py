"""Which layers of a model an adapter goes to: names, a regular expression, "all-linear", or what suits the
architecture.

The matching rules are PEFT's, so that one config finds the same layers there and here.
"""

import difflib
import re
import warnings
from collections.abc import Collection, Mapping

from torch import nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.default_targets import default_targets
from shira_lab.adapters.patterns import matches, pattern_matches
from shira_lab.adapters.tree import base_modules, walk
from shira_lab.errors import ConfigError
from shira_lab.masks.positions import is_linear

#: Layers whose weight is read without a call of the layer, by the class of the module that holds them. An adapter acts
#: when its layer is called, so it would do nothing there, or only in training mode.
READ_DIRECTLY: dict[str, tuple[str, ...]] = {
    "MultiheadAttention": ("out_proj",),
    "TransformerEncoderLayer": ("linear1", "linear2"),
    "WavLMAttention": ("q_proj", "k_proj", "v_proj", "out_proj"),
}


def find_targets(model: nn.Module, config: AdapterConfig) -> dict[str, nn.Module]:
    """The layers of ``model`` that ``config`` targets, by path, in the model's order.

    Args:
        model: the user's model, bare or with adapters; a layer that carries one is shown as its base layer.

    Raises:
        ConfigError: when nothing matches (the closest names are listed), a match is no linear layer, or its weight is
            read without a call of the layer.
    """
    modules = dict(base_modules(model))
    wanted = config.target_modules or default_targets(model)
    if wanted == "all-linear":
        head = output_layer(model)
        linear = [path for path, module in modules.items() if is_linear(module) and path != head]
        paths = [path for path in linear if not _read_by(model, path)]
    else:
        paths = [path for path in modules if path_matches(path, wanted)]
        if not paths:
            raise ConfigError(_nothing_matches(wanted, modules))
    paths = [path for path in paths if not path_matches(path, config.exclude_modules)]
    in_full = config.modules_to_save or []  # a module that trains in full gets no adapter inside
    paths = [path for path in paths if not any(f".{name}." in f".{path}." for name in in_full)]
    if isinstance(config.layers_to_transform, list):
        paths = [path for path in paths if layer_index(path) in config.layers_to_transform]
    if not paths:
        raise ConfigError(
            f"`target_modules={_show(wanted)}` matches, but `exclude_modules={_show(config.exclude_modules)}`, "
            f"`layers_to_transform={config.layers_to_transform}` and `modules_to_save={config.modules_to_save}` "
            "leave no layer. Loosen one of them."
        )
    for path in paths:
        if not is_linear(modules[path]):
            raise ConfigError(
                f"Target module '{path}' is a {type(modules[path]).__name__}, which is not supported; only "
                "nn.Linear and Conv1D layers can be adapted. Name the linear layers inside it, or use exclude_modules."
            )
        reader = _read_by(model, path)
        if reader:
            raise ConfigError(
                f"Target module '{path}' cannot carry an adapter: the {reader} around it reads its weight and does not "
                f"call it. Leave it out with exclude_modules=['{path}'], or train the {reader} in full with "
                "modules_to_save."
            )
    return {path: modules[path] for path in paths}


def _read_by(model: nn.Module, path: str) -> str | None:
    """The class of the module that reads the weight of the layer at ``path`` and does not call it, or None."""
    parent, _, name = path.rpartition(".")
    classes = [kind.__name__ for kind in type(model.get_submodule(parent)).__mro__]
    return next((kind for kind in classes if name in READ_DIRECTLY.get(kind, ())), None)


def path_matches(path: str, wanted: Collection[str] | str | None) -> bool:
    """A string is a regular expression over the whole path; a name is the path or its ending."""
    if wanted is None:
        return False
    if isinstance(wanted, str):
        return matches(wanted, path)
    return any(path == name or path.endswith(f".{name}") for name in wanted)


def layer_index(path: str) -> int | None:
    """The first number inside the path, which is the index of its transformer layer; None where there is none."""
    index = re.search(r"\.(\d+)\.", path)
    return None if index is None else int(index[1])


def output_layer(model: nn.Module) -> str | None:
    """The path of the head over the vocabulary, which "all-linear" leaves out, as in PEFT."""
    get = getattr(model, "get_output_embeddings", None)
    head = get() if callable(get) else None
    return next((path for path, module in walk(model) if module is head), None)


def _nothing_matches(wanted: Collection[str] | str, modules: dict[str, nn.Module]) -> str:
    linear = [path for path, module in modules.items() if is_linear(module)]
    names = list(dict.fromkeys(path.rsplit(".", 1)[-1] for path in linear))
    asked = [wanted] if isinstance(wanted, str) else sorted(wanted)
    close = [match for name in asked for match in difflib.get_close_matches(name, names + linear, n=3, cutoff=0.5)]
    hint = (
        f"Closest are: {', '.join(dict.fromkeys(close))}."
        if close
        else f"Linear layers are named {', '.join(names[:12])}."
    )
    return f"Target modules {_show(wanted)} not found in the base model. {hint}"


def _show(wanted: Collection[str] | str | None) -> str:
    return repr(wanted) if wanted is None or isinstance(wanted, str) else repr(sorted(wanted))


def warn_unmatched(model: nn.Module, config: AdapterConfig, targets: Mapping[str, nn.Module], stacklevel: int) -> None:
    """Warn of names in ``config`` that match nothing, as misspelled ones do. It is no error: one config often serves
    several models.

    Args:
        model: the user's model; names of ``target_modules`` and ``exclude_modules`` should match a module of it.
        config: the config with these names.
        targets: the layers that get the adapter, by path; patterns and ``layers_to_transform`` should match one of
            these.
        stacklevel: as for :func:`warnings.warn`, counted from the caller.
    """
    paths, module, layer = [path for path, _ in walk(model)], "module of the model", "layer that gets the adapter"
    lost: list[tuple[str, str, Collection[object]]] = []
    for field in ("target_modules", "exclude_modules"):
        wanted = getattr(config, field) or []
        # A string is one regular expression; each name of a list is looked for by itself.
        parts = {wanted: wanted} if isinstance(wanted, str) else {name: [name] for name in wanted}
        names = {name for name, part in parts.items() if not any(path_matches(path, part) for path in paths)}
        lost.append((field, module, names - {"all-linear"}))
    for field in ("rank_pattern", "alpha_pattern", "scale_pattern"):
        patterns = getattr(config, field, {})
        names = {pattern for pattern in patterns if not any(pattern_matches(pattern, path) for path in targets)}
        lost.append((field, layer, names))
    if isinstance(config.layers_to_transform, list):
        indices = set(config.layers_to_transform) - {layer_index(path) for path in targets}
        lost.append(("layers_to_transform", layer, indices))
    for field, what, unmatched in lost:
        if unmatched:
            listed = ", ".join(sorted(map(repr, unmatched)))
            warnings.warn(
                f"`{field}`: no {what} matches {listed}, so this has no effect. Check the spelling, or leave it out.",
                stacklevel=stacklevel + 1,
            )
