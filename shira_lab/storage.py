"""Adapters on disk, in PEFT's layout: ``adapter_config.json`` and ``adapter_model.safetensors``.

Saving is atomic. Loading checks everything, config and tensors against each other and against the model, before it
changes anything: an adapter may come from a stranger.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from shira_lab.budget import check_budget
from shira_lab.compact import pack, unpack
from shira_lab.config import CONFIG_NAME, AdapterConfig, LoraConfig
from shira_lab.errors import StorageError
from shira_lab.files import read_bytes, read_json, write_atomic
from shira_lab.layers import ShiraAdapter
from shira_lab.layers.kinds import is_conv1d
from shira_lab.masks.positions import from_indices, shape_of
from shira_lab.modules_to_save import find_modules_to_save
from shira_lab.targets import find_targets
from shira_lab.tuner import AdapterModel

WEIGHTS_NAME = "adapter_model.safetensors"
COMPACT_NAME = "adapter_compact.safetensors"
_PREFIX = "base_model.model."


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter read from disk and found valid for a model."""

    config: AdapterConfig
    positions: dict[str, Tensor]  # by layer path, sorted; SHiRA only
    tensors: dict[str, Tensor]  # by "<path>.<parameter>", in the order of the positions


class Expected(NamedTuple):
    """What a tensor of the file should be; floating-point numbers may come in any precision."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def adapter_tensors(model: AdapterModel, name: str) -> dict[str, Tensor]:
    """The tensors of an adapter under PEFT's names."""
    tensors: dict[str, Tensor] = {}
    for path, layer in model.adapter_layers():
        if name not in layer.adapters:
            continue
        adapter = layer.adapters[name]
        tensors |= {f"{_PREFIX}{path}.{key}": value for key, value in adapter.state_dict().items()}
        if isinstance(adapter, ShiraAdapter):
            tensors[f"{_PREFIX}{path}.shira_indices"] = adapter.shira_indices
    for path, wrapper in model.wrapped_modules():
        if name in wrapper.modules_to_save:
            state = wrapper.modules_to_save[name].state_dict()
            tensors |= {f"{_PREFIX}{path}.{key}": value for key, value in state.items()}
    return tensors


def save_adapter(model: AdapterModel, name: str, folder: Path, compact: bool = False) -> None:
    """Write an adapter into ``folder``: the tensors first, then the config that makes the folder an adapter.

    Args:
        compact: write the form of :mod:`shira_lab.compact`, which PEFT does not read, instead of PEFT's.

    Raises:
        StorageError: when the folder cannot be written, or holds an adapter of another kind.
    """
    config = model.recorded_config(name)
    _check_same_kind(folder, config)
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in adapter_tensors(model, name).items()}
    config = config.copy(inference_mode=True)
    if compact:
        shapes = {_PREFIX + path: shape_of(layer.base_layer) for path, layer in model.adapter_layers()}
        tensors = pack(tensors, config, shapes)
    written, other = (COMPACT_NAME, WEIGHTS_NAME) if compact else (WEIGHTS_NAME, COMPACT_NAME)
    write_atomic(folder / written, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    config.save_pretrained(folder)
    (folder / other).unlink(missing_ok=True)


def read_adapter(model: AdapterModel, folder: Path) -> LoadedAdapter:
    """Read the adapter in ``folder`` and check it against ``model``, which is only looked at.

    Raises:
        StorageError: naming file, tensor and reason, when anything does not fit.
        ConfigError: when the config cannot work for this model.
    """
    config = AdapterConfig.from_pretrained(folder)
    modules = dict(model.base_modules())
    paths = find_targets(model.model, modules, config)
    compact = (folder / COMPACT_NAME).exists() and not (folder / WEIGHTS_NAME).exists()
    file = folder / (COMPACT_NAME if compact else WEIGHTS_NAME)
    found = _read_tensors(file)
    if compact:
        found = unpack(found, config, {path: shape_of(modules[path]) for path in paths})
    expected = _expected_tensors(model.model, modules, paths, config)
    _check_names(file, set(expected), set(found))
    for key, like in expected.items():
        _check_tensor(file, key, found[key], like)
    positions: dict[str, Tensor] = {}
    tensors = {key: value for key, value in found.items() if not key.endswith(".shira_indices")}
    for key in found.keys() - tensors.keys():
        path = key.removesuffix(".shira_indices")
        flat = _check_positions(file, key, found[key], shape_of(modules[path]))
        order = flat.argsort()
        positions[path] = flat[order]
        tensors[f"{path}.shira_weight"] = found[f"{path}.shira_weight"][order]
    return LoadedAdapter(config, positions, tensors)


@torch.no_grad()
def fill_adapter(model: AdapterModel, name: str, loaded: LoadedAdapter) -> None:
    """Copy what was read into the adapter ``name``, which has been added with its config and positions."""
    owners: dict[str, nn.Module] = {
        path: layer.adapters[name] for path, layer in model.adapter_layers() if name in layer.adapters
    }
    owners |= {path: w.modules_to_save[name] for path, w in model.wrapped_modules() if name in w.modules_to_save}
    for path, owner in owners.items():
        for key, parameter in owner.state_dict(keep_vars=True).items():
            parameter.copy_(loaded.tensors[f"{path}.{key}"])


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of the file, keyed without PEFT's prefix."""
    try:
        tensors = safetensors.torch.load(read_bytes(file))
    except (safetensors.SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise StorageError(f"{file} is not a valid safetensors file ({error}); it may be cut off.") from None
    strange = [key for key in tensors if not key.startswith(_PREFIX)]
    if strange:
        raise StorageError(f"{file}: tensor '{strange[0]}' does not begin with '{_PREFIX}' as an adapter's tensors do.")
    return {key.removeprefix(_PREFIX): value for key, value in tensors.items()}


def _expected_tensors(
    model: nn.Module, modules: dict[str, nn.Module], paths: list[str], config: AdapterConfig
) -> dict[str, Expected]:
    expected: dict[str, Expected] = {}
    for path in paths:
        shape, r = shape_of(modules[path]), config.r_for(path)
        if isinstance(config, LoraConfig):
            out_features, in_features = shape[::-1] if is_conv1d(modules[path]) else shape
            expected[f"{path}.lora_A.weight"] = Expected((r, in_features), torch.float32)
            expected[f"{path}.lora_B.weight"] = Expected((out_features, r), torch.float32)
        else:
            k = check_budget(r, shape, f"layer '{path}'")
            expected[f"{path}.shira_weight"] = Expected((k,), torch.float32)
            expected[f"{path}.shira_indices"] = Expected((2, k), torch.int32)
    for path in find_modules_to_save(model, config.modules_to_save):
        module = model.get_submodule(path)
        state = getattr(module, "original_module", module).state_dict()
        expected |= {f"{path}.{key}": Expected(tuple(value.shape), value.dtype) for key, value in state.items()}
    return expected


def _check_names(file: Path, expected: set[str], found: set[str]) -> None:
    for names, problem in ((expected - found, "is missing"), (found - expected, "is not expected")):
        if names:
            raise StorageError(
                f"{file}: tensor '{min(names)}' {problem} ({len(names)} such). Is it an adapter of this model, saved "
                "with this config?"
            )


def _check_tensor(file: Path, key: str, tensor: Tensor, like: Expected) -> None:
    if tuple(tensor.shape) != like.shape:
        raise StorageError(
            f"{file}: tensor '{key}' has shape {tuple(tensor.shape)}; the model and config need {like.shape}."
        )
    usable = {like.dtype}
    if like.dtype.is_floating_point or key.endswith(".shira_indices"):
        usable |= {torch.float32, torch.float64, torch.float16, torch.bfloat16}
    if not like.dtype.is_floating_point:
        usable |= {torch.int32, torch.int64}
    if tensor.dtype not in usable:
        raise StorageError(f"{file}: tensor '{key}' has dtype {tensor.dtype}, which cannot be used there.")
    if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
        raise StorageError(f"{file}: tensor '{key}' holds NaN or infinite values.")


def _check_positions(file: Path, key: str, indices: Tensor, shape: tuple[int, int]) -> Tensor:
    """Flat positions of (2, k) rows and columns; PEFT on Windows stores them as floats."""
    if indices.dtype.is_floating_point and bool((indices != indices.round()).any()):
        raise StorageError(f"{file}: tensor '{key}' holds positions that are no whole numbers.")
    limit = torch.tensor(shape).unsqueeze(1)
    if bool(((indices < 0) | (indices >= limit)).any()):
        raise StorageError(f"{file}: tensor '{key}' holds positions outside the weight of shape {shape}.")
    positions = from_indices(indices, shape)
    if positions.unique().numel() != positions.numel():
        raise StorageError(f"{file}: tensor '{key}' holds a position twice.")
    return positions


def _check_same_kind(folder: Path, config: AdapterConfig) -> None:
    if not (folder / CONFIG_NAME).is_file():
        return
    there = read_json(folder / CONFIG_NAME).get("peft_type")
    if there != config.peft_type:
        raise StorageError(
            f"{folder} holds a {there} adapter; saving this {config.peft_type} adapter there would overwrite it. "
            "Choose another folder, or delete that one first."
        )
