"""An adapter comes back as it was saved, and a file that does not fit changes nothing but the mood of its reader."""

import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import adapted, fill_randomly, layers, mlp, run, same_bits, snapshot
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError, ConfigError, ShiraError, StorageError
from shira_lab.masks import random_mask

SHIRA = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0)
LORA = LoraConfig(r=2, target_modules=["lin0", "lin1"])
CONFIGS = [SHIRA, LORA, SHIRA.copy(modules_to_save=["lin2"]), SHIRA.copy(rank_pattern={"lin1": 3})]
CARD, WEIGHTS, CONFIG = "README.md", "adapter_model.safetensors", "adapter_config.json"
INDICES, VALUES = "base_model.model.lin1.shira_indices", "base_model.model.lin1.shira_weight"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    adapted(mlp(), SHIRA).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("is_trainable", [True, False])
def test_what_is_saved_comes_back(config: ShiraConfig, is_trainable: bool, tmp_path: Path) -> None:
    model = adapted(mlp(), config)
    expected = run(model)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CARD, CONFIG, WEIGHTS]
    back = PeftModel.from_pretrained(mlp(), tmp_path, is_trainable=is_trainable)
    assert torch.equal(run(back), expected)
    assert back.training is is_trainable
    assert any(p.requires_grad for p in back.parameters()) is is_trainable
    assert back.peft_config["default"] == model.peft_config["default"].copy(inference_mode=not is_trainable)


def test_a_lora_adapter_of_a_layer_stored_the_other_way_round_comes_back(tmp_path: Path) -> None:
    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(Conv1D(6, 4))

    model = adapted(net(), LoraConfig(2, ["0"], fan_in_fan_out=True))
    model.save_pretrained(tmp_path)
    x = torch.randn(3, 4)
    assert torch.equal(PeftModel.from_pretrained(net(), tmp_path)(x), model(x))


def test_the_mask_comes_from_the_file_not_from_a_seed_or_function(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="is not recognized"):
        config = ShiraConfig(r=2, mask_type="mine", target_modules=["lin1"], init_weights=False)
    config.mask_fn = lambda base_layer, r: random_mask(base_layer, r, random_seed=99)
    model = get_peft_model(mlp(), config)
    model.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = PeftModel.from_pretrained(mlp(), tmp_path)
    (ours,), (theirs,) = layers(model), layers(back)
    assert torch.equal(ours.shira_indices["default"], theirs.shira_indices["default"])
    assert torch.equal(run(back), run(model))


def test_several_adapters_go_to_folders_of_their_names(tmp_path: Path) -> None:
    model = get_peft_model(mlp(), SHIRA, "first")
    model.add_adapter("second", SHIRA.copy(r=3, random_seed=4))
    model.add_adapter("default", LORA)
    fill_randomly(model)
    model.save_pretrained(tmp_path, selected_adapters=["first", "default"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [CARD, CONFIG, WEIGHTS, "first"]
    model.save_pretrained(tmp_path)
    back = PeftModel.from_pretrained(mlp(), tmp_path / "first", "first")
    back.load_adapter(tmp_path / "second", "second")
    back.load_adapter(tmp_path, "default")
    for name in ("first", "second", "default"):
        model.set_adapter(name)
        back.set_adapter(name)
        assert torch.equal(run(back), run(model))
    with pytest.raises(AdapterError, match="Adapter third does not exist"):
        model.save_pretrained(tmp_path, selected_adapters=["third"])


def test_saving_while_active_merged_or_disabled_writes_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    expected = (saved / WEIGHTS).read_bytes()
    model = PeftModel.from_pretrained(mlp(), saved)
    run(model)
    model.merge_adapter()
    model.save_pretrained(tmp_path / "merged")
    with model.disable_adapter():
        model.save_pretrained(tmp_path / "disabled")
    assert (tmp_path / "merged" / WEIGHTS).read_bytes() == expected == (tmp_path / "disabled" / WEIGHTS).read_bytes()


def test_a_saved_module_may_hold_integers(tmp_path: Path) -> None:
    def model() -> nn.Module:
        return nn.Sequential(mlp(), nn.BatchNorm1d(10))

    config = ShiraConfig(r=1, target_modules=["lin1"], random_seed=0, modules_to_save=["1"])
    trained = adapted(model(), config).train()
    trained(torch.randn(8, 10))
    trained.eval().save_pretrained(tmp_path)
    back = PeftModel.from_pretrained(model(), tmp_path)
    assert int(back.base_model.model[1].num_batches_tracked) == 1
    assert torch.equal(run(back), run(trained))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_indices_may_be_floats_or_long_and_in_any_order(saved: Path, dtype: torch.dtype) -> None:
    expected = run(PeftModel.from_pretrained(mlp(), saved))
    tensors = load_file(saved / WEIGHTS)
    shuffle = torch.randperm(tensors[VALUES].numel())
    tensors[INDICES] = tensors[INDICES][:, shuffle].to(dtype).contiguous()
    tensors[VALUES] = tensors[VALUES][shuffle]
    save_file(tensors, saved / WEIGHTS)
    assert torch.equal(run(PeftModel.from_pretrained(mlp(), saved)), expected)


# ---- files from a stranger ------------------------------------------------------------------------------------------


def entry(key: str, position: tuple[int, ...], value: float) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[key][position] = value

    return change


def replace(key: str, new: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[key] = new(tensors[key]).contiguous()

    return change


def twice(tensors: dict[str, Tensor]) -> None:
    tensors[INDICES][:, 1] = tensors[INDICES][:, 0]


BROKEN_TENSORS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    r"tensor 'lin1.shira_weight' is missing \(1 such\). Is it an adapter of this model": lambda t: t.pop(VALUES),
    r"tensor 'lin9.shira_weight' is not expected \(1 such\)": lambda t: t.update(
        {VALUES.replace("1", "9"): torch.ones(2)}
    ),
    "tensor 'lin1.shira_weight' does not begin with 'base_model.model.' as an adapter's tensors do": lambda t: t.update(
        {"lin1.shira_weight": torch.ones(2)}
    ),
    r"tensor 'lin1.shira_weight' has shape \(79,\); the .* need \(80,\)": replace(VALUES, lambda v: v[1:]),
    r"tensor 'lin1.shira_indices' has shape \(80, 2\); the model and config need \(2, 80\)": replace(
        INDICES, lambda v: v.t()
    ),
    "tensor 'lin1.shira_weight' holds NaN or infinite values": entry(VALUES, (3,), float("nan")),
    "tensor 'lin1.shira_weight' has dtype torch.int32, which cannot be used there": replace(VALUES, lambda v: v.int()),
    "tensor 'lin1.shira_weight' has dtype torch.float8_e4m3fn, which cannot": replace(
        VALUES, lambda v: v.to(torch.float8_e4m3fn)
    ),
    "tensor 'lin1.shira_indices' has dtype torch.bool, which cannot be used there": replace(INDICES, lambda v: v > 3),
    r"tensor 'lin1.shira_indices' holds positions outside the weight of shape \(20, 20\)": entry(INDICES, (0, 5), 20),
    r"tensor 'lin1.shira_indices' holds positions outside the weight .*": entry(INDICES, (1, 5), -1),
    "tensor 'lin1.shira_indices' holds a position twice": twice,
    "tensor 'lin1.shira_indices' holds positions that are no whole numbers": replace(INDICES, lambda v: v * 0.5),
    "tensor 'lin1.shira_indices' holds NaN or infinite values": replace(INDICES, lambda v: v * float("nan")),
}
BROKEN_CONFIGS: dict[str, tuple[type[ShiraError], object]] = {
    "is not valid JSON .* the file may be cut off": (StorageError, '{"r": 2'),
    "should hold one JSON object; it holds a list": (StorageError, "[]"),
    "`peft_type` is 'IA3'; expected 'SHIRA' or 'LORA'": (ConfigError, {"peft_type": "IA3"}),
    "`r` should be a positive integer value but the value passed is 'two'": (ConfigError, {"r": "two"}),
    "tensor 'lin0.shira_weight' has shape": (StorageError, {"r": 1}),
    "r=99 is too large for layer 'lin0'": (ConfigError, {"r": 99}),
    "The largest r for this shape is 6": (ConfigError, {"r": 10**40}),
    r"Target modules \['q'\] not found": (ConfigError, {"target_modules": ["q"]}),
    "tensor 'lin2.shira_indices' is missing": (StorageError, {"target_modules": ["lin0", "lin1", "lin2"]}),
    "LoraConfig has no `init_weights` here; got True": (ConfigError, {"peft_type": "LORA"}),
    "tensor 'lin0.lora_A.weight' is missing": (StorageError, json.dumps(LORA.to_dict())),
    "'lin0.lora_A.weight' is": (StorageError, json.dumps(LORA.copy(r=10**40).to_dict())),
    "`rank_pattern` should be a dict": (ConfigError, {"rank_pattern": None}),
}


def assert_refused(folder: Path, error: type[ShiraError], message: str) -> None:
    """Loading raises, both as a first and as a second adapter, and the models are bit for bit what they were."""
    base, before, flags = mlp(), snapshot(mlp()), [True] * 5
    with pytest.raises(error, match=message):
        PeftModel.from_pretrained(base, folder)
    assert same_bits(snapshot(base), before) and [p.requires_grad for p in base.parameters()] == flags
    model = adapted(base, SHIRA)
    state, output = snapshot(model), run(model)
    with pytest.raises(error, match=message):
        model.load_adapter(folder, "stranger")
    assert same_bits(snapshot(model), state) and torch.equal(run(model), output)
    assert list(model.peft_config) == ["default"]


@pytest.mark.parametrize("message", BROKEN_TENSORS)
def test_tensors_that_do_not_fit_are_refused_by_name(message: str, saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS)
    BROKEN_TENSORS[message](tensors)
    save_file(tensors, saved / WEIGHTS)
    assert_refused(saved, StorageError, message)


@pytest.mark.parametrize("message", BROKEN_CONFIGS)
def test_configs_that_do_not_fit_are_refused(message: str, saved: Path) -> None:
    error, change = BROKEN_CONFIGS[message]
    if isinstance(change, dict):
        change = json.dumps(json.loads((saved / CONFIG).read_text()) | change)
    (saved / CONFIG).write_text(str(change))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert_refused(saved, error, message)


@given(st.integers(0, 2**20), st.integers(0, 255))
def test_any_flipped_or_cut_byte_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    adapted(mlp(), SHIRA).save_pretrained(folder)
    content = bytearray((folder / WEIGHTS).read_bytes())
    if byte % 2:
        content = content[: at % len(content)]
    else:
        content[at % min(len(content), 500)] ^= byte
    (folder / WEIGHTS).write_bytes(bytes(content))
    base, before = mlp(), snapshot(mlp())
    try:
        run(PeftModel.from_pretrained(base, folder))
    except StorageError:
        assert same_bits(snapshot(base), before)


MISSING: dict[str, Callable[[Path], object]] = {
    f"^There is no {CONFIG} in .*; is this the folder of a saved adapter": lambda folder: (folder / CONFIG).unlink(),
    f"There is no {WEIGHTS} in .*": lambda folder: (folder / WEIGHTS).unlink(),
    "is not a regular file": lambda folder: ((folder / WEIGHTS).unlink(), (folder / WEIGHTS).mkdir()),
    "is not a valid safetensors file .* it may be cut off": lambda folder: (folder / WEIGHTS).write_bytes(b""),
}


@pytest.mark.parametrize("message", MISSING)
def test_missing_and_empty_files_are_named(message: str, saved: Path) -> None:
    MISSING[message](saved)
    assert_refused(saved, StorageError, message)


# ---- a folder that cannot be written --------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(StorageError, match=rf"Could not read .*{re.escape(CONFIG)}: Input/output error\."):
        PeftModel.from_pretrained(mlp(), saved)


def test_a_full_disk_leaves_the_old_adapter_whole(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match=rf"Could not write .*{WEIGHTS}: No space left .* is unchanged"):
        fill_randomly(adapted(mlp(), SHIRA), seed=9).save_pretrained(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_disk_that_fails_once_the_new_tensors_are_there_leaves_the_new_adapter_and_says_so(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, replace = fill_randomly(adapted(mlp(), SHIRA), seed=9), os.replace

    def fail(source: Path, target: Path) -> None:
        if target.name == CONFIG:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageError, match=r"Input/output error\. The new adapter is there and is read; save again"):
        model.save_pretrained(saved)
    assert torch.equal(run(PeftModel.from_pretrained(mlp(), saved)), run(model))


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match="Could not write"):
        adapted(mlp(), SHIRA).save_pretrained(tmp_path / "file")


def test_an_adapter_of_another_kind_is_not_overwritten(saved: Path) -> None:
    with pytest.raises(StorageError, match="holds a SHIRA adapter; saving this LORA adapter there would overwrite it"):
        adapted(mlp(), LORA).save_pretrained(saved)
    adapted(mlp(), SHIRA.copy(r=1)).save_pretrained(saved)
    assert PeftModel.from_pretrained(mlp(), saved).peft_config["default"].r == 1
