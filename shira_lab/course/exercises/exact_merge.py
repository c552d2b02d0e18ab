"""The exercise "a merge that can be undone": adding a delta and subtracting it again is not the identity in floats."""

import torch
from torch import Tensor

from shira_lab.budget import num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.looking import mask_picture


def exact_merge(weight, positions, values):
    """Add the values to the weight at its flat positions; return a function that takes them out, bit for bit."""
    flat = weight.view(-1)
    before = flat[positions]  # stub: -
    flat[positions] += values

    def unmerge():
        flat[positions] = before  # stub: flat[positions] -= values

    return unmerge


SHAPE, R = (16, 24), 2
#: dtype of the weight, and the size of the values beside weights of size 1.
TRIALS = [(torch.float32, 0.1), (torch.float32, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 10.0), (torch.float64, 1)]


def _check(answer: Solution) -> Verdict:
    for seed, (dtype, size) in enumerate(TRIALS):
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(SHAPE, generator=generator).to(dtype)
        positions = torch.randperm(weight.numel(), generator=generator)[: num_params(R, SHAPE)]
        values = (torch.randn(len(positions), generator=generator) * size).to(dtype)
        verdict = _there_and_back(answer, weight, positions, values)
        if not verdict.passed:
            return Verdict(False, f"{verdict.message} (Tried: {dtype}, values of size {size:g}.)", verdict.pictures)
    return Verdict(True, "Every entry came back bit for bit, in four precisions and for small and large values.")


def _there_and_back(answer: Solution, weight: Tensor, positions: Tensor, values: Tensor) -> Verdict:
    original, merged = weight.clone(), weight.clone()
    merged.view(-1)[positions] += values
    unmerge = answer(weight, positions, values)
    if not callable(unmerge):
        return Verdict(False, "exact_merge should return the function that undoes it: end it with `return unmerge`.")
    if not torch.equal(weight, merged):
        return Verdict(False, "After merging, the weight does not hold W + values at the positions, written in place.")
    unmerge()
    lost = weight != original
    pictures = {"did not come back": mask_picture(lost)}
    if torch.equal(weight, merged):
        return Verdict(
            False,
            "unmerge changes nothing: what it writes are the merged numbers. Were they copied before the addition? "
            "`flat[positions]` copies, `flat` does not.",
            pictures,
        )
    if lost.any():
        return Verdict(
            False,
            f"{int(lost.sum())} of {len(positions)} entries did not come back: rounding makes w + v - v another number "
            "than w. Keep the old numbers, and write them back.",
            pictures,
        )
    return Verdict(True, "bit for bit")


EXACT_MERGE = Exercise(
    solution=exact_merge,
    check=_check,
    difficulty="easy",
    minutes=5,
    stub_says=(
        "6 of 80 entries did not come back: rounding makes w + v - v another number than w. Keep the old numbers, and "
        "write them back. (Tried: torch.float32, values of size 0.1.)"
    ),
)
