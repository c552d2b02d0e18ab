"""An answer that is nearly right is told what is wrong with it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from shira_lab import ShiraConfig
from shira_lab.course.exercises import EXERCISES

SAME = EXERCISES["compare_seeds"].solution
FUSE = EXERCISES["fuse"].solution
DISJOINT = EXERCISES["disjoint"].solution
REPAIRED = EXERCISES["repaired_magnitude"].solution
SAMPLED = EXERCISES["sampled_gradient"].solution
OPPOSED = EXERCISES["opposed"].solution
RANK_BOUND = EXERCISES["rank_bound"].solution


def whole_columns(base_layer: Any, r: int) -> Tensor:
    """No row is empty, and few columns hold everything."""
    mask = torch.zeros_like(base_layer.weight)
    mask[:, : r * 2] = 1
    return mask


def diagonal_alone(base_layer: Any, r: int, **kwargs: Any) -> Tensor:
    """Full rank, the exact budget, and none of the largest weights beyond the diagonal."""
    score = -base_layer.weight.detach().abs()
    score.fill_diagonal_(torch.inf)
    mask = torch.zeros_like(score)
    mask.view(-1)[score.flatten().topk(r * sum(mask.shape)).indices] = 1
    return mask


def half_opposed(m: int, n: int, k: int) -> tuple[Tensor, Tensor]:
    first, second = OPPOSED(m, n, k)
    second.view(-1)[: k // 2] = 5
    return first, second


def change_the_weight(weight: Tensor, adapters: Any, scales: Any) -> Tensor:
    weight.add_(1)
    return weight


def change_the_config(first: ShiraConfig) -> ShiraConfig:
    second = first.copy(random_seed=first.random_seed + 1)
    first.scale = 2.0
    return second


HINTS: list[tuple[str, Callable[..., Any], str]] = [
    ("largest_r", lambda shapes, limit: 1.5, "your answer is 1.5; r is a whole number."),
    ("largest_r", lambda shapes, limit: 10**6, "is not legal in every layer: r(m + n) must not exceed mn."),
    ("largest_r", lambda shapes, limit: 1, "your r = 1 is legal and fits, but so is"),
    ("opposed", lambda m, n, k: OPPOSED(n, m, k), "Return two gradients of shape (16, 24); yours are of [(24, 16)"),
    ("opposed", half_opposed, "What cancels must be larger than the rest, and the rest must not cancel."),
    ("compare_seeds", lambda a, b: "same", "Return 'lower', 'higher' or 'tie'; your function returned 'same'."),
    ("compare_seeds", lambda a, b: "tie", "you say 'tie', but all values of the first are"),
    (
        "compare_seeds",
        lambda a, b: {"lower": "higher", "higher": "lower", "tie": "tie"}[SAME(a, b)],
        "Which of the two is which?",
    ),
    ("second_config", lambda first: None, "Return a ShiraConfig; your function returned None."),
    ("second_config", lambda first: first.copy(r=5), "should have the same r and targets: copy the config."),
    ("second_config", change_the_config, "Your function changed the first config."),
    ("fuse", change_the_weight, "Your function changed the base weight: then it can never be had back. Clone it."),
    ("fuse", lambda weight, adapters, scales: weight[:2], "return a weight of the same shape"),
    ("fuse", lambda w, adapters, scales: FUSE(w, adapters, scales[::-1]), "Does each adapter come with its own scale?"),
    ("disjoint", lambda layer, r, taken, seed=0: DISJOINT(layer, r + 1, taken, seed), "your mask has 448."),
    ("disjoint", lambda layer, r, taken, seed=0: DISJOINT(layer, r, taken, 0), "Another seed gives the same mask"),
    ("rank_bound", lambda mask: 1, "your bound is 1, but random values here have rank"),
    ("repaired_magnitude", lambda layer, r, **kw: REPAIRED(layer, r + 1), "The budget is 768 ones; your mask has 960."),
    ("repaired_magnitude", diagonal_alone, "Full rank, but only"),
    ("sampled_gradient", lambda g, x, positions: None, "return a tensor of shape (2,); got NoneType."),
    ("sampled_gradient", lambda g, x, p: 2 * SAMPLED(g, x, p), "Some entries differ from g^T x at the positions"),
    ("full_rank", lambda layer, r: torch.ones_like(layer.weight), "The budget is 3,072 ones; your mask has 36,864."),
    ("full_rank", whole_columns, "few rows and columns cover all of your entries."),
]


@pytest.mark.parametrize("name, answer, hint", HINTS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_answer_is_told_what_is_wrong(name: str, answer: Callable[..., Any], hint: str) -> None:
    try:
        verdict = EXERCISES[name].check(answer)
    except ValueError as error:  # which `check` shows as a finding
        assert hint in str(error)
    else:
        assert not verdict.passed and hint in verdict.message


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_the_solution_in_the_source_passes_as_the_one_that_is_shown(exercise: Any) -> None:
    verdict = exercise.check(exercise.solution)
    assert verdict.passed, verdict.message
