"""The exercises of the lesson on several adapters: two that do not sit on each other, and their sum."""

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.model import PeftModel
from shira_lab.analysis.inspection import adapter_interference
from shira_lab.analysis.interference import Interference, total
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.errors import ShiraError

SEEDS = (0, 1, 7)
MUCH = 2  # times what two random masks share by chance
SHAPES = ((3, 5), (16, 16), (24, 7))


def second_config(first):
    return first.copy(random_seed=first.random_seed + 1)  # stub: return first.copy()


def _check_second(answer: Solution) -> Verdict:
    for seed in SEEDS:
        first = ShiraConfig(4, ["0", "1"], random_seed=seed)
        second = answer(first)
        if not isinstance(second, ShiraConfig):
            return Verdict(False, f"Return a ShiraConfig; your function returned {second!r}.")
        if (second.r, second.target_modules) != (first.r, first.target_modules):
            return Verdict(False, "The second adapter should have the same r and targets: copy the config.")
        if first != ShiraConfig(4, ["0", "1"], random_seed=seed):
            return Verdict(False, "Your function changed the first config. Leave it as it is, and return another one.")
        shared = _shared(first, second)
        if shared.overlap_share == 1:
            return Verdict(
                False,
                "The two adapters share 100% of their positions: one seed draws one mask. Each change of the second "
                "would fall on a change of the first.",
            )
        if shared.overlap_share > MUCH * shared.expected_share:
            return Verdict(
                False,
                f"The two adapters share {shared.overlap_share:.0%} of their positions; two seeds share about "
                f"{shared.expected_share:.0%}. Are all layers drawn anew?",
            )
    return Verdict(True, f"The adapters share {shared.overlap_share:.0%}, chance gives {shared.expected_share:.0%}.")


def _shared(first: ShiraConfig, second: ShiraConfig) -> Interference:
    torch.manual_seed(0)
    model = PeftModel(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 96)))
    model.add_adapter("first", first)
    model.add_adapter("second", second)
    return total(adapter_interference(model, "first", "second").values())


def fuse(weight, adapters, scales):
    fused = weight.clone()
    for (positions, values), scale in zip(adapters, scales, strict=True):
        change = scale * values
        fused.view(-1)[positions] += change  # stub: fused.view(-1)[positions] = weight.view(-1)[positions] + change
    return fused


def _check_fuse(answer: Solution) -> Verdict:
    generator = torch.Generator().manual_seed(0)
    cases = 0
    for shape in SHAPES:
        for shared in (0, 2, 4):  # of the four positions of each adapter
            weight = torch.randn(shape, generator=generator)
            adapters, scales = _adapters(shape, shared, generator), [0.5, 1.25]
            before = weight.clone()
            fused = answer(weight, adapters, scales)
            if not torch.equal(weight, before):
                return Verdict(False, "Your function changed the base weight: then it can never be had back. Clone it.")
            wrong = _wrong(fused, weight, adapters, scales)
            if wrong is not None:
                return Verdict(False, _why(wrong, shared))
            cases += 1
    return Verdict(True, f"{cases} pairs of adapters, disjoint, overlapping and on the same positions.")


def _adapters(shape: tuple[int, int], shared: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    order = torch.randperm(shape[0] * shape[1], generator=generator)
    first, second = order[:4], order[4 - shared : 8 - shared]
    return [(positions.sort().values, torch.randn(4, generator=generator)) for positions in (first, second)]


def _wrong(fused: Tensor, weight: Tensor, adapters: list[tuple[Tensor, Tensor]], scales: list[float]) -> Tensor | None:
    """The mask of the entries that differ from W + sum of scale * S, computed densely in float64; None if none does."""
    if not isinstance(fused, Tensor) or fused.shape != weight.shape:
        raise ShiraError("return a weight of the same shape")
    expected = weight.double()
    for (positions, values), scale in zip(adapters, scales, strict=True):
        dense = torch.zeros(weight.numel(), dtype=torch.float64).index_put((positions,), values.double())
        expected = expected + scale * dense.view(weight.shape)
    wrong = (fused.double() - expected).abs() > 1e-5
    return wrong if bool(wrong.any()) else None


def _why(wrong: Tensor, shared: int) -> str:
    count = int(wrong.sum())
    if count == shared:
        return (
            f"The {count} entries that both adapters change are wrong, all others are right. Is the first adapter's "
            "change still there when the second one is written?"
        )
    return f"{count} entries are not W + scale_1 S1 + scale_2 S2. Does each adapter come with its own scale?"


SECOND_CONFIG = Exercise(
    solution=second_config,
    check=_check_second,
    difficulty="easy",
    minutes=5,
    stub_says="The two adapters share 100% of their positions: one seed draws one mask. Each change of the second "
    "would fall on a change of the first.",
)
FUSE = Exercise(
    solution=fuse,
    check=_check_fuse,
    difficulty="easy",
    minutes=5,
    stub_says="The 2 entries that both adapters change are wrong, all others are right. Is the first adapter's "
    "change still there when the second one is written?",
)
