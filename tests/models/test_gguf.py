"""A GGUF file is a model; a damaged or absurd one ends in a sentence."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from tiny_gguf import FAMILIES, LAYERS, TOKENS, tiny, write_gguf
from transformers import PreTrainedModel

from shira_lab.errors import ShiraError
from shira_lab.models.hub import is_here, load_config, load_model

Q8 = gguf.GGMLQuantizationType.Q8_0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for converted models."""
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    return tmp_path / "assets" / "shira-lab" / "gguf"


def quiet(done: int, total: int) -> None:
    assert 0 <= done <= total


@torch.no_grad()
def logits(model: PreTrainedModel) -> torch.Tensor:
    tokens = torch.arange(40).reshape(2, 20)
    return model(input_ids=tokens).logits


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "own head"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_in_a_file_is_the_one_that_was_written(tmp_path: Path, family: str, tied: bool) -> None:
    file = tmp_path / "tale.gguf"
    write_gguf(expected := tiny(family, tied), file)
    model, tokenizer = load_model(file, quiet)
    torch.testing.assert_close(logits(model), logits(expected), atol=1e-4, rtol=1e-4)
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) is tied
    assert tokenizer("he").input_ids == [TOKENS.index("he")] and tokenizer.decode(tokenizer("the tale").input_ids) == (
        "the tale"
    )
    assert model.name_or_path == str(file) and load_config(file).num_hidden_layers == LAYERS


def test_quantized_weights_are_what_the_package_gguf_makes_of_them(tmp_path: Path) -> None:
    write_gguf(original := tiny("llama"), tmp_path / "tale.gguf", Q8)
    model, _ = load_model(tmp_path / "tale.gguf", quiet)
    name = "model.layers.1.mlp.up_proj.weight"
    weight = original.get_parameter(name).detach().numpy()
    expected = gguf.dequantize(gguf.quantize(weight, Q8), Q8).astype(np.float16)
    assert np.array_equal(model.get_parameter(name).detach().numpy(), expected) and not np.array_equal(weight, expected)


def test_a_file_is_converted_once_and_again_when_its_content_changes(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tale{}.gguf"
    write_gguf(tiny("gpt2"), file)
    assert is_here(file)
    load_model(file)
    said = capsys.readouterr().err
    assert said.startswith(f"Converting {file} once: 364.3 kB into {tmp_path / 'assets'}.\n") and "100%" in said
    load_model(file)
    assert capsys.readouterr().err == ""
    write_gguf(tiny("gpt2", tied=False), file)
    load_model(file, quiet)
    assert len([folder for folder in cache.iterdir() if folder.is_dir()]) == 2


def header_of(*entries: tuple[str, int, bytes], tensors: int = 0, version: int = 3) -> bytes:
    """A header with these entries, each a name, the code of its kind and its value."""
    named = [struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", code) + at for name, code, at in entries]
    return b"GGUF" + struct.pack("<IQQ", version, tensors, len(entries)) + b"".join(named)


def text(content: str) -> bytes:
    return struct.pack("<Q", len(content)) + content.encode()


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, start: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, start)


HUGE = 2**64 - 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it ends within its header"),
        (b"PK\3\4" + bytes(40), "it does not begin with GGUF"),
        (header_of(version=99), "its version is 99"),
        (header_of(tensors=HUGE), f"it announces {HUGE:,} tensors, and no model has more than 65,536"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE), f"it announces {HUGE:,} entries"),
        (header_of(("a", 8, struct.pack("<Q", HUGE))), f"it announces {HUGE:,} bytes of text"),
        (header_of(("a", 9, struct.pack("<IQ", 4, HUGE))), f"it announces {HUGE:,} items of lists"),
        (header_of(("a", 9, struct.pack("<IQ", 4, 1000))), "it ends within its header"),
        (header_of(("a", 9, struct.pack("<IQ", 9, 1))), "it holds a value of a kind that is not known (9)"),
        (header_of(("a", 77, b"")), "it holds a value of a kind that is not known (77)"),
        (header_of(("a", 8, struct.pack("<Q", 2) + b"\xff\xff")), "it holds a text that is not UTF-8"),
        (header_of(("llama.block_count", 4, struct.pack("<I", 2**30))), "its llama.block_count is 1073741824"),
        (header_of(("llama.rope.freq_base", 6, struct.pack("<f", float("nan")))), "its llama.rope.freq_base is nan"),
        (header_of(("general.alignment", 4, bytes(4))), "its alignment is 0"),
        (header_of(tensors=1) + tensor("w", (4,) * 9), "it announces 9 dimensions of w"),
        (header_of(tensors=1) + tensor("w", (4, 0)), "w cannot have the shape (4, 0) in blocks of 1"),
        (header_of(tensors=1) + tensor("w", (33, 2), kind=Q8), "w cannot have the shape (33, 2) in blocks of 32"),
        (header_of(tensors=1) + tensor("w", (4,), kind=999), "w is quantized in a way that is not known (999)"),
        (header_of(tensors=1) + tensor("w", (2**40, 2**40)) + bytes(64), "w ends behind the end of the file"),
        (header_of(tensors=1) + tensor("w", (4,), start=HUGE) + bytes(64), "w ends behind the end of the file"),
        (header_of(tensors=3) + b"".join(tensor(n, (64,)) for n in "uvw") + bytes(290), "its tensors lie one over the"),
    ],
)  # fmt: skip
def test_an_absurd_header_ends_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "absurd.gguf"
    file.write_bytes(content)
    with pytest.raises(ShiraError) as error:
        load_model(file, quiet)
    assert str(error.value).startswith(f"{file} is damaged, or no GGUF file: {said}")
    assert str(error.value).endswith(". Fetch it again.")


def test_a_file_that_is_not_there_is_no_name_of_the_hub() -> None:
    with pytest.raises(ShiraError, match=r"^Could not read no-such\.gguf: No such file or directory\.$"):
        load_model("no-such.gguf")


def renamed(old: str, new: str) -> Callable[[bytes], bytes]:
    """A change of a name in a file, for one of the same length."""
    assert len(old) == len(new)
    return lambda content: content.replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed("llama", "bloom"),
         "holds a model of the kind 'bloom'; those that can be read: gpt2, llama, qwen2, qwen3."),
        (renamed("blk.1.", "blk.0."), "announces 2 layers and has weights for 1."),
        (renamed("blk.1.ffn_up", "blk.1.ffn_ip"),
         "and its model do not have the same tensors: ['blk.1.ffn_ip.weight', 'blk.1.ffn_up.weight']."),
        (renamed("tokenizer.ggml.tokens", "tokenizer.ggml.tokenz"), "has no tokenizer.ggml.tokens."),
        (lambda content: content[:-4] + struct.pack("<f", 1e9),
         "has numbers in output_norm.weight that are not finite in float16."),
        (lambda content: content[:-4] + struct.pack("<f", float("nan")),
         "has numbers in output_norm.weight that are not finite in float16."),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_its_own_model_is_refused(
    tmp_path: Path, cache: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    file = tmp_path / "odd.gguf"
    write_gguf(tiny("llama"), file)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ShiraError) as error:
        load_model(file, quiet)
    assert str(error.value) == f"{file} {said}"
    assert not [folder for folder in cache.iterdir() if folder.is_dir()]


def test_of_a_hundred_damaged_files_each_ends_in_a_sentence_or_in_a_model_of_finite_numbers(tmp_path: Path) -> None:
    write_gguf(tiny("llama"), file := tmp_path / "tale.gguf", Q8)
    whole = file.read_bytes()
    end_of_header = len(whole) - sum(p.numel() for p in tiny("llama").parameters()) * 34 // 32
    chance = random.Random(0)
    damages: list[Callable[[bytearray, int], None]] = [
        lambda content, at: content.__setitem__(slice(at, None), b""),
        lambda content, at: content.__setitem__(at, chance.randrange(256)),
        lambda content, at: content.__setitem__(slice(at, at + 8), b"\xff" * 8),
        lambda content, at: content.__setitem__(slice(at, at + 4), bytes(4)),
        lambda content, at: content.__setitem__(slice(at, at), bytes(chance.randrange(1, 9))),
    ]
    refused = 0
    for number in range(100):
        content = bytearray(whole)
        damages[number % len(damages)](content, chance.randrange(end_of_header if number % 4 else len(whole)))
        file.write_bytes(content)
        try:
            model, _ = load_model(file, quiet)
        except ShiraError as error:
            assert str(file) in str(error)
            refused += 1
        else:
            assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert 50 < refused < 100
