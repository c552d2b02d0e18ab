"""One budget for all layers together: the largest scores win, wherever they are.

SHiRA gives each layer r(m + n) entries. A global choice keeps the sum of these budgets and lets the layers compete for
it, so that the scale of a layer's scores decides how much of it trains.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from shira_lab.budget import Shape, max_r
from shira_lab.errors import MaskError
from shira_lab.masks.positions import from_mask
from shira_lab.masks.scores import top_positions


def global_positions(scores: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    """The ``k`` largest entries over all layers, as each layer's sorted flat positions; some layers may have none.

    Of equal scores those of the first layer win, in row-major order.

    Raises:
        MaskError: when the layers have fewer than ``k`` entries.
    """
    sizes = [score.numel() for score in scores.values()]
    if not 0 < k <= sum(sizes):
        raise MaskError(f"A global choice of {k:,} entries is not possible: the layers have {sum(sizes):,}.")
    mask = torch.zeros(sum(sizes), dtype=torch.bool)
    mask[top_positions(torch.cat([score.flatten() for score in scores.values()]), k)] = True
    return {path: from_mask(part) for path, part in zip(scores, mask.split(sizes), strict=True)}


def rank_pattern(counts: Mapping[str, int], shapes: Mapping[str, Shape]) -> dict[str, int]:
    """An r for each layer that comes nearest to its share of a global choice, for ``ShiraConfig(rank_pattern=...)``.

    An adapter has whole r: a layer with c chosen entries gets c / (m + n), rounded to the nearest, at least 1 and at
    most the largest legal r. So the budgets do not add up to the global one exactly: each layer adds a difference of at
    most half of its m + n, or of all of it where no entry was chosen.
    """
    return {path: min(max(1, round(count / sum(shapes[path]))), max_r(shapes[path])) for path, count in counts.items()}
