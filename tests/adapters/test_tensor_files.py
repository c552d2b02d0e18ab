"""PyTorch's ``.bin`` files of adapters: as exact as safetensors, and read without running anything that is in them."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny import adapted, mlp, run, same_bits, snapshot
from torch import Tensor

from shira_lab import LoraConfig, PeftModel, ShiraConfig
from shira_lab.adapters.storage.folder import COMPACT_NAME, PICKLE_NAME, WEIGHTS_NAME
from shira_lab.adapters.storage.load import read_tensors
from shira_lab.errors import StorageError

SHIRA = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0)
VALUES = "base_model.model.lin1.shira_weight"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    adapted(mlp(), SHIRA).save_pretrained(tmp_path, safe_serialization=False)
    return tmp_path


@pytest.mark.parametrize("config", [SHIRA, LoraConfig(r=2, target_modules=["lin0"], modules_to_save=["lin2"])])
def test_a_pickle_holds_the_bits_of_the_safetensors_file(config: ShiraConfig | LoraConfig, tmp_path: Path) -> None:
    model = adapted(mlp(), config)
    model.save_pretrained(tmp_path / "safe")
    model.save_pretrained(tmp_path / "pickle", False)
    tensors = torch.load(tmp_path / "pickle" / PICKLE_NAME, weights_only=True)
    assert same_bits(tensors, load_file(tmp_path / "safe" / WEIGHTS_NAME))
    for folder in ("safe", "pickle"):
        assert torch.equal(run(PeftModel.from_pretrained(mlp(), tmp_path / folder)), run(model))


def test_pickles_pass_between_peft_and_here_both_ways(saved: Path, tmp_path: Path) -> None:
    ours = PeftModel.from_pretrained(mlp(), saved)
    theirs = peft.PeftModel.from_pretrained(mlp(), saved)
    torch.testing.assert_close(run(theirs), run(ours))
    theirs.save_pretrained(tmp_path / "theirs", safe_serialization=False)
    assert (tmp_path / "theirs" / PICKLE_NAME).exists()
    assert torch.equal(run(PeftModel.from_pretrained(mlp(), tmp_path / "theirs")), run(ours))


def test_a_folder_holds_the_last_form_that_was_saved_alone(saved: Path) -> None:
    model = PeftModel.from_pretrained(mlp(), saved)
    for name, options in (
        (WEIGHTS_NAME, {}),
        (COMPACT_NAME, {"compact": True}),
        (PICKLE_NAME, {"safe_serialization": False}),
    ):
        model.save_pretrained(saved, **options)
        assert sorted(path.name for path in saved.iterdir()) == sorted(["README.md", "adapter_config.json", name])
    with pytest.raises(StorageError, match="`compact=True` writes safetensors; leave `safe_serialization` at True"):
        model.save_pretrained(saved, safe_serialization=False, compact=True)


# ---- pickles from a stranger ----------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (Path("went_off"), "")


def write_bomb(file: Path) -> None:
    torch.save({VALUES: torch.ones(80), "bomb": Bomb()}, file)


def change(new: Callable[[Tensor], object]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        tensors = torch.load(file, weights_only=True)
        tensors[VALUES] = new(tensors[VALUES])
        torch.save(tensors, file)

    return write


BROKEN: dict[str, Callable[[Path], object]] = {
    r"could not be read as tensors alone \(.*\). Nothing else is read from a pickle": write_bomb,
    r"could not be read as tensors alone": lambda file: file.write_bytes(pickle.dumps(Bomb())),
    r"read as tensors alone \(.+\)\.": lambda file: file.write_bytes(b""),
    "should hold tensors by name; it holds a list": lambda file: torch.save([torch.ones(3)], file),
    "should hold tensors by name; it holds a dict": lambda file: torch.save({3: torch.ones(3)}, file),
    f"'{VALUES}' is no plain tensor": change(lambda values: values.to_sparse()),
    f".*'{VALUES}' is no plain tensor": change(lambda values: values.to("meta")),
    f".*'{VALUES}' is no plain tensor.": change(lambda values: 3.0),
    r"tensor 'lin1.shira_weight' has shape \(79,\); the": change(lambda values: values[1:]),
    "tensor 'lin1.shira_weight' has dtype torch.complex64, which cannot": change(
        lambda values: values.to(torch.cfloat)
    ),
    "tensor 'lin1.shira_weight' holds NaN or infinite values": change(lambda values: values / 0),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_pickle_of_anything_else_is_refused_and_not_run(
    message: str, saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    BROKEN[message](saved / PICKLE_NAME)
    base, before = mlp(), snapshot(mlp())
    with pytest.raises(StorageError, match=message):
        PeftModel.from_pretrained(base, saved)
    assert same_bits(snapshot(base), before)
    assert not list(Path.cwd().iterdir())


@given(st.integers(0, 2**20), st.integers(0, 255))
def test_any_flipped_or_cut_byte_of_a_pickle_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    adapted(mlp(), SHIRA).save_pretrained(folder, safe_serialization=False)
    content = bytearray((folder / PICKLE_NAME).read_bytes())
    if byte % 2:
        content = content[: at % len(content)]
    else:
        content[at % len(content)] ^= byte
    (folder / PICKLE_NAME).write_bytes(bytes(content))
    base, before = mlp(), snapshot(mlp())
    try:
        run(PeftModel.from_pretrained(base, folder))
    except StorageError:
        assert same_bits(snapshot(base), before)


@pytest.mark.parametrize("error, reason", [(RuntimeError("one line\nand more"), "one line"), (EOFError(), "EOFError")])
def test_why_a_pickle_is_not_read_is_said_in_one_line(
    error: Exception, reason: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: (_ for _ in ()).throw(error))
    (saved / PICKLE_NAME).write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        read_tensors(saved / PICKLE_NAME)
    assert f"could not be read as tensors alone ({reason}). Nothing else" in str(caught.value)


def test_of_two_files_the_safetensors_one_is_read_as_in_peft(saved: Path, tmp_path: Path) -> None:
    other = adapted(mlp(), SHIRA, seed=9)
    other.save_pretrained(tmp_path / "other")
    (saved / WEIGHTS_NAME).write_bytes((tmp_path / "other" / WEIGHTS_NAME).read_bytes())
    assert json.loads((saved / "adapter_config.json").read_text())["r"] == 2
    ours, theirs = PeftModel.from_pretrained(mlp(), saved), peft.PeftModel.from_pretrained(mlp(), saved)
    assert torch.equal(run(ours), run(other))
    torch.testing.assert_close(run(theirs), run(other))
