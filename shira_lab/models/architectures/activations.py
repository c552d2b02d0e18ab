"""What a forward pass keeps for the backward pass, counted tensor by tensor on the meta device.

Autograd tells which tensors it saves (``torch.autograd.graph.saved_tensors_hooks``); on the meta device they have sizes
and no memory, so this works for a model of any size. Attention is taken as fused kernels do it: they keep q, k, v,
the output and one number per query and head, not the matrix of all pairs of tokens (FlashAttention-2, arXiv
2307.08691), and dropout is off. Then all that is kept grows evenly with the tokens, and a small batch tells the bytes
for each of them.
"""

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AutoModelForCausalLM, PreTrainedConfig

TOKENS = 64
FUSED = "shira_lab_fused"


def bytes_per_token(config: PreTrainedConfig, dtype: torch.dtype, adapted: Collection[str] | None) -> int:
    """Bytes that training keeps for each token of a batch between forward and backward pass, the loss included.

    Args:
        config: of a causal language model.
        dtype: of its weights and activations.
        adapted: paths of the layers with an adapter, all else being frozen; None when everything trains.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), attn_implementation=FUSED).to(dtype).eval()
    model.loss_type = "ForCausalLM"  # some models take it by default, but with a warning
    model.requires_grad_(adapted is None)
    for path in adapted or ():
        model.get_submodule(path).register_forward_hook(_needs_its_input)
    blocks = max((module for module in model.modules() if isinstance(module, nn.ModuleList)), key=len)
    many = len(blocks)
    if many < 3 or not _alike(blocks):
        return _kept_bytes(model) // TOKENS
    # Each block after the first keeps the same, so two blocks tell of all: a moment instead of seconds.
    del blocks[2:]
    two = _kept_bytes(model)
    del blocks[1:]
    one = _kept_bytes(model)
    return (one + (many - 1) * (two - one)) // TOKENS


def _alike(blocks: nn.ModuleList) -> bool:
    """Whether all blocks have the same layers, adapted in the same places."""

    def form(block: nn.Module) -> list[tuple[str, bool, list[torch.Size]]]:
        return [
            (name, bool(module._forward_hooks), [p.shape for p in module.parameters(recurse=False)])
            for name, module in block.named_modules()
        ]

    return all(form(block) == form(blocks[0]) for block in blocks)


def _kept_bytes(model: nn.Module) -> int:
    """Bytes that autograd holds on to after a forward pass over ``TOKENS`` tokens; the model's own are not counted."""
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}  # each piece of memory once, however many tensors lie in it

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor.detach()  # an operation that keeps its own output would keep itself alive

    tokens = torch.zeros(1, TOKENS, dtype=torch.int64, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=tokens, labels=tokens, use_cache=False)
    return sum(storage.nbytes() for storage in kept.values())


class _Adapted(torch.autograd.Function):
    """The output of a layer whose adapter needs the layer's input for its gradient."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, trained: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return output.detach()


class _FusedAttention(torch.autograd.Function):
    """The sizes of what a fused attention kernel keeps; queries, keys and values (batch, heads, tokens, features)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, heads, tokens, _ = query.shape
        output = query.new_empty(batch, tokens, heads, value.shape[-1])
        log_sum_exp = query.new_empty(batch, heads, tokens, dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, log_sum_exp)
        return output


def _needs_its_input(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    adapted: Tensor = _Adapted.apply(output, inputs[0], torch.empty(0, device="meta", requires_grad=True))
    return adapted


def _fused_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    return _FusedAttention.apply(query, key, value), None


AttentionInterface.register(FUSED, _fused_attention)
