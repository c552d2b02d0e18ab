"""The first places of a shuffle without the rest of it: the short way to the positions of a random mask.

PEFT shuffles all mn positions with ``torch.randperm`` and keeps the first k. The first k places need k draws.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

FISHER_YATES_LIMIT = 2**32 // 20  # torch shuffles larger ranges by another algorithm


def shuffle_prefix(numel: int, k: int, generator: torch.Generator) -> Tensor:
    """The first ``k`` places of ``torch.randperm(numel)`` from k draws and in O(k) memory.

    Below 2^32 / 20 elements ``randperm`` is a forward Fisher-Yates shuffle: step i swaps place i with its partner
    j_i = i + draw_i mod (numel - i). The first k places are final after k steps. Place i ends as the content of j_i.
    Nearly always nobody has touched j_i before, and its content is j_i. Otherwise the last earlier step i' with the
    same partner left the old content of i' there.

    >>> shuffle_prefix(1000, 3, torch.Generator().manual_seed(0))
    tensor([ 44,  37, 675])
    >>> torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:3]
    tensor([ 44,  37, 675])
    """
    # One 64-bit draw is two consecutive 32-bit draws, high half first.
    pairs = torch.empty((k + 1) // 2, dtype=torch.int64).random_(-(2**63), None, generator=generator).numpy()
    halves = pairs.view(np.uint64)
    draws = np.stack([halves >> np.uint64(32), halves & np.uint64(0xFFFFFFFF)], axis=1).reshape(-1)[:k].astype(np.int64)
    step = np.arange(k)
    partner = step + draws % (numel - step)

    # Equal partners become neighbours when (partner, step) are sorted as one number.
    bits = k.bit_length()
    keys = torch.from_numpy((partner << bits) | step).sort().values.numpy()  # NumPy's sort is slow on AMD Zen 4
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
    return torch.from_numpy(result)


@cache
def torch_shuffles_forward() -> bool:
    """Whether this torch still shuffles as described above; if it ever changes, ``randperm`` itself is used.

    >>> torch_shuffles_forward()
    True
    """
    expected = torch.randperm(4096, generator=torch.Generator().manual_seed(7))[:256]
    return torch.equal(shuffle_prefix(4096, 256, torch.Generator().manual_seed(7)), expected)
