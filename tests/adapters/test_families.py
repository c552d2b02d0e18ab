"""The same promises, kept by every family of models: attach, train, switch off, save, load, merge, generate."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from tiny import fill_randomly, layers, opt_config, same_bits, snapshot, tokens
from torch import Tensor, nn

from shira_lab import PeftModel, ShiraConfig, get_peft_model
from shira_lab.layers import AdapterLayer

SIZES = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
LONG = {"max_position_embeddings": 32}
GROUPED = {**SIZES, **LONG, "num_key_value_heads": 1}
WIDE_HEADS = {**GROUPED, "head_dim": 8}

FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "opt": lambda: hf.OPTForCausalLM(opt_config(num_hidden_layers=3)),
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2, n_positions=32)),
    "gpt_neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**SIZES, **LONG)),
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**GROUPED)),
    "llama, tied": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**GROUPED, tie_word_embeddings=True)),
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**GROUPED)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**WIDE_HEADS)),
    "gemma": lambda: hf.GemmaForCausalLM(hf.GemmaConfig(**WIDE_HEADS)),
    "gemma2": lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**WIDE_HEADS)),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**GROUPED)),
    "bert": lambda: hf.BertForSequenceClassification(hf.BertConfig(**SIZES, **LONG, num_labels=3)),
}
TIED = {"opt", "gpt2", "llama, tied", "gemma", "gemma2"}
every_family = pytest.mark.parametrize("family", FAMILIES)
every_decoder = pytest.mark.parametrize("family", [name for name in FAMILIES if name != "bert"])


def base(family: str) -> nn.Module:
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def config(family: str, **fields: object) -> ShiraConfig:
    """The specification's head for a task, where there is one."""
    heads = {"modules_to_save": ["classifier"]} if family == "bert" else {}
    stored_as_in_out = family == "gpt2" and fields.get("target_modules") != ["lm_head"]
    common = {"target_modules": "all-linear", "fan_in_fan_out": stored_as_in_out, **heads}
    return ShiraConfig(r=1, random_seed=0, **{**common, **fields})


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        output: Tensor = model(input_ids=tokens()).logits
        return output


def trained(family: str) -> PeftModel:
    """After three steps of AdamW."""
    model = get_peft_model(base(family), config(family)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    labels = torch.tensor([0, 2]) if family == "bert" else tokens()
    losses = []
    for _ in range(3):
        loss = model(input_ids=tokens(), labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    return model.eval()


@every_family
def test_a_family_goes_the_whole_way(family: str, tmp_path: Path) -> None:
    untouched = snapshot(base(family))
    expected = logits(base(family))
    model = trained(family)
    learned = logits(model)
    assert not torch.allclose(learned, expected, atol=1e-4)
    with model.disable_adapter():
        assert torch.equal(logits(model), expected)
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(base(family), tmp_path)
    assert torch.equal(logits(again), learned)
    torch.testing.assert_close(logits(again.merge_and_unload()), learned, rtol=1e-4, atol=1e-5)
    bare = model.unload()
    assert same_bits(snapshot(bare), untouched) and torch.equal(logits(bare), expected)


@every_decoder
def test_a_family_generates_alike_with_the_adapter_beside_and_inside(family: str) -> None:
    model = fill_randomly(get_peft_model(base(family), config(family)), size=0.5)
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    told = model.generate(input_ids=tokens(), **options)
    plain = base(family).generate(input_ids=tokens(), **options)
    assert told.shape == plain.shape and not torch.equal(told, plain)
    assert torch.equal(told, model.merge_and_unload().generate(input_ids=tokens(), **options))


@every_decoder
def test_an_adapter_on_the_head_leaves_a_tied_embedding_as_it_is(family: str) -> None:
    plain = base(family)
    head = next(path for path, module in plain.named_modules() if module is plain.get_output_embeddings())
    words = plain.get_input_embeddings().weight
    assert (plain.get_output_embeddings().weight is words) == (family in TIED)
    before, expected = words.detach().clone(), logits(plain)
    model = fill_randomly(get_peft_model(plain, config(family, target_modules=[head.rsplit(".", 1)[-1]])), size=0.5)
    learned = logits(model)
    assert not torch.allclose(learned, expected, atol=1e-4)
    assert torch.equal(words, before)
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged), learned, rtol=1e-4, atol=1e-5)
    assert torch.equal(merged.get_input_embeddings().weight, before)


@every_decoder
def test_ties_are_kept_by_adapters_elsewhere(family: str) -> None:
    merged = fill_randomly(get_peft_model(base(family), config(family)), size=0.5).merge_and_unload()
    tied = merged.get_output_embeddings().weight is merged.get_input_embeddings().weight
    assert tied == (family in TIED)


@every_family
def test_layers_can_be_chosen_left_out_and_given_another_size(family: str) -> None:
    def adapted(**fields: object) -> dict[str, AdapterLayer]:
        return dict(get_peft_model(base(family), config(family, **fields)).base_model.adapter_layers())

    everywhere = adapted()
    second = adapted(layers_to_transform=[1])
    assert second and set(second) == {path for path in everywhere if ".1." in path}
    name = next(iter(everywhere)).rsplit(".", 1)[-1]
    without = adapted(exclude_modules=[name])
    assert set(everywhere) - set(without) == {path for path in everywhere if path.endswith(f".{name}")} != set()
    sizes = adapted(rank_pattern={name: 2})
    assert {layer.r["default"] for path, layer in sizes.items() if path.endswith(f".{name}")} == {2}
    assert {layer.r["default"] for path, layer in sizes.items() if not path.endswith(f".{name}")} == {1}


def test_the_head_of_a_classifier_trains_in_full_and_is_saved(tmp_path: Path) -> None:
    model = trained("bert")
    fresh = base("bert").classifier.weight
    assert all(path != "classifier" for path, _ in model.base_model.adapter_layers())
    assert not torch.equal(model.get_base_model().classifier.weight, fresh)
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(base("bert"), tmp_path).get_base_model()
    assert torch.equal(again.classifier.weight, model.get_base_model().classifier.weight)


@every_family
def test_every_family_has_default_layers(family: str) -> None:
    assert layers(get_peft_model(base(family), config(family, target_modules=None)))
