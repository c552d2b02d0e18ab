"""The exercises that end in something of the learner's own: what beginners write, each with the sentence it gets."""

import math
import random as global_random
from collections.abc import Callable
from random import Random
from statistics import fmean
from typing import Any

import pytest

from shira_lab.course.exercises import EXERCISES
from shira_lab.course.exercises.own_text import my_text

Run = Callable[[str, float, int], float]
RACE = EXERCISES["fair_race"].solution
SCALES = EXERCISES["best_scales"].solution


def text_of(cost: Callable[[int], float]) -> Callable[[Random], tuple[str, float]]:
    """The solution's text, where a choice among n words is booked at ``cost(n)``."""

    def my_text(random: Random) -> tuple[str, float]:
        sizes = (4, 2, 5, 3)
        return " ".join(str(random.randrange(n)) for n in sizes), float(sum(map(cost, sizes)))

    return my_text


def unlike_words(random: Random) -> tuple[str, float]:
    words = [random.choices("abcd", [8, 1, 1, 1])[0] for _ in range(4)]
    return "".join(words), 4 * math.log(4)


def last_choice(random: Random) -> tuple[str, float]:
    text, nats = "", 0.0
    for size in (4, 2, 5, 3):
        text, nats = text + str(random.randrange(size)), math.log(size)
    return text, nats


def two_ways(random: Random) -> tuple[str, float]:
    text, nats = my_text(random)
    return text, nats + random.choice((0, 1))


TEXTS = [
    (lambda random: "hello", "Return a text and its nats, two things; your function returned 'hello'."),
    (lambda random: (str(global_random.random()), 1.0), "Two calls with the same generator give different texts"),
    (text_of(lambda n: -math.log(n)), "-log p is positive, as p is at most 1."),
    (two_ways, "Two ways lead to one text"),
    (lambda random: (random.choice("abc"), math.log(3)), "There are only 3 different texts"),
    (lambda random: (str(random.random()), 20.0), "Hardly a text came twice in 3,000 draws"),
    (text_of(math.log2), "Your numbers are bits"),
    (text_of(math.log10), "`math.log10` does not."),
    (last_choice, "You book too little: is a choice left out"),
    (text_of(lambda n: 1 / n), "You book too little"),
    (unlike_words, "take words for equally likely that are not"),
]


def tried_more(methods: list[str], rates: list[float], choosing: int, seeds: list[int], run: Run) -> Any:
    """The first method is only run at one rate."""
    table = {methods[0]: [run(methods[0], rates[2], seed) for seed in seeds]}
    return table | RACE(methods[1:], rates, choosing, seeds, run)


def on_each_seed(methods: list[str], rates: list[float], choosing: int, seeds: list[int], run: Run) -> Any:
    return {method: [min(run(method, rate, seed) for rate in rates) for seed in seeds] for method in methods}


def with_the_choosing_seed(methods: list[str], rates: list[float], choosing: int, seeds: list[int], run: Run) -> Any:
    table = {}
    for method in methods:
        tried = {rate: run(method, rate, choosing) for rate in rates}
        best = min(tried, key=lambda rate: tried[rate])
        table[method] = [tried[best], *(run(method, best, seed) for seed in seeds)]
    return table


def the_most(methods: list[str], rates: list[float], choosing: int, seeds: list[int], run: Run) -> Any:
    tried = {method: {rate: run(method, rate, choosing) for rate in rates} for method in methods}
    best = {method: max((e, rate) for rate, e in tried[method].items() if e < math.inf)[1] for method in methods}
    return {method: [run(method, best[method], seed) for seed in seeds] for method in methods}


def reported(change: Callable[[list[float]], Any]) -> Callable[..., Any]:
    """The solution, whose numbers are told in another way."""

    def fair_race(*arguments: Any) -> Any:
        return {method: change(values) for method, values in RACE(*arguments).items()}

    return fair_race


RACES = [
    (lambda methods, *others: {}, "Nothing was run"),
    (lambda methods, rates, choosing, seeds, run: run(rates[0], methods[0], 0), "the method comes first"),
    (tried_more, "B was tried at 4 rates, A at 1. Who gets more tries wins more often"),
    (lambda m, rates, c, s, run: RACE(m, rates[:3], c, s, run), "There are 4 rates, and you tried 3 of them."),
    (on_each_seed, "At every rate you ran the seeds [0, 1, 2], which are reported, too."),
    (with_the_choosing_seed, "seed 100 chose the rate, and you report it, too."),
    (the_most, "Which rate had the least excess?"),
    (lambda *arguments: [*RACE(*arguments)], "Return a dictionary from each method to its numbers"),
    (reported(fmean), "you report a mean, 2.02. Without its seeds"),
    (reported(min), "you report one number, 1.96. Without its seeds"),
    (reported(str), "report a list of numbers, one for each of the seeds [0, 1, 2]"),
    (reported(lambda values: values[:2]), "you report 2 numbers for 3 seeds."),
    (reported(sorted), "the numbers are right, but not in the order of the seeds"),
]


def least(score: Callable[[tuple[float, float]], float]) -> Callable[..., tuple[float, float]]:
    """The scales of a coarse grid with the least score."""

    def best_scales(measure: Callable[[float, float], tuple[float, float]]) -> tuple[float, float]:
        steps = [step / 6 for step in range(7)]
        return min(((one, two) for one in steps for two in steps), key=lambda place: score(measure(*place)))

    return best_scales


PLACES = [
    (lambda measure: (0.5, 0.5), "You gave both the same scale; these two want different ones."),
    (lambda measure: None, "Return two scales, (s1, s2); your function returned None."),
    (lambda measure: (0.5, 1.5), "Scales lie between 0 and 1; yours are 0.5 and 1.5."),
    (lambda measure: SCALES(measure)[::-1], "Turned round, your scales would be right"),
    (least(min), "One adapter is off"),
    (least(sum), "one world pays for the other: look at the worse one."),
    (least(lambda excess: -max(excess)), "(Tried: two equals.)"),
    (lambda measure: min(((s / 99, 0.5) for s in range(99)), key=lambda p: max(measure(*p))), "more than 50 measure"),
]


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        *(("my_text", answer, hint) for answer, hint in TEXTS),
        *(("fair_race", answer, hint) for answer, hint in RACES),
        *(("best_scales", answer, hint) for answer, hint in PLACES),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_answer_is_told_what_is_wrong(name: str, answer: Callable[..., Any], hint: str) -> None:
    verdict = EXERCISES[name].check(answer)
    assert not verdict.passed and hint in verdict.message
