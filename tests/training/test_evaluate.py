"""Batches, held-out loss and sampling, held against plain PyTorch."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

from shira_lab.training.data import IGNORED, batches, collate, encode
from shira_lab.training.evaluate import sample, story_loss, text_loss
from shira_lab.training.tokenizer import word_tokenizer
from shira_lab.training.worlds import get_world

STORIES = get_world("meadow").stories(24)
TEXTS = [story.text for story in STORIES]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer(TEXTS)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> OPTForCausalLM:
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=16, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=512, dropout=0.1, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return OPTForCausalLM(config)


def test_a_row_is_bos_the_story_eos_and_reads_back(tokenizer: PreTrainedTokenizerFast) -> None:
    for text, row in zip(TEXTS, encode(tokenizer, TEXTS), strict=True):
        first, *words, last = row["input_ids"]
        assert (first, last) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
        assert tokenizer.decode(words) == text


def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "Ça coûte 5 €, 'they' said:\n\t<odd> 日本"
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_each_word_and_mark_of_the_texts_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_ids_to_tokens(tokenizer('Once there was a "fox".')["input_ids"]) == [
        "<s>", "Once", "Ġthere", "Ġwas", "Ġa", 'Ġ"', "f", "o", "x", '"', ".",
    ]  # fmt: skip


def test_padding_is_masked_and_never_a_label(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = collate([{"input_ids": [1, 5, 6, 2]}, {"input_ids": [1, 2]}], pad_token_id=0)
    assert batch["input_ids"].tolist() == [[1, 5, 6, 2], [1, 2, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[1, 5, 6, 2], [1, 2, IGNORED, IGNORED]]


def test_batches_hold_every_row_once_in_order(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = encode(tokenizer, TEXTS)
    read = [
        ids[mask.bool()].tolist()
        for batch in batches(rows, 7, tokenizer.pad_token_id)
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    assert read == [row["input_ids"] for row in rows]


def test_the_loss_is_the_mean_over_predicted_tokens_story_by_story(
    model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    model.eval()
    nats, tokens = 0.0, 0
    for row in encode(tokenizer, TEXTS):
        ids = torch.tensor(row["input_ids"])
        with torch.no_grad():
            log_probabilities = model(input_ids=ids[None]).logits[0].log_softmax(-1)  # (tokens, vocabulary)
        nats -= log_probabilities[:-1].gather(1, ids[1:, None]).sum().item()
        tokens += len(ids) - 1
    loss, counted = text_loss(model, tokenizer, TEXTS, batch_size=5)
    assert counted == tokens
    assert loss == pytest.approx(nats / tokens, rel=1e-5)


def test_the_floor_is_the_booked_nats_of_the_same_stories(
    model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    result = story_loss(model, tokenizer, STORIES)
    assert result.floor * result.tokens == pytest.approx(sum(story.nats for story in STORIES))
    assert result.excess == pytest.approx(math.log(len(tokenizer)) - result.floor, abs=0.1)  # it knows nothing yet
    assert result.stories == len(STORIES)


def test_the_same_seed_samples_the_same_texts_and_leaves_no_trace(
    model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    model.train()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = sample(model, tokenizer, 3, seed=1, max_new_tokens=12, batch_size=2)
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert first == sample(model, tokenizer, 3, seed=1, max_new_tokens=12, batch_size=2)
    assert first != sample(model, tokenizer, 3, seed=2, max_new_tokens=12, batch_size=2)
    assert all(text.startswith("Once there was") for text in first)


def test_temperature_zero_takes_the_likeliest_token(model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    first, second = sample(model, tokenizer, 2, temperature=0, max_new_tokens=4, batch_size=1)
    assert first == second
    model.eval()
    ids = tokenizer("Once there was", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        for _ in range(4):
            ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == first


def test_sampling_draws_from_the_models_own_distribution(
    model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = sample(model, tokenizer, 300, max_new_tokens=1, batch_size=300)
    assert len(set(texts)) > 50  # transformers' default, the 50 likeliest tokens, would tell no more
