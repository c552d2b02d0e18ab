"""Loading an adapter: config and tensors are checked against each other and against the model before anything changes.

An adapter may come from a stranger. Each error names the file, the tensor and the reason.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.modules_to_save import find_modules_to_save, with_task_head
from shira_lab.adapters.new_adapter import new_of_kind
from shira_lab.adapters.storage.compact import unpack
from shira_lab.adapters.storage.files import COMPACT_NAME, PICKLE_NAME, find_files, read_bytes
from shira_lab.adapters.storage.save import COMPILED, PREFIX
from shira_lab.adapters.targets import find_targets, output_layer
from shira_lab.adapters.tree import base_modules
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.budget import Shape, check_budget
from shira_lab.errors import StorageError, expect
from shira_lab.layers import ShiraAdapter
from shira_lab.masks.positions import from_indices, is_conv1d, shape_of


@dataclass(frozen=True)
class LoadedAdapter:
    """The tensors of an adapter, found valid for a model."""

    positions: dict[str, Tensor]  # by layer path, sorted; SHiRA only
    tensors: dict[str, Tensor]  # by "<path>.<parameter>", in the order of the positions


class Expected(NamedTuple):
    """What a tensor of the file should be; floating-point numbers may come in any precision."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class LoadResult(NamedTuple):
    """What PyTorch's ``load_state_dict`` returns. Both lists are empty where a name too many or too few is an error."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def read_adapter(
    model: AdapterModel, folder: Path, config: AdapterConfig | None = None
) -> tuple[AdapterConfig, LoadedAdapter]:
    """Read the adapter in ``folder`` and check it against ``model``, which is only looked at.

    Args:
        config: to use instead of the folder's; the tensors have to fit it all the same.

    Raises:
        StorageError: naming file, tensor and reason, when anything does not fit.
        ConfigError: when the config cannot work for this model.
    """
    if config is not None:
        expect(config, AdapterConfig, "config", "a ShiraConfig or LoraConfig")
    file = find_files(folder)[1]
    compact = file.name == COMPACT_NAME  # it leaves out what the seed in the folder's own config gives
    stored = AdapterConfig.from_pretrained(folder) if config is None or compact else config
    config = with_task_head(model.model, config or stored)
    targets = find_targets(model.model, config)
    shapes = {path: shape_of(layer) for path, layer in targets.items()}
    found = _without_prefix(str(file), read_tensors(file))
    if compact:
        found = unpack(found, stored, {path.replace(COMPILED, ""): shape for path, shape in shapes.items()})
    expected = _expected_tensors(model.model, targets, config)
    names = {key.replace(COMPILED, ""): key for key in expected}
    found = {names.get(key, key): value for key, value in found.items()}
    if own := _own_embeddings(model.model, found, set(expected), str(file)):
        config = config.copy(modules_to_save=[*(config.modules_to_save or []), *own])
        expected = _expected_tensors(model.model, targets, config)
    return config, check_tensors(str(file), found, expected, shapes)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of the file by name, on the CPU.

    Raises:
        StorageError: when it is missing, or not such a file, or holds anything else than tensors by name.
    """
    content = read_bytes(file)
    if file.name == PICKLE_NAME:
        return _unpickle(file, content)
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise StorageError(f"{file} is not a valid safetensors file ({error}); it may be cut off.") from None


def check_tensors(
    source: str, found: dict[str, Tensor], expected: dict[str, Expected], shapes: dict[str, Shape]
) -> LoadedAdapter:
    """The tensors by "<path>.<parameter>", with positions of layers of these shapes put in order.

    ``found`` is used up, so that no tensor is held twice.

    Raises:
        StorageError: naming ``source``, tensor and reason, when anything is not as expected.
    """
    _check_names(source, set(expected), set(found))
    for key, like in expected.items():
        _check_tensor(source, key, found[key], like)
    positions: dict[str, Tensor] = {}
    for key in [key for key in found if key.endswith(".shira_indices")]:
        path = key.removesuffix(".shira_indices")
        flat = _check_positions(source, key, found.pop(key), shapes[path])
        if not _rises(flat):
            flat, order = flat.sort()
            if not _rises(flat):
                raise StorageError(f"{source}: tensor '{key}' holds a position twice.")
            found[f"{path}.shira_weight"] = found[f"{path}.shira_weight"][order]
        positions[path] = flat
    for key in [key for key in found if key.endswith(".positions")]:  # of a way, which is kept as it is
        m, n = shapes[key.removesuffix(".positions")]
        if not _rises(found[key]) or not 0 <= int(found[key][0]) <= int(found[key][-1]) < m * n:
            raise StorageError(f"{source}: tensor '{key}' should hold sorted positions in a weight of shape {(m, n)}.")
    return LoadedAdapter(positions, found)


@torch.no_grad()
def fill_adapter(model: AdapterModel, name: str, loaded: LoadedAdapter) -> None:
    """Copy what was read into the adapter ``name``, which has been added with its config and positions."""
    owners: dict[str, nn.Module] = {
        path: layer.adapters[name] for path, layer in model.adapter_layers() if name in layer.adapters
    }
    owners |= {path: w.modules_to_save[name] for path, w in model.wrapped_modules() if name in w.modules_to_save}
    for path, owner in owners.items():
        for key, parameter in owner.state_dict(keep_vars=True).items():
            if isinstance(owner, ShiraAdapter) and key == "positions":
                continue  # the adapter was added with them
            parameter.copy_(loaded.tensors[f"{path}.{key}"])


def _unpickle(file: Path, content: bytes) -> dict[str, Tensor]:
    """A pickle can run code when it is read; PyTorch's reader for tensors alone cannot."""
    try:
        tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise StorageError(
            f"{file} could not be read as tensors alone ({reason}). Nothing else is read from a pickle, because it "
            "could run code; ask for a safetensors file."
        ) from None
    if not isinstance(tensors, dict) or not all(isinstance(key, str) for key in tensors):
        raise StorageError(f"{file} should hold tensors by name; it holds a {type(tensors).__name__}.")
    for key, tensor in tensors.items():
        if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.is_meta:
            raise StorageError(f"{file}: '{key}' is no plain tensor.")
    return {key: tensor.detach() for key, tensor in tensors.items()}


def _without_prefix(source: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    strange = [key for key in tensors if not key.startswith(PREFIX)]
    if strange:
        raise StorageError(
            f"{source}: tensor '{strange[0]}' does not begin with '{PREFIX}' as an adapter's tensors do."
        )
    return {key.removeprefix(PREFIX).replace(COMPILED, ""): value for key, value in tensors.items()}


def _own_embeddings(model: nn.Module, found: dict[str, Tensor], expected: set[str], source: str) -> list[str]:
    """The paths of embeddings that PEFT has put into the file, because the vocabulary has grown or the output layer is
    a target. PEFT would write them into the base model; in ``modules_to_save`` they are this adapter's own. Those that
    equal the model's are taken out of ``found``.

    Raises:
        StorageError: when the file has another weight for a base layer than the model, below the adapter.
    """
    own: list[str] = []
    modules, head = dict(base_modules(model)), output_layer(model)
    for key in sorted(found.keys() - expected):
        owner, _, name = key.rpartition(".")
        path = owner.removesuffix(".base_layer")
        module = getattr(modules.get(path), "original_module", modules.get(path))
        here = getattr(module, name, None)
        if not (isinstance(module, nn.Embedding) or path == head) or not isinstance(here, Tensor):
            continue
        if torch.equal(found[key].to(here), here):
            del found[key]
        elif owner != path:
            raise StorageError(
                f"{source}: tensor '{key}' is another one than the model's '{path}.{name}', which the adapter was "
                "trained on. Put it into the model before the adapter is loaded."
            )
        elif path not in own:
            own.append(path)
    return own


def _expected_tensors(model: nn.Module, targets: dict[str, nn.Module], config: AdapterConfig) -> dict[str, Expected]:
    expected: dict[str, Expected] = {}
    for path, layer in targets.items():
        shape, r = shape_of(layer), config.r_for(path)
        if isinstance(config, LoraConfig):
            out_features, in_features = shape[::-1] if is_conv1d(layer) else shape
            expected[f"{path}.lora_A.weight"] = Expected((r, in_features), torch.float32)
            expected[f"{path}.lora_B.weight"] = Expected((out_features, r), torch.float32)
        elif not isinstance(config, ShiraConfig):
            state = new_of_kind(config, path, layer, torch.float32).state_dict()
            expected |= {f"{path}.{key}": Expected(tuple(value.shape), value.dtype) for key, value in state.items()}
        else:
            k = check_budget(r, shape, f"layer '{path}'")
            expected[f"{path}.shira_weight"] = Expected((k,), torch.float32)
            expected[f"{path}.shira_indices"] = Expected((2, k), torch.int32)
    for path in find_modules_to_save(model, config.modules_to_save):
        module = model.get_submodule(path)
        state = getattr(module, "original_module", module).state_dict()
        expected |= {f"{path}.{key}": Expected(tuple(value.shape), value.dtype) for key, value in state.items()}
    return expected


def _check_names(source: str, expected: set[str], found: set[str]) -> None:
    for names, problem in ((expected - found, "is missing"), (found - expected, "is not expected")):
        if names:
            raise StorageError(
                f"{source}: tensor '{min(names)}' {problem} ({len(names)} such). Is it an adapter of this model, saved "
                "with this config?"
            )


def _check_tensor(source: str, key: str, tensor: Tensor, like: Expected) -> None:
    if tuple(tensor.shape) != like.shape:
        raise StorageError(
            f"{source}: tensor '{key}' has shape {tuple(tensor.shape)}; the model and config need {like.shape}."
        )
    usable = {like.dtype}
    if like.dtype.is_floating_point or key.endswith(".shira_indices"):
        usable |= {torch.float32, torch.float64, torch.float16, torch.bfloat16}
    if not like.dtype.is_floating_point:
        usable |= {torch.int32, torch.int64}
    if tensor.dtype not in usable:
        raise StorageError(f"{source}: tensor '{key}' has dtype {tensor.dtype}, which cannot be used there.")
    if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
        raise StorageError(f"{source}: tensor '{key}' holds NaN or infinite values.")


def _check_positions(source: str, key: str, indices: Tensor, shape: Shape) -> Tensor:
    """Flat positions of (2, k) rows and columns; PEFT on Windows stores them as floats."""
    if indices.dtype.is_floating_point and bool((indices != indices.round()).any()):
        raise StorageError(f"{source}: tensor '{key}' holds positions that are no whole numbers.")
    if any(int(line.min()) < 0 or int(line.max()) >= limit for line, limit in zip(indices, shape, strict=True)):
        raise StorageError(f"{source}: tensor '{key}' holds positions outside the weight of shape {shape}.")
    return from_indices(indices, shape)


def _rises(positions: Tensor) -> bool:
    return bool((positions[1:] > positions[:-1]).all())
