"""From stories to batches: one story a row, bos ... eos, padded on the right.

Rows are dictionaries and `collate` takes a list of them, so both a plain loop and transformers' Trainer can
use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label that PyTorch's cross entropy leaves out

Row = Mapping[str, Sequence[int]]


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Row]:
    """A row ``{"input_ids": [bos, ..., eos]}`` for each text; bos only where the tokenizer has that habit."""
    ids = tokenizer(list(texts), return_attention_mask=False)["input_ids"] if texts else []
    return [{"input_ids": [*row, tokenizer.eos_token_id]} for row in ids]


def collate(rows: Sequence[Row], pad_token_id: int) -> dict[str, Tensor]:
    """Pad rows to the longest one. Returns input_ids, attention_mask and labels, each (rows, tokens)."""
    longest = max(len(row["input_ids"]) for row in rows)
    input_ids = torch.full((len(rows), longest), pad_token_id)
    attention_mask = torch.zeros_like(input_ids)
    for number, row in enumerate(rows):
        length = len(row["input_ids"])
        input_ids[number, :length] = torch.tensor(row["input_ids"])
        attention_mask[number, :length] = 1
    labels = input_ids.masked_fill(attention_mask == 0, IGNORED)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


def batches(rows: Sequence[Row], batch_size: int, pad_token_id: int) -> Iterator[dict[str, Tensor]]:
    """Collated batches of the rows in their order; the last one may be smaller."""
    for start in range(0, len(rows), batch_size):
        yield collate(rows[start : start + batch_size], pad_token_id)
