"""Saving an adapter in PEFT's layout: ``adapter_model.safetensors``, ``adapter_config.json`` and a model card.

:mod:`shira_lab.minimal` writes the first two in their plain form. Here a crash at any moment leaves the old adapter or
the new one; :mod:`shira_lab.adapters.storage.files` says how. The card is ``README.md`` with the head that PEFT writes,
for the hub. Whoever trained the adapter writes the rest into it; only a card without such a text is written anew.
"""

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.storage.compact import pack
from shira_lab.adapters.storage.files import (
    CARD_NAME,
    COMPACT_NAME,
    WEIGHTS_NAME,
    encode,
    find_files,
    read_json,
    write_atomic,
    write_folder,
    writing,
)
from shira_lab.adapters.tasks import PeftType
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.errors import ShiraError, StorageError
from shira_lab.layers import ShiraAdapter
from shira_lab.masks.positions import shape_of, to_indices

PREFIX = "base_model.model."
#: What ``torch.compile`` puts before the names of a module's parts. No file has it.
COMPILED = "_orig_mod."
_TEXT = """---
{head}
---
# {title}

{method} The rest of the base model is unchanged.

- Target modules: {targets}
- Trained in full beside them: {saved}
- {settings}

On which data it was trained, how well it does, and what it is not for cannot be read from its files. Say it here.

```python
from shira_lab import PeftModel

model = PeftModel.from_pretrained(base_model, folder)
```
"""


def save_adapter(
    model: AdapterModel,
    name: str,
    folder: Path,
    file: str = WEIGHTS_NAME,
    look_up: Callable[[Tensor], Tensor] = Tensor.detach,
) -> None:
    """Write an adapter into ``folder``, whole or not at all; see :mod:`shira_lab.adapters.storage.files`. Its model
    card comes last.

    Args:
        model: the model with the adapter.
        name: the adapter's name.
        folder: where the files go.
        file: one of :data:`~shira_lab.adapters.storage.files.TENSOR_FILES`. PEFT does not read
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
    new_card = _may_write_card(folder)
    write_folder(folder, file, encode(tensors, file), config.to_json().encode())
    if new_card:
        write_atomic(folder / CARD_NAME, _card(config, file).encode())


def adapter_tensors(
    model: AdapterModel, name: str, look_up: Callable[[Tensor], Tensor] = Tensor.detach
) -> dict[str, Tensor]:
    """The tensors of an adapter under PEFT's names; ``look_up`` returns the tensor to save for one of the model: the
    same one, or the one that a state dict has for it."""
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


@functools.singledispatch
def in_words(config: AdapterConfig) -> tuple[str, str, str]:
    """What people call the method, a sentence on it, and its settings beside r; each kind registers its own."""
    raise NotImplementedError(type(config).__name__)


@in_words.register
def _(config: ShiraConfig) -> tuple[str, str, str]:
    sentence = "A sparse high rank adapter (arXiv 2406.13175): r(m + n) entries of each target's (m, n) weight."
    return "SHiRA", sentence, f"mask: {config.mask_type}"


@in_words.register
def _(config: LoraConfig) -> tuple[str, str, str]:
    sentence = "A low rank adapter (arXiv 2106.09685): two factors of rank r beside each target's weight."
    return "LoRA", sentence, f"lora_alpha: {config.lora_alpha:g}"


def _card(config: AdapterConfig, file: str) -> str:
    """The text for an adapter with this config and this name of the file with its tensors."""
    base, targets, (name, method, settings) = config.base_model_name_or_path, config.target_modules, in_words(config)
    head: dict[str, Any] = {"base_model": base} if base else {}
    head["library_name"] = "peft" if file != COMPACT_NAME and config.peft_type in list(PeftType) else "shira_lab"
    if config.task_type == "CAUSAL_LM":
        head["pipeline_tag"] = "text-generation"
    head["tags"] = ([f"base_model:adapter:{base}"] if base else []) + [name.lower()]
    return _TEXT.format(
        head="\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items()),
        title=f"{name} adapter for {base}" if base else f"{name} adapter",
        method=method,
        targets=targets if isinstance(targets, str) else ", ".join(sorted(targets or ["those of its architecture"])),
        saved=", ".join(config.modules_to_save or ["nothing"]),
        settings=f"r: {config.r}, {settings}",
    )


def _may_write_card(folder: Path) -> bool:
    """Whether ``folder`` has no card, or the one of the adapter that is there."""
    path = folder / CARD_NAME
    if not path.exists():
        return True
    try:
        config, file = AdapterConfig.from_pretrained(folder), find_files(folder)[1].name
        return path.read_text("utf-8") == _card(config, file)
    except (ShiraError, OSError, ValueError):
        return False
