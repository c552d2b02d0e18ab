"""A random language model of a few thousand numbers that reads the embedded model's tokens."""

from functools import cache
from pathlib import Path

from tiny import tiny_opt
from transformers import OPTForCausalLM, PreTrainedTokenizerBase

from shira_lab.models.hub import load_model


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    return load_model()[1]


def tiny_lm() -> OPTForCausalLM:
    """With dropout, so that a resumed run must also find the random state again."""
    ids = {name: getattr(tokenizer(), name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    return tiny_opt(vocab_size=len(tokenizer()), max_position_embeddings=256, dropout=0.1, **ids)


def save_tiny_lm(folder: Path) -> Path:
    """Write model and tokenizer into the folder, as a user's own model would lie there."""
    tiny_lm().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
