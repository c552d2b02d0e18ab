"""What half precision swallows: a small step in a weight, but not in an adapter's values beside it."""

import pytest
import torch
from torch import Tensor, nn

from shira_lab import PeftModel, ShiraConfig, get_peft_model
from shira_lab.layers import ShiraAdapter

#: dtype -> significant bits, the first of which is not stored.
BITS = {torch.bfloat16: 8, torch.float16: 11}
STEP, STEPS = 2.0**-17, 64  # 8e-6 each, 5e-4 in all: steps and their sum are exact in float32
every_half = pytest.mark.parametrize("dtype", BITS, ids=str)


def half_model(dtype: torch.dtype, in_size: int = 32) -> nn.Sequential:
    """One layer whose weights are about as large as a language model's."""
    model = nn.Sequential(nn.Linear(in_size, 24, bias=False))
    with torch.no_grad():
        signs = torch.randn(24, in_size, generator=torch.Generator().manual_seed(0)).sign()
        model[0].weight.copy_(signs * torch.linspace(0.017, 0.03, 24 * in_size).view(24, in_size))
    return model.to(dtype)


def adapter_of(model: PeftModel) -> ShiraAdapter:
    adapter = model.base_model.model[0].get_adapter("default")
    assert isinstance(adapter, ShiraAdapter)
    return adapter


def step(parameters: list[nn.Parameter]) -> None:
    """A step of gradient descent by the same small amount for each number."""
    optimizer = torch.optim.SGD(parameters, lr=STEP)
    for parameter in parameters:
        parameter.grad = -torch.ones_like(parameter)
    optimizer.step()


def test_steps_that_a_bfloat16_weight_swallows_add_up_in_the_adapter() -> None:
    dense = half_model(torch.bfloat16)
    before = dense[0].weight.detach().clone()
    model = get_peft_model(half_model(torch.bfloat16), ShiraConfig(r=2, target_modules=["0"], random_seed=0))
    adapter = adapter_of(model)
    for _ in range(STEPS):
        step(list(dense.parameters()))
        step([p for p in model.parameters() if p.requires_grad])
    assert torch.equal(dense[0].weight, before)  # 64 steps, and not one of them was taken
    assert torch.equal(adapter.shira_weight, torch.full_like(adapter.shira_weight, STEPS * STEP))
    x = torch.eye(32, dtype=torch.bfloat16)
    with torch.no_grad():
        learned = (model(x) - dense(x)).t().flatten()[adapter.positions].float()
    unit = 2.0**-6 * 2.0**-7  # of the last place, for weights from 2^-6 to 2^-5
    assert (learned - STEPS * STEP).abs().max() <= unit / 2


@every_half
def test_the_values_take_their_gradient_in_float32_from_a_layer_in_half_precision(dtype: torch.dtype) -> None:
    model = get_peft_model(half_model(dtype), ShiraConfig(r=2, target_modules=["0"], random_seed=0))
    model(torch.full((3, 32), 2.0**-10, dtype=dtype)).float().sum().backward()
    adapter = adapter_of(model)
    assert adapter.shira_weight.grad is not None and adapter.shira_weight.dtype == torch.float32
    assert torch.equal(adapter.shira_weight.grad, torch.full_like(adapter.shira_weight, 3 * 2.0**-10))


def merged(dtype: torch.dtype, update: float) -> tuple[Tensor, Tensor, Tensor]:
    """(weight before, exact sum, merged weight) at the trained entries, in float64."""
    model = get_peft_model(half_model(dtype), ShiraConfig(r=2, target_modules=["0"], random_seed=0))
    adapter, layer = adapter_of(model), model.base_model.model[0]
    before = layer.weight.detach().clone()
    with torch.no_grad():
        adapter.shira_weight.fill_(update)
    exact = before.flatten()[adapter.positions].double() + adapter.shira_weight.detach().double()
    x = torch.randn(5, 32).to(dtype)
    with torch.no_grad():
        active = model(x)
    model.merge_adapter()
    with torch.no_grad():
        assert torch.equal(model(x), active)  # an active adapter acts through the same rounded weight
    after = layer.weight.detach().flatten()[adapter.positions].double()
    assert torch.equal(adapter.shira_weight, torch.full_like(adapter.shira_weight, update))
    model.unmerge_adapter()
    assert torch.equal(layer.weight, before)
    return before.flatten()[adapter.positions].double(), exact, after


@every_half
@pytest.mark.parametrize("update", [1e-2, 1e-3, 1e-4, 1e-5])
def test_merging_rounds_once_by_half_a_unit_in_the_last_place_at_most(dtype: torch.dtype, update: float) -> None:
    _, exact, after = merged(dtype, update)
    assert ((after - exact).abs() <= exact.abs() * 2.0 ** -BITS[dtype]).all()


@every_half
def test_an_update_below_half_a_unit_of_the_weight_is_lost_in_a_merged_weight(dtype: torch.dtype) -> None:
    unit = 2.0**-6 * 2.0 ** (1 - BITS[dtype])  # for weights from 2^-6 to 2^-5
    before, _, after = merged(dtype, 0.49 * unit)
    assert torch.equal(before, after)
    before, _, after = merged(dtype, 0.51 * unit)
    assert not (before == after).any()
