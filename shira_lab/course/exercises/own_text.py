"""An exercise of the fine-tuning lesson: a text of one's own whose floor is known, as every choice in it is booked."""

import math
from collections import Counter
from random import Random

from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.trials import Wrong

DRAWS = 3000
FEWEST = 40  # different texts, or there is little to learn
FEWEST_EQUAL = 100  # pairs of equal texts, or their number says too little


def my_text(random):
    text, nats = "", 0.0
    for words in (
        ("Mia", "Nora", "Max", "Ben"),
        ("found", "lost"),
        ("a red", "a blue", "a green", "a white", "a black"),
        ("ball.", "kite.", "drum."),
    ):
        text += " " + random.choice(words)
        nats += math.log(len(words))  # stub: nats += 0.0
    return text.strip(), nats


def _check(answer: Solution) -> Verdict:
    try:
        drawn = [_one(answer, seed) for seed in range(DRAWS)]
        cost = _costs(drawn)
        _check_nats(Counter(text for text, _ in drawn), cost)
    except Wrong as wrong:
        return Verdict(False, wrong.message)
    mean = sum(nats for _, nats in drawn) / DRAWS
    return Verdict(
        True, f"{len(cost)} different texts in {DRAWS:,} draws, {mean:.2f} nats each on average, and the numbers agree."
    )


def _one(answer: Solution, seed: int) -> tuple[str, float]:
    """What the function gives for one seed, called twice.

    Raises:
        Wrong: when it is no text with its nats, or another one at the second call.
    """
    given = answer(Random(seed))
    if not isinstance(given, tuple) or [*map(type, given)] not in ([str, float], [str, int]):
        raise Wrong(f"Return a text and its nats, two things; your function returned {given!r}.")
    if given != answer(Random(seed)):
        raise Wrong(
            "Two calls with the same generator give different texts: draw with the `random` that your function is "
            "given, and start from an empty text each time."
        )
    return given


def _costs(drawn: list[tuple[str, float]]) -> dict[str, float]:
    """The nats of each text.

    Raises:
        Wrong: for a text with two prices or one that no text can have, and where there are few texts.
    """
    cost: dict[str, float] = {}
    for text, nats in drawn:
        if nats < 0:
            raise Wrong(f"{text!r} costs {nats:.2f} nats: -log p is positive, as p is at most 1.")
        if not math.isclose(cost.setdefault(text, nats), nats):
            raise Wrong(
                f"{text!r} cost {cost[text]:.2f} nats once and {nats:.2f} another time. Two ways lead to one text, so "
                "that nobody knows its probability: take care that they do not."
            )
    if len(cost) < FEWEST:
        raise Wrong(f"There are only {len(cost)} different texts; {FEWEST} or more leave something to learn.")
    return cost


def _check_nats(count: Counter[str], cost: dict[str, float]) -> None:
    """Two texts are equal with probability sum of p^2, the mean of p: once counted, once as booked.

    Raises:
        Wrong: where the two do not agree.
    """
    if not any(cost.values()):
        raise Wrong(
            f"You booked 0 nats, and {len(cost)} different texts came. Each choice costs -log p nats, for one of n "
            "equally likely words log(n): add it where you choose."
        )
    equal = sum(math.comb(n, 2) for n in count.values())
    if equal < FEWEST_EQUAL:
        raise Wrong(
            f"Hardly a text came twice in {DRAWS:,} draws, so nobody can check your numbers: make fewer choices."
        )
    counted, apart = equal / math.comb(DRAWS, 2), 0.03 + 4 / math.sqrt(equal)

    def booked(factor: float = 1.0) -> float:
        return sum(n * math.exp(-factor * cost[text]) for text, n in count.items()) / DRAWS

    def agree(factor: float = 1.0) -> bool:
        return abs(math.log(counted / booked(factor))) < apart

    if agree():
        return
    if agree(math.log(2)):
        raise Wrong("Your numbers are bits: `math.log` gives nats, `math.log2` gives bits.")
    if agree(math.log(10)):
        raise Wrong("Your numbers are 0.43 of nats: `math.log` gives nats, `math.log10` does not.")
    few = booked() > counted
    raise Wrong(
        f"Two of your texts are equal in {counted:.2%} of all pairs; by your numbers it would be {booked():.2%}. "
        + (
            "You book too little: is a choice left out, or does a sum start anew?"
            if few
            else "You book too much, or take words for equally likely that are not: the likely ones cost less."
        )
    )


OWN_TEXT = Exercise(
    solution=my_text,
    check=_check,
    difficulty="medium",
    minutes=15,
    stub_says="You booked 0 nats, and 120 different texts came. Each choice costs -log p nats, for one of n equally "
    "likely words log(n): add it where you choose.",
)
