"""A switch of merged SHiRA adapters handles the k entries they write, never a tensor as large as the weight."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model

SIDE = 64
CALLS: dict[str, Callable[[PeftModel], object]] = {
    "merge": lambda model: model.merge_adapter(),
    "merge and unmerge": lambda model: (model.merge_adapter(), model.unmerge_adapter()),
    "switch": lambda model: (model.merge_adapter(), model.set_adapter("b"), model.merge_adapter()),
    "merge two": lambda model: model.merge_adapter(["a", "b"]),
    "merge for good": lambda model: model.merge_and_unload(),
}


class Largest(TorchDispatchMode):
    """Counts the entries of the largest tensor that is made, views of ``known`` left out."""

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.known, self.numel = known.data_ptr(), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.data_ptr() != self.known:
            self.numel = max(self.numel, made.numel())
        return made


def largest(config: ShiraConfig | LoraConfig, call: Callable[[PeftModel], object]) -> int:
    base = nn.Sequential(nn.Linear(SIDE, SIDE))
    model = get_peft_model(base, config, "a")
    model.add_adapter("b", config)
    with Largest(base[0].weight.data) as made:
        call(model)
    return made.numel


@pytest.mark.parametrize("call", CALLS)
def test_no_tensor_as_large_as_the_weight_is_made(call: str) -> None:
    entries = 2 * 2 * (SIDE + SIDE)  # two adapters of r = 2, side by side
    shira = ShiraConfig(r=2, target_modules=["0"], random_seed=0, init_weights=False)
    assert 0 < largest(shira, CALLS[call]) <= entries < SIDE * SIDE


def test_lora_makes_one() -> None:
    lora = LoraConfig(r=2, target_modules=["0"], init_lora_weights=False)
    assert largest(lora, CALLS["merge"]) == SIDE * SIDE
