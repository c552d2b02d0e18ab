"""Calibrated gradients are those of plain autograd, and calibrating leaves no trace on the model."""

from collections.abc import Mapping

import pytest
import torch
from tiny import MLP, adapted, layers, same_bits, snapshot, tiny_opt, tokens
from torch import Tensor, nn

from shira_lab import ShiraConfig, calibrate, get_peft_model
from shira_lab.errors import ConfigError, MaskError


def mean_square(model: nn.Module, batch: Tensor) -> Tensor:
    return model(batch).square().mean()


def by_hand(model: nn.Module, batches: list[Tensor], path: str) -> list[Tensor]:
    weight = model.get_submodule(path).weight.requires_grad_(True)
    gradients = [torch.autograd.grad(mean_square(model, batch), weight)[0] for batch in batches]
    weight.requires_grad_(False)
    return gradients


@pytest.fixture
def batches() -> list[Tensor]:
    return list(torch.randn(3, 4, 10))


def test_both_reductions_are_what_their_names_say(batches: list[Tensor]) -> None:
    model = MLP()
    gradients = torch.stack(by_hand(model, batches, "lin1"))
    mean_abs = calibrate(model, ["lin1"], batches, "mean_abs", mean_square)["lin1"]
    abs_mean = calibrate(model, ["lin1"], batches, "abs_mean", mean_square)["lin1"]
    torch.testing.assert_close(mean_abs, gradients.abs().mean(0))
    torch.testing.assert_close(abs_mean, gradients.mean(0).abs())
    assert not torch.allclose(mean_abs, abs_mean)


def test_the_model_is_as_before(batches: list[Tensor]) -> None:
    model = MLP().train()
    model.lin1.eval()
    model.lin0.weight.requires_grad_(False)
    model.lin1.weight.grad = torch.ones(20, 20)
    model.lin2.bias.grad = torch.ones(10)
    before = snapshot(model)
    found = calibrate(model, ["lin1", "lin0"], batches, loss_fn=mean_square)
    assert same_bits(before, snapshot(model))
    assert [module.training for module in (model, model.lin0, model.lin1, model.lin2)] == [True, True, False, True]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True]
    assert torch.equal(model.lin1.weight.grad, torch.ones(20, 20)) and torch.equal(model.lin2.bias.grad, torch.ones(10))
    assert model.lin0.weight.grad is None
    model.lin1.weight.grad = None
    assert torch.equal(found["lin1"], calibrate(model, ["lin1"], batches, loss_fn=mean_square)["lin1"])


def test_an_error_in_the_loss_leaves_the_model_as_before(batches: list[Tensor]) -> None:
    model = MLP()

    def broken(model: nn.Module, batch: Tensor) -> Tensor:
        raise RuntimeError("no loss today")

    with pytest.raises(RuntimeError, match="no loss today"):
        calibrate(model, ["lin1"], batches, loss_fn=broken)
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())


def test_it_works_under_no_grad_on_batches_of_a_language_model() -> None:
    model, path = tiny_opt(), "model.decoder.layers.0.fc1"
    batch = {"input_ids": tokens(), "labels": tokens()}
    with torch.no_grad():
        found = calibrate(model, [path], [batch])[path]
    weight = model.get_submodule(path).weight
    torch.testing.assert_close(found, torch.autograd.grad(model(**batch).loss, weight)[0].abs())


@pytest.mark.parametrize("mask_type", ["gradient", "snip", "wanda"])
def test_masks_are_calibrated_on_the_base_model_whatever_is_active(mask_type: str) -> None:
    batch = {"input_ids": tokens(), "labels": tokens()}
    config = ShiraConfig(r=1, target_modules=["fc1"], mask_type=mask_type)
    alone = get_peft_model(tiny_opt(), config, calibration=[batch])
    beside = adapted(tiny_opt(), ShiraConfig(r=1, target_modules=["fc1", "fc2"], random_seed=0))
    beside(**batch)
    beside.add_adapter("second", config, calibration=[batch])
    for one, two in zip(layers(alone), [layer for layer in layers(beside) if "second" in layer.adapters], strict=True):
        assert torch.equal(one.adapters["default"].positions, two.adapters["second"].positions)


def test_norms_of_inputs_leave_the_model_as_before(batches: list[Tensor]) -> None:
    model = MLP().train()
    model.lin1.weight.grad = torch.ones(20, 20)
    before = snapshot(model)
    found = calibrate(model, ["lin0"], batches, loss_fn=mean_square, collect="input_norm")["lin0"]
    torch.testing.assert_close(found, torch.cat(batches).norm(dim=0))
    assert same_bits(before, snapshot(model)) and torch.equal(model.lin1.weight.grad, torch.ones(20, 20))
    assert model.training and not model.lin0._forward_pre_hooks
    with pytest.raises(RuntimeError):
        calibrate(model, ["lin0"], [torch.ones(2, 3)], loss_fn=mean_square, collect="input_norm")
    assert model.training and not model.lin0._forward_pre_hooks


def test_ready_made_gradients_may_be_given() -> None:
    gradient = {"lin1": torch.randn(20, 20)}
    config = ShiraConfig(r=1, target_modules=["lin1"], mask_type="gradient")
    (layer,) = layers(get_peft_model(MLP(), config, calibration=gradient))
    expected = gradient["lin1"].abs().flatten().topk(40).indices.sort().values
    assert torch.equal(layer.adapters["default"].positions, expected)


ERRORS: Mapping[str, tuple[type[Exception], object]] = {
    "`calibration` has no batches; give at least one": (MaskError, lambda m: calibrate(m, ["lin1"], [])),
    "`reduction` should be 'mean_abs' or 'abs_mean'; got 'max'": (
        ConfigError,
        lambda m: calibrate(m, ["lin1"], [1], "max"),
    ),
    "A calibration batch should be a mapping of model inputs by name; got list": (
        ConfigError,
        lambda m: calibrate(m, ["lin1"], [[1]]),
    ),
    "The model gave no `loss` for a calibration batch; include `labels`, or pass `loss_fn`": (
        ConfigError,
        lambda m: calibrate(m, ["lin1"], [{"x": torch.randn(2, 10)}]),
    ),
    "What calibration found for layer 'lin1' is not finite; check the batches' loss": (
        MaskError,
        lambda m: calibrate(m, ["lin1"], [torch.full((2, 10), torch.nan)], loss_fn=mean_square),
    ),
    "What calibration found for layer 'lin0' is not finite; check the batches": (
        MaskError,
        lambda m: calibrate(m, ["lin0"], [torch.full((2, 10), torch.inf)], "mean_abs", mean_square, "input_norm"),
    ),
    "`calibration` has no batches; give at least one.": (
        MaskError,
        lambda m: calibrate(m, ["lin1"], [], collect="input_norm"),
    ),
    "No calibration batch reached layer 'lin2': give more batches, or leave the layer out": (
        MaskError,
        lambda m: calibrate(m, ["lin2"], [torch.ones(2, 10)], "mean_abs", lambda m, x: m.lin0(x).sum(), "input_norm"),
    ),
    "`collect` should be 'gradient' or 'input_norm'; got 'loss'": (
        ConfigError,
        lambda m: calibrate(m, ["lin1"], [1], collect="loss"),
    ),
    "`mask_type='wanda'` ranks positions by the norms of its inputs: pass `calibration=batches`": (
        MaskError,
        lambda m: get_peft_model(m, ShiraConfig(r=1, target_modules=["lin1"], mask_type="wanda")),
    ),
    "`mask_type='snip'` ranks positions by a gradient: pass `calibration=batches`": (
        MaskError,
        lambda m: get_peft_model(m, ShiraConfig(r=1, target_modules=["lin1"], mask_type="snip")),
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_say_what_to_do(message: str) -> None:
    error, call = ERRORS[message]
    with pytest.raises(error, match=message):
        call(MLP())
