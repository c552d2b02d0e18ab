"""The exercise of the lesson on masks: a random mask that keeps clear of another one."""

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape, num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.masks import magnitude_mask, random_mask

SHAPES, SEEDS, R = ((48, 64), (30, 20)), (0, 1), 3


def disjoint(base_layer, r, taken, random_seed=0):
    mask = torch.zeros_like(base_layer.weight)
    generator = torch.Generator().manual_seed(random_seed)
    free = (taken.view(-1) == 0).nonzero().flatten()  # stub: free = torch.arange(mask.numel())
    order = torch.randperm(len(free), generator=generator)
    mask.view(-1)[free[order[: r * sum(mask.shape)]]] = 1
    return mask


def _check(answer: Solution) -> Verdict:
    for shape in SHAPES:
        layer = nn.Linear(shape[1], shape[0], bias=False)
        layer.weight.data = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        for taken in (random_mask(layer, R, random_seed=SEEDS[0]), magnitude_mask(layer, R)):
            masks = [answer(layer, R, taken, seed) for seed in SEEDS]
            found = _what_is_wrong(masks, taken, shape)
            if found:
                return Verdict(False, found, {"yours": mask_picture(masks[0]), "taken": mask_picture(taken)})
    return Verdict(True, "Not one entry is shared, whatever the other mask, the shape and the seed.")


def _what_is_wrong(masks: list[Tensor], taken: Tensor, shape: Shape) -> str | None:
    (m, n), k = shape, num_params(R, shape)
    for mask in masks:
        ones, both = int(mask.count_nonzero()), int((mask * taken).count_nonzero())
        if ones != k:
            return f"The budget of r={R} on a {m} x {n} weight is {k:,} ones; your mask has {ones:,}."
        if both:
            return (
                f"On a {m} x {n} weight, {both} of your {k:,} entries are taken; chance alone gives about "
                f"{k * k / (m * n):.0f}. Which entries are free?"
            )
    if torch.equal(*masks):
        return "Another seed gives the same mask: shuffle the free entries with the generator."
    return None


DISJOINT = Exercise(
    solution=disjoint,
    check=_check,
    difficulty="easy",
    minutes=5,
    # All of them: the stub shuffles as random_mask does, and its seed is the other mask's.
    stub_says=(
        "On a 48 x 64 weight, 336 of your 336 entries are taken; chance alone gives about 37. Which entries are free?"
    ),
)
