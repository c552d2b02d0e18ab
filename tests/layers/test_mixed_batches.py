"""Each row of a mixed batch gets what its own adapter gives it alone; what cannot be honoured is refused."""

import threading
from collections.abc import Callable

import pytest
import torch
import transformers as hf
from tiny import MLP, fill_randomly, tiny_classifier, tiny_opt, tokens
from tiny_lm import tiny_lm
from torch import Tensor, nn

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


def test_an_adapter_with_modules_of_its_own_gets_them_and_no_other_row_does() -> None:
    model = get_peft_model(tiny_classifier(), SEA.copy(modules_to_save=["score"]), "own").eval()
    model.add_adapter("plain", SEA)
    fill_randomly(model)
    model.base_model.model.score.modules_to_save["own"].weight.data.mul_(2)
    names = ["own", "plain", "__base__", "own"]
    torch.testing.assert_close(model(tokens(4), adapter_names=names).logits, alone(model, tokens(4), names))


class Reorders(nn.Module):
    """Embeds ids (samples, length) and hands a linear layer rows that do not lie together sample by sample."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.emb, self.lin = how, nn.Embedding(64, 16), nn.Linear(16, 16)
        self.places = nn.Parameter(torch.randn(8, 16))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        h = self.emb(input_ids)
        if self.how == "sequence first":
            return self.lin(h.transpose(0, 1)).transpose(0, 1)
        if self.how == "position projections":
            return h + self.lin(self.places)[: h.shape[1]]
        if self.how == "an expert's tokens":
            chosen = h[..., 0] > 0
        else:
            assert attention_mask is not None
            chosen = attention_mask.bool()
        out = torch.zeros_like(h)
        out[chosen] = self.lin(h[chosen])
        return out


@pytest.mark.parametrize("how", ["sequence first", "position projections", "an expert's tokens", "unpadded"])
@pytest.mark.parametrize("kind", ["shira", "lora"])
def test_rows_that_a_model_turns_around_inside_keep_their_adapters(how: str, kind: str) -> None:
    def config(seed: int) -> ShiraConfig | LoraConfig:
        if kind == "lora":
            return LoraConfig(r=2, target_modules=["lin"], init_lora_weights=False)
        return ShiraConfig(r=2, target_modules=["lin"], random_seed=seed, init_weights=False)

    model = get_peft_model(Reorders(how), config(0), "a")
    model.add_adapter("b", config(1))
    model.eval()
    inputs = {"input_ids": tokens(4, 8), "attention_mask": torch.arange(8) < torch.tensor([[8], [3], [6], [7]])}
    names = ["a", "b", "__base__", "b"]
    mixed = model(**inputs, adapter_names=names)
    for i, name in enumerate(names):
        activate(model, name)
        torch.testing.assert_close(mixed[i], model(**{k: v[i : i + 1] for k, v in inputs.items()})[0])


SEQ2SEQ = {
    "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "d_model": 16, "max_position_embeddings": 64,
}  # fmt: skip
WINDOW = {"vocab_size": 50, "attention_window": 4}
#: Models that turn rows around inside: what they are, and which layers are adapted.
REORDERING: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "xlnet": (
        lambda: hf.XLNetModel(hf.XLNetConfig(vocab_size=50, d_model=16, n_layer=2, n_head=2, d_inner=16)),
        ["layer_1", "layer_2"],
    ),
    "longformer": (
        lambda: hf.LongformerModel(
            hf.LongformerConfig(
                **WINDOW, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
            )
        ),
        ["query", "value"],
    ),
    "led": (
        lambda: hf.LEDModel(
            hf.LEDConfig(**WINDOW, **SEQ2SEQ, max_encoder_position_embeddings=64, max_decoder_position_embeddings=64)
        ),
        ["query", "value", "q_proj", "v_proj"],
    ),
    "fsmt": (
        lambda: hf.FSMTModel(hf.FSMTConfig(langs=["a", "b"], src_vocab_size=50, tgt_vocab_size=50, **SEQ2SEQ)),
        ["q_proj", "fc1"],
    ),
    "switch": (
        lambda: hf.SwitchTransformersModel(
            hf.SwitchTransformersConfig(
                vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_decoder_layers=2, num_heads=2,
                num_experts=2, num_sparse_encoder_layers=1, num_sparse_decoder_layers=1, expert_capacity=64,
            )
        ),
        ["wi", "wo"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", REORDERING)
def test_transformers_that_turn_rows_around_inside(family: str) -> None:
    build, targets = REORDERING[family]
    torch.manual_seed(2)
    model = get_peft_model(build(), ShiraConfig(r=2, target_modules=targets, random_seed=1), "sea")
    model.add_adapter("lora", LoraConfig(r=2, target_modules=targets))
    fill_randomly(model).eval()
    ids, names = tokens(4, 8), ["sea", "lora", "sea", "__base__"]
    decoder = {"decoder_input_ids": ids} if family in ("led", "fsmt", "switch") else {}
    mixed = model(input_ids=ids, adapter_names=names, **decoder)[0]
    for i, name in enumerate(names):
        activate(model, name)
        mine = {key: value[i : i + 1] for key, value in decoder.items()}
        right = model(input_ids=ids[i : i + 1], **mine)[0][0]
        torch.testing.assert_close(mixed[i], right.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", ["forward", "generate"])
def test_threads_with_mixed_batches_and_with_the_active_adapter_get_their_own(how: str) -> None:
    model, ids = three_adapters(), tokens(5)
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}

    def ask(names: list[str] | None) -> Tensor:
        if how == "generate":
            return model.generate(input_ids=ids, adapter_names=names, **options)
        with torch.no_grad():
            return model(input_ids=ids, adapter_names=names).logits

    activate(model, "space")
    asked = [None, NAMES, NAMES[::-1], ["sea"] * 5]
    right, wrong = [ask(names) for names in asked], []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(8) if not torch.equal(ask(asked[i]), right[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


def test_a_compiled_model_runs_mixed_batches_as_it_is() -> None:
    model = get_peft_model(MLP(), ShiraConfig(r=1, target_modules=["lin1"], random_seed=0), "a")
    model.add_adapter("b", ShiraConfig(r=1, target_modules=["lin1"], random_seed=1))
    fill_randomly(model).eval()
    x, names = torch.randn(3, 10), ["a", "b", "__base__"]
    right = model(x, adapter_names=names)
    with torch.no_grad():
        compiled = torch.compile(model, backend="eager")
        torch.testing.assert_close(compiled(x)[0], right[0])
        torch.testing.assert_close(compiled(x, adapter_names=names), right)
        model.base_model.model = torch.compile(model.base_model.model, backend="eager")
        model(x)
        torch.testing.assert_close(model(x, adapter_names=names), right)


def test_compiled_code_that_generates_runs_mixed_batches_as_they_are() -> None:
    config = ShiraConfig(r=1, target_modules="all-linear", random_seed=0, init_weights=False)
    model = get_peft_model(tiny_lm(), config, "a").eval()
    ids = torch.tensor([[2, 5, 9], [2, 5, 9]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 3, "do_sample": False}

    def generate() -> Tensor:
        tokens: Tensor = model.generate(**given, adapter_names=["a", "__base__"])
        return tokens

    assert torch.equal(torch.compile(generate, backend="eager")(), generate())


class Echo(nn.Module):
    """Gives back what it was given, through a linear layer that has adapters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor, extra: object = None, **more: object) -> dict[str, object]:
        return {"y": self.lin(x), "extra": extra, **more}


def echo() -> PeftModel:
    model = get_peft_model(Echo(), ShiraConfig(r=1, target_modules=["lin"], random_seed=0), "a")
    model.add_adapter("b", ShiraConfig(r=1, target_modules=["lin"], random_seed=1))
    return fill_randomly(model).eval()


def test_arguments_are_shared_out_by_samples_and_outputs_put_together() -> None:
    model, x = echo(), torch.randn(3, 4)
    rows, shared = torch.arange(6.0).view(3, 2), torch.ones(1, 5)
    output = model(x, rows, more={"deep": rows + 1}, flag=True, nothing=None, adapter_names=["a", "b", "a"])
    assert torch.equal(output["extra"], rows) and torch.equal(output["more"]["deep"], rows + 1)
    assert output["flag"] is True and output["nothing"] is None
    assert output["y"].shape == (3, 4)
    # One row for all and a number are given to each adapter's samples as they are; here nobody can put them together.
    for extra in (shared, torch.tensor(2.0)):
        with pytest.raises(AdapterError, match=r"`output\['extra'\]` has no row for each sample"):
            model(x, extra, adapter_names=["a", "b", "a"])
    assert model(x, shared, adapter_names=["b", "b", "b"])["extra"] is shared


@pytest.mark.parametrize(
    "extra, what",
    [
        (torch.ones(4, 3), r"is a tensor of shape \(4, 3\) for 3 samples"),
        ([torch.ones(3)], "is a list, and nobody knows"),
        (hf.DynamicCache(), "is a DynamicCache, and nobody knows"),
        ([1, 2, 3], "is a list, and nobody knows"),
    ],
)
def test_arguments_that_cannot_be_shared_out_are_refused_before_anything_runs(extra: object, what: str) -> None:
    model, ran = echo(), []
    model.base_model.model.register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(
        AdapterError, match=f"^`adapter_names`: `argument 1` {what}.*or run each adapter's samples alone"
    ):
        model(torch.ones(3, 4), extra, adapter_names=["a", "b", "a"])
    with pytest.raises(AdapterError, match=f"^`adapter_names`: `extra` {what}"):
        model(torch.ones(3, 4), extra=extra, adapter_names=["a", "b", "a"])
    assert not ran


def test_a_loss_has_no_row_for_each_sample() -> None:
    model, ids = three_adapters(), tokens(2)
    with pytest.raises(AdapterError, match=r"`output\['loss'\]` has no row for each sample"):
        model(input_ids=ids, labels=ids, adapter_names=["sea", "space"])


def test_sequences_that_end_early_are_padded_as_a_batch_is() -> None:
    model, ids = three_adapters(), tokens(5, 4)
    options = {"max_new_tokens": 12, "do_sample": False}
    stop = model.generate(input_ids=ids, adapter_names=NAMES, eos_token_id=None, **options)[0, 6].item()
    mixed = model.generate(input_ids=ids, adapter_names=NAMES, eos_token_id=stop, pad_token_id=1, **options)
    lengths = set()
    for row, name, got in zip(ids, NAMES, mixed, strict=True):
        activate(model, name)
        right = model.generate(input_ids=row[None], eos_token_id=stop, pad_token_id=1, **options)[0]
        lengths.add(len(right))
        assert torch.equal(got[: len(right)], right) and (got[len(right) :] == 1).all()
    assert len(lengths) > 1
    whole = model.generate(
        input_ids=ids, adapter_names=NAMES, eos_token_id=stop, return_dict_in_generate=True, **options
    )
    assert torch.equal(whole.sequences, mixed) and whole.past_key_values is None
