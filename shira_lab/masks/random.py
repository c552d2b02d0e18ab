"""Uniformly random positions: the paper's Rand, with PEFT's bits for a seed, in O(k) memory.

PEFT shuffles all mn positions with ``torch.randperm`` and keeps the first k. Below 2^32 / 20 elements that is a forward
Fisher-Yates shuffle: step i swaps place i with place i + draw_i mod (mn - i). The first k places are final after k
steps, so k draws of the same generator give the same positions, without the other mn - k.
:mod:`shira_lab.minimal` shows the plain form.
"""

import hashlib
from functools import cache

import numpy as np
import torch
from torch import Tensor

from shira_lab.budget import Shape
from shira_lab.errors import check_seed

_FISHER_YATES_LIMIT = 2**32 // 20  # torch shuffles larger ranges by another algorithm


def draw_seed() -> int:
    """A fresh seed from torch's global generator, so that ``torch.manual_seed`` governs it too."""
    return int(torch.randint(2**31 - 1, ()))


def seeded(seed: int) -> torch.Generator:
    """A generator with this seed.

    Raises:
        ConfigError: when it is no seed.
    """
    return torch.Generator().manual_seed(check_seed(seed))


def layer_seed(seed: int, layer_name: str) -> int:
    """A seed of its own for each layer, from (seed, layer name), equal on every machine."""
    digest = hashlib.sha256(f"{seed}:{layer_name}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def random_positions(shape: Shape, k: int, seed: int) -> Tensor:
    """``k`` of the mn positions, uniformly without replacement, sorted: the same set as PEFT's ``random_mask``."""
    numel = shape[0] * shape[1]
    if k * 8 < numel < _FISHER_YATES_LIMIT and _torch_shuffles_forward():
        return _sorted(_shuffle_prefix(numel, k, seed))
    return torch.randperm(numel, generator=seeded(seed))[:k].sort().values


def _shuffle_prefix(numel: int, k: int, seed: int) -> np.ndarray:
    """The first ``k`` places of ``torch.randperm(numel)`` under ``seed``, from k draws.

    Place i ends as the content of its swap partner j_i >= i at step i. Nearly always nobody has touched j_i before,
    and its content is j_i. Otherwise the last earlier step i' with the same partner left the old content of i' there.
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
