"""The exercise of the lesson on choosing positions: samples on which mean |g| and |mean g| agree nowhere."""

import torch
from torch import Tensor

from shira_lab.analysis.overlap import common
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.masks.positions import to_mask
from shira_lab.masks.scores import top_positions

TRIALS = ((16, 24, 40), (6, 6, 4), (5, 40, 60))  # m, n, k


def opposed(m, n, k):
    first = torch.ones(m, n)
    first.view(-1)[:k] = 5
    second = first.clone()
    second.view(-1)[:k] = -5  # stub: second.view(-1)[:k] = 5
    return first, second


def _check(answer: Solution) -> Verdict:
    for m, n, k in TRIALS:
        gradients = answer(m, n, k)
        shapes = [tuple(getattr(gradient, "shape", ())) for gradient in gradients]
        if shapes != [(m, n)] * 2:
            return Verdict(False, f"Return two gradients of shape ({m}, {n}); yours are of {shapes}.")
        both = torch.stack([gradient.double() for gradient in gradients])
        mean_abs, abs_mean = top_positions(both.abs().mean(0), k), top_positions(both.mean(0).abs(), k)
        pictures = {"mean |g|": _picture(mean_abs, both[0]), "|mean g|": _picture(abs_mean, both[0])}
        shared = len(common(mean_abs, abs_mean))
        if shared:
            advice = (
                "Where do two gradients cancel in the mean, although each is large?"
                if shared == k
                else "What cancels must be larger than the rest, and the rest must not cancel."
            )
            found = f"In a {m} x {n} weight both rules choose {shared} of {k} positions."
            return Verdict(False, f"{found} {advice}", pictures)
    return Verdict(True, "No position in common: what cancels counts for mean |g| alone.", pictures)


def _picture(positions: Tensor, weight: Tensor) -> bytes:
    return mask_picture(to_mask(positions, weight))


OPPOSED = Exercise(
    solution=opposed,
    check=_check,
    difficulty="easy",
    minutes=5,
    stub_says=(
        "In a 16 x 24 weight both rules choose 40 of 40 positions. Where do two gradients cancel in the mean, although "
        "each is large?"
    ),
)
