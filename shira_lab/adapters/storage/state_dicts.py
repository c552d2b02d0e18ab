"""Tensors by name: one adapter's as its file has them, and the base model's as if there was no adapter."""

from typing import Any

from torch import Tensor, nn

from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.storage.load import Expected, LoadResult, check_tensors, fill_adapter
from shira_lab.adapters.storage.save import PREFIX, adapter_tensors
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.adapters.unknown import refuse_unknown
from shira_lab.errors import AdapterError, expect
from shira_lab.masks.positions import shape_of


def get_peft_model_state_dict(model: nn.Module, adapter_name: str = "default", **others: Any) -> dict[str, Tensor]:
    """The tensors of an adapter under the names of PEFT's files.

    >>> from shira_lab import ShiraConfig, get_peft_model
    >>> model = get_peft_model(nn.Sequential(nn.Linear(8, 8)), ShiraConfig(r=1, target_modules=["0"]))
    >>> {name: tuple(tensor.shape) for name, tensor in get_peft_model_state_dict(model).items()}
    {'base_model.model.0.shira_weight': (16,), 'base_model.model.0.shira_indices': (2, 16)}

    Args:
        model: a :class:`~shira_lab.adapters.model.PeftModel`, or a model with injected adapters; names then have no
            "base_model.model." before the layer's path, as in PEFT.
        others: further arguments of PEFT's, at their defaults.

    Raises:
        AdapterError: when there is no such adapter.
    """
    if others:
        refuse_unknown(
            "get_peft_model_state_dict", others, "Leave it out: the adapter's tensors are given.", AdapterError
        )
    tree, prefix = _tree(model)
    tensors = adapter_tensors(tree, adapter_name)
    if not tensors:
        raise AdapterError(f"Adapter {adapter_name} does not exist on this model.")
    return {prefix + key.removeprefix(PREFIX): value for key, value in tensors.items()}


def set_peft_model_state_dict(
    model: nn.Module, peft_model_state_dict: dict[str, Tensor], adapter_name: str = "default", **others: Any
) -> LoadResult:
    """Give an adapter the values and positions of :func:`get_peft_model_state_dict`. All are checked first.

    >>> from shira_lab import ShiraConfig, get_peft_model
    >>> model = get_peft_model(nn.Sequential(nn.Linear(8, 8)), ShiraConfig(r=1, target_modules=["0"]))
    >>> set_peft_model_state_dict(model, get_peft_model_state_dict(model))
    LoadResult(missing_keys=[], unexpected_keys=[])

    Args:
        others: further arguments of PEFT's, at their defaults.

    Raises:
        AdapterError: when there is no such adapter, or it is merged.
        StorageError: when a tensor is missing, is not expected or does not fit; nothing has changed then.
    """
    if others:
        refuse_unknown("set_peft_model_state_dict", others, "Leave it out: every tensor has to fit.", AdapterError)
    _check_state_dict(peft_model_state_dict)
    current = get_peft_model_state_dict(model, adapter_name)
    tree, prefix = _tree(model)
    layers = {path: layer for path, layer in tree.adapter_layers() if adapter_name in layer.adapters}
    if any(adapter_name in layer.merged_adapters for layer in layers.values()):
        raise AdapterError(f"Adapter {adapter_name} is merged; call `unmerge_adapter` before it gets other values.")
    loaded = check_tensors(
        "the state dict",
        {key.removeprefix(prefix): value.cpu() for key, value in peft_model_state_dict.items()},
        {key.removeprefix(prefix): Expected(tuple(value.shape), value.dtype) for key, value in current.items()},
        {path: shape_of(layer.base_layer) for path, layer in layers.items()},
    )
    for path, positions in loaded.positions.items():
        layers[path].set_positions(adapter_name, positions)
    fill_adapter(tree, adapter_name, loaded)
    return LoadResult([], [])


def get_base_model_state_dict(model: PeftModel) -> dict[str, Tensor]:
    """The base model's tensors under the names that they had before adapters came, whatever is active or merged.

    >>> from shira_lab import ShiraConfig, get_peft_model
    >>> model = get_peft_model(nn.Sequential(nn.Linear(8, 8)), ShiraConfig(r=1, target_modules=["0"]))
    >>> list(get_base_model_state_dict(model))
    ['0.weight', '0.bias']
    """
    state = model.get_base_model().state_dict()
    for path, layer in model.base_model.adapter_layers():
        if layer.merged:
            state[f"{path}.base_layer.weight"] = layer.base_weight()
    return {original: state[key] for original, key in _base_names(model).items()}


def set_base_model_state_dict(model: PeftModel, state_dict: dict[str, Tensor], strict: bool = True) -> LoadResult:
    """Load tensors with the base model's own names into the model below the adapters.

    >>> from shira_lab import ShiraConfig, get_peft_model
    >>> model = get_peft_model(nn.Sequential(nn.Linear(8, 8)), ShiraConfig(r=1, target_modules=["0"]))
    >>> set_base_model_state_dict(model, nn.Sequential(nn.Linear(8, 8)).state_dict())
    LoadResult(missing_keys=[], unexpected_keys=[])

    Raises:
        AdapterError: when names are missing or not expected and ``strict``, or a tensor has another shape; nothing
        has changed then.
    """
    _check_state_dict(state_dict)
    names = _base_names(model)
    result = LoadResult([n for n in names if n not in state_dict], [n for n in state_dict if n not in names])
    if strict and (result.missing_keys or result.unexpected_keys):
        raise AdapterError(
            f"The state dict does not fit the base model: missing are {result.missing_keys or 'none'}, not expected "
            f"{result.unexpected_keys or 'none'}."
        )
    for name, tensor in get_base_model_state_dict(model).items():
        if name in state_dict and state_dict[name].shape != tensor.shape:
            raise AdapterError(
                f"The state dict's '{name}' has shape {tuple(state_dict[name].shape)}; the base model's has "
                f"{tuple(tensor.shape)}. Is it of another model?"
            )
    known = {names[name]: value for name, value in state_dict.items() if name in names}
    model.get_base_model().load_state_dict(known, strict=False)
    return result


def _check_state_dict(tensors: Any) -> None:
    expect(tensors, dict, "state_dict", "a dict of tensors by name", AdapterError)
    for name, tensor in tensors.items():
        expect(tensor, Tensor, f"state_dict['{name}']", "a tensor", AdapterError)


def _tree(model: nn.Module) -> tuple[AdapterModel, str]:
    """The adapters of a model and the prefix of their names outside."""
    if isinstance(model, PeftModel):
        return model.base_model, PREFIX
    expect(model, nn.Module, "model", "a PeftModel, or a model with injected adapters", AdapterError)
    if any(isinstance(module, PeftModel) for module in model.modules()):
        raise AdapterError(
            f"A {type(model).__name__} is around the PeftModel, and its parts may be spread over processes. Pass the "
            "PeftModel itself, for instance `model.module`."
        )
    return AdapterModel(model), ""


def _base_names(model: PeftModel) -> dict[str, str]:
    """The name of a tensor in the model as it is, by its name in the base model."""
    tree = model.base_model
    moved = {f"{path}.": f"{path}.base_layer." for path, _ in tree.adapter_layers()}
    moved |= {f"{path}.": f"{path}.original_module." for path, _ in tree.wrapped_modules()}
    names: dict[str, str] = {}
    for key in tree.model.state_dict():
        before = next((path for path in moved if key.startswith(path)), "")
        now = moved.get(before, "")
        if key.startswith(now):  # else it belongs to an adapter
            names[before + key.removeprefix(now)] = key
    return names
