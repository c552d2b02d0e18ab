"""A mask, kept as what it is: the sorted flat positions of its ones, and three ways to take k of them.

Position ``p`` of an (m, n) weight is row ``p // n``, column ``p % n``: the row-major order in which PEFT stores
``shira_indices``. Dense masks exist only where somebody looks at one. Masks take their positions at random, by the
largest scores, or group after group. :mod:`shira_lab.minimal` shows the first two in their plain form.
"""

import hashlib
from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from shira_lab.budget import Shape
from shira_lab.errors import MaskError, check_seed

_FISHER_YATES_LIMIT = 2**32 // 20  # torch shuffles larger ranges by another algorithm


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


def seeded(seed: int) -> torch.Generator:
    """A generator with this seed.

    >>> seeded(7).initial_seed()
    7

    Raises:
        ConfigError: when it is no seed.
    """
    return torch.Generator().manual_seed(check_seed(seed))


def layer_seed(seed: int, layer_name: str) -> int:
    """A seed of its own for each layer, from (seed, layer name), equal on every machine.

    >>> layer_seed(0, "q_proj")
    160321541
    """
    digest = hashlib.sha256(f"{seed}:{layer_name}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def random_positions(shape: Shape, k: int, seed: int) -> Tensor:
    """``k`` of the mn positions, uniformly without replacement, sorted: the same set as PEFT's ``random_mask``.

    >>> random_positions((4, 4), 8, seed=0)
    tensor([ 5,  6,  8,  9, 10, 11, 12, 13])
    """
    numel = shape[0] * shape[1]
    if k * 8 < numel < _FISHER_YATES_LIMIT and _torch_shuffles_forward():
        return _sorted(_shuffle_prefix(numel, k, seed))
    return torch.randperm(numel, generator=seeded(seed))[:k].sort().values


def finite(score: Tensor, what: str) -> Tensor:
    """Return ``score``, if positions can be ranked by it.

    >>> finite(torch.tensor([torch.nan]), "|W|")
    Traceback (most recent call last):
        ...
    shira_lab.errors.MaskError: |W| holds NaN or infinite values; positions cannot be ranked by it.

    Raises:
        MaskError: for NaN or infinite values; ``what`` is the score's name in the message.
    """
    if not bool(torch.isfinite(score).all()):
        raise MaskError(f"{what} holds NaN or infinite values; positions cannot be ranked by it.")
    return score


def top_positions(score: Tensor, k: int) -> Tensor:
    """The sorted positions of the ``k`` largest entries of ``score``; of equal ones, the first in row-major order.

    ``torch.topk`` leaves open which of equal values it returns, so it only finds the k-th largest value here; what lies
    above that value is in, and ties fill the rest from the left. Sorting is spared twice: a sample of the scores
    gives a bound that the k-th largest value very probably exceeds, and only entries above the bound are ranked.

    >>> top_positions(torch.tensor([[3, 1], [2, 3]]), 2)
    tensor([0, 3])
    """
    flat = score.flatten()
    bound = _probable_lower_bound(flat, k)
    candidates = torch.nonzero(flat >= bound).flatten()
    if candidates.numel() < k:
        candidates = torch.arange(flat.numel(), device=flat.device)
    values = flat[candidates]
    threshold = torch.topk(values, k, sorted=False).values.min()
    above = candidates[values > threshold]
    ties = candidates[values == threshold][: k - above.numel()]
    return torch.cat([above, ties]).sort().values


def fill(groups: Iterable[Tensor], shape: Shape, k: int, avoid: Tensor | None = None) -> Tensor:
    """Sorted positions of the first ``k`` distinct entries of ``groups``, taken in order; the last group is cut.

    This is the one rule by which structured masks meet the budget exactly, for every shape and r.

    >>> fill([torch.tensor([0, 1]), torch.tensor([1, 2, 3])], (2, 2), 3)
    tensor([0, 1, 2])

    Args:
        groups: flat positions, such as those of a row or a block.
        shape: (m, n) of the weight.
        k: how many positions to take.
        avoid: a mask (m, n) of entries that are passed over.
    """
    mask = torch.zeros(shape[0] * shape[1], dtype=torch.bool)
    passed = mask.clone() if avoid is None else avoid.flatten().cpu() != 0
    left = k
    for group in groups:
        new = group[~(mask[group] | passed[group])][:left]
        mask[new] = True
        left -= new.numel()
        if left == 0:
            break
    return from_mask(mask)


def _probable_lower_bound(flat: Tensor, k: int, sample_size: int = 1 << 14) -> Tensor:
    """A value below the k-th largest of ``flat`` very probably: the matching quantile of a sample, with slack."""
    stride = max(1, flat.numel() // sample_size)
    sample = flat[::stride]
    expected = k / flat.numel() * sample.numel()
    rank = int(expected + 5 * expected**0.5 + 5)  # five standard deviations below the expected place
    return sample.topk(min(rank, sample.numel())).values[-1]


def _shuffle_prefix(numel: int, k: int, seed: int) -> np.ndarray:
    """The first ``k`` places of ``torch.randperm(numel)`` under ``seed``, from k draws and in O(k) memory.

    Below 2^32 / 20 elements ``randperm`` is a forward Fisher-Yates shuffle: step i swaps place i with its partner
    j_i = i + draw_i mod (numel - i). The first k places are final after k steps. Place i ends as the content of j_i.
    Nearly always nobody has touched j_i before, and its content is j_i. Otherwise the last earlier step i' with the
    same partner left the old content of i' there.
    """
    generator = seeded(seed)
    # One 64-bit draw is two consecutive 32-bit draws, high half first.
    pairs = torch.empty((k + 1) // 2, dtype=torch.int64).random_(-(2**63), None, generator=generator).numpy()
    halves = pairs.view(np.uint64)
    draws = np.stack([halves >> np.uint64(32), halves & np.uint64(0xFFFFFFFF)], axis=1).reshape(-1)[:k].astype(np.int64)
    step = np.arange(k)
    partner = step + draws % (numel - step)

    # Equal partners become neighbours when (partner, step) are sorted as one number.
    bits = k.bit_length()
    keys = _sorted((partner << bits) | step).numpy()
    same = (keys[1:] >> bits) == (keys[:-1] >> bits)
    by_partner = keys & ((1 << bits) - 1)  # the steps, in that order

    # Follow the few places whose content has moved: shared partners, and partners among the first k places.
    content: dict[int, int] = {}
    result = partner.copy()
    moving = partner < k
    moving[by_partner[1:][same]] = True
    moving[by_partner[:-1][same]] = True
    for i in np.flatnonzero(moving).tolist():
        j = int(partner[i])
        result[i] = content.get(j, j)
        content[j] = content.get(i, i)
    return result


def _sorted(numbers: np.ndarray) -> Tensor:
    """By PyTorch: NumPy's sort takes four times as long on processors whose AVX-512 compresses slowly (AMD Zen 4)."""
    return torch.from_numpy(numbers).sort().values


@cache
def _torch_shuffles_forward() -> bool:
    """Whether this torch still shuffles as described above; if it ever changes, ``randperm`` itself is used."""
    expected = torch.randperm(4096, generator=torch.Generator().manual_seed(7))[:256]
    return bool((torch.from_numpy(_shuffle_prefix(4096, 256, 7)) == expected).all())
