"""Step 1 of "Build it": r(m + n) positions from a seed, those of PEFT bit for bit."""

import torch
from torch import Tensor

from shira_lab.budget import num_params
from shira_lab.course.exercises.build.judging import Pictures, judged, randn
from shira_lab.course.exercises.exercise import Exercise, Solution
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.course.exercises.trials import Wrong
from shira_lab.masks.positions import to_mask


def mask_positions(weight, r, seed):
    """The k = r(m + n) flat positions that train in a weight (m, n), sorted: p is row p // n, column p % n."""
    m, n = weight.shape
    order = torch.randperm(m * n, generator=torch.Generator().manual_seed(seed))  # stub: order = torch.arange(m * n)
    return order[: r * (m + n)].sort().values  # stub: return order[:r]


TRIALS = ((12, 18, 2, 0), (18, 12, 1, 3), (16, 16, 8, 5), (40, 7, 3, 1))  # m, n, r, seed


def _examine(answer: Solution) -> Pictures:
    for m, n, r, seed in TRIALS:
        weight = randn(m, n)
        before = torch.get_rng_state()
        positions = answer(weight, r, seed)
        _are_positions(positions, m, n, r)
        if not torch.equal(before, torch.get_rng_state()):
            raise Wrong(
                "Your function turns torch's global dice, which other code uses: give `randperm` a generator of its"
                " own, `generator=torch.Generator().manual_seed(seed)`."
            )
        if not torch.equal(positions, answer(weight, r, seed)):
            raise Wrong("Two calls with one seed give two masks: a new generator with this seed belongs in each call.")
        _are_the_positions_of(seed, positions, answer(weight, r, seed + 1), m, n, r)
    m, n, r, seed = TRIALS[0]
    weight = randn(m, n)
    return {"yours": mask_picture(to_mask(answer(weight, r, seed), weight))}


def _are_positions(positions: object, m: int, n: int, r: int) -> None:
    k, tried = num_params(r, (m, n)), f"(Tried: a {m} x {n} weight, r={r}.)"
    if not isinstance(positions, Tensor):
        values = " `sort()` gives values and places: take its `.values`." if isinstance(positions, tuple) else ""
        raise Wrong(f"Return a tensor of positions; yours is of type {type(positions).__name__}.{values} {tried}")
    if positions.shape == (m, n):
        raise Wrong(
            f"This is a mask of shape ({m}, {n}). Return the places of its ones, k flat positions: they are all that "
            f"has to be kept. {tried}"
        )
    if positions.ndim != 1:
        raise Wrong(
            "Return flat positions of shape (k,), one number each: row * n + column. Yours have shape "
            f"{tuple(positions.shape)}. {tried}"
        )
    if positions.dtype != torch.int64:
        raise Wrong(f"Positions are indices, torch.int64 in PyTorch; yours are {positions.dtype}. {tried}")
    if len(positions) != k:
        raise Wrong(f"You give {len(positions)} positions. {_miscounted(len(positions), m, n, r)} {tried}")
    if int(positions.min()) < 0 or int(positions.max()) >= m * n:
        raise Wrong(
            f"Position {int(positions.max())} is outside of the weight: its {m * n} entries are counted from 0 to "
            f"{m * n - 1}. {tried}"
        )
    twice = k - len(positions.unique())
    if twice:
        raise Wrong(
            f"{twice} of {k} positions come a second time, so fewer than k entries train. `randint` draws with "
            f"replacement; shuffle all positions, and keep the first k. {tried}"
        )


def _miscounted(count: int, m: int, n: int, r: int) -> str:
    k = num_params(r, (m, n))
    right = f"The budget is k = r(m + n) = {r} * ({m} + {n}) = {k}"
    why = {
        r: "r is the rank of a LoRA with the same budget, not the number of entries.",
        r * m: "That is r * m: the columns count, too.",
        r * n: "That is r * n: the rows count, too.",
        2 * k: "That is r(m + n) for each side; both sides together have it.",
        r * m * n: "That is r * m * n: the sides are added, not multiplied.",
        m * n: "Those are all entries, in a new order: keep the first k.",
    }
    return f"{right}. {why[count]}" if count in why else f"{right}."


def _are_the_positions_of(seed: int, positions: Tensor, of_next_seed: Tensor, m: int, n: int, r: int) -> None:
    expected = mask_positions(randn(m, n), r, seed)
    if torch.equal(positions, expected):
        return
    pictures = {
        title: mask_picture(to_mask(found, randn(m, n)))
        for title, found in (("yours", positions), ("expected", expected))
    }
    sorted_ = positions.sort().values
    if torch.equal(sorted_, expected):
        raise Wrong("The right positions, in the order in which they were drawn: sort them, as a file stores them.")
    if torch.equal(positions, torch.arange(len(positions))):
        raise Wrong("Your positions are the first rows of the weight: shuffle all m * n positions, seeded.", pictures)
    if torch.equal(positions, of_next_seed):
        raise Wrong(
            f"The seeds {seed} and {seed + 1} give the same positions: does `seed` reach the generator?", pictures
        )
    down = (expected % n * m + expected // n).sort().values
    if torch.equal(sorted_, down):
        raise Wrong(
            "Your positions count down the columns. In PyTorch row i, column j of an (m, n) weight is at i * n + j:"
            f" its rows lie one after the other. (Tried: a {m} x {n} weight.)",
            pictures,
        )
    raise Wrong(
        f"A mask of the right size, but not the one that PEFT draws from seed {seed}: shuffle all positions with "
        "`torch.randperm(m * n, generator=...)`, and keep the first k.",
        pictures,
    )


MASK_POSITIONS = Exercise(
    solution=mask_positions,
    check=judged(_examine, "r(m + n) different positions, sorted, and PEFT's own for each seed tried."),
    difficulty="easy",
    minutes=10,
    stub_says=(
        "You give 2 positions. The budget is k = r(m + n) = 2 * (12 + 18) = 60. r is the rank of a LoRA with the same "
        "budget, not the number of entries. (Tried: a 12 x 18 weight, r=2.)"
    ),
)
