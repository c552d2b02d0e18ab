"""The longer exercises: what beginners write is told what is wrong with it, each mistake in a sentence of its own."""

import importlib
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from shira_lab.course.exercises import EXERCISES, check
from shira_lab.course.exercises import input_norms as norms
from shira_lab.course.exercises.mistakes import Mistakes

BY_MISTAKES = ("smallest_r", "planner", "strangers")


def modules() -> list[tuple[str, Mistakes]]:
    names = [f"shira_lab.course.exercises.{name}" for name in BY_MISTAKES]
    return [(name, importlib.import_module(name).MISTAKES) for name in names]


def named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    answer.__name__ = name
    return answer


NAMES = {"smallest_r": "smallest_r", "planner": "plan", "strangers": "refused"}


@pytest.mark.parametrize(
    ("name", "sentence", "mistake"),
    [(name.rpartition(".")[2], *item) for name, mistakes in modules() for item in mistakes.items()],
)
def test_each_mistake_is_told_in_its_own_sentence(name: str, sentence: str, mistake: Callable[..., Any]) -> None:
    verdict = check(named(mistake, NAMES[name]))
    assert not verdict.passed and verdict.message == sentence


@pytest.mark.parametrize(("sentence", "mistake"), norms.MISTAKES.items())
def test_each_mistake_about_norms_is_told(sentence: str, mistake: Callable[..., Any]) -> None:
    with torch.no_grad():
        verdict = check(named(lambda model, layer, batches: mistake(model, batches).detach(), "input_norms"))
    assert not verdict.passed and verdict.message == sentence


def test_every_longer_exercise_names_five_mistakes_or_more() -> None:
    assert all(len(mistakes) >= 5 for _, mistakes in [*modules(), ("input_norms", norms.MISTAKES)])


def leaves_its_hook(model: Any, layer: Any, batches: Any) -> Tensor:
    layer.register_forward_hook(lambda module, inputs, output: None)
    return torch.ones(5)


def with_graph(model: Any, layer: Any, batches: Any) -> Tensor:
    return layer.weight.sum(0)


PAINTED = torch.zeros(32, 32, dtype=torch.bool)


def painted(*cells: tuple[int, int]) -> Tensor:
    picture = PAINTED.clone()
    for row, column in cells:
        picture[row, column] = True
    return picture


def every_fourth() -> Tensor:
    return painted(*((i, i) for i in range(2, 32, 4)))


def one_call_each(one: Any, two: Any, rounds: int, clock: Any) -> float:
    return seconds(one, clock) / seconds(two, clock)


def seconds(work: Any, clock: Any) -> float:
    began = clock()
    work()
    return clock() - began


def all_of_one_first(one: Any, two: Any, rounds: int, clock: Any) -> float:
    one(), two()
    times = [[seconds(work, clock) for _ in range(rounds)] for work in (one, two)]
    return statistics.median(times[0]) / statistics.median(times[1])


def in_rounds(one: Any, two: Any, rounds: int, clock: Any, warm: bool = True, middle: Any = statistics.median) -> float:
    if warm:
        one(), two()
    return middle([seconds(one, clock) / seconds(two, clock) for _ in range(rounds)])


def once_more_at_the_end(one: Any, two: Any, rounds: int, clock: Any) -> float:
    """In rounds, whose ratios are then forgotten."""
    in_rounds(one, two, rounds, clock)
    return seconds(one, clock) / seconds(two, clock)


HINTS: list[tuple[str, Callable[..., Any], str]] = [
    ("input_norms", leaves_its_hook, "The hook stays on the layer, and would look at every later pass"),
    ("input_norms", with_graph, "Your answer still hangs on the graph of the forward passes"),
    ("input_norms", lambda *_: [1.0], "A tensor of shape (5,) is asked for; got a list."),
    ("input_norms", lambda *_: torch.ones(3), "The layer has 5 inputs, so the shape is (5,); yours is (3,)."),
    ("input_norms", lambda *_: torch.ones(5), "For 3 batches input 0 has the norm"),
    (
        "smallest_r",
        lambda shape, seeds: 3,
        "For a weight of shape (96, 24) and the seeds (0, 1, 2) you give 3; it is 4.",
    ),
    ("smallest_r", lambda shape, seeds: 1 // 0, "It stopped with ZeroDivisionError"),
    (
        "plan",
        lambda *_: (1, 8),
        "For 1,000,000,000 parameters, 96 adapted layers, the first of shape (2048, 2048), 90,00",
    ),
    ("refused", lambda *_: ["twice"], "A set of layers is asked for; got a list."),
    ("refused", lambda *_: {"good"}, "The layer 'column_too_large' passes, and should not"),
    ("refused", lambda tensors, shapes: set(shapes), "You refuse 'good', and nothing is wrong in it."),
    ("drawing", lambda: torch.zeros(8, 8), "A picture has 32 x 32 cells; yours is a tensor of shape (8, 8)."),
    ("drawing", lambda: None, "A picture has 32 x 32 cells; yours is a NoneType."),
    (
        "drawing",
        lambda: torch.eye(32),
        "A cell is painted or not: `dtype=torch.bool`, or `.bool()`; yours is torch.float32",
    ),
    ("drawing", lambda: torch.rand(32, 32) < 0.01, "Two calls give two pictures"),
    ("drawing", lambda: PAINTED, "Nothing is painted, and without any paint the mask is random"),
    ("drawing", lambda: torch.eye(32).bool(), "32 cells are painted; 12 are enough."),
    ("drawing", lambda: painted((16, 16)), "Which line of cells passes every row and every column?"),
    (
        "drawing",
        every_fourth,
        "on 192 x 192 it is full. 192 rows and 48 columns are without an entry: at r = 8 a smaller",
    ),
    ("fair_ratio", lambda *_: None, "One number is asked for; got a NoneType."),
    ("fair_ratio", lambda *_: 2.0, "The time is not taken from `clock()`"),
    (
        "fair_ratio",
        lambda one, two, rounds, clock: 1 / in_rounds(one, two, rounds, clock),
        "Upside down: you give 0.50",
    ),
    ("fair_ratio", lambda one, two, rounds, clock: seconds(one, clock), "`one` is called 1 times for 20 rounds"),
    (
        "fair_ratio",
        lambda one, two, rounds, clock: 3 + clock(),
        "You give 3.00 on a quiet machine; `one` takes 2 times",
    ),
    ("fair_ratio", one_call_each, "`one` is called 1 times for 20 rounds: measure both in each round"),
    ("fair_ratio", lambda *given: in_rounds(*given, warm=False, middle=statistics.fmean), "Call each once before you"),
    ("fair_ratio", lambda *given: in_rounds(*given, warm=False), "Call each once before you"),
    ("fair_ratio", once_more_at_the_end, "a median does not: take that of all rounds."),
    ("fair_ratio", all_of_one_first, "on a machine which becomes slower while it gets hot."),
    (
        "fair_ratio",
        lambda *given: in_rounds(*given, middle=statistics.fmean),
        "A mean follows such a moment, a median d",
    ),
    ("fair_ratio", in_rounds, "The same one goes first in each round"),
]


@pytest.mark.parametrize(("name", "answer", "hint"), HINTS)
def test_a_wrong_answer_is_told_what_is_wrong(name: str, answer: Callable[..., Any], hint: str) -> None:
    assert name in EXERCISES
    verdict = check(named(answer, name))
    assert not verdict.passed and hint in verdict.message
