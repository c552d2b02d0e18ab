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
from shira_lab.adapters.storage.compact import _decode, _encode, _positions, pack, unpack
from shira_lab.adapters.storage.folder import COMPACT_NAME, WEIGHTS_NAME
from shira_lab.budget import num_params
from shira_lab.errors import StorageError
from shira_lab.masks.positions import random_positions, to_indices


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


@pytest.mark.parametrize("each", [False, True])
def test_positions_that_the_seed_gives_are_left_out(tmp_path: Path, each: bool) -> None:
    config = ShiraConfig(2, "all-linear", random_seed=1, seed_per_layer=each)
    get_peft_model(tiny_model(), config).save_pretrained(tmp_path, compact=True)
    kinds = {name.rsplit(".", 1)[1] for name in safetensors.torch.load_file(tmp_path / COMPACT_NAME)}
    assert kinds == {"shira_weight", "shape"}


@pytest.mark.parametrize("positions", [[3, 2], [2, 2], [0, 12]], ids=["falling", "twice", "outside"])
def test_positions_that_have_no_gaps_are_refused(positions: list[int]) -> None:
    tensors = {"x.shira_weight": torch.zeros(2), "x.shira_indices": to_indices(torch.tensor(positions), (3, 4))}
    with pytest.raises(StorageError, match=r"The positions of 'x' are not sorted, or lie outside its shape \(3, 4\)"):
        pack(tensors, ShiraConfig(1), {"x": (3, 4)})


CODES = {
    "no bytes": ([], 0),
    "fewer than positions": ([0x00], 2),
    "a number that does not end": ([0x01, 0x80], 1),
    "a number in two bytes taken for two": ([0x80, 0x01], 2),
    "one number too many": ([0x01, 0x01], 1),
    "one position behind the weight": ([0x0C], 1),
    "two positions, the last behind the weight": ([0x00, 0x0B], 2),
    "more bits than an integer has": ([0x80] * 9 + [0x01], 1),
}


@pytest.mark.parametrize("name", CODES)
def test_bytes_that_are_no_gaps_of_k_positions_are_refused(name: str) -> None:
    code, k = CODES[name]
    shapes = [(3, 4)] if "behind" in name else [(3, 4), (64, 64)]
    assert [_positions(torch.tensor(code, dtype=torch.uint8), k, shape) for shape in shapes] == [None] * len(shapes)


def test_bytes_up_to_the_last_position_are_read() -> None:
    assert _positions(torch.tensor([0x0B], dtype=torch.uint8), 1, (3, 4)).tolist() == [11]
    assert _positions(torch.tensor([0x00, 0x0A], dtype=torch.uint8), 2, (3, 4)).tolist() == [0, 11]
    for wrong in (torch.tensor([0x0B]), torch.tensor([[0x0B]], dtype=torch.uint8)):
        assert _positions(wrong, 1, (3, 4)) is None


def test_a_layer_without_values_or_shape_is_left_to_the_check_of_names() -> None:
    shape = torch.tensor([3, 4], dtype=torch.int32)
    assert unpack({"x.shape": shape}, ShiraConfig(1), {"x": (3, 4)}) == {}
    assert unpack({"x.shira_weight": shape}, ShiraConfig(1), {"x": (3, 4)}).keys() == {"x.shira_weight"}


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
