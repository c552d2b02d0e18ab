"""What surrounds a training layer: writes to its values, copies, stored states, hooks, operations in place."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from dense_reference import KINDS, adapter_layer, assert_masked_gradient, dense, loss_of
from tiny import MLP, fill_randomly, layers
from torch import nn

from shira_lab import LoraConfig, get_peft_model
from shira_lab.layers import AdapterLayer


def fused_adamw(values: nn.Parameter) -> None:
    values.grad = torch.ones_like(values)
    torch.optim.AdamW([values], lr=0.1, fused=True).step()


def through_numpy(values: nn.Parameter) -> None:
    values.detach().numpy()[:] += 1


WRITES: dict[str, Callable[[nn.Parameter], object]] = {
    "fused AdamW": fused_adamw,
    ".data": lambda values: values.data.add_(1),
    "other data": lambda values: setattr(values, "data", values.detach() + 1),
    "numpy": through_numpy,
    "no_grad": lambda values: values.detach().add_(1),
}


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("grad", [True, False])
def test_writes_to_the_values_are_seen_by_the_next_forward(how: str, grad: bool) -> None:
    layer = adapter_layer("Linear", 8, 6, 1)
    x = torch.randn(3, 8, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        before = layer(x).detach()
        WRITES[how](layer.shira_weight["a1"])
        after = layer(x).detach()
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, dense(layer)[0](x).detach(), rtol=1e-12, atol=1e-12)


COPIES: dict[str, Callable[[AdapterLayer], AdapterLayer]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("after_backward", [True, False])
def test_a_copy_of_a_layer_in_use_trains_on_its_own(how: str, after_backward: bool) -> None:
    layer = adapter_layer("Linear", 8, 6, 1)
    x = torch.randn(3, 8, dtype=torch.float64)
    output = layer(x)
    if after_backward:
        loss_of(output).backward()
    twin = COPIES[how](layer)
    twin.zero_grad()
    assert torch.equal(twin(x), output)
    assert torch.equal(twin.base_weight(), layer.base_weight())
    reference, weight = dense(twin)
    loss_of(twin(x)).backward()
    loss_of(reference(x)).backward()
    assert_masked_gradient(twin, weight)
    twin.shira_weight["a1"].data.zero_()
    assert not torch.equal(twin(x), output)
    assert torch.equal(layer(x), output)


def test_loaded_state_becomes_the_base_weight_and_training_goes_on() -> None:
    layer, other = adapter_layer("Linear", 8, 6, 1), adapter_layer("Linear", 8, 6, 1)
    x = torch.randn(3, 8, dtype=torch.float64)
    layer(x), other(x)
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(x), other(x))
    assert torch.equal(layer.base_weight(), other.base_weight())
    reference, weight = dense(layer)
    loss_of(layer(x)).backward()
    loss_of(reference(x)).backward()
    assert_masked_gradient(layer, weight)


def test_a_layer_first_used_in_inference_mode_can_still_train() -> None:
    layer = adapter_layer("Linear", 8, 6, 1)
    x = torch.randn(3, 8, dtype=torch.float64)
    with torch.inference_mode():
        layer(x)
        layer.shira_weight["a1"].mul_(2)
        layer(x)
        layer.unmerge()
        layer(x)
    reference, weight = dense(layer)
    loss_of(layer(x)).backward()
    loss_of(reference(x)).backward()
    assert_masked_gradient(layer, weight)


# ---- what surrounds the layer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 8), (2, 3, 8)])
def test_in_place_operations_may_follow_the_layer(kind: str, shape: tuple[int, ...]) -> None:
    layer = adapter_layer(kind, 8, 6, 1)
    reference, weight = dense(layer)
    x = torch.randn(*shape, dtype=torch.float64)
    loss_of(layer(x).mul_(2).relu_()).backward()
    loss_of((reference(x) * 2).relu()).backward()
    assert_masked_gradient(layer, weight)


def test_hooks_on_the_base_layer_keep_firing() -> None:
    layer = adapter_layer("Linear", 8, 6, 1)
    reference, _ = dense(layer)
    calls: list[str] = []
    layer.base_layer.register_forward_pre_hook(lambda module, args: calls.append("pre"))
    layer.base_layer.register_forward_hook(lambda module, args, output: torch.tanh(output))
    layer.base_layer.register_full_backward_hook(lambda *_: calls.append("backward"))
    x = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    output = layer(x)
    torch.testing.assert_close(output, torch.tanh(reference(x)))
    (output * 2).sum().backward()
    assert calls == ["pre", "backward"]


@pytest.mark.parametrize("target", ["lin0", "lin1"])
def test_lora_gets_the_gradients_of_its_equation(target: str) -> None:
    model = get_peft_model(MLP().double(), LoraConfig(r=2, lora_alpha=4, target_modules=[target]))
    (layer,) = layers(fill_randomly(model))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(5, layer.in_features, dtype=torch.float64)
    delta = 2 * b @ a
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight + delta, layer.bias))
    loss_of(layer(x)).backward()
    expected = torch.autograd.grad(loss_of(F.linear(x, layer.weight + 2 * b @ a, layer.bias)), (a, b))
    torch.testing.assert_close((a.grad, b.grad), expected, rtol=1e-10, atol=1e-12)
