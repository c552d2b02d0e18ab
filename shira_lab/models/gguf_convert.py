"""A model in a GGUF file, as the folder in float16 that transformers loads.

transformers knows the configuration and the tokenizer. The weights are read here, one tensor after the other: each has
to have a place of its shape in the model, and each place a tensor, as what is missing would be random numbers.
"""

import re
import reprlib
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from shira_lab.errors import ShiraError
from shira_lab.models.download import Progress
from shira_lab.models.gguf_header import Header, StoredTensor, read_header

#: The architectures whose weights are known here; in a file, Mistral and SmolLM are "llama".
FAMILIES = ("gpt2", "llama", "qwen2", "qwen3")


def convert(file: Path, folder: Path, on_progress: Progress) -> None:
    """Write the model in ``file`` into ``folder``: configuration, tokenizer, weights.

    Args:
        file: GGUF, of one of ``FAMILIES``, in any quantization that the package ``gguf`` can undo.
        folder: there, and empty.
        on_progress: called with the bytes of weights that are done and those in all.

    Raises:
        ShiraError: the file is damaged, or no such model; the folder may hold a part of it.
    """
    header = read_header(file)
    _check_family(file, header)
    try:
        _convert(file, header, folder, on_progress)
    except ShiraError:
        raise
    except Exception as error:  # what a file from anywhere says may fail in any way
        raise ShiraError(f"No model could be made of {file}: {error}") from error


def _check_family(file: Path, header: Header) -> None:
    """Refuse other architectures, and announced layers that have no weights in the file: to build them takes time."""
    family = header.metadata.get("general.architecture")
    if family not in FAMILIES:
        raise ShiraError(f"{file} holds a model of the kind {family!r}; those that can be read: {', '.join(FAMILIES)}.")
    layers = {match[1] for tensor in header.tensors if (match := re.match(r"blk\.(\d+)\.", tensor.name))}
    said = header.metadata.get(f"{family}.block_count")
    if said != len(layers):
        raise ShiraError(f"{file} announces {said} layers and has weights for {len(layers)}.")
    if "tokenizer.ggml.tokens" not in header.metadata:
        raise ShiraError(f"{file} has no tokenizer.ggml.tokens.")
    if header.metadata.get(f"{family}.rope.scaling.type", "none") != "none":
        raise ShiraError(f"{file} stretches its positions (rope.scaling), which cannot be read.")


def _convert(file: Path, header: Header, folder: Path, on_progress: Progress) -> None:
    here = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    config, family = AutoConfig.from_pretrained(file.parent, **here), header.metadata["general.architecture"]
    if hasattr(config, "head_dim"):  # which transformers leaves at its default for Qwen3
        config.head_dim = header.metadata.get(f"{family}.attention.key_length", config.head_dim)
    config.tie_word_embeddings = all(tensor.name != "output.weight" for tensor in header.tensors)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float16)
    places = _places(model, family)
    if lost := sorted(places.keys() ^ {tensor.name for tensor in header.tensors}):
        raise ShiraError(f"{file} and its model do not have the same tensors: {reprlib.repr(lost)}.")
    content = np.memmap(file, np.uint8, "r")
    weights: dict[str, Tensor] = {}
    total, done = sum(parameter.nbytes for parameter in model.parameters()), 0
    on_progress(done, total)
    for tensor in header.tensors:
        path = places[tensor.name]
        weights[path] = _read(content, tensor, config)
        if weights[path].shape != (wanted := model.get_parameter(path).shape):
            raise ShiraError(f"{file} has {tensor.name} of shape {tensor.shape}; its model needs {tuple(wanted)}.")
        if not weights[path].isfinite().all():
            raise ShiraError(f"{file} has numbers in {tensor.name} that are not finite in float16.")
        done += weights[path].nbytes
        on_progress(done, total)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **here)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for part in (model.config, model.generation_config, tokenizer):
        part.save_pretrained(folder)


def _places(model: PreTrainedModel, family: str) -> dict[str, str]:
    """The path of each parameter in the model, by its name in a file."""
    (architecture,) = (key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == family)
    names = gguf.get_tensor_name_map(architecture, model.config.num_hidden_layers)
    paths = [(path, *path.rsplit(".", 1)) for path, _ in model.named_parameters()]
    return {f"{names.get_name(layer)}.{kind}": path for path, layer, kind in paths}


@np.errstate(all="ignore")  # what is not finite is refused by whoever asked
def _read(content: np.ndarray, tensor: StoredTensor, config: PreTrainedConfig) -> Tensor:
    """One tensor as PyTorch has it: GGUF keeps GPT-2's matrices the other way round, and Llama's queries and keys in
    pairs of numbers that are turned together, where transformers turns one half of a head against the other."""
    stored = content[tensor.start : tensor.start + tensor.size]
    values = torch.from_numpy(gguf.dequantize(stored, tensor.kind).reshape(tensor.shape).astype(np.float16))
    if config.model_type == "gpt2" and re.search(r"attn_(qkv|output)\.weight|ffn_(up|down)\.weight", tensor.name):
        return values.T.contiguous()
    if config.model_type in ("llama", "mistral") and (match := re.search(r"attn_([qk])\.weight", tensor.name)):
        heads = config.num_attention_heads if match[1] == "q" else config.num_key_value_heads
        pairs = values.reshape(heads, -1, 2, tensor.shape[1])
        return pairs.transpose(1, 2).reshape(tensor.shape).contiguous()
    return values
