"""What a budget costs, held against adapters that are really built, trained for a step, and saved."""

import re
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.adapters.storage.compact import pack
from shira_lab.analysis.costs import Cost, compact_bytes, full_cost, in_units, lora_cost, shira_cost
from shira_lab.budget import max_r, num_params
from shira_lab.errors import ConfigError
from shira_lab.layers import ShiraAdapter
from shira_lab.masks.positions import random_positions
from shira_lab.models.architectures import GROUPS, Architecture, find_architecture
from shira_lab.models.hub import load_model

R, BATCH, LENGTH = 8, 2, 48
METHODS = ("SHiRA", "LoRA", "full")


@pytest.fixture(scope="module")
def embedded() -> Architecture:
    return find_architecture("embedded")


def trainable(method: str, paths: list[str]) -> nn.Module:
    model, _ = load_model()
    if method == "full":
        return model.requires_grad_(True)
    config = ShiraConfig if method == "SHiRA" else LoraConfig
    extra = {"mask_type": "random", "random_seed": 0} if method == "SHiRA" else {}
    return get_peft_model(model, config(r=R, target_modules=paths, **extra))


def one_step(model: nn.Module) -> tuple[int, torch.optim.AdamW]:
    """Train for a step; returns the bytes that autograd kept on the way, and the optimizer."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    tokens = torch.randint(5, 1000, (BATCH, LENGTH))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
    size = sum(storage.nbytes() for storage in kept.values())
    loss.backward()
    optimizer.step()
    return size, optimizer


def bytes_of(tensors: list[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def numbers_in(file: Path) -> int:
    """Bytes of a safetensors file behind its header."""
    (header,) = struct.unpack("<Q", file.read_bytes()[:8])
    return file.stat().st_size - 8 - header


# ---- the specification's examples -----------------------------------------------------------------------------------


def test_the_three_examples_of_the_specification() -> None:
    assert shira_cost(16, [(768, 768)], 0, 4).trained == 24_576
    assert shira_cost(32, [(4096, 4096)], 0, 4).trained == 262_144
    llama = find_architecture("meta-llama/Llama-2-7b-hf")
    costs = llama.costs(32, llama.shapes(["q_proj", "k_proj", "v_proj", "o_proj"]))
    assert costs["SHiRA"].trained == costs["LoRA"].trained == 33_554_432
    assert costs["full"].trained == 6_738_415_616


# ---- against real adapters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("group", GROUPS)
def test_a_real_step_takes_the_memory_that_is_counted(embedded: Architecture, group: str, method: str) -> None:
    paths = list(embedded.shapes(group))
    cost = embedded.costs(R, embedded.shapes(group), tokens=BATCH * LENGTH, dtype="float32")[method]
    model = trainable(method, paths)
    kept, optimizer = one_step(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trained) == cost.trained
    assert bytes_of([parameter.grad for parameter in trained if parameter.grad is not None]) == cost.gradients
    moments = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    assert bytes_of(moments) == cost.optimizer
    assert kept == cost.activations + 4  # the loss's own sum of weights, a single number


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_adapter_keeps_the_bytes_that_are_counted(embedded: Architecture, dtype: torch.dtype) -> None:
    model, _ = load_model()
    adapted = get_peft_model(model.to(dtype), ShiraConfig(r=R, target_modules="all-linear", random_seed=0))
    one_step(adapted)
    size = 0
    for _, layer in adapted.base_model.adapter_layers():
        adapter = layer.adapters["default"]
        assert isinstance(adapter, ShiraAdapter) and adapter._pattern is not None
        copied = adapter.shira_weight.detach().clone()  # until the backward pass is over
        size += bytes_of([adapter.shira_weight, adapter.positions, adapter._pattern.columns, copied])
    assert size == embedded.costs(R, embedded.shapes(), dtype=str(dtype).removeprefix("torch."))["SHiRA"].adapter


@pytest.mark.parametrize("method", ["SHiRA", "LoRA"])
@pytest.mark.parametrize("group", GROUPS)
def test_a_saved_adapter_has_the_size_that_is_counted(
    embedded: Architecture, group: str, method: str, tmp_path: Path
) -> None:
    cost = embedded.costs(R, embedded.shapes(group))[method]
    model = trainable(method, list(embedded.shapes(group)))
    assert isinstance(model, PeftModel)
    model.save_pretrained(tmp_path)
    assert numbers_in(tmp_path / "adapter_model.safetensors") == cost.file


def test_a_saved_model_has_the_size_that_is_counted(embedded: Architecture, tmp_path: Path) -> None:
    model, _ = load_model()
    for dtype, name in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
        model.to(dtype).save_pretrained(tmp_path / name)
        assert (
            numbers_in(tmp_path / name / "model.safetensors")
            == embedded.costs(R, embedded.shapes(), dtype=name)["full"].file
        )


@given(st.integers(8, 300), st.integers(8, 300), st.floats(0, 1), st.integers(0, 99))
def test_the_compact_form_has_about_the_size_that_is_counted(m: int, n: int, share: float, seed: int) -> None:
    r = max(1, round(share * max_r((m, n))))
    k = num_params(r, (m, n))
    positions = random_positions((m, n), k, seed)
    indices = torch.stack([positions // n, positions % n]).to(torch.int32)
    config = ShiraConfig(r=r, target_modules=["a"], mask_type="magnitude")
    packed = pack({"a.shira_weight": torch.zeros(k), "a.shira_indices": indices}, config, {"a": (m, n)})
    size = bytes_of([packed["a.shira_weight"], packed["a.gaps"]])
    assert size == pytest.approx(compact_bytes(r, (m, n)), rel=0.03, abs=8)


# ---- by rule --------------------------------------------------------------------------------------------------------

shapes = st.lists(st.tuples(st.integers(2, 5000), st.integers(2, 5000)), min_size=1, max_size=5)


@given(shapes, st.integers(1, 64), st.sampled_from([2, 4]))
def test_shira_and_lora_train_equally_much_and_shiras_file_is_three_times_as_large(
    shapes: list[tuple[int, int]], r: int, width: int
) -> None:
    r = min([r, *map(max_r, shapes)])
    shira, lora = shira_cost(r, shapes, 10**9, width), lora_cost(r, shapes, 10**9, width)
    assert (shira.trained, shira.gradients, shira.optimizer) == (lora.trained, lora.gradients, lora.optimizer)
    assert shira.file == 3 * lora.file
    assert lora.file < shira.compact_file <= 2 * lora.file


def test_a_trained_number_costs_16_bytes_and_a_frozen_one_what_it_is_loaded_in() -> None:
    assert full_cost(1000, width=2).memory == full_cost(1000, width=4).memory == 16_000
    assert lora_cost(1, [(10, 10)], 1000, width=2).memory == 2_000 + 16 * 20
    assert shira_cost(1, [(10, 10)], 1000, width=2).memory == 2_000 + (16 + 16) * 20
    assert lora_cost(1, [(10, 10)], 1000, width=2, activations=7).memory == 2_000 + 16 * 20 + 7


def test_memory_is_the_sum_of_its_parts() -> None:
    assert Cost(1, 2, 4, 8, 16, 32, 64, 128).memory == 2 + 4 + 8 + 16 + 32


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (402_653_184, "402.7 MB"), (1_129e9, "1,129.0 GB")],
)
def test_bytes_are_told_in_units(size: float, words: str) -> None:
    assert in_units(size) == words


def test_a_budget_that_is_too_large_names_the_layer(embedded: Architecture) -> None:
    message = "r=97 is too large for layer 'model.decoder.layers.0.self_attn.k_proj'"
    with pytest.raises(ConfigError, match=re.escape(message)):
        embedded.costs(97, embedded.shapes("attention"))


def test_an_unknown_dtype_is_refused(embedded: Architecture) -> None:
    with pytest.raises(ConfigError, match=re.escape("`dtype='int3'` is unknown; there are float32, bfloat16.")):
        embedded.costs(8, embedded.shapes(), dtype="int3")
