"""Adapter files in fewer bytes: positions as gaps, or left out where a seed makes them again.

PEFT stores a trained number in 12 bytes: a float32 value, an int32 row and an int32 column. Sorted flat positions have
small gaps (about mn / k), so a variable-length code needs one or two bytes for each; positions of a seeded random mask
need none. Values are kept bit for bit. Packing works on the tensors of a file alone and is undone exactly.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.budget import Shape
from shira_lab.errors import StorageError
from shira_lab.masks.positions import from_indices, layer_seed, random_positions, to_indices

_VALUES, _INDICES, _SHAPE, _GAPS = ".shira_weight", ".shira_indices", ".shape", ".gaps"
_LONGEST = 7  # bytes of a gap: 49 bits, which a float holds exactly


def pack(tensors: Mapping[str, Tensor], config: AdapterConfig, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """``tensors`` with each ``<layer>.shira_indices`` replaced by ``.shape`` and, unless the seed gives them,
    ``.gaps``.

    Args:
        tensors: an adapter's tensors by name; positions in row-major order.
        shapes: (m, n) of each layer's weight, by the layer's name in ``tensors``.

    Raises:
        StorageError: when the positions of a layer are not sorted, or lie outside its shape.
    """
    packed = {name: value for name, value in tensors.items() if not name.endswith(_INDICES)}
    for name in tensors.keys() - packed.keys():
        layer = name.removesuffix(_INDICES)
        shape = shapes[layer]
        positions = from_indices(tensors[name], shape)
        gaps = positions.diff(prepend=torch.tensor([-1])) - 1
        if bool((gaps < 0).any()) or int(positions[-1]) >= shape[0] * shape[1]:
            raise StorageError(f"The positions of '{layer}' are not sorted, or lie outside its shape {shape}.")
        packed[layer + _SHAPE] = torch.tensor(shape, dtype=torch.int32)
        seeded = _seeded(config, layer, shape, positions.numel())
        if seeded is None or not torch.equal(seeded, positions):
            packed[layer + _GAPS] = torch.from_numpy(_encode(gaps.numpy()))
    return packed


def unpack(packed: Mapping[str, Tensor], config: AdapterConfig, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """The tensors that :func:`pack` was given; ``shapes`` as there.

    Raises:
        StorageError: when a layer's shape is another one, or its positions cannot be made again.
    """
    tensors = {name: value for name, value in packed.items() if not name.endswith((_SHAPE, _GAPS))}
    for layer, shape in shapes.items():
        values = tensors.get(layer + _VALUES)
        if values is None or layer + _SHAPE not in packed:
            continue
        if packed[layer + _SHAPE].tolist() != list(shape):
            raise StorageError(
                f"'{layer}' has shape {packed[layer + _SHAPE].tolist()} in the file; expected {list(shape)}."
            )
        code = packed.get(layer + _GAPS)
        k = values.numel()
        positions = _seeded(config, layer, shape, k) if code is None else _positions(code, k, shape)
        if positions is None:
            raise StorageError(
                f"The file holds no usable positions for '{layer}', and its config has no seed to draw them."
            )
        tensors[layer + _INDICES] = to_indices(positions, shape)
    return tensors


def _positions(code: Tensor, k: int, shape: Shape) -> Tensor | None:
    """The ``k`` sorted positions in a weight of ``shape`` whose gaps these bytes are; None when they are not."""
    if code.ndim != 1 or code.dtype != torch.uint8 or code.numel() < k or k == 0 or int(code[-1]) >= 0x80:
        return None
    ends = np.flatnonzero(code.numpy() < 0x80)
    if ends.size != k or int(np.diff(ends, prepend=-1).max()) > _LONGEST:
        return None
    gaps = _decode(code.numpy())
    if gaps.sum(dtype=np.float64) + k > shape[0] * shape[1]:
        return None
    return torch.from_numpy(gaps.cumsum() + np.arange(k))


def _seeded(config: AdapterConfig, layer: str, shape: Shape, k: int) -> Tensor | None:
    """The positions that the config's seed gives this layer; None when its masks do not come from a seed alone."""
    if not isinstance(config, ShiraConfig) or config.mask_type != "random" or config.random_seed is None:
        return None
    path = layer.removeprefix("base_model.model.")
    seed = layer_seed(config.random_seed, path) if config.seed_per_layer else config.random_seed
    return random_positions(shape, k, seed)


def _encode(gaps: np.ndarray) -> np.ndarray:
    """Non-negative integers as bytes, seven bits each, lowest first; the high bit says that more follow (LEB128)."""
    length = np.maximum(1, -(-np.frexp(gaps.astype(np.float64))[1] // 7))
    out = np.zeros(int(length.sum()), dtype=np.uint8)
    first = np.cumsum(length) - length
    for byte in range(int(length.max())):
        has = length > byte
        more = (length[has] > byte + 1).astype(np.uint8) << 7
        out[first[has] + byte] = ((gaps[has] >> (7 * byte)) & 0x7F).astype(np.uint8) | more
    return out


def _decode(code: np.ndarray) -> np.ndarray:
    """What :func:`_encode` was given."""
    last = code < 0x80
    number = np.concatenate([[0], np.cumsum(last)[:-1]])  # which integer each byte belongs to
    first = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    shift = 7 * (np.arange(code.size) - first[number])
    return np.bincount(number, (code & 0x7F).astype(np.float64) * 2.0**shift).astype(np.int64)
