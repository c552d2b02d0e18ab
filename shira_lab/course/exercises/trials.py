"""How a mask function that a learner wrote is tried: on several layers, each time against all that a mask promises.

A check is a list of trials and a function that examines one mask. The first trial that fails ends the check, and its
mask is shown beside that of the solution.
"""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from shira_lab.budget import Shape
from shira_lab.course.exercises.exercise import Solution, Verdict
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.errors import MaskError
from shira_lab.masks import check_mask


class Wrong(Exception):
    """An answer broke a promise; the message says which, and what is probably behind it.

    ``pictures`` are PNG files by title, to be shown under the message.
    """

    def __init__(self, message: str, pictures: Mapping[str, bytes] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.message, self.pictures = message, pictures


@dataclass(frozen=True)
class Trial:
    """One call of a learner's function.

    Attributes:
        arguments, options: what the function is called with.
        weight: what the mask must be like in shape and dtype; the function must leave it as it is.
    """

    arguments: tuple[Any, ...]
    weight: Tensor
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def on_layer(
        cls, shape: Shape, r: int, dtype: torch.dtype = torch.float32, seed: int = 0, **options: Any
    ) -> "Trial":
        """``mask_fn(base_layer, r, **options)`` on a layer whose (m, n) weight is normally distributed."""
        m, n = shape
        layer = nn.Linear(n, m, bias=False, dtype=dtype).requires_grad_(False)
        layer.weight.copy_(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
        return cls((layer, r), layer.weight, options)

    @property
    def r(self) -> int:
        return int(self.arguments[1])

    @property
    def shape(self) -> Shape:
        m, n = self.weight.shape
        return m, n

    def __str__(self) -> str:
        size = "" if isinstance(self.arguments[0], int) else f", r={self.r}, {self.weight.dtype}"
        return f"a {self.shape[0]} x {self.shape[1]} weight{size}" + "".join(
            f", {name}={value}" for name, value in self.options.items()
        )

    def mask_of(self, answer: Solution) -> Tensor:
        """The mask that the function gives, as bool (m, n).

        Raises:
            Wrong: when it is no binary mask of the weight's shape and dtype, or another one at a second call, or when
                the weight has changed. The number of ones is left to the exercise.
        """
        mask = self._call(answer)
        if mask is None:
            raise Wrong("Your function returns nothing: does it end in `return mask`?")
        try:
            ones = int(mask.count_nonzero()) if isinstance(mask, Tensor) else 0
            check_mask(mask, self.weight, ones, "this layer")
        except MaskError as error:
            raise Wrong(str(error)) from None
        if not torch.equal(mask, self._call(answer)):
            raise Wrong(
                "Two calls with the same arguments give different masks: draw with "
                "`generator=torch.Generator().manual_seed(random_seed)`."
            )
        return mask.bool()

    def _call(self, answer: Solution) -> Any:
        """What the function returns, called on a copy: whatever it does to its layer, the trial stays what it is."""
        arguments = deepcopy(self.arguments)
        mask = answer(*arguments, **self.options)
        if isinstance(arguments[0], nn.Linear) and not torch.equal(arguments[0].weight, self.weight):
            raise Wrong("Your function changed the layer's weight: `abs()` makes a copy, `abs_()` writes into it.")
        return mask


def try_all(
    answer: Solution, solution: Solution, trials: Iterable[Trial], examine: Callable[[Tensor, Trial], None], praise: str
) -> Verdict:
    """The verdict on ``answer``.

    Args:
        examine: raises :class:`Wrong` when a mask is not what the exercise asks for.
        praise: what is said when every trial was passed.
    """
    pictures: dict[str, bytes] = {}
    for trial in trials:
        expected = {"expected": mask_picture(trial.mask_of(solution))}
        try:
            mask = trial.mask_of(answer)
        except Wrong as wrong:
            return Verdict(False, f"{wrong} (Tried: {trial}.)", expected)
        except Exception as error:  # whatever a learner's code may raise
            return Verdict(False, f"It stopped with {type(error).__name__}: {error} (Tried: {trial}.)", expected)
        yours = {"yours": mask_picture(mask), **expected}
        try:
            examine(mask, trial)
        except Wrong as wrong:
            return Verdict(False, f"{wrong} (Tried: {trial}.)", yours)
        pictures = pictures or yours
    return Verdict(True, praise, pictures)


def check_count(mask: Tensor, k: int) -> None:
    """Raise :class:`Wrong` when the mask has another number of ones than ``k``."""
    ones = int(mask.sum())
    if ones != k:
        missing = f"{k - ones:,} are missing" if ones < k else f"{ones - k:,} are too many"
        raise Wrong(f"The mask has {ones:,} ones, and r(m + n) = {k:,} are asked for: {missing}.")
