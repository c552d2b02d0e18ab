"""Saving an adapter in PEFT's layout: ``adapter_model.safetensors``, ``adapter_config.json`` and a model card.

:mod:`shira_lab.minimal` writes the first two in their plain form. Here a crash at any moment leaves the old adapter or
the new one; :mod:`shira_lab.adapters.storage.folder` says how.
"""

import re
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.storage.card import card, may_write_card
from shira_lab.adapters.storage.compact import pack
from shira_lab.adapters.storage.files import read_json, write_atomic, writing
from shira_lab.adapters.storage.folder import CARD_NAME, COMPACT_NAME, WEIGHTS_NAME, encode, find_files, write_folder
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.errors import StorageError
from shira_lab.layers import ShiraAdapter
from shira_lab.masks.positions import shape_of, to_indices

PREFIX = "base_model.model."
#: What ``torch.compile`` puts before the names of a module's parts. No file has it.
COMPILED = "_orig_mod."


def save_adapter(
    model: AdapterModel,
    name: str,
    folder: Path,
    file: str = WEIGHTS_NAME,
    look_up: Callable[[Tensor], Tensor] = Tensor.detach,
) -> None:
    """Write an adapter into ``folder``, whole or not at all; see :mod:`shira_lab.adapters.storage.folder`. Its model
    card comes last.

    Args:
        file: one of :data:`~shira_lab.adapters.storage.folder.TENSOR_FILES`. PEFT does not read
            :data:`COMPACT_NAME`, the form of :mod:`shira_lab.adapters.storage.compact`.
        look_up: as for :func:`adapter_tensors`.

    Raises:
        StorageError: when the folder cannot be written, or holds an adapter of another kind.
    """
    config = recorded_config(model, name)
    _check_same_kind(folder, config)
    tensors = {
        key.replace(COMPILED, ""): value.cpu().contiguous().clone()
        for key, value in adapter_tensors(model, name, look_up).items()
    }
    config = config.copy(inference_mode=True)
    if file == COMPACT_NAME:
        layers = {PREFIX + path.replace(COMPILED, ""): layer for path, layer in model.adapter_layers()}
        shapes = {path: shape_of(layer.base_layer) for path, layer in layers.items()}
        tensors = pack(tensors, config, shapes)
    new_card = may_write_card(folder)
    write_folder(folder, file, encode(tensors, file), config.to_json().encode())
    if new_card:
        write_atomic(folder / CARD_NAME, card(config, file).encode())


def adapter_tensors(
    model: AdapterModel, name: str, look_up: Callable[[Tensor], Tensor] = Tensor.detach
) -> dict[str, Tensor]:
    """The tensors of an adapter under PEFT's names, each what ``look_up`` makes of the one in the model."""
    tensors: dict[str, Tensor] = {}
    for path, layer in model.adapter_layers():
        if name in layer.adapters:
            adapter = layer.get_adapter(name)
            state = {key: look_up(value) for key, value in adapter.state_dict(keep_vars=True).items()}
            if isinstance(adapter, ShiraAdapter):  # in PEFT's form, as rows and columns
                state["shira_indices"] = to_indices(state.pop("positions"), adapter.shape)
            tensors |= {f"{PREFIX}{path}.{key}": value for key, value in state.items()}
    for path, wrapper in model.wrapped_modules():
        if name in wrapper.modules_to_save:
            state = wrapper.modules_to_save[name].state_dict(keep_vars=True)
            tensors |= {f"{PREFIX}{path}.{key}": look_up(value) for key, value in state.items()}
    return tensors


def recorded_config(model: AdapterModel, name: str) -> AdapterConfig:
    """The config as it is saved: with the scale that each layer has now."""
    layers = [(path, layer.get_adapter(name)) for path, layer in model.adapter_layers() if name in layer.adapters]
    scale = layers[0][1].scale
    others = {f"^{re.escape(path)}": adapter.scale for path, adapter in layers if adapter.scale != scale}
    return model.peft_config[name].copy(scale=scale, scale_pattern=others)


def in_state_dict(model: nn.Module, state_dict: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """A function from a tensor of ``model`` to the one that ``state_dict`` has under its name."""
    names = {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}

    def look_up(tensor: Tensor) -> Tensor:
        found = state_dict.get(names[id(tensor)])
        if found is None or found.shape != tensor.shape:
            raise StorageError(
                f"`state_dict` should hold '{names[id(tensor)]}' of shape {tuple(tensor.shape)}; pass all that "
                "`state_dict()` of this model gives."
            )
        return found.detach()

    return look_up


def _check_same_kind(folder: Path, config: AdapterConfig) -> None:
    with writing(folder):
        there = find_files(folder)[0]
        if not there.is_file():
            return
    kind = read_json(there).get("peft_type")
    if kind != config.peft_type:
        raise StorageError(
            f"{folder} holds a {kind} adapter; saving this {config.peft_type} adapter there would overwrite it. "
            "Choose another folder, or delete that one first."
        )
