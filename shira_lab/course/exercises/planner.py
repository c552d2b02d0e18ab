"""The second exercise of the lesson on budgets: which batch and which r fit into the memory of a GPU."""

from collections.abc import Callable
from typing import Any

from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.mistakes import compared


def plan(parameters, shapes, activations, memory):
    """(batch, r) for a GPU: the largest batch of 64, 32, ..., 1 that fits with r = 8, then the largest r beside it.

    A text of the batch keeps `activations` bytes, `memory` is what there is, and None is the answer where nothing fits.
    """
    for batch in (64, 32, 16, 8, 4, 2, 1):
        left = memory - 2 * parameters - batch * activations  # stub: left = memory
        fits = left // (32 * sum(m + n for m, n in shapes))  # stub: -
        r = min(fits, *(m * n // (m + n) for m, n in shapes))  # stub: r = 8
        if r >= 8:  # stub: if left > 0:
            return batch, r
    return None


#: 16 GB for a small model, a large one, one that does not fit, and one whose thin layers end before the memory does.
CASES = (
    (1_000_000_000, [(2048, 2048)] * 96, 90_000_000, 16 * 10**9),
    (6_700_000_000, [(4096, 4096)] * 128, 600_000_000, 16 * 10**9),
    (7_900_000_000, [(4096, 4096)] * 128, 600_000_000, 16 * 10**9),
    (125_000_000, [(768, 768), (64, 768)] * 12, 300_000_000, 16 * 10**9),
    (500_000_000, [(1024, 1024), (4096, 1024)] * 24, 2_500_000_000, 12 * 10**9),
)


def _planner(
    frozen: int = 2,
    trained: int = 32,
    texts: Callable[[int], int] = lambda batch: batch,
    batches: tuple[int, ...] = (64, 32, 16, 8, 4, 2, 1),
    size: Callable[[int, int], int] = lambda m, n: m + n,
    legal: bool = True,
    answer: Callable[[int, int], Any] = lambda batch, r: (batch, r),
) -> Solution:
    """The solution, but for what is given."""

    def made(parameters: int, shapes: list[tuple[int, int]], activations: int, memory: int) -> Any:
        for batch in batches:
            left = memory - frozen * parameters - texts(batch) * activations
            r = left // (trained * sum(size(m, n) for m, n in shapes))
            if legal:
                r = min(r, *(m * n // (m + n) for m, n in shapes))
            if r >= 8:
                return answer(batch, r)
        return None

    return made


MISTAKES: dict[str, Solution] = {
    "Nothing is counted yet: the largest batch always fits. Take from the memory what the frozen weights and the "
    "activations of the batch need; what is left is for the adapter.": lambda *_: (64, 8),
    "A trainable parameter is counted with 16 bytes, which is LoRA's account. With SHiRA it takes 32 in training: "
    "value, "
    "gradient and moments 16, its place and the copy of its value another 16.": _planner(trained=16),
    "A trainable parameter is counted with the 12 bytes that it takes in the file. In training it takes 32: gradient, "
    "moments and places come with it.": _planner(trained=12),
    "The frozen weights are missing: the whole model lies in memory, 2 bytes for each parameter.": _planner(frozen=0),
    "The frozen weights are counted with 4 bytes each; they are loaded in bfloat16, which is 2.": _planner(frozen=4),
    "The activations are missing: each text of the batch keeps that many bytes for the backward pass.": _planner(
        texts=lambda batch: 0
    ),
    "The activations are counted once: each text of the batch keeps its own.": _planner(texts=lambda batch: 1),
    "The smallest batch that fits is found: begin with the largest.": _planner(batches=(1, 2, 4, 8, 16, 32, 64)),
    "r(m + n) must not exceed mn in any layer: the smallest mn // (m + n) bounds r, however much memory is left.": (
        _planner(legal=False)
    ),
    "A layer gets r(m + n) trainable parameters, not r m n.": _planner(size=lambda m, n: m * n),
    "The batch is right, but r stays 8: use what is left beside this batch.": _planner(
        answer=lambda batch, r: (batch, 8)
    ),
    "The order is (batch, r).": _planner(answer=lambda batch, r: (r, batch)),
}


def _otherwise(case: tuple[Any, ...], given: Any, truth: Any) -> str:
    parameters, shapes, activations, memory = case
    return (
        f"For {parameters:,} parameters, {len(shapes)} adapted layers, the first of shape {shapes[0]}, {activations:,} "
        f"bytes of activations for each text, and {memory:,} bytes in all you give {given!r}; it is {truth!r}."
    )


def _check(answer: Solution) -> Verdict:
    praise = f"All {len(CASES)} plans fit, and none of them could be larger."
    return compared(answer, plan, CASES, MISTAKES, _otherwise, praise)


PLAN = Exercise(solution=plan, check=_check, difficulty="medium", minutes=12, stub_says=next(iter(MISTAKES)))
