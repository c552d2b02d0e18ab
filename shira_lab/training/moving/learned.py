"""Learned selection: each entry of the weight has a score beside its value, and the k largest scores are the mask.

    forward     W + M * V,    M = 1 at the k largest scores S, else 0: exactly k ones
    backward    dL/dV = G,    dL/dS = G * V          G = dL/dW: straight through, as if M were S

The gradient of the scores is that of edge-popup (arXiv 1911.13299) and of movement pruning (2005.07683): a score rises
while the gradient pushes the value away from zero. An entry outside the mask has the value zero, so each step gives it
one trial step of Adam from there, and the next gradient says whether it would have gone on:

    S <- S - G * V,    V <- M * V - rate * Adam(G)

Only the order of the scores counts, so they need no learning rate. Inside the mask, V is what the run's own optimizer
makes of it. Hard-concrete gates (1712.01312; diff pruning, 2012.07463) are the other way: they sample, with a number of
ones that is right only on average.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from shira_lab.adapters.model import PeftModel
from shira_lab.layers import AdapterLayer
from shira_lab.masks.scores import top_positions
from shira_lab.training.moving.callback import MovingMask
from shira_lab.training.moving.film import Film
from shira_lab.training.settings import Settings


@dataclass
class Scores:
    """The scores of one weight, with the trial values of all its entries and Adam's moments of them; all (mn,) float32.

    Attributes:
        score, value, mean, square: S, V, and the moving averages of G and of G * G.
    """

    score: Tensor
    value: Tensor
    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, positions: Tensor, size: int) -> "Scores":
        """Before the first step: V = 0, and S says only which entries the mask has."""
        score, *zeros = (torch.zeros(size, device=positions.device) for _ in range(4))
        score[positions] = torch.finfo(score.dtype).tiny
        return cls(score, *zeros)

    def learn(self, gradient: Tensor, group: dict[str, Any], step: int) -> None:
        """One step of the scores and of the trial values.

        Args:
            gradient: G, (mn,).
            group: ``lr``, ``betas`` and ``eps`` of Adam.
            step: 1 for the first.
        """
        (b1, b2), eps = group["betas"], group["eps"]
        self.score -= gradient * self.value
        self.mean.lerp_(gradient, 1 - b1)
        self.square.lerp_(gradient * gradient, 1 - b2)
        root = (self.square / (1 - b2**step)).sqrt() + eps
        self.value = -group["lr"] / (1 - b1**step) * self.mean / root


class LearnedSelection(MovingMask):
    """Learns scores up to the end of the schedule; then the mask is an ordinary one and stays."""

    def __init__(self, trained: PeftModel, settings: Settings, film: Film | None = None) -> None:
        super().__init__(trained, settings, film)
        self.scores = {
            path: Scores.of(self.adapter(layer).positions, layer.weight.numel()) for path, layer in self.layers.items()
        }

    def looks(self, step: int) -> bool:
        return step < self.schedule.end

    acts = looks

    def move(self, path: str, layer: AdapterLayer, gradient: Tensor | None, step: int, optimizer: Optimizer) -> None:
        assert gradient is not None
        adapter, scores = self.adapter(layer), self.scores[path]
        scores.learn(gradient, optimizer.param_groups[0], step)
        scores.value[adapter.positions] = adapter.shira_weight.to(scores.value.dtype)
        layer.set_positions(self.name, top_positions(scores.score, adapter.positions.numel()))
        adapter.shira_weight.copy_(scores.value[adapter.positions])

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {
            f"{path}.{field}": tensor for path, scores in self.scores.items() for field, tensor in vars(scores).items()
        }

    def take_in(self, tensors: dict[str, Tensor]) -> None:
        super().take_in(tensors)
        for path, scores in self.scores.items():
            for field in vars(scores):
                setattr(scores, field, tensors[f"{path}.{field}"])
