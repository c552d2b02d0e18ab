"""Drop and grow: the entries that matter least give their place to as many others.

    kept   = the k - n entries of the mask with the largest |v_i|, or |v_i g_i|
    grown  = the n entries outside the mask with the largest |g_j|, or n at random
    g      = the mean gradient of the loss by W + S over some batches, dense

Growing by the gradient of one batch is RigL's rule (arXiv 1911.11134), by that of several SpIEL's (arXiv 2401.16405,
the accumulated gradients), at random SET's (arXiv 1707.04780). An entry that is dropped does not return in the same
swap. SpIEL gathers the gradients of a few candidates alone, to save memory; here they are those of all entries.
"""

import torch
from torch import Tensor
from torch.optim import Optimizer

from shira_lab.adapters.model import PeftModel
from shira_lab.layers import AdapterLayer
from shira_lab.masks.positions import layer_seed, seeded
from shira_lab.masks.scores import top_positions
from shira_lab.training.moving.callback import MovingMask
from shira_lab.training.moving.film import Film
from shira_lab.training.settings import Settings

SPIEL_BATCHES = 5  # the default of its authors' code


def drop_and_grow(positions: Tensor, drop_score: Tensor, grow_score: Tensor, share: float) -> Tensor:
    """The sorted positions (k,) after a swap; as many as before.

    >>> drop_and_grow(torch.tensor([0, 3]), torch.tensor([0.1, 9.0]), torch.tensor([7.0, 1.0, 2.0, 8.0]), 0.5)
    tensor([2, 3])

    Args:
        positions: (k,) sorted flat positions in a weight of mn entries.
        drop_score: (k,) not negative; the smallest are dropped.
        grow_score: (mn,) not negative; the largest outside the mask are grown.
        share: of the k entries to move, rounded down; no more than there are entries outside.
    """
    k = positions.numel()
    n = min(int(share * k), grow_score.numel() - k)
    if n < 1:
        return positions
    kept = positions[top_positions(drop_score, k - n)]
    outside = grow_score.clone()
    outside[positions] = -1
    return torch.cat([kept, top_positions(outside, n)]).sort().values


class DropAndGrow(MovingMask):
    """Swaps by the schedule: ``mask_moves`` of the settings is the rule to grow by, ``drop`` the rule to drop by."""

    def __init__(self, trained: PeftModel, settings: Settings, film: Film | None = None) -> None:
        self.settings = settings
        by_gradient = {"rigl": 1, "spiel": min(SPIEL_BATCHES, settings.swap_every)}
        self.batches = by_gradient.get(settings.mask_moves, int(settings.drop == "value_gradient"))
        super().__init__(trained, settings, film)

    def looks(self, step: int) -> bool:
        return any(0 <= swap - step < self.batches for swap in self.schedule.swaps)

    def acts(self, step: int) -> bool:
        return step in self.schedule.swaps

    def move(self, path: str, layer: AdapterLayer, gradient: Tensor | None, step: int, optimizer: Optimizer) -> None:
        adapter = self.adapter(layer)
        positions, drop_score = adapter.positions, adapter.shira_weight.abs()
        if self.settings.drop == "value_gradient":
            assert gradient is not None
            drop_score = drop_score * gradient[positions].abs()
        if self.settings.mask_moves == "random":
            assert self.settings.seed is not None
            seed = layer_seed(self.settings.seed, f"{path}, step {step}")
            grow_score = torch.rand(layer.weight.numel(), generator=seeded(seed)).to(positions.device)
        else:
            assert gradient is not None
            grow_score = gradient.abs()
        layer.set_positions(self.name, drop_and_grow(positions, drop_score, grow_score, self.schedule.share(step)))
