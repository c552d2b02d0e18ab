"""The second exercise of the lesson on masks: a drawing of few cells through which every shape can have full rank."""

import torch
from torch import Tensor

from shira_lab.budget import Shape, num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.looking import mask_picture, random_rank
from shira_lab.course.masks.drawn import drawn_positions
from shira_lab.masks.positions import to_mask

SHAPES, R, MOST = ((192, 192), (768, 192), (192, 768)), 8, 12


def drawing():
    """A picture of 32 x 32 cells, True where it is painted."""
    cells = torch.zeros(32, 32, dtype=torch.bool)
    places = torch.arange(1, 32, 3)
    cells[places, places] = True  # stub: cells[16, places] = True
    return cells


def _mask(cells: Tensor, shape: Shape) -> Tensor:
    return to_mask(drawn_positions(cells, shape, num_params(R, shape), seed=0), torch.zeros(shape))


def _check(answer: Solution) -> Verdict:
    cells = answer()
    if not isinstance(cells, Tensor) or cells.shape != (32, 32):
        got = f"a tensor of shape {tuple(cells.shape)}" if isinstance(cells, Tensor) else f"a {type(cells).__name__}"
        return Verdict(False, f"A picture has 32 x 32 cells; yours is {got}.")
    if cells.dtype != torch.bool:
        return Verdict(False, f"A cell is painted or not: `dtype=torch.bool`, or `.bool()`; yours is {cells.dtype}.")
    if not torch.equal(cells, answer()):
        return Verdict(False, "Two calls give two pictures: choose the cells yourself, not by chance.")
    painted = int(cells.sum())
    if painted == 0:
        return Verdict(
            False, "Nothing is painted, and without any paint the mask is random: choose its places yourself."
        )
    if painted > MOST:
        return Verdict(
            False,
            f"{painted} cells are painted; {MOST} are enough. The paint grows by one cell on all sides, corners too, "
            f"so "
            "leave gaps that it closes.",
        )
    for shape in SHAPES:
        mask = _mask(cells, shape)
        if (rank := random_rank(mask)) < min(shape):
            return Verdict(False, _why(mask, shape, rank), {"yours": mask_picture(mask)})
    praise = f"Full rank on all {len(SHAPES)} shapes, from {painted} painted cells."
    return Verdict(True, praise, {"yours": mask_picture(_mask(cells, SHAPES[0]))})


def _why(mask: Tensor, shape: Shape, rank: int) -> str:
    (m, n), empty = shape, [int((mask.sum(along) == 0).sum()) for along in (1, 0)]
    start = f"On {m} x {n} the rank is {rank} of {min(shape)}"
    if max(empty) and (m, n) != SHAPES[0]:
        return (
            f"{start}; on {SHAPES[0][0]} x {SHAPES[0][1]} it is full. {empty[0]} rows and {empty[1]} columns are "
            f"without an "
            f"entry: at r = {R} a smaller share of this weight trains, so the paint grows less far. Make the gaps "
            f"smaller."
        )
    if max(empty):
        return (
            f"{start}: {empty[0]} rows and {empty[1]} columns are without an entry. Which line of cells passes every "
            f"row "
            "and every column?"
        )
    return f"{start}, though no row and no column is empty: a few lines hold all of the entries."


DRAWING = Exercise(
    solution=drawing,
    check=_check,
    difficulty="medium",
    minutes=10,
    stub_says=(
        "On 192 x 192 the rank is 18 of 192: 174 rows and 0 columns are without an entry. "
        "Which line of cells passes every row and every column?"
    ),
)
