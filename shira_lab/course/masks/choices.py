"""Ways to choose positions, compared without computing any gradient twice.

A mask by gradient or SNIP leaves several things open: how many samples, how their gradients are reduced, and whether
each layer has its own budget or all layers share one. :class:`Choices` keeps what one pass over the samples has shown,
so that each of these can be moved and its positions follow at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor, nn

from shira_lab.analysis.overlap import common
from shira_lab.budget import Shape, num_params
from shira_lab.course.masks.across_layers import global_positions
from shira_lab.errors import ConfigError
from shira_lab.masks.calibration import Gradients, Reduction
from shira_lab.masks.positions import shape_of
from shira_lab.masks.scores import gradient_score, magnitude_score, snip_score, top_positions

Scope = Literal["per layer", "global"]
#: By the names of their masks.
SCORES: dict[str, Callable[[nn.Module, Tensor | None], Tensor]] = {
    "magnitude": magnitude_score,
    "gradient": gradient_score,
    "snip": snip_score,
}


@dataclass(frozen=True)
class Choice:
    """One way to choose.

    Attributes:
        score: "magnitude", "gradient" or "snip"; magnitude asks for no samples.
        r: r(m + n) entries for each layer, or as many as that makes for all layers together.
        samples: how many the gradient is calibrated on.
        reduction: of the samples' gradients, "mean_abs" or "abs_mean".
        scope: "per layer", or "global" where the largest scores of all layers are taken.
    """

    score: str = "gradient"
    r: int = 8
    samples: int = 8
    reduction: Reduction = "mean_abs"
    scope: Scope = "per layer"


class Choices:
    """The positions of every :class:`Choice` among the weights of these layers.

    Args:
        layers: the linear layers by path.
        calibration: what :func:`~shira_lab.course.masks.running.running_calibration` found for them.
    """

    def __init__(
        self, layers: Mapping[str, nn.Module], calibration: Mapping[int, Mapping[Reduction, Gradients]]
    ) -> None:
        self.layers, self.calibration = layers, calibration
        self._chosen: dict[tuple[Choice, str], Tensor] = {}
        self._agreed: dict[tuple[Choice, Choice, tuple[str, ...]], float] = {}

    @cached_property
    def samples(self) -> tuple[int, ...]:
        """The numbers of samples that can be chosen, rising."""
        return tuple(sorted(self.calibration))

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """(m, n) of each layer's weight."""
        return {path: shape_of(layer) for path, layer in self.layers.items()}

    def positions(self, choice: Choice, path: str) -> Tensor:
        """The sorted flat positions that train in the layer at ``path``; with a global choice there may be none.

        Raises:
            ConfigError: when the gradient after this number of samples was not kept.
        """
        if choice.score == "magnitude":  # weights alone: one answer for all samples and reductions
            choice = replace(choice, samples=self.samples[0], reduction="mean_abs")
        if (choice, path) not in self._chosen:
            self._forget_other_budgets(choice.r)
            if choice.scope == "global":
                scores = {other: self.score(choice, other) for other in self.layers}
                found = global_positions(scores, self.budget(choice, *self.layers))
            else:
                found = {path: top_positions(self.score(choice, path), self.budget(choice, path))}
            self._chosen.update({(choice, other): positions for other, positions in found.items()})
        return self._chosen[choice, path]

    def score(self, choice: Choice, path: str) -> Tensor:
        """What the choice ranks the entries (m, n) of the layer at ``path`` by.

        Raises:
            ConfigError: when the gradient after this number of samples was not kept.
        """
        if choice.samples not in self.calibration:
            known = ", ".join(map(str, self.samples))
            raise ConfigError(f"The gradient after {choice.samples} samples was not kept; there are {known}.")
        return SCORES[choice.score](self.layers[path], self.calibration[choice.samples][choice.reduction][path])

    def counts(self, choice: Choice) -> dict[str, int]:
        """How many entries of each layer train."""
        return {path: len(self.positions(choice, path)) for path in self.layers}

    def budget(self, choice: Choice, *paths: str) -> int:
        """r(m + n), summed over the layers at ``paths``."""
        return sum(num_params(choice.r, self.shapes[path]) for path in paths)

    def agreement(self, first: Choice, second: Choice, path: str | None = None) -> float:
        """Positions that two choices have in common, as a share of the budget of the first, whose r both have.

        In the layer at ``path``; in all layers together without a path, and where the first choice is global.
        """
        paths = self._concerned(first, path)
        if (first, second, paths) not in self._agreed:
            both = common(self._in_a_row(first, paths), self._in_a_row(second, paths))
            self._agreed[first, second, paths] = len(both) / self.budget(first, *paths)
        return self._agreed[first, second, paths]

    def agreement_with_all(self, choice: Choice, path: str | None = None) -> dict[int, float]:
        """After each number of :attr:`samples`, agreement with the choice after the largest of them."""
        reference = replace(choice, samples=self.samples[-1])
        return {n: self.agreement(reference, replace(choice, samples=n), path) for n in self.samples}

    def chance(self, choice: Choice, path: str | None = None) -> float:
        """The agreement of two independent random choices of the same r, on average: entries chosen, of all."""
        paths = self._concerned(choice, path)
        if choice.scope == "global":
            return self.budget(choice, *paths) / self._numel(*paths)
        return sum(self.budget(choice, one) ** 2 / self._numel(one) for one in paths) / self.budget(choice, *paths)

    def _numel(self, *paths: str) -> int:
        return sum(m * n for m, n in (self.shapes[path] for path in paths))

    def _concerned(self, choice: Choice, path: str | None) -> tuple[str, ...]:
        return (path,) if path is not None and choice.scope == "per layer" else tuple(self.layers)

    def _in_a_row(self, choice: Choice, paths: tuple[str, ...]) -> Tensor:
        """The positions of several layers as those of one long weight."""
        starts = accumulate(map(self._numel, paths), initial=0)
        return torch.cat([self.positions(choice, path) + start for path, start in zip(paths, starts, strict=False)])

    def _forget_other_budgets(self, r: int) -> None:
        """Keep positions of one r only, as choices with the same r are compared."""
        if any(kept.r != r for kept, _ in self._chosen):
            self._chosen.clear()
            self._agreed.clear()
