"""The exercise "a way of your own": any update that starts at zero, can learn, and has a higher rank than LoRA's."""

from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.analysis.spectrum import spectrum
from shira_lab.course.exercises.build.judging import Pictures, judged
from shira_lab.course.exercises.exercise import Exercise
from shira_lab.course.exercises.trials import Wrong
from shira_lab.training.ways.way import Way, factors


class MyWay(Way):
    """(B A) o (D C): two products of rank r/2, multiplied entry by entry, have a rank of r^2 / 4 at most."""

    def __init__(self, base_layer, r, seed=0):
        super().__init__(base_layer, r, seed)
        half = r // 2  # stub: -
        self.B, self.A = factors(self.m, r - half, self.n)  # stub: self.B, self.A = factors(self.m, r, self.n)
        self.D, self.C = factors(self.m, half, self.n)  # stub: -
        for part in (self.D, self.C):  # stub: -
            nn.init.normal_(part)  # stub: -

    def forward(self, weight):
        return (self.B @ self.A) * (self.D @ self.C)  # stub: return self.B @ self.A


#: (m, n) and r: wide, square and high.
TRIALS = (((24, 36), 6), ((32, 32), 8), ((48, 20), 6))


def _examine(answer: Any) -> Pictures:
    for (m, n), r in TRIALS:
        torch.manual_seed(0)
        examine(answer, nn.Linear(n, m), r)
    return {}


def examine(answer: Any, layer: nn.Linear, r: int) -> None:
    """Whether the way keeps its promises on this layer: budget, start, gradient, rank.

    Raises:
        Wrong: with what it does not keep.
    """
    way, weight = answer(layer, r), layer.weight.detach()
    tried = f"(Tried: a {way.m} x {way.n} weight, r={r}.)"
    count, expected = sum(parameter.numel() for parameter in way.parameters()), way.parameters_for(r, way.shape)
    if count != expected:
        raise Wrong(f"It has {count:,} parameters where r(m + n) = {expected:,} are to be. {tried}")
    update = way(weight)
    if not isinstance(update, Tensor) or update.shape != weight.shape:
        raise Wrong(f"`forward` should return an update of the weight's shape {tuple(weight.shape)}. {tried}")
    if bool(update.any()):
        raise Wrong(f"Before any training the update should be zero, so that the model is the base model. {tried}")
    (update * torch.randn_like(update)).sum().backward()
    if not any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in way.parameters()):
        raise Wrong(
            f"Every gradient is zero, so it would stay zero for ever: let all but one of the factors be random. {tried}"
        )
    rank = spectrum(way.random_update()).rank
    if rank > way.rank_bound:
        raise Wrong(f"A random update has rank {rank}, above your `rank_bound` of {way.rank_bound}. {tried}")
    if rank <= r:
        raise Wrong(
            f"A random update has rank {rank}, and LoRA's has {r} for as many parameters. What raises a rank? Multiply "
            f"two products entry by entry, or add entries at chosen places. {tried}"
        )


OWN_WAY = Exercise(
    solution=MyWay,
    check=judged(_examine, "The budget is exact, it starts at zero and can learn, and its rank is above LoRA's."),
    difficulty="medium",
    minutes=15,
    stub_says=(
        "A random update has rank 6, and LoRA's has 6 for as many parameters. What raises a rank? Multiply two "
        "products entry by entry, or add entries at chosen places. (Tried: a 24 x 36 weight, r=6.)"
    ),
)
