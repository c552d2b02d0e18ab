"""The gradient of the values is the dense gradient of the weight at their positions, in whatever order things come."""

import pytest
import torch
import torch.nn.functional as F
from dense_reference import KINDS, adapter_layer, assert_masked_gradient, dense, loss_of
from hypothesis import given
from hypothesis import strategies as st
from tiny import MLP, adapted, layers, tiny_opt, tokens
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from shira_lab import ShiraConfig
from shira_lab.budget import max_r
from shira_lab.layers.sampled import DENSE_ABOVE


@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(2, 24),
    st.integers(2, 24),
    st.sampled_from([(), (1,), (5,), (2, 3), (2, 1, 4), (0,), (300,)]),
    st.sampled_from([1.0, 0.5, 2.0]),
    st.data(),
)
def test_values_get_the_dense_gradient_at_their_positions(
    kind: str, n: int, m: int, lead: tuple[int, ...], scale: float, data: st.DataObject
) -> None:
    layer = adapter_layer(kind, n, m, data.draw(st.integers(1, max_r((m, n)))), scale=scale)
    reference, weight = dense(layer)
    x = torch.randn(*lead, n, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_(True)
    loss_of(layer(x)).backward()
    loss_of(reference(y)).backward()
    assert_masked_gradient(layer, weight)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-12, atol=1e-12)


def test_both_sides_of_the_dense_crossover_are_tried() -> None:
    densities = [adapter_layer("Linear", 24, 24, r).get_adapter("a1").positions.numel() / 576 for r in (1, 12)]
    assert densities[0] < DENSE_ABOVE < densities[1]


@pytest.mark.parametrize("r", [1, 8])
def test_overlapping_adapters_each_get_their_share(r: int) -> None:
    layer = adapter_layer("Linear", 20, 20, r, seeds=(1, 2, 3), scale=0.5)
    assert torch.isin(layer.get_adapter("a1").positions, layer.get_adapter("a2").positions).any()
    reference, weight = dense(layer)
    x = torch.randn(4, 20, dtype=torch.float64)
    torch.testing.assert_close(layer(x), reference(x), rtol=1e-12, atol=1e-12)
    loss_of(layer(x)).backward()
    loss_of(reference(x)).backward()
    assert_masked_gradient(layer, weight)


def test_gradients_accumulate() -> None:
    layer = adapter_layer("Linear", 8, 6, 1)
    reference, weight = dense(layer)
    for x in torch.randn(3, 4, 8, dtype=torch.float64):
        loss_of(layer(x)).backward()
        loss_of(reference(x)).backward()
    assert_masked_gradient(layer, weight)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_gives_the_same_gradients(use_reentrant: bool) -> None:
    layer = adapter_layer("Linear", 8, 8, 1)
    reference, weight = dense(layer)
    for x in torch.randn(2, 4, 8, dtype=torch.float64).requires_grad_(True):
        loss_of(checkpoint(lambda x: layer(torch.tanh(layer(x))), x, use_reentrant=use_reentrant)).backward()
        loss_of(reference(torch.tanh(reference(x)))).backward()
    assert_masked_gradient(layer, weight)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_checkpointed_model_trains_as_an_ordinary_one(use_reentrant: bool) -> None:
    def gradients(checkpointing: bool) -> list[Tensor]:
        model = tiny_opt().double()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
        model = adapted(model, ShiraConfig(r=1, target_modules=["q_proj", "fc1", "fc2"], random_seed=0)).train()
        ids = tokens()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        return [layer.shira_weight["default"].grad for layer in layers(model)]

    for a, b in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_two_forwards_before_one_backward() -> None:
    layer = adapter_layer("Linear", 8, 6, 1)
    reference, weight = dense(layer)
    a, b = torch.randn(2, 4, 8, dtype=torch.float64)
    (loss_of(layer(a)) + loss_of(layer(b))).backward()
    (loss_of(reference(a)) + loss_of(reference(b))).backward()
    assert_masked_gradient(layer, weight)


def test_an_update_between_two_forwards_is_seen_by_the_second_and_kept_from_the_first() -> None:
    layer = adapter_layer("Linear", 6, 6, 1)
    values = layer.shira_weight["a1"]
    a, b = torch.randn(2, 4, 6, dtype=torch.float64).requires_grad_(True)
    a.retain_grad()
    first_reference, first_weight = dense(layer)
    first = layer(a)
    with torch.no_grad():
        values.mul_(3)
    second_reference, second_weight = dense(layer)
    second = layer(b)
    torch.testing.assert_close(second, second_reference(b))
    (loss_of(first) + loss_of(second)).backward()
    x = a.detach().clone().requires_grad_(True)
    (loss_of(first_reference(x)) + loss_of(second_reference(b.detach()))).backward()
    torch.testing.assert_close(a.grad, x.grad, rtol=1e-12, atol=1e-12)
    first_weight.grad += second_weight.grad
    assert_masked_gradient(layer, first_weight)


def test_an_update_between_forward_and_backward_that_rewrites_the_weight_raises() -> None:
    layer = adapter_layer("Linear", 6, 6, 1)
    loss = loss_of(layer(torch.randn(4, 6, dtype=torch.float64, requires_grad=True)))
    layer.merge()
    layer.unmerge()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_reference_pass_of_preference_training_may_come_between() -> None:
    model = adapted(MLP().double(), ShiraConfig(r=1, target_modules=["lin0", "lin1"], random_seed=0))
    x = torch.randn(4, 10, dtype=torch.float64)
    with model.disable_adapter(), torch.no_grad():
        base = model(x)
    loss_of(model(x)).backward()
    expected = [layer.shira_weight["default"].grad.clone() for layer in layers(model)]
    model.zero_grad()

    policy = model(x)
    with model.disable_adapter(), torch.no_grad():
        assert torch.equal(model(x), base)
    loss_of(policy).backward()
    for layer, gradient in zip(layers(model), expected, strict=True):
        assert torch.equal(layer.shira_weight["default"].grad, gradient)
    assert not torch.equal(model(x), base)


def test_autocast_agrees_with_float32_within_bfloat16() -> None:
    model = adapted(MLP(), ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0))
    x = torch.randn(32, 10)

    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(x).float().square().mean().backward()
        return [layer.shira_weight["default"].grad.clone() for layer in layers(model)]

    exact = gradients()
    with torch.autocast("cpu", torch.bfloat16):
        rough = gradients()
    for a, b in zip(exact, rough, strict=True):
        assert b.dtype == torch.float32
        assert float((a - b).norm() / a.norm()) < 0.03


def test_an_output_layer_tied_to_the_embedding_learns_without_changing_the_embedding() -> None:
    model = tiny_opt(tie_word_embeddings=True).double()
    assert model.lm_head.weight is model.model.decoder.embed_tokens.weight
    model = adapted(model, ShiraConfig(r=1, target_modules=["lm_head"], random_seed=0))
    (layer,) = layers(model)
    embedding = model.get_input_embeddings().weight.clone()
    ids = tokens()
    hidden = model.base_model.model.model(ids).last_hidden_state.detach()
    model(input_ids=ids, labels=ids).loss.backward()
    reference, weight = dense(layer)
    logits = reference(hidden)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    assert_masked_gradient(layer, weight, 1e-6)  # the model takes its loss in float32
    assert torch.equal(model.get_input_embeddings().weight, embedding)
