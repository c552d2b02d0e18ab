"""The promises that PEFT's own suites check for SHiRA, kept on every family of architecture they run on."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from tiny import fill_randomly, layers, same_bits, snapshot, tokens
from torch import Tensor, nn

from shira_lab import PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError

DECODER = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2, "max_position_embeddings": 32}

MODELS: dict[str, Callable[[], nn.Module]] = {
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32)),
    "gpt_neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**DECODER, **HEADS)),
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**DECODER, **HEADS, num_key_value_heads=1)),
    "bert": lambda: hf.BertForSequenceClassification(hf.BertConfig(**DECODER, **HEADS)),
    "t5": lambda: hf.T5ForConditionalGeneration(
        hf.T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0)
    ),
}
GENERATES = [name for name in MODELS if name != "bert"]
every_model = pytest.mark.parametrize("name", MODELS)


def base(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def config(name: str, **changes: object) -> ShiraConfig:
    """Targets are left to the package's default for the architecture."""
    return ShiraConfig(r=1, random_seed=0, fan_in_fan_out=name == "gpt2").copy(**changes)


def adapted(name: str) -> PeftModel:
    return fill_randomly(get_peft_model(base(name), config(name)), size=0.5)


def inputs(name: str) -> dict[str, Tensor]:
    return {"input_ids": tokens()} | ({"decoder_input_ids": tokens()} if name == "t5" else {})


def run(model: nn.Module, name: str) -> Tensor:
    with torch.no_grad():
        return model(**inputs(name)).logits


@every_model
def test_a_new_adapter_is_the_base_model_and_values_change_it(name: str) -> None:
    expected = run(base(name), name)
    model = get_peft_model(base(name), config(name))
    assert torch.equal(run(model, name), expected)
    assert not torch.allclose(run(fill_randomly(model, size=0.5), name), expected, atol=1e-4)
    with model.disable_adapter():
        assert torch.equal(run(model, name), expected)


@every_model
def test_only_adapter_values_train(name: str) -> None:
    model = get_peft_model(base(name), config(name)).train()
    before = snapshot(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    run_loss = model(**inputs(name)).logits.square().mean()
    run_loss.backward()
    optimizer.step()
    changed = {key for key, value in snapshot(model).items() if not torch.equal(value, before[key])}
    assert changed == {key for key in before if key.endswith("default.shira_weight")}


@every_model
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_trains(name: str, use_reentrant: bool) -> None:
    def gradients(checkpointing: bool) -> list[Tensor]:
        model = base(name)
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
        model = fill_randomly(get_peft_model(model, config(name)))
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        model(**inputs(name)).logits.square().mean().backward()
        return [layer.shira_weight["default"].grad for layer in layers(model)]

    for a, b in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


@every_model
@pytest.mark.parametrize("adapter", ["default", "default_other", "x"])
def test_saved_and_loaded_the_outputs_are_equal(name: str, adapter: str, tmp_path: Path) -> None:
    model = adapted(name)
    model.add_adapter("default_other", config(name, random_seed=5))
    model.add_adapter("x", config(name, r=2))
    fill_randomly(model, size=0.5)
    model.set_adapter(adapter)
    model.save_pretrained(tmp_path)
    folder = tmp_path if adapter == "default" else tmp_path / adapter
    back = PeftModel.from_pretrained(base(name), folder)
    assert torch.equal(run(back, name), run(model, name))


@every_model
def test_merged_unmerged_and_unloaded_the_outputs_agree(name: str) -> None:
    expected = run(base(name), name)
    model = adapted(name)
    active = run(model, name)
    model.merge_adapter(safe_merge=True)
    torch.testing.assert_close(run(model, name), active, rtol=1e-4, atol=1e-5)
    with model.disable_adapter():
        assert torch.equal(run(model, name), expected)
    torch.testing.assert_close(run(model, name), active, rtol=1e-4, atol=1e-5)
    model.unmerge_adapter()
    torch.testing.assert_close(run(model, name), active, rtol=1e-4, atol=1e-5)
    merged = copy.deepcopy(model).merge_and_unload()
    torch.testing.assert_close(run(merged, name), active, rtol=1e-4, atol=1e-5)
    unloaded = model.unload()
    assert same_bits(snapshot(unloaded), snapshot(base(name)))
    assert torch.equal(run(unloaded, name), expected)


@every_model
def test_several_adapters_merge_together(name: str) -> None:
    model = adapted(name)
    model.add_adapter("second", config(name, random_seed=5))
    fill_randomly(model, 3, size=0.5)
    model.set_adapter(["default", "second"])
    both = run(model, name)
    model.merge_adapter(["default", "second"])
    torch.testing.assert_close(run(model, name), both, rtol=1e-4, atol=1e-5)


@every_model
def test_adapters_can_be_deleted_active_or_not(name: str) -> None:
    model = adapted(name)
    expected = run(model, name)
    model.add_adapter("second", config(name, random_seed=5))
    model.delete_adapter("second")
    assert torch.equal(run(model, name), expected) and model.active_adapters == ["default"]
    model.add_adapter("second", config(name, random_seed=5))
    model.delete_adapter("default")
    assert torch.equal(run(model, name), run(base(name), name)) and model.active_adapters == ["second"]
    with pytest.raises(AdapterError, match="Adapter default does not exist"):
        model.delete_adapter("default")


@every_model
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_run_and_train(name: str, dtype: torch.dtype) -> None:
    model = fill_randomly(get_peft_model(base(name).to(dtype), config(name)))
    output = model(**inputs(name)).logits
    assert output.dtype == dtype
    output.float().square().mean().backward()
    for layer in layers(model):
        assert layer.shira_weight["default"].grad.dtype == torch.float32


@pytest.mark.parametrize("name", GENERATES)
def test_generate_takes_inputs_by_name_and_by_place(name: str) -> None:
    model = adapted(name)
    options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    by_name = model.generate(input_ids=tokens(), **options)
    assert torch.equal(by_name, model.generate(tokens(), **options))
    assert torch.equal(by_name, model.merge_and_unload().generate(tokens(), **options))
