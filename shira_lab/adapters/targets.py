"""Which layers of a model an adapter goes to: names, a regular expression, "all-linear", or what suits the
architecture.

The matching rules are PEFT's, so that one config finds the same layers there and here.
"""

import difflib
import re
from collections.abc import Collection

from torch import nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.patterns import matches
from shira_lab.adapters.tree import base_modules
from shira_lab.adapters.walk import walk
from shira_lab.errors import ConfigError
from shira_lab.masks.positions import is_linear

#: The attention projections that are adapted when ``target_modules`` is None, by ``model.config.model_type``.
DEFAULT_TARGETS: dict[str, tuple[str, ...]] = {
    "bart": ("q_proj", "v_proj"),
    "bert": ("query", "value"),
    "bloom": ("query_key_value",),
    "deberta": ("in_proj",),
    "deberta-v2": ("query_proj", "value_proj"),
    "distilbert": ("q_lin", "v_lin"),
    "falcon": ("query_key_value",),
    "gemma": ("q_proj", "v_proj"),
    "gemma2": ("q_proj", "v_proj"),
    "gemma3_text": ("q_proj", "v_proj"),
    "gpt2": ("c_attn",),
    "gpt_neo": ("q_proj", "v_proj"),
    "gpt_neox": ("query_key_value",),
    "gptj": ("q_proj", "v_proj"),
    "llama": ("q_proj", "v_proj"),
    "mistral": ("q_proj", "v_proj"),
    "mixtral": ("q_proj", "v_proj"),
    "opt": ("q_proj", "v_proj"),
    "phi": ("q_proj", "v_proj"),
    "phi3": ("qkv_proj",),
    "qwen2": ("q_proj", "v_proj"),
    "qwen3": ("q_proj", "v_proj"),
    "roberta": ("query", "value"),
    "t5": ("q", "v"),
    "xlm-roberta": ("query", "value"),
}


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
    wanted = _wanted(model, config)
    if wanted == "all-linear":
        head = output_layer(model)
        linear = [path for path, module in modules.items() if is_linear(module) and path != head]
        paths = [path for path in linear if not _read_by(model, path)]
    else:
        paths = [path for path in modules if path_matches(path, wanted)]
        if not paths:
            raise ConfigError(_nothing_matches(wanted, modules))
    paths = [path for path in paths if not path_matches(path, config.exclude_modules)]
    paths = [path for path in paths if not _inside(path, config.modules_to_save or [])]
    paths = [path for path in paths if _in_layers(path, config.layers_to_transform)]
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


def _wanted(model: nn.Module, config: AdapterConfig) -> Collection[str] | str:
    if config.target_modules is not None:
        return config.target_modules
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if model_type not in DEFAULT_TARGETS:
        raise ConfigError(
            f"Please specify `target_modules` in `peft_config`: there is no default for the model type {model_type!r}, "
            f"only for {', '.join(DEFAULT_TARGETS)}."
        )
    return set(DEFAULT_TARGETS[model_type])


def path_matches(path: str, wanted: Collection[str] | str | None) -> bool:
    """A string is a regular expression over the whole path; a name is the path or its ending."""
    if wanted is None:
        return False
    if isinstance(wanted, str):
        return matches(wanted, path)
    return any(path == name or path.endswith(f".{name}") for name in wanted)


def _inside(path: str, names: Collection[str]) -> bool:
    """Whether the path leads to or into a module of one of these names; such a module trains in full already."""
    return any(f".{name}." in f".{path}." for name in names)


def _in_layers(path: str, layers: list[int] | int | None) -> bool:
    """Whether the index of the path's transformer layer is among ``layers``."""
    if layers is None:
        return True
    return isinstance(layers, list) and layer_index(path) in layers


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
