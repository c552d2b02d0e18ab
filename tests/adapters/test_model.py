"""Adapters on whole models: who trains, what is targeted, which names are allowed, and what is left when it fails."""

import copy
from collections.abc import Callable

import pytest
import torch
from tiny import MLP, adapted, fill_randomly, layers, same_bits, snapshot, tiny_classifier, tiny_opt, tokens
from torch import Tensor, nn
from transformers import LogitsProcessor

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError, ConfigError
from shira_lab.layers import AdapterLayer

CONFIG = ShiraConfig(r=1, target_modules=["q_proj", "v_proj"], random_seed=0)


def paths(model: PeftModel) -> list[str]:
    return [path for path, _ in model.base_model.adapter_layers()]


# ---- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [CONFIG, LoraConfig(r=2, target_modules=["q_proj", "v_proj"])])
def test_an_optimizer_step_over_all_parameters_changes_adapter_values_only(config: ShiraConfig | LoraConfig) -> None:
    model = get_peft_model(tiny_opt(), config).train()
    before = snapshot(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(input_ids=tokens(), labels=tokens()).loss.backward()
        optimizer.step()
    for name, value in snapshot(model).items():
        assert torch.equal(value, before[name]) == ("shira_weight" not in name and "lora_" not in name), name


def test_only_the_values_of_active_adapters_train() -> None:
    model = get_peft_model(tiny_opt(), CONFIG)
    model.add_adapter("second", CONFIG)

    def training() -> set[str]:
        return {name.split(".")[-2] for name, p in model.named_parameters() if p.requires_grad}

    assert training() == {"default"}
    model.set_adapter("second")
    assert training() == {"second"}
    model.set_adapter(["default", "second"])
    assert training() == {"default", "second"}
    model.set_adapter("default", inference_mode=True)
    assert training() == set()
    model.delete_adapter("second")
    assert training() == set(), "deleting an inactive adapter should not make another one train"


def test_the_trainable_count_is_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    model = get_peft_model(tiny_opt(), CONFIG)
    trainable, total = model.get_nb_trainable_parameters()
    assert trainable == 4 * 1 * (16 + 16) and total == sum(p.numel() for p in tiny_opt().parameters()) + trainable
    model.print_trainable_parameters()
    assert capsys.readouterr().out.startswith(f"trainable params: 128 || all params: {total:,d} || trainable%: ")


def test_naming_an_adapter_twice_does_not_count_it_twice() -> None:
    model = adapted(tiny_opt(), CONFIG)
    once = model(tokens()).logits
    model.set_adapter(["default", "default"])
    assert model.active_adapters == ["default"] and torch.equal(model(tokens()).logits, once)


def test_generate_equals_a_greedy_loop() -> None:
    model = adapted(tiny_opt(), CONFIG)
    ids = tokens(1, 4)
    expected = ids
    with torch.no_grad():
        for _ in range(6):
            expected = torch.cat([expected, model(expected).logits[:, -1:].argmax(-1)], 1)
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    assert torch.equal(model.generate(input_ids=ids, **options), expected)
    assert torch.equal(model.generate(ids, **options), expected)
    layers(model)[0].shira_weight["default"].data.add_(1)
    assert not torch.equal(model(ids).logits, tiny_opt()(ids).logits)


def test_set_mask_keeps_the_values_at_positions_that_stay() -> None:
    model = adapted(MLP(), ShiraConfig(r=3, target_modules=["lin1"], random_seed=0))
    (layer,) = layers(model)
    before, x = layer.get_delta_weight("default").detach(), torch.randn(2, 10)
    model(x)
    model.set_mask("default", ShiraConfig(r=3, mask_type="magnitude"))
    after = layer.get_delta_weight("default").detach()
    mask = torch.zeros(400)
    mask[layer.base_weight().abs().flatten().topk(120).indices] = 1
    assert torch.equal(after, before * mask.view(20, 20))
    torch.testing.assert_close(
        layer(x @ torch.ones(10, 20)), x @ torch.ones(10, 20) @ (layer.base_weight() + after).t()
    )
    config = model.peft_config["default"]
    assert (config.mask_type, config.target_modules) == ("magnitude", {"lin1"})


def test_set_mask_calibrates_on_the_layers_of_the_adapter() -> None:
    model = adapted(tiny_opt(), CONFIG)
    batch = {"input_ids": tokens(), "labels": tokens()}
    model.set_mask("default", ShiraConfig(r=1, mask_type="gradient"), calibration=[batch])
    expected = get_peft_model(tiny_opt(), CONFIG.copy(mask_type="gradient"), calibration=[batch])
    for ours, theirs in zip(layers(model), layers(expected), strict=True):
        assert torch.equal(ours.adapters["default"].positions, theirs.adapters["default"].positions)


def test_set_mask_refuses_another_size_or_kind_and_changes_nothing() -> None:
    model = adapted(MLP(), ShiraConfig(r=3, target_modules=["lin0", "lin1"], rank_pattern={"lin1": 2}, random_seed=0))
    model.add_adapter("lora", LoraConfig(r=2, target_modules=["lin1"]))
    before = snapshot(model), [layer.adapters["default"].positions for layer in layers(model)]
    with pytest.raises(AdapterError, match=r"The new mask has 120 positions; adapter 'default' has 80 values. Keep r"):
        model.set_mask("default", ShiraConfig(r=3, mask_type="struct"))
    with pytest.raises(AdapterError, match="Adapter 'lora' is a LoRA adapter; only SHiRA adapters have a mask"):
        model.set_mask("lora", ShiraConfig(r=2))
    assert same_bits(before[0], snapshot(model))
    assert all(a is layer.adapters["default"].positions for a, layer in zip(before[1], layers(model), strict=True))


# ---- merging for good -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merged_before", [False, True])
def test_merge_and_unload_leaves_a_plain_model_with_the_same_outputs(merged_before: bool) -> None:
    base = tiny_opt(tie_word_embeddings=True).double()
    names = set(base.state_dict())
    model = adapted(base, ShiraConfig(r=1, target_modules=["q_proj", "lm_head"], random_seed=0))
    before = model(tokens()).logits
    if merged_before:
        with pytest.raises(AdapterError, match="weight is shared with another module, so an adapter cannot be merged"):
            model.merge_adapter()
        assert not any(layer.merged for layer in layers(model))
    plain = model.merge_and_unload()
    assert plain is base and not any(isinstance(m, AdapterLayer) for m in plain.modules())
    assert set(plain.state_dict()) == names
    torch.testing.assert_close(plain(tokens()).logits, before)


def test_a_shared_weight_stands_in_the_way_only_of_its_own_adapters() -> None:
    model = adapted(tiny_opt(tie_word_embeddings=True), CONFIG)
    model.add_adapter("head", ShiraConfig(r=1, target_modules=["lm_head"], random_seed=0))
    model.merge_adapter()
    assert [layer.merged for layer in layers(model)] == [True] * 4 + [False]


def test_merge_and_unload_of_a_chosen_adapter() -> None:
    model = adapted(MLP().double(), ShiraConfig(r=1, target_modules=["lin1"], random_seed=0))
    model.add_adapter("second", ShiraConfig(r=1, target_modules=["lin0"], random_seed=0))
    fill_randomly(model, 3)
    model.set_adapter("second")
    x = torch.randn(2, 10, dtype=torch.float64)
    expected = model(x)
    torch.testing.assert_close(model.merge_and_unload(adapter_names=["second"])(x), expected)


def test_one_module_in_two_places_keeps_its_weight() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Sequential(nn.Linear(8, 8))
            self.b = nn.Sequential(self.a[0])

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.tanh(self.a(x)))

    base = Twice().double()
    weight, bias = base.a[0].weight.clone(), base.a[0].bias
    model = adapted(base, ShiraConfig(r=1, target_modules=["0"], random_seed=0))
    a, b = layers(model)
    x = torch.randn(3, 8, dtype=torch.float64)
    linear = nn.functional.linear
    expected = linear(
        torch.tanh(linear(x, weight + a.get_delta_weight("default"), bias)),
        weight + b.get_delta_weight("default"),
        bias,
    )
    for _ in range(2):
        torch.testing.assert_close(model(x), expected)
    assert torch.equal(a.weight, weight)


# ---- modules that train in full ------------------------------------------------------------------------------------


def test_a_saved_module_trains_beside_the_adapter_and_the_original_stays() -> None:
    base = tiny_classifier()
    head = base.score.weight.detach().clone()
    model = get_peft_model(base, CONFIG.copy(modules_to_save=["score"])).train()
    model.add_adapter("second", CONFIG)
    model.add_adapter("third", CONFIG.copy(modules_to_save=["score"]))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(tokens(), labels=torch.tensor([0, 2])).loss.backward()
    optimizer.step()
    score = model.base_model.model.score
    assert not torch.equal(score.weight, head) and torch.equal(score.original_module.weight, head)
    assert torch.equal(score.modules_to_save["third"].weight, head)
    assert {name for name, p in model.named_parameters() if p.requires_grad and "score" in name} == {
        "base_model.model.score.modules_to_save.default.weight"
    }
    with model.disable_adapter():
        assert torch.equal(score.weight, head)
    model.set_adapter("second")
    assert torch.equal(score.weight, head)
    with pytest.raises(
        AdapterError, match="Only one adapter can be set at a time for ModulesToSaveWrapper: default, third"
    ):
        model.set_adapter(["default", "third"])
    model.set_adapter(["default", "second"])
    assert torch.equal(copy.deepcopy(model).unload().score.weight, head)
    assert torch.equal(model.merge_and_unload().score.weight, score.modules_to_save["default"].weight)


def test_an_adapter_takes_its_saved_module_with_it_when_it_is_deleted() -> None:
    base = tiny_classifier()
    head = base.score.weight.detach().clone()
    model = get_peft_model(base, CONFIG.copy(modules_to_save=["score"]))
    model.add_adapter("second", CONFIG.copy(modules_to_save=["score"]))
    score = model.base_model.model.score
    with torch.no_grad():
        score.modules_to_save["default"].weight.add_(1)
        score.modules_to_save["second"].weight.add_(2)
    model.delete_adapter("second")
    assert list(score.modules_to_save) == ["default"] and torch.equal(score.weight, head + 1)
    model.delete_adapter("default")
    assert not score.modules_to_save and torch.equal(score.weight, head) and score.in_features == 16


def test_a_saved_module_is_no_target() -> None:
    assert paths(get_peft_model(MLP(), ShiraConfig(r=1, target_modules="all-linear", modules_to_save=["lin1"]))) == [
        "lin0",
        "lin2",
    ]
    model = get_peft_model(MLP(), ShiraConfig(r=1, target_modules=["lin0"]))
    with pytest.raises(ConfigError, match="`modules_to_save`: 'lin0' carries another adapter; delete that one first"):
        model.add_adapter("second", ShiraConfig(r=1, target_modules=["lin1"], modules_to_save=["lin0"]))
    with pytest.raises(
        ConfigError, match=r"`modules_to_save`: no module is named 'head'. The top ones are lin0, lin1, lin2"
    ):
        model.add_adapter("second", ShiraConfig(r=1, target_modules=["lin1"], modules_to_save=["head"]))


@pytest.mark.parametrize("labels", [False, True])
def test_who_takes_the_base_model_for_a_backbone_gets_hidden_states(labels: bool) -> None:
    model, ids = adapted(tiny_opt(), ShiraConfig(r=1, target_modules=["q_proj"], random_seed=0)).eval(), tokens()
    inputs = {"input_ids": ids, "labels": ids} if labels else {"input_ids": ids}
    output = model.base_model(**inputs, use_cache=False)
    assert torch.equal(model.get_output_embeddings()(output.last_hidden_state), output.logits)
    plain = model(**inputs, use_cache=False)
    assert torch.equal(plain.logits, output.logits) and "hidden_states" not in plain
    assert isinstance(model.base_model(**inputs, return_dict=False), tuple)
    assert "last_hidden_state" not in model.base_model(**inputs, output_hidden_states=False)


class Contrasts(LogitsProcessor):
    """Asks the model itself, with another adapter, between two steps of ``generate``."""

    def __init__(self, model: PeftModel, ask: Callable[[PeftModel, Tensor], Tensor]) -> None:
        self.model, self.ask = model, ask

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores - self.ask(self.model, input_ids)


def without(model: PeftModel, ids: Tensor) -> Tensor:
    with model.disable_adapter():
        return model(ids).logits[:, -1]


def scaled(model: PeftModel, ids: Tensor) -> Tensor:
    model.set_scale("default", 3.0)
    found = model(ids).logits[:, -1]
    model.set_scale("default", 1.0)
    return found


def switched(model: PeftModel, ids: Tensor) -> Tensor:
    model.set_adapter("other")
    found = model(ids).logits[:, -1]
    model.set_adapter("default")
    return found


@pytest.mark.parametrize("ask", [without, scaled, switched])
def test_switches_inside_generate_act_at_once_and_end_when_they_end(ask: Callable[[PeftModel, Tensor], Tensor]) -> None:
    config = ShiraConfig(r=2, target_modules=["q_proj", "fc1"], random_seed=0)
    model = adapted(tiny_opt(tie_word_embeddings=False), config).eval()
    model.add_adapter("other", config.copy(random_seed=1))
    fill_randomly(model, size=1.0)
    ids = tokens(2, 4)
    found = model.generate(ids, logits_processor=[Contrasts(model, ask)], max_new_tokens=6, eos_token_id=None)
    with torch.no_grad():
        for _ in range(6):
            scores = model(ids).logits[:, -1] - ask(model, ids)
            ids = torch.cat([ids, scores.argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(found, ids)


@pytest.mark.parametrize("names", [["default"], ["default", "other"]])
def test_what_is_merged_is_what_is_saved_copied_and_sent(names: list[str]) -> None:
    config = ShiraConfig(r=2, target_modules=["lin1"], random_seed=0)
    model = get_peft_model(MLP(), config)
    model.add_adapter("other", config.copy(random_seed=1))
    fill_randomly(model)
    base = snapshot(model)["base_model.model.lin1.base_layer.weight"]
    model.merge_adapter(names)
    merged = dict(model.named_parameters())["base_model.model.lin1.base_layer.weight"]
    assert not torch.equal(merged, base)
    assert torch.equal(model.state_dict()["base_model.model.lin1.base_layer.weight"], merged)
    assert torch.equal(copy.deepcopy(model).state_dict()["base_model.model.lin1.base_layer.weight"], merged)
    model.unmerge_adapter()
    assert torch.equal(merged, base)
