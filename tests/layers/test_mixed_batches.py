"""Each row of a mixed batch gets what its own adapter gives it alone; what cannot be honoured is refused."""

import pytest
import torch
from tiny import fill_randomly, layers, tiny_classifier, tiny_opt, tokens
from torch import Tensor

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError

NAMES = ["sea", "__base__", "lora", "sea", "space"]
SEA = ShiraConfig(r=1, target_modules=["q_proj", "v_proj", "fc1"], random_seed=0)


def three_adapters(dtype: torch.dtype = torch.float64, **changes: object) -> PeftModel:
    model = get_peft_model(tiny_opt(**changes).to(dtype), SEA, "sea")
    model.add_adapter("space", ShiraConfig(r=2, target_modules=["v_proj", "fc2"], random_seed=1, scale=0.5))
    model.add_adapter("lora", LoraConfig(r=2, target_modules=["q_proj", "fc1"]))
    return fill_randomly(model).eval()


def activate(model: PeftModel, name: str) -> None:
    model.set_adapter([] if name == "__base__" else name, inference_mode=True)


@torch.no_grad()
def alone(model: PeftModel, ids: Tensor, names: list[str]) -> Tensor:
    rows = []
    for row, name in zip(ids, names, strict=True):
        activate(model, name)
        rows.append(model(row.unsqueeze(0)).logits)
    return torch.cat(rows)


# Matrix products of another number of rows round differently, by a few units in the last place.
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_each_row_gets_what_it_would_get_alone(dtype: torch.dtype, tolerance: float) -> None:
    model, ids = three_adapters(dtype), tokens(5)
    expected = alone(model, ids, NAMES)
    assert len({row.sum().item() for row in expected.round(decimals=6)}) == 5
    for active in ("sea", "__base__", "lora"):
        activate(model, active)
        before = model(ids).logits
        mixed = model(input_ids=ids, adapter_names=NAMES).logits
        torch.testing.assert_close(mixed, expected, rtol=0, atol=tolerance)
        assert not mixed.requires_grad
        assert torch.equal(model(ids).logits, before), "a mixed batch should leave nothing behind"


def test_a_layer_gives_each_group_of_rows_the_bits_of_its_adapter() -> None:
    model, x = three_adapters(torch.float32), torch.randn(5, 7, 16)
    for layer in layers(model):
        if layer.in_features != 16:
            continue
        layer.adapter_names = NAMES
        with torch.no_grad():
            mixed = layer(x)
        layer.adapter_names = None
        for name in set(NAMES):
            activate(model, name)
            mine = [i for i, other in enumerate(NAMES) if other == name]
            with torch.no_grad():
                assert torch.equal(mixed[mine], layer(x[mine]))


def test_a_weight_that_others_share_stays_untouched() -> None:
    model = three_adapters(tie_word_embeddings=True)
    model.add_adapter("head", ShiraConfig(r=1, target_modules=["lm_head"], random_seed=0))
    fill_randomly(model)
    names = ["head", "__base__", "sea"]
    expected = alone(model, tokens(3), names)
    torch.testing.assert_close(model(tokens(3), adapter_names=names).logits, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"num_return_sequences": 2, "num_beams": 3}])
def test_generate_gives_each_row_what_it_would_get_alone(options: dict[str, int]) -> None:
    model, ids = three_adapters(), tokens(5, 4)
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "eos_token_id": None, **options}
    rows = []
    for row, name in zip(ids, NAMES, strict=True):
        activate(model, name)
        rows.append(model.generate(input_ids=row.unsqueeze(0), **options))
    assert torch.equal(model.generate(input_ids=ids, adapter_names=NAMES, **options), torch.cat(rows))
    assert torch.equal(model.generate(ids, adapter_names=NAMES, **options), torch.cat(rows))


def test_disabled_all_rows_are_the_base_models() -> None:
    model, ids = three_adapters(), tokens(5)
    with model.disable_adapter(), torch.no_grad():
        assert torch.equal(model(ids, adapter_names=NAMES).logits, model(ids).logits)


def test_what_cannot_be_honoured_raises() -> None:
    model, ids = three_adapters(), tokens(2)
    with pytest.raises(AdapterError, match=r"Adapter mars does not exist: this model has \['sea', 'space', 'lora'\]"):
        model(ids, adapter_names=["sea", "mars"])
    for call in (model, model.generate):
        with pytest.raises(AdapterError, match="the same as the number of inputs, but got 1 and 2 respectively"):
            call(input_ids=ids, adapter_names=["sea"])
    with pytest.raises(AdapterError, match="`adapter_names` should be a list, one name for each sample; got 'sea'"):
        model(ids, adapter_names="sea")
    model.train()
    with pytest.raises(AdapterError, match="Cannot pass `adapter_names` when the model is in training mode"):
        model(ids, adapter_names=["sea", "space"])
    model.eval().merge_adapter(["sea"])
    with pytest.raises(AdapterError, match="when there are merged adapters, please call `unmerge_adapter` first"):
        model(ids, adapter_names=["sea", "space"])
    model.unmerge_adapter()
    with pytest.raises(AdapterError, match=r"`?'__base__'`? cannot be an adapter name"):
        model.add_adapter("__base__", SEA)
    layer = layers(model)[0]
    layer.adapter_names = ["sea", "space"]
    with pytest.raises(AdapterError, match="A layer was given 3 rows for a batch of 2 samples"):
        layer(torch.zeros(3, 16, dtype=torch.float64))


def test_an_adapter_with_modules_of_its_own_is_refused_and_does_not_reach_other_rows() -> None:
    model = get_peft_model(tiny_classifier(), SEA.copy(modules_to_save=["score"]), "own").eval()
    model.add_adapter("plain", SEA)
    fill_randomly(model)
    model.base_model.model.score.modules_to_save["own"].weight.data.mul_(2)
    with pytest.raises(AdapterError, match=r"Cannot pass 'own' in `adapter_names`: it has whole modules of its own"):
        model(tokens(2), adapter_names=["own", "plain"])
    mixed = model(tokens(2), adapter_names=["__base__", "plain"]).logits
    model.set_adapter("plain", inference_mode=True)
    torch.testing.assert_close(mixed[1], model(tokens(2)).logits[1], rtol=1e-5, atol=1e-6)
