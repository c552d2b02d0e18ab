"""A head that is untied for its adapter stays untied: in the config, after tie_weights, and on disk."""

from pathlib import Path

import pytest
import torch
from tiny import adapted, tiny_opt, tokens
from transformers import OPTForCausalLM

from shira_lab import LoraConfig, ShiraConfig

TARGETS = {"head": ["lm_head"], "head and layers": ["lm_head", "q_proj"]}


@pytest.mark.parametrize("kind", [ShiraConfig, LoraConfig])
@pytest.mark.parametrize("targets", TARGETS)
def test_a_merged_head_outlives_tie_weights_and_the_disk(kind: type, targets: str, tmp_path: Path) -> None:
    merged = adapted(tiny_opt(), kind(r=1, target_modules=TARGETS[targets])).merge_and_unload()
    with torch.no_grad():
        expected = merged(tokens()).logits
        assert not torch.equal(expected, tiny_opt()(tokens()).logits)
        assert merged.config.tie_word_embeddings is False
        merged.tie_weights()
        assert torch.equal(merged(tokens()).logits, expected)
        merged.save_pretrained(tmp_path)
        back = OPTForCausalLM.from_pretrained(tmp_path).eval()
        assert back.config.tie_word_embeddings is False
        assert torch.equal(back(tokens()).logits, expected)


@pytest.mark.parametrize("merge", [True, False])
def test_a_head_that_is_still_tied_stays_so_in_the_config(merge: bool) -> None:
    targets = ["q_proj"] if merge else ["lm_head"]
    model = adapted(tiny_opt(), ShiraConfig(r=1, target_modules=targets))
    base = model.merge_and_unload() if merge else model.unload()
    assert base.config.tie_word_embeddings is True
    assert base.get_output_embeddings().weight is base.get_input_embeddings().weight
