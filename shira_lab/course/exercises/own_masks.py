"""The exercise "a mask for each layer": in PEFT, one seed gives all layers of one shape the same positions."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from shira_lab.budget import num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.errors import ShiraError
from shira_lab.masks.function import mask_positions
from shira_lab.masks.positions import to_mask


def own_masks(seed):
    """A ``mask_fn`` for PEFT: layers of one shape get different masks, and the same seed gives the same adapter."""
    generator = torch.Generator().manual_seed(seed)

    def mask_fn(base_layer, r, **kwargs):
        draws = generator  # stub: draws = generator.manual_seed(seed)
        mask = torch.zeros_like(base_layer.weight)
        k = num_params(r, base_layer.weight.shape)
        mask.view(-1)[torch.randperm(mask.numel(), generator=draws)[:k]] = 1
        return mask

    return mask_fn


#: The layers of a small model, in the order in which PEFT asks for their masks.
SHAPES, R = ((16, 24), (16, 24), (16, 24), (24, 16)), 2


def _check(answer: Solution) -> Verdict:
    if not callable(answer(0)):
        return Verdict(False, "own_masks(seed) should return the function: end it with `return mask_fn`.")
    try:
        first, again, other = ([*_masks_of(answer, seed)] for seed in (0, 0, 1))
    except TypeError as error:
        return Verdict(False, f"PEFT hands a mask function more than a layer and r: add **kwargs. ({error})")
    except ShiraError as error:
        return Verdict(False, str(error))
    pictures = {f"layer {number}": mask_picture(mask) for number, mask in enumerate(first[:2], start=1)}
    if not _same(first, again):
        return Verdict(False, "Two adapters with seed 0 have different masks: draw from a generator of that seed.")
    if any(torch.equal(first[i], first[j]) for i, j in ((0, 1), (1, 2), (0, 2))):
        return Verdict(
            False,
            "Layers of one shape get the same mask: each begins at the same seed again. Seed one generator before the "
            "first layer, and let it run on.",
            pictures,
        )
    if _same(first, other):
        return Verdict(False, "The seeds 0 and 1 give the same masks: does `seed` reach the generator?", pictures)
    return Verdict(True, "A mask of its own for each layer, and the same ones again for the same seed.", pictures)


def _masks_of(answer: Solution, seed: int) -> Iterator[Tensor]:
    """The masks that PEFT would get for one adapter, layer by layer."""
    mask_fn = answer(seed)
    for number, (m, n) in enumerate(SHAPES, start=1):
        layer = nn.Linear(n, m, bias=False).requires_grad_(False)
        yield to_mask(mask_positions(mask_fn, layer, R, f"layer {number}", bias=False), layer.weight)


def _same(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


OWN_MASKS = Exercise(
    solution=own_masks,
    check=_check,
    difficulty="medium",
    minutes=5,
    stub_says=(
        "Layers of one shape get the same mask: each begins at the same seed again. Seed one generator before the "
        "first layer, and let it run on."
    ),
)
