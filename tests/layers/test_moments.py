"""What an optimizer remembers of an entry moves with the entry; a new entry starts without any past."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from shira_lab import PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError

X = torch.linspace(-1, 1, 80).view(5, 16)
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "AdamW amsgrad": lambda p: torch.optim.AdamW(p, lr=0.1, amsgrad=True, weight_decay=0.0),
    "fused Adam": lambda p: torch.optim.Adam(p, lr=0.1, fused=True),
    "SGD momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.1, centered=True, momentum=0.5),
}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def config(seed: int) -> ShiraConfig:
    return ShiraConfig(r=2, target_modules=["0", "2"], random_seed=seed)


def trained(name: str) -> tuple[PeftModel, Optimizer]:
    torch.manual_seed(0)
    model = get_peft_model(nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16)), config(0)).train()
    optimizer = OPTIMIZERS[name]([p for p in model.parameters() if p.requires_grad])
    for _ in range(5):
        step(model, optimizer)
    return model, optimizer


def step(model: PeftModel, optimizer: Optimizer, factor: float = 1.0) -> None:
    optimizer.zero_grad()
    (model(X).pow(2).sum() * factor).backward()
    optimizer.step()


def remembered(model: PeftModel, optimizer: Optimizer) -> dict[tuple[str, str, int], float]:
    """(layer, kind of state, position) -> number"""
    found = {}
    for path, layer in model.base_model.adapter_layers():
        adapter = layer.get_adapter("default")
        for key, value in optimizer.state[adapter.shira_weight].items():
            if isinstance(value, Tensor) and value.dim() > 0:
                found |= {(path, key, at): v for at, v in zip(adapter.positions.tolist(), value.tolist(), strict=True)}
    return found


@each_optimizer
def test_moments_go_with_their_entries(name: str) -> None:
    model, optimizer = trained(name)
    before = remembered(model, optimizer)
    model.set_mask("default", config(7))
    after = remembered(model, optimizer)
    kept, new = before.keys() & after.keys(), after.keys() - before.keys()
    assert kept and new and any(before[key] for key in kept)
    assert all(after[key] == before[key] for key in kept)
    assert not any(after[key] for key in new)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "Adagrad"])
def test_a_gradient_of_zero_leaves_a_new_entry_where_it_is(name: str) -> None:
    model, optimizer = trained(name)
    model.set_mask("default", config(7))
    adapters = [layer.get_adapter("default") for _, layer in model.base_model.adapter_layers()]
    new = [adapter.shira_weight == 0 for adapter in adapters]
    step(model, optimizer, factor=0.0)
    for adapter, at in zip(adapters, new, strict=True):
        assert at.any() and not adapter.shira_weight[at].any()


def test_a_gradient_goes_with_its_entry() -> None:
    model, _ = trained("Adam")
    model(X).pow(2).sum().backward()

    def gradients() -> dict[tuple[str, int], float]:
        found = {}
        for path, layer in model.base_model.adapter_layers():
            adapter = layer.get_adapter("default")
            found |= {
                (path, at): g
                for at, g in zip(adapter.positions.tolist(), adapter.shira_weight.grad.tolist(), strict=True)
            }
        return found

    before = gradients()
    model.set_mask("default", config(7))
    after = gradients()
    assert all(value == before.get(key, 0.0) for key, value in after.items())
    assert before.keys() & after.keys() and before.keys() != after.keys()


def test_every_optimizer_that_trains_the_adapter_is_told_and_no_other() -> None:
    model, first = trained("Adam")
    second = OPTIMIZERS["SGD momentum"]([p for p in model.parameters() if p.requires_grad])
    step(model, second)
    other, others = trained("Adam")
    before = remembered(other, others)
    model.set_mask("default", config(7))
    assert all(v == 0 for v in new_values(model, first)) and all(v == 0 for v in new_values(model, second))
    assert remembered(other, others) == before


def new_values(model: PeftModel, optimizer: Optimizer) -> list[float]:
    old = trained("Adam")[0]
    there = {
        (path, at)
        for path, layer in old.base_model.adapter_layers()
        for at in layer.get_adapter("default").positions.tolist()
    }
    return [value for (path, _, at), value in remembered(model, optimizer).items() if (path, at) not in there]


class Blocks(Optimizer):
    """Keeps a number for each block of values, as quantized optimizers do."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__(parameters, {})

    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["absmax"] = torch.ones(3)


def test_a_state_that_cannot_be_moved_refuses_the_new_mask() -> None:
    torch.manual_seed(0)
    model = get_peft_model(nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16)), config(0)).train()
    optimizer = Blocks([p for p in model.parameters() if p.requires_grad])
    optimizer.step()
    before = [layer.get_adapter("default").positions for _, layer in model.base_model.adapter_layers()]
    with pytest.raises(AdapterError) as caught:
        model.set_mask("default", config(7))
    assert str(caught.value) == (
        "Layer '0': The optimizer Blocks keeps 'absmax' of shape (3,) for 64 values, which cannot move with them. Set "
        "the mask before its first step, or make a new optimizer and let this one go."
    )
    after = [layer.get_adapter("default").positions for _, layer in model.base_model.adapter_layers()]
    assert all(a is b for a, b in zip(before, after, strict=True))
