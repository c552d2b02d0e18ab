"""The exercises on masks of one's own and on PEFT's traps: each common mistake is called by its name."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shira_lab.budget import num_params
from shira_lab.course.exercises import check
from shira_lab.course.exercises.trials import Trial

Answer = Callable[..., Any]
ANSWERS: dict[str, tuple[Answer, str]] = {}


def told(message: str) -> Callable[[Answer], Answer]:
    """The decorated wrong answer should be told this."""

    def keep(answer: Answer) -> Answer:
        ANSWERS[answer.__qualname__.replace(".<locals>", "")] = (answer, message)
        return answer

    return keep


def chosen(weight: Tensor, positions: Tensor) -> Tensor:
    mask = torch.zeros_like(weight)
    mask.view(-1)[positions] = 1
    return mask


class Returns:
    """Mistakes that any mask function may make."""

    @told("Your function returns nothing: does it end in `return mask`?")
    def magnitude(base_layer: nn.Linear, r: int) -> None: ...


class ReturnsPositions:
    @told("The mask for this layer has shape (120,); expected the weight's, (24, 36).")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        return base_layer.weight.flatten().topk(num_params(r, base_layer.weight.shape)).indices


class ReturnsWeights:
    @told("The mask for this layer is not binary: it holds -2.11522.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight
        return weight * (weight.abs() > 1.5)


class OfAnotherDtype:
    @told("The mask for this layer has dtype torch.float32; expected the weight's, torch.float64, or torch.bool.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight.float()
        return chosen(weight, weight.abs().flatten().topk(num_params(r, weight.shape)).indices)


class ChangesTheWeight:
    @told("Your function changed the layer's weight: `abs()` makes a copy, `abs_()` writes into it.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight.abs_()
        return chosen(weight, weight.flatten().topk(num_params(r, weight.shape)).indices)


class Raises:
    @told("It stopped with RuntimeError: selected index k out of range (Tried: a 24 x 36 weight, r=2, torch.float32.)")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        return base_layer.weight.topk(num_params(r, base_layer.weight.shape)).indices


class Signed:
    @told("The largest W are chosen, so large negative entries are left out: is it |W| or W?")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight
        return chosen(weight, weight.flatten().topk(num_params(r, weight.shape)).indices)


class Ascending:
    @told("The smallest |W| are chosen: sort in descending order.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight
        return chosen(weight, weight.abs().flatten().argsort()[: num_params(r, weight.shape)])


class SignedAscending:
    @told("The most negative W are chosen: take |W|, and sort it in descending order.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight
        return chosen(weight, weight.flatten().argsort()[: num_params(r, weight.shape)])


class RowByRow:
    @told("Each row has 5 ones. The largest entries of the whole weight are asked for, wherever they lie")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight
        m, n = weight.shape
        return torch.zeros_like(weight).scatter(1, weight.abs().topk(num_params(r, (m, n)) // m).indices, 1)


class WithAThreshold:
    @told("several |W| equal the smallest chosen one, and `>=` takes them all.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        size = base_layer.weight.abs()
        return size >= size.flatten().topk(num_params(r, size.shape)).values.min()


class Transposed:
    @told("The positions are those of the transposed weight: `flatten()` and `view(-1)` go row by row.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight
        return chosen(weight, weight.T.abs().flatten().topk(num_params(r, weight.shape)).indices)


class AsFewAsR:
    @told("The mask has 2 ones, and r(m + n) = 120 are asked for: 118 are missing.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        return chosen(base_layer.weight, base_layer.weight.abs().flatten().topk(r).indices)


class OfItsSine:
    @told("|W[10, 33]| = 4.10 is left out, but |W[23, 16]| = 1.26 is chosen.")
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight
        return chosen(weight, weight.sin().abs().flatten().topk(num_params(r, weight.shape)).indices)


def blocks(
    base_layer: nn.Linear,
    r: int,
    side: int,
    seed: int | None,
    edges: bool = True,
    budget: Callable[[int, Tensor], int] = lambda left, here: left,
    count: Callable[[Tensor], int] = Tensor.numel,
) -> Tensor:
    """Block masks with one thing wrong: which blocks there are, how many ones the next one gets, what is counted."""
    mask = torch.zeros_like(base_layer.weight)
    m, n = mask.shape
    down, across = (-(-m // side), -(-n // side)) if edges else (m // side, n // side)
    generator = torch.Generator().manual_seed(seed) if seed is not None else None
    left = num_params(r, (m, n))
    for number in torch.randperm(down * across, generator=generator).tolist():
        top, start = number // across * side, number % across * side
        here = mask[top : top + side, start : start + side]
        here[torch.arange(here.numel()).view(here.shape) < budget(left, here)] = 1
        left -= count(here)
    return mask


class LastBlockWhole:
    @told("The last block is not cut: 512 ones instead of r(m + n) = 336, 176 are too many.")
    def block(base_layer: nn.Linear, r: int, block_size: int = 16, random_seed: int = 0) -> Tensor:
        return blocks(base_layer, r, block_size, random_seed, budget=lambda left, here: here.numel() * (left > 0))


class EdgesUnused:
    @told("The far edges are never used: 40 // 16 and 56 // 16 round down, and 672 ones are missing.")
    def block(base_layer: nn.Linear, r: int, block_size: int = 16, random_seed: int = 0) -> Tensor:
        return blocks(base_layer, r, block_size, random_seed, edges=False)


class EdgesCountedWhole:
    @told("256 ones are missing: a block at the edge has fewer than 16^2 entries. Count what was really set.")
    def block(base_layer: nn.Linear, r: int, block_size: int = 16, random_seed: int = 0) -> Tensor:
        return blocks(base_layer, r, block_size, random_seed, count=lambda here: block_size**2)


class RemainderScattered:
    @told("Only the last one may be: keep the remainder in one block.")
    def block(base_layer: nn.Linear, r: int, block_size: int = 16, random_seed: int = 0) -> Tensor:
        whole = blocks(base_layer, r, block_size, random_seed, budget=lambda left, here: here.numel() * (left >= 256))
        missing = num_params(r, whole.shape) - int(whole.sum())
        free = torch.nonzero(whole.flatten() == 0).flatten()
        whole.view(-1)[free[:: len(free) // missing][:missing]] = 1
        return whole


class SeedIgnored:
    @told("The seeds 0 and 1 give the same mask: does `random_seed` reach the generator?")
    def block(base_layer: nn.Linear, r: int, block_size: int = 16, random_seed: int = 0) -> Tensor:
        return blocks(base_layer, r, block_size, 0)


class Unseeded:
    @told("Two calls with the same arguments give different masks")
    def block(base_layer: nn.Linear, r: int, block_size: int = 16, random_seed: int = 0) -> Tensor:
        return blocks(base_layer, r, block_size, None)


class BlockSizeIgnored:
    @told("The blocks are 16 x 16, not 8 x 8: does `block_size` reach them?")
    def block(base_layer: nn.Linear, r: int, block_size: int = 16, random_seed: int = 0) -> Tensor:
        return blocks(base_layer, r, 16, random_seed)


class Square:
    @told("The mask for this layer has shape (12, 12); expected the weight's, (12, 18).")
    def fewest(m: int, n: int) -> Tensor:
        return torch.eye(m)


class TwoInARow:
    @told("Full rank, but with 13 ones where 12 do: row 3 has 2 entries.")
    def fewest(m: int, n: int) -> Tensor:
        mask = torch.eye(m, n)
        mask[3, 0] = 1
        return mask


class TwoInAColumn:
    @told("A random delta has rank 11 there, not 12: column 0 has 2 entries.")
    def fewest(m: int, n: int) -> Tensor:
        mask = torch.eye(m, n)
        mask[3, 3], mask[3, 0] = 0, 1
        return mask


class TooFew:
    @told("11 ones give a rank of 11 at most; full rank is 12, and each one adds one at most.")
    def fewest(m: int, n: int) -> Tensor:
        mask = torch.eye(m, n)
        mask[3, 3] = 0
        return mask


class DownTheRows:
    @told("It stopped with IndexError")
    def fewest(m: int, n: int) -> Tensor:
        mask = torch.zeros(m, n)
        mask[range(m), range(m)] = 1
        return mask


class DiagonalOnTop:
    @told("84 ones are 24 more than r(m + n) = 60: the diagonal counts, too.")
    def always_full_rank(base_layer: nn.Linear, r: int, random_seed: int = 0) -> Tensor:
        weight = base_layer.weight
        others = torch.nonzero(~torch.eye(*weight.shape, dtype=torch.bool).flatten()).flatten()
        generator = torch.Generator().manual_seed(random_seed)
        drawn = others[torch.randperm(len(others), generator=generator)[: num_params(r, weight.shape)]]
        return chosen(weight, drawn).fill_diagonal_(1)


class DrawnTwice:
    @told("1 of r(m + n) = 60 ones are missing: some positions were drawn that were ones already.")
    def always_full_rank(base_layer: nn.Linear, r: int, random_seed: int = 0) -> Tensor:
        weight = base_layer.weight
        generator = torch.Generator().manual_seed(random_seed)
        k = num_params(r, weight.shape) - min(weight.shape)
        return chosen(weight, torch.randperm(weight.numel(), generator=generator)[:k]).fill_diagonal_(1)


class WholeRows:
    @told("A random delta has rank 2 there, not 24: row")
    def always_full_rank(base_layer: nn.Linear, r: int, random_seed: int = 0) -> Tensor:
        return chosen(base_layer.weight, torch.arange(num_params(r, base_layer.weight.shape)))


class Crossed:
    @told("A random delta has rank 13 there, not 24: few rows and columns cover all of its entries.")
    def always_full_rank(base_layer: nn.Linear, r: int, random_seed: int = 0) -> Tensor:
        mask = torch.zeros_like(base_layer.weight)
        mask[:, 0] = 1
        mask[: mask.shape[0] // 2, : mask.shape[1] // 2].fill_diagonal_(1)
        missing = num_params(r, mask.shape) - int(mask.sum())
        mask[0, -missing:] = 1
        return mask


class FromTheSeedAlone:
    @told("Layers of one shape get the same mask: each begins at the same seed again.")
    def own_masks(seed: int) -> Answer:
        def mask_fn(base_layer: nn.Linear, r: int, **kwargs: Any) -> Tensor:
            weight = base_layer.weight
            generator = torch.Generator().manual_seed(seed + weight.shape[0])
            return chosen(weight, torch.randperm(weight.numel(), generator=generator)[: num_params(r, weight.shape)])

        return mask_fn


class FromNoSeed:
    @told("Two adapters with seed 0 have different masks: draw from a generator of that seed.")
    def own_masks(seed: int) -> Answer:
        return lambda base_layer, r, **kwargs: chosen(
            base_layer.weight, torch.randperm(base_layer.weight.numel())[: num_params(r, base_layer.weight.shape)]
        )


class FromOneSeed:
    @told("The seeds 0 and 1 give the same masks: does `seed` reach the generator?")
    def own_masks(seed: int) -> Answer:
        generator = torch.Generator().manual_seed(0)
        return lambda base_layer, r, **kwargs: chosen(
            base_layer.weight,
            torch.randperm(base_layer.weight.numel(), generator=generator)[: num_params(r, base_layer.weight.shape)],
        )


class WithoutKwargs:
    @told("PEFT hands a mask function more than a layer and r: add **kwargs.")
    def own_masks(seed: int) -> Answer:
        return lambda base_layer, r: chosen(base_layer.weight, torch.arange(r))


class AsManyAsR:
    @told("The mask for layer 1 has 2 ones; r(m + n) = 80 are expected: add 78.")
    def own_masks(seed: int) -> Answer:
        return lambda base_layer, r, **kwargs: chosen(base_layer.weight, torch.arange(r))


class CallsInsteadOfReturning:
    @told("own_masks(seed) should return the function: end it with `return mask_fn`.")
    def own_masks(seed: int) -> None: ...


class KeepsAView:
    @told("unmerge changes nothing: what it writes are the merged numbers. Were they copied before the addition?")
    def exact_merge(weight: Tensor, positions: Tensor, values: Tensor) -> Answer:
        flat = weight.view(-1)
        before = flat
        flat[positions] += values

        def unmerge() -> None:
            flat[positions] = before[positions]

        return unmerge


class KeepsTooLate:
    @told("unmerge changes nothing: what it writes are the merged numbers. Were they copied before the addition?")
    def exact_merge(weight: Tensor, positions: Tensor, values: Tensor) -> Answer:
        flat = weight.view(-1)
        flat[positions] += values
        before = flat[positions]
        return lambda: flat.index_put_((positions,), before)


class WritesElsewhere:
    @told("After merging, the weight does not hold W + values at the positions, written in place.")
    def exact_merge(weight: Tensor, positions: Tensor, values: Tensor) -> Answer:
        weight.clone().view(-1)[positions] += values
        return lambda: None


class Undoes:
    @told("exact_merge should return the function that undoes it: end it with `return unmerge`.")
    def exact_merge(weight: Tensor, positions: Tensor, values: Tensor) -> None:
        weight.view(-1)[positions] += values


@pytest.mark.parametrize("name", ANSWERS)
def test_a_mistake_is_called_by_its_name(name: str) -> None:
    answer, message = ANSWERS[name]
    verdict = check(answer)
    assert not verdict.passed and message in verdict.message, verdict.message


def test_another_right_answer_passes() -> None:
    def magnitude(base_layer: nn.Linear, r: int) -> Tensor:
        weight = base_layer.weight
        order = weight.abs().flatten().argsort(descending=True, stable=True)
        return chosen(weight, order[: num_params(r, weight.shape)]).bool()

    def fewest(m: int, n: int) -> Tensor:
        return torch.eye(m, n).flip(0)

    def always_full_rank(base_layer: nn.Linear, r: int, random_seed: int = 0) -> Tensor:
        mask = torch.zeros_like(base_layer.weight).fill_diagonal_(1)
        free = torch.nonzero(mask.flatten() == 0).flatten()
        mask.view(-1)[free[: num_params(r, mask.shape) - int(mask.sum())]] = 1
        return mask

    for answer in (magnitude, fewest, always_full_rank):
        verdict = check(answer)
        assert verdict.passed, verdict.message


def test_a_wrong_mask_is_shown_beside_the_expected_one() -> None:
    verdict = check(ANSWERS["Signed.magnitude"][0])
    assert list(verdict.pictures) == ["yours", "expected"]
    assert verdict.pictures["yours"] != verdict.pictures["expected"]


def test_what_is_no_mask_is_not_shown() -> None:
    assert list(check(ANSWERS["ReturnsPositions.magnitude"][0]).pictures) == ["expected"]


def test_entries_that_do_not_come_back_are_shown() -> None:
    verdict = check(ANSWERS["KeepsTooLate.exact_merge"][0])
    assert list(verdict.pictures) == ["did not come back"]


def test_a_trial_says_what_was_tried() -> None:
    trial = Trial.on_layer((24, 36), 2, torch.bfloat16, block_size=8)
    assert str(trial) == "a 24 x 36 weight, r=2, torch.bfloat16, block_size=8"
    assert not re.search("Linear", str(trial))
