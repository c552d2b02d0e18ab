"""Tiny models of random weights, as transformers has them and as a GGUF file."""

from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

LETTERS = [bytes_to_unicode()[byte] for byte in range(256)]
TOKENS = [*LETTERS, "he", "<end>"]
END = len(TOKENS) - 1
WIDTH, LAYERS, HEADS, KEY_HEADS, MIDDLE = 64, 2, 4, 2, 96
FAMILIES = ("llama", "qwen2", "qwen3", "gpt2")


def tiny(family: str, tied: bool = True) -> PreTrainedModel:
    """A model whose weights float16 holds as they are."""
    torch.manual_seed(0)
    common = {"vocab_size": len(TOKENS), "bos_token_id": END, "eos_token_id": END, "tie_word_embeddings": tied}
    if family == "gpt2":
        config = GPT2Config(n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, **common)
        model: PreTrainedModel = GPT2LMHeadModel(config)
    else:
        sizes = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "intermediate_size": MIDDLE}
        heads = {"num_attention_heads": HEADS, "num_key_value_heads": KEY_HEADS, "head_dim": WIDTH // HEADS}
        kinds = {
            "llama": (LlamaConfig, LlamaForCausalLM),
            "qwen2": (Qwen2Config, Qwen2ForCausalLM),
            "qwen3": (Qwen3Config, Qwen3ForCausalLM),
        }
        config_of, model_of = kinds[family]
        model = model_of(config_of(**sizes, **heads, **common, max_position_embeddings=64))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.half().float().eval()


def write_gguf(
    model: PreTrainedModel, path: Path, kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32
) -> None:
    """Write a tiny model as llama.cpp does; ``kind`` is the quantization of its matrices."""
    family = model.config.model_type
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(LAYERS)
    writer.add_context_length(model.config.max_position_embeddings)
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(HEADS)
    if family == "gpt2":
        writer.add_feed_forward_length(4 * WIDTH)
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_feed_forward_length(MIDDLE)
        writer.add_head_count_kv(KEY_HEADS)
        writer.add_key_length(WIDTH // HEADS)
        writer.add_value_length(WIDTH // HEADS)
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_rope_dimension_count(WIDTH // HEADS)
        writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([1] * END + [3])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(END)
    writer.add_eos_token_id(END)
    [architecture] = [key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == family]
    names = gguf.get_tensor_name_map(architecture, LAYERS)
    for name, parameter in model.named_parameters():
        layer, _, part = name.rpartition(".")
        values = _as_stored(family, name, parameter.detach().numpy())
        stored = kind if values.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = np.ascontiguousarray(gguf.quantize(np.ascontiguousarray(values), stored))
        writer.add_tensor(f"{names.get_name(layer)}.{part}", data, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _as_stored(family: str, name: str, values: np.ndarray) -> np.ndarray:
    if family == "gpt2" and values.ndim == 2 and ".h." in name:
        return values.T
    if family == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
        heads = HEADS if "q_proj" in name else KEY_HEADS
        halves = values.reshape(heads, 2, -1, WIDTH)
        return halves.swapaxes(1, 2).reshape(values.shape)
    return values
