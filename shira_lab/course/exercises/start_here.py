"""The exercise of the first lesson: a mask of the exact budget through which an update can have full rank."""

import torch
from torch import nn

from shira_lab.budget import num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.looking import mask_picture, random_rank
from shira_lab.course.language import tr

SHAPE, R = (192, 192), 8


def full_rank(base_layer, r, **kwargs):
    mask = torch.zeros_like(base_layer.weight)
    m, n = mask.shape
    k = r * (m + n)
    mask.fill_diagonal_(1)  # stub: mask.view(-1)[:k] = 1
    free = (mask.view(-1) == 0).nonzero().flatten()  # stub: -
    mask.view(-1)[free[: k - min(m, n)]] = 1  # stub: -
    return mask


def _check(answer: Solution) -> Verdict:
    layer = nn.Linear(SHAPE[1], SHAPE[0], bias=False)
    mask = answer(layer, R)
    yours = {tr("yours"): mask_picture(mask)}
    ones, k = int(mask.count_nonzero()), num_params(R, SHAPE)
    if ones != k:
        return Verdict(False, tr("The budget is {k:,} ones; your mask has {ones:,}.", k=k, ones=ones), yours)
    empty = int((mask.sum(1) == 0).sum())
    rank = random_rank(mask)
    reached = tr("Rank {rank} of {most}:", rank=rank, most=min(SHAPE))
    if empty:
        said = tr("{empty} rows have no entry, and add nothing to the rank.", empty=empty)
        return Verdict(False, f"{reached} {said}", yours)
    if rank < min(SHAPE):
        said = tr("few rows and columns cover all of your entries.")
        return Verdict(False, f"{reached} {said}", yours)
    return Verdict(True, tr("Rank {rank} of {most} with exactly {k:,} ones.", rank=rank, most=min(SHAPE), k=k), yours)


FULL_RANK = Exercise(
    solution=full_rank,
    check=_check,
    difficulty="easy",
    minutes=5,
    stub_says="Rank 16 of 192: 176 rows have no entry, and add nothing to the rank.",
)
