"""The embedded model's tokenizer: a token is a word that the worlds know, and anything else is spelled in bytes.

It is byte-level BPE without merges. Learned merges would leave hundreds of stumps in the vocabulary that no text ever
uses: an untrained token is never said by the model itself, but by an adapted one.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<s>", "</s>"


def word_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with a token for each word and each mark of `texts`; it puts bos in front and nothing at the end."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = {word for text in texts for word, _ in split.pre_tokenize_str(text)}
    tokens = dict.fromkeys([PAD, BOS, EOS, *sorted(split.alphabet()), *sorted(words)])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, vocabulary[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False
    )
