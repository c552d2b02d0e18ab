"""The exercise "magnitude from scratch": the paper's WM mask, ones at the r(m + n) largest |W| of the layer."""

import torch
from torch import Tensor

from shira_lab.budget import num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.trials import Trial, Wrong, check_count, try_all


def magnitude(base_layer, r, **kwargs):
    """Ones at the r(m + n) largest |W|."""
    weight = base_layer.weight
    k = num_params(r, weight.shape)
    chosen = weight.abs().flatten().topk(k).indices  # stub: chosen = torch.arange(k)
    mask = torch.zeros_like(weight)
    mask.view(-1)[chosen] = 1
    return mask


#: Half-precision weights hold equal numbers, also at the border between chosen and not chosen.
TRIALS = [
    Trial.on_layer((24, 36), 2),
    Trial.on_layer((36, 24), 3, seed=1),
    Trial.on_layer((17, 5), 3, torch.float64, seed=2),
    Trial.on_layer((64, 96), 4, torch.bfloat16, seed=3),
    Trial.on_layer((96, 64), 4, torch.float16, seed=4),
    Trial.on_layer((16, 16), 7, seed=5),
]


def _check(answer: Solution) -> Verdict:
    return try_all(answer, magnitude, TRIALS, _examine, "The r(m + n) largest |W|, for every shape, r and dtype tried.")


def _examine(mask: Tensor, trial: Trial) -> None:
    """Which of several equal |W| are chosen is left open: nothing chosen may be smaller than anything left out."""
    weight, k = trial.weight, num_params(trial.r, trial.shape)
    size = weight.abs()
    for line, along in (("row", 1), ("column", 0)):
        ones = mask.sum(along)
        if 0 < int(ones[0]) < mask.shape[along] and bool((ones == ones[0]).all()):
            raise Wrong(
                f"Each {line} has {int(ones[0])} ones. The largest entries of the whole weight are asked for, wherever "
                f"they lie: rank `weight.abs().flatten()`, not {line} by {line}."
            )
    smallest = size.flatten().topk(k).values.min()
    if int(mask.sum()) > k and torch.equal(mask, size >= smallest):
        raise Wrong(
            f"The mask has {int(mask.sum()):,} ones instead of r(m + n) = {k:,}: several |W| equal the smallest chosen "
            "one, and `>=` takes them all. Choose k positions instead of comparing with a threshold."
        )
    check_count(mask, k)
    if _above(mask, size):
        return
    if _above(mask, weight):
        raise Wrong("The largest W are chosen, so large negative entries are left out: is it |W| or W?")
    if _above(mask, -size):
        raise Wrong("The smallest |W| are chosen: sort in descending order.")
    if _above(mask, -weight):
        raise Wrong("The most negative W are chosen: take |W|, and sort it in descending order.")
    if bool(mask.flatten()[:k].all()):
        raise Wrong("The first r(m + n) entries are chosen, whatever their size: rank the entries by |W|.")
    if _above(mask.flatten().view(trial.shape[::-1]).T, size):
        raise Wrong("The positions are those of the transposed weight: `flatten()` and `view(-1)` go row by row.")
    low, high = size.masked_fill(~mask, torch.inf).argmin(), size.masked_fill(mask, -torch.inf).argmax()
    raise Wrong(f"{_entry(size, high)} is left out, but {_entry(size, low)} is chosen.")


def _above(mask: Tensor, score: Tensor) -> bool:
    """Whether nothing chosen has a smaller score than anything left out."""
    return bool(score[mask].min() >= score[~mask].max())


def _entry(size: Tensor, position: Tensor) -> str:
    i, j = divmod(int(position), size.shape[1])
    return f"|W[{i}, {j}]| = {float(size[i, j]):.2f}"


MAGNITUDE = Exercise(
    solution=magnitude,
    check=_check,
    difficulty="easy",
    minutes=5,
    stub_says=(
        "The first r(m + n) entries are chosen, whatever their size: rank the entries by |W|. "
        "(Tried: a 24 x 36 weight, r=2, torch.float32.)"
    ),
)
