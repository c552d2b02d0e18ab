"""An exercise of the lesson on PEFT: which layers of an adapter's file cannot be right, before anybody loads it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.mistakes import compared


def refused(tensors, shapes):
    """The layers of a file whose values or positions cannot be right.

    `tensors` has for each layer `"{layer}.shira_weight"` (k,) and `"{layer}.shira_indices"` (2, k), rows and columns;
    `shapes` has each layer's (m, n).
    """
    bad = set()
    for layer, (m, n) in shapes.items():
        values = tensors[f"{layer}.shira_weight"]
        rows, columns = tensors[f"{layer}.shira_indices"].long()
        inside = (rows >= 0) & (rows < m) & (columns >= 0) & (columns < n)  # stub: -
        once = (rows * n + columns).unique().numel() == rows.numel()  # stub: -
        fits = inside.all() and once and len(values) == len(rows)  # stub: fits = rows.max() < m and columns.max() <= n
        if not (fits and values.isfinite().all()):
            bad.add(layer)
    return bad


def _file(**layers: tuple[list[float], list[int], list[int]]) -> dict[str, Tensor]:
    file = {}
    for layer, (values, rows, columns) in layers.items():
        file[f"{layer}.shira_weight"] = torch.tensor(values)
        file[f"{layer}.shira_indices"] = torch.tensor([rows, columns], dtype=torch.int32)
    return file


GOOD = ([0.1, 0.2, 0.3], [0, 1, 3], [2, 5, 0])
FILES: dict[str, tuple[list[float], list[int], list[int]]] = {
    "good": GOOD,
    "row_too_large": (GOOD[0], [0, 1, 4], GOOD[2]),
    "column_too_large": (GOOD[0], GOOD[1], [2, 6, 0]),
    "negative_row": (GOOD[0], [-1, 1, 3], GOOD[2]),
    "negative_column": (GOOD[0], GOOD[1], [2, 5, -6]),
    "twice": (GOOD[0], [1, 1, 3], [5, 5, 0]),
    "too_many_values": ([*GOOD[0], 0.4], GOOD[1], GOOD[2]),
    "not_a_number": ([0.1, float("nan"), 0.3], GOOD[1], GOOD[2]),
    "infinite": ([0.1, float("inf"), 0.3], GOOD[1], GOOD[2]),
}
#: Two positions of a large weight that are one number in int32.
LARGE = (70_000, 65_536)
CASES = (
    (_file(**FILES), dict.fromkeys(FILES, (4, 6))),
    (_file(square=GOOD), {"square": (6, 6)}),
    (_file(good=GOOD, wide=([0.1, 0.2], [0, 65_536], [1, 1])), {"good": (4, 6), "wide": LARGE}),
)


def _guard(
    low: bool = True, columns_too: bool = True, edge: bool = False, swapped: bool = False, once: bool = True,
    counts: bool = True, finite: bool = True, wide: bool = True, right: bool = True,
) -> Solution:  # fmt: skip
    """The solution, but for what is given."""

    def made(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, int]]) -> set[str]:
        found = set()
        for layer, (m, n) in shapes.items():
            values, indices = tensors[f"{layer}.shira_weight"], tensors[f"{layer}.shira_indices"]
            rows, columns = indices.long() if wide else indices
            high_row, high_column = (n, m) if swapped else (m, n)
            inside = (rows < high_row + edge).all() and (not columns_too or (columns < high_column + edge).all())
            inside = inside and (not low or (indices >= 0).all())
            unique = (rows * n + columns).unique().numel() == rows.numel()
            fits = (len(values) == len(rows) or not counts) and (bool(values.isfinite().all()) or not finite)
            if (inside and (unique or not once) and fits) is not right:
                found.add(layer)
        return found

    return made


MISTAKES: dict[str, Solution] = {
    "Every layer passes: nothing is looked at yet. Ask first whether each row is in the weight, 0 <= row < m, and each "
    "column, 0 <= column < n.": lambda tensors, shapes: set(),
    "You name the layers that are right; those that cannot be right are asked for.": _guard(right=False),
    "Negative rows or columns pass: PyTorch counts them from the end, so they write where nobody expects it.": _guard(
        low=False
    ),
    "Columns are not looked at: a position is a row and a column.": _guard(columns_too=False),
    "A row m or a column n passes: m rows have the numbers 0 to m - 1.": _guard(edge=True),
    "Rows are held against n, and columns against m: the weight has m rows and n columns.": _guard(swapped=True),
    "A position that comes twice passes: its two values would add up or replace each other, as the library likes. "
    "Compare "
    "the number of different positions, `(rows * n + columns).unique()`, with that of all.": _guard(once=False),
    "Values without a position pass: there should be as many of the one as of the other.": _guard(counts=False),
    "Values that are not numbers pass: one NaN spoils the whole layer. `values.isfinite()` sees it.": _guard(
        finite=False
    ),
    "In a weight of 70,000 x 65,536 two different positions are taken for one: `rows * n` is too large for int32. Make "
    "`.long()` of it first.": _guard(wide=False),
}


def _otherwise(case: tuple[Any, ...], given: Any, truth: set[str]) -> str:
    if not isinstance(given, set):
        return f"A set of layers is asked for; got a {type(given).__name__}."
    for layer in sorted(truth - given):
        return f"The layer '{layer}' passes, and should not: its name says what is wrong in it."
    return f"You refuse '{sorted(given - truth)[0]}', and nothing is wrong in it."


def _check(answer: Solution) -> Verdict:
    praise = "Every broken layer is found, and no other: such a file can be refused before it is loaded."
    return compared(answer, refused, CASES, MISTAKES, _otherwise, praise)


REFUSED = Exercise(
    solution=refused,
    check=_check,
    difficulty="medium",
    minutes=12,
    stub_says="The layer 'column_too_large' passes, and should not: its name says what is wrong in it.",
)
