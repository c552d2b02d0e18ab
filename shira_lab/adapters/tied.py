"""Weights that several modules of a model share, such as an output layer tied to the embedding."""

from typing import Any

from torch import nn


def shared_weights(model: nn.Module) -> set[int]:
    """ids of the parameters that more than one module holds, such as an output layer tied to the embedding."""
    seen: set[int] = set()
    shared: set[int] = set()
    for _, module in model.named_modules(remove_duplicate=False):
        for parameter in module._parameters.values():
            if parameter is not None:
                (shared if id(parameter) in seen else seen).add(id(parameter))
    return shared


def record_untied(model: nn.Module) -> None:
    """Let transformers' config say so where the head has got a weight of its own, because ``tie_weights`` and
    ``from_pretrained`` would put the embedding's in its place."""
    config: Any = getattr(model, "config", None)
    if not getattr(config, "tie_word_embeddings", False) or not hasattr(model, "get_output_embeddings"):
        return
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()  # type: ignore[operator]
    if head is not None and head.weight is not embedding.weight:
        config.tie_word_embeddings = False
