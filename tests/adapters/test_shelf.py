"""Many adapters in a folder, one running model: listed without reading weights, loaded when used, switched exactly."""

from pathlib import Path

import pytest
import torch
from tiny import fill_randomly, mlp, run, same_bits, snapshot
from torch import Tensor

from shira_lab import LoraConfig, PeftModel, ShiraConfig
from shira_lab.adapters.shelf import AdapterShelf
from shira_lab.errors import AdapterError, StorageError

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def twenty(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """A folder of twenty adapters, and what the model says with each."""
    model, outputs = PeftModel(mlp()), {}
    for number in range(20):
        name, targets = f"style{number:02}", [["lin0"], ["lin1", "lin2"], ["lin0", "lin1"]][number % 3]
        lora = number % 5 == 0
        config = LoraConfig(2, targets) if lora else ShiraConfig(1 + number % 2, targets, random_seed=number)
        model.add_adapter(name, config)
        fill_randomly(model, seed=number, only=name)
        model.set_adapter(name)
        outputs[name] = run(model)
    model.save_pretrained(tmp_path)
    return tmp_path, outputs


def test_switching_among_twenty_is_each_adapter_alone_and_back_to_the_base(
    twenty: tuple[Path, dict[str, Tensor]],
) -> None:
    folder, outputs = twenty
    base, before = mlp(), snapshot(mlp())
    shelf = AdapterShelf(PeftModel(base), folder)
    assert shelf.names == list(outputs) and shelf.loaded == []
    order = torch.randint(20, (60,), generator=torch.Generator().manual_seed(0)).tolist()
    for number in order:
        name = shelf.names[number]
        shelf.switch(name)
        assert torch.equal(run(shelf.model), outputs[name])
        assert shelf.model.active_adapters == [name] and not any(p.requires_grad for p in shelf.model.parameters())
    assert set(shelf.loaded) == {shelf.names[number] for number in order}
    shelf.switch(None)
    assert torch.equal(run(shelf.model), run(mlp()))
    assert same_bits(snapshot(shelf.model.unload()), before)


def test_listing_and_configs_read_no_weights(twenty: tuple[Path, dict[str, Tensor]]) -> None:
    folder, _ = twenty
    for file in folder.glob(f"*/{WEIGHTS}"):
        file.write_bytes(b"")
    shelf = AdapterShelf(PeftModel(mlp()), folder)
    assert shelf.config("style01") == ShiraConfig(2, ["lin1", "lin2"], random_seed=1, inference_mode=True)
    with pytest.raises(StorageError, match="is not a valid safetensors file"):
        shelf.switch("style01")
    assert shelf.loaded == [] and torch.equal(run(shelf.model), run(mlp()))


def test_an_adapter_can_be_put_back_and_one_saved_later_is_found(twenty: tuple[Path, dict[str, Tensor]]) -> None:
    folder, outputs = twenty
    shelf = AdapterShelf(PeftModel(mlp()), folder)
    shelf.switch("style03")
    shelf.model.delete_adapter("style03")
    assert shelf.loaded == []
    shelf.switch("style03")
    assert torch.equal(run(shelf.model), outputs["style03"])
    shelf.model.add_adapter("new", ShiraConfig(1, ["lin0"]))
    shelf.model.save_pretrained(folder, selected_adapters=["new"])
    assert "new" in shelf.names


def test_what_is_not_there_is_named(twenty: tuple[Path, dict[str, Tensor]], tmp_path: Path) -> None:
    shelf = AdapterShelf(PeftModel(mlp()), twenty[0])
    with pytest.raises(StorageError, match=r"has no adapter 'style99'; it has style00, style01, "):
        shelf.switch("style99")
    with pytest.raises(StorageError, match=r"No folder in .* holds an adapter_config.json; give the folder that the"):
        AdapterShelf(PeftModel(mlp()), tmp_path / "style00")


@pytest.mark.parametrize(
    "model", [mlp(), None, "a folder", PeftModel(mlp()).base_model], ids=lambda m: type(m).__name__
)
def test_a_shelf_for_what_is_no_peft_model_is_refused_when_it_is_made(model: object, tmp_path: Path) -> None:
    message = (
        r"`model` should be a PeftModel; write `AdapterShelf\(PeftModel\(model\), folder\)` for a bare model; got "
    )
    with pytest.raises(AdapterError, match=message):
        AdapterShelf(model, tmp_path)


def test_a_shelf_of_no_folder_is_refused() -> None:
    with pytest.raises(StorageError, match="`folder` should be the path of a folder; got None"):
        AdapterShelf(PeftModel(mlp()), None)
