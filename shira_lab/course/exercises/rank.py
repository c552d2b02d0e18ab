"""The exercises of the rank lesson: bound the rank of a mask by counting lines, and repair a magnitude mask."""

import torch
from torch import Tensor, nn

from shira_lab.analysis.rank import smallest_cover, structural_rank
from shira_lab.budget import Shape, num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.course.masks.heavy_tails import heavy_tailed_layer
from shira_lab.masks import block_mask, magnitude_mask, random_mask, row_col_mask
from shira_lab.masks.positions import from_mask

# ---- a bound that needs nothing but counting -----------------------------------------------------------------------

BOUNDED = ((24, 24), (12, 40), (40, 12))
SEEDS = range(3)


def rank_bound(mask):
    rows = int((mask.sum(dim=1) > 0).sum())  # stub: -
    columns = int((mask.sum(dim=0) > 0).sum())  # stub: -
    return min(rows, columns)  # stub: return min(mask.shape)


def _check_bound(answer: Solution) -> Verdict:
    for mask in _masks():
        (m, n), positions = mask.shape, from_mask(mask)
        rows, columns = int(mask.any(1).sum()), int(mask.any(0).sum())
        given, attained = answer(mask), structural_rank(positions, (m, n))
        if given == min(rows, columns):
            continue
        said = f"For this {m} x {n} mask your bound is {given}"
        shown = {"the mask": mask_picture(mask)}
        if given < attained:
            return Verdict(False, f"{said}, but random values here have rank {attained}.", shown)
        if given > min(rows, columns):
            lines = f"{rows} rows and {columns} columns have an entry"
            return Verdict(False, f"{said}, but only {lines}: no update has more independent rows or columns.", shown)
        return Verdict(False, f"{said}: true, but count rows and columns with an entry, and take the smaller.", shown)
    return Verdict(True, f"Your bound is right for {len(_masks())} masks of {len(BOUNDED)} shapes.")


def _masks() -> list[Tensor]:
    fns = (random_mask, row_col_mask, block_mask)
    layers = [nn.Linear(n, m, bias=False) for m, n in BOUNDED]
    return [fn(layer, 1, random_seed=seed) for seed in SEEDS for layer in layers for fn in fns]


RANK_BOUND = Exercise(
    solution=rank_bound,
    check=_check_bound,
    difficulty="easy",
    minutes=5,
    stub_says=(
        "For this 24 x 24 mask your bound is 24, but only 21 rows and 22 columns have an entry: no update has more "
        "independent rows or columns."
    ),
)

# ---- a magnitude mask that does not collapse -----------------------------------------------------------------------

REPAIRED: tuple[Shape, ...] = ((96, 96), (160, 64), (64, 160))
R, COLUMN_SCALE = 4, 1.0
KEPT = 1 / 2  # of the plain magnitude mask's entries


def repaired_magnitude(base_layer, r, **kwargs):
    score = base_layer.weight.detach().abs()  # stub: score = base_layer.weight.detach().abs()
    score.fill_diagonal_(torch.inf)  # stub: -
    mask = torch.zeros_like(score)
    k = r * sum(mask.shape)
    mask.view(-1)[score.flatten().topk(k).indices] = 1
    return mask


def _check_repaired(answer: Solution) -> Verdict:
    for seed in SEEDS:
        for shape in REPAIRED:
            layer = heavy_tailed_layer(shape, COLUMN_SCALE, seed)
            mask, plain = answer(layer, R), magnitude_mask(layer, R)
            fault = _fault(mask, plain)
            if fault:
                return Verdict(False, fault, {"yours": mask_picture(mask), "plain magnitude": mask_picture(plain)})
    return Verdict(True, f"Full rank, the exact budget, and at least {KEPT:.0%} of the largest |W| are still in.")


def _fault(mask: Tensor, plain: Tensor) -> str:
    """What keeps this mask from being a repair of the ``plain`` one; empty if nothing does."""
    m, n = mask.shape
    ones, k = int(mask.count_nonzero()), num_params(R, (m, n))
    if ones != k:
        return f"The budget is {k:,} ones; your mask has {ones:,}."
    cover, kept = smallest_cover(from_mask(mask), (m, n)), float((mask * plain).sum() / k)
    if cover.size < min(m, n):
        lines = f"{len(cover.rows)} rows and {len(cover.columns)} columns hold every entry"
        return f"The rank is at most {cover.size} of {min(m, n)}: {lines}."
    if kept < KEPT:
        return f"Full rank, but only {kept:.0%} of the largest |W| are left; keep {KEPT:.0%}."
    return ""


REPAIRED_MAGNITUDE = Exercise(
    solution=repaired_magnitude,
    check=_check_repaired,
    difficulty="medium",
    minutes=10,
    stub_says="The rank is at most 38 of 96: 6 rows and 32 columns hold every entry.",
)
