"""The compact file form: the same adapter, bit for bit, in a fraction of the bytes."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.budget import num_params
from shira_lab.errors import StorageError
from shira_lab.masks.positions import to_indices
from shira_lab.masks.random import random_positions
from shira_lab.storage.compact import _decode, _encode, pack, unpack
from shira_lab.storage.tensor_files import COMPACT_NAME, WEIGHTS_NAME


def adapter_tensors(shape: tuple[int, int], r: int, seed: int) -> dict[str, torch.Tensor]:
    positions = random_positions(shape, num_params(r, shape), seed)
    return {"x.shira_weight": torch.randn(positions.numel()), "x.shira_indices": to_indices(positions, shape)}


def tiny_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32))


@given(st.lists(st.integers(0, 2**40), min_size=1))
def test_every_integer_survives_its_code(numbers: list[int]) -> None:
    array = np.array(numbers, dtype=np.int64)
    assert _decode(_encode(array)).tolist() == numbers


@given(st.integers(3, 60), st.integers(3, 60), st.integers(0, 5))
def test_packing_is_undone_exactly(m: int, n: int, seed: int) -> None:
    tensors = adapter_tensors((m, n), 1, seed)
    for config in (ShiraConfig(1, random_seed=seed), ShiraConfig(1, random_seed=seed + 1)):
        again = unpack(pack(tensors, config, {"x": (m, n)}), config, {"x": (m, n)})
        assert again.keys() == tensors.keys()
        assert all(torch.equal(again[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("shape, r", [((768, 768), 16), ((4096, 4096), 1), ((4096, 4096), 32)])
def test_a_number_takes_its_four_bytes_with_a_seed_and_at_most_six_without(shape: tuple[int, int], r: int) -> None:
    tensors = adapter_tensors(shape, r, seed=3)
    k = num_params(r, shape)
    for seed, limit in ((3, 4.1), (4, 6.0)):
        packed = pack(tensors, ShiraConfig(r, random_seed=seed), {"x": shape})
        assert sum(t.numel() * t.element_size() for t in packed.values()) <= limit * k


@pytest.mark.parametrize(
    "config",
    [
        ShiraConfig(2, "all-linear", random_seed=1, init_weights=False),
        ShiraConfig(2, "all-linear", random_seed=1, seed_per_layer=True, init_weights=False),
        ShiraConfig(2, "all-linear", mask_type="magnitude", init_weights=False),
        LoraConfig(2, "all-linear", init_lora_weights=False),
    ],
    ids=["seed", "seed per layer", "magnitude", "lora"],
)
def test_a_compact_adapter_loads_to_equal_outputs(tmp_path: Path, config: ShiraConfig | LoraConfig) -> None:
    model = get_peft_model(tiny_model(), config)
    x = torch.randn(3, 64)
    model.save_pretrained(tmp_path, compact=True)
    assert (tmp_path / COMPACT_NAME).exists() and not (tmp_path / WEIGHTS_NAME).exists()
    assert torch.equal(PeftModel.from_pretrained(tiny_model(), tmp_path)(x), model(x))


def test_saving_in_the_other_form_replaces_the_first(tmp_path: Path) -> None:
    model = get_peft_model(tiny_model(), ShiraConfig(2, "all-linear", random_seed=1))
    for compact in (True, False, True):
        model.save_pretrained(tmp_path, compact=compact)
        assert (tmp_path / COMPACT_NAME).exists() is compact
        assert (tmp_path / WEIGHTS_NAME).exists() is not compact


def break_gaps(tensors: dict[str, torch.Tensor]) -> None:
    tensors["base_model.model.0.gaps"] = tensors["base_model.model.0.gaps"][:-1]


def break_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["base_model.model.0.shape"] = torch.tensor([2**31 - 1, 2**31 - 1], dtype=torch.int32)


def lose_gaps(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["base_model.model.0.gaps"]


@pytest.mark.parametrize(
    "damage, message",
    [
        (break_gaps, "The file holds no usable positions for '0'"),
        (lose_gaps, "The file holds no usable positions for '0'"),
        (break_shape, r"'0' has shape \[2147483647, 2147483647\] in the file; expected \[48, 64\]."),
    ],
)
def test_a_damaged_compact_file_is_refused(tmp_path: Path, damage: object, message: str) -> None:
    config = ShiraConfig(2, "all-linear", mask_type="magnitude")
    get_peft_model(tiny_model(), config).save_pretrained(tmp_path, compact=True)
    tensors = safetensors.torch.load_file(tmp_path / COMPACT_NAME)
    damage(tensors)  # type: ignore[operator]
    safetensors.torch.save_file(tensors, tmp_path / COMPACT_NAME)
    with pytest.raises(StorageError, match=message):
        PeftModel.from_pretrained(tiny_model(), tmp_path)
