"""A mask as the sorted flat positions of its ones, and the positions of a random mask.

Position ``p`` of an (m, n) weight is row ``p // n``, column ``p % n``: the row-major order in which PEFT stores
``shira_indices``. Built-in masks by chance and by score make no dense mask. :mod:`shira_lab.minimal` draws the same
positions in three lines.
"""

import hashlib

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape
from shira_lab.errors import MaskError, check_seed
from shira_lab.masks.shuffle import FISHER_YATES_LIMIT, shuffle_prefix, torch_shuffles_forward


def shape_of(base_layer: nn.Module) -> Shape:
    """(m, n) of the layer's weight as it is stored: (out, in) for ``nn.Linear``, (in, out) for ``Conv1D``.

    >>> shape_of(nn.Linear(3, 2))
    (2, 3)
    """
    m, n = weight_of(base_layer).shape
    return m, n


def weight_of(base_layer: nn.Module) -> Tensor:
    """The layer's weight; PyTorch's type for an attribute of a module is wider than that.

    >>> weight_of(nn.Linear(3, 2)).shape
    torch.Size([2, 3])
    """
    weight = getattr(base_layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise MaskError(
            f"`base_layer` should be a linear layer, with a weight of shape (m, n); got a {type(base_layer).__name__}."
        )
    return weight


def is_conv1d(module: nn.Module) -> bool:
    """Whether this is transformers' ``Conv1D``, a linear layer whose weight is stored as (in, out).

    >>> is_conv1d(nn.Linear(3, 2))
    False
    """
    return type(module).__name__ == "Conv1D" and type(module).__module__ == "transformers.pytorch_utils"


def is_linear(module: nn.Module) -> bool:
    """Whether an adapter can sit on this layer: ``nn.Linear`` (or a subclass) or ``Conv1D``.

    >>> is_linear(nn.Linear(3, 2))
    True
    """
    return isinstance(module, nn.Linear) or is_conv1d(module)


def to_mask(positions: Tensor, weight: Tensor) -> Tensor:
    """The dense binary mask of ``positions``: shape, dtype and device of ``weight``.

    >>> to_mask(torch.tensor([1, 5]), torch.zeros(2, 3))
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    mask = torch.zeros(weight.numel(), dtype=weight.dtype, device=weight.device)
    mask[positions.to(weight.device)] = 1
    return mask.view(weight.shape)


def from_mask(mask: Tensor) -> Tensor:
    """The sorted flat positions (k,) of the ones of a dense mask.

    >>> from_mask(torch.tensor([[0, 1, 0], [0, 0, 1]]))
    tensor([1, 5])
    """
    return mask.flatten().nonzero().flatten()


def to_indices(positions: Tensor, shape: Shape) -> Tensor:
    """Positions (k,) as PEFT's ``shira_indices``: int32 rows and columns (2, k).

    >>> to_indices(torch.tensor([1, 5]), (2, 3))
    tensor([[0, 1],
            [1, 2]], dtype=torch.int32)
    """
    n = shape[1]
    return torch.stack([positions // n, positions % n]).to(torch.int32)


def from_indices(indices: Tensor, shape: Shape) -> Tensor:
    """PEFT's ``shira_indices`` (2, k) as flat positions (k,), in the order they came.

    >>> from_indices(torch.tensor([[0, 1], [1, 2]]), (2, 3))
    tensor([1, 5])
    """
    rows, columns = indices
    return rows.to(torch.int64, copy=True).mul_(shape[1]).add_(columns.to(torch.int64))


def draw_seed() -> int:
    """A fresh seed from torch's global generator, so that ``torch.manual_seed`` governs it too.

    >>> 0 <= draw_seed() < 2**31
    True
    """
    return int(torch.randint(2**31 - 1, ()))


def seeded(seed: int | None) -> torch.Generator:
    """A generator with this seed; None draws one.

    >>> seeded(7).initial_seed()
    7

    Raises:
        ConfigError: when it is no seed.
    """
    return torch.Generator().manual_seed(draw_seed() if seed is None else check_seed(seed))


def layer_seed(seed: int, layer_name: str) -> int:
    """A seed of its own for each layer, from (seed, layer name), equal on every machine.

    >>> layer_seed(0, "q_proj")
    160321541
    """
    digest = hashlib.sha256(f"{seed}:{layer_name}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def random_positions(shape: Shape, k: int, seed: int | None) -> Tensor:
    """``k`` of the mn positions, uniformly without replacement, sorted: the same set as PEFT's ``random_mask``.

    >>> random_positions((4, 4), 8, seed=0)
    tensor([ 5,  6,  8,  9, 10, 11, 12, 13])
    """
    numel, generator = shape[0] * shape[1], seeded(seed)
    if k * 8 < numel < FISHER_YATES_LIMIT and torch_shuffles_forward():
        first = shuffle_prefix(numel, k, generator)
    else:
        first = torch.randperm(numel, generator=generator)[:k]
    return first.sort().values
