"""Programs that were written for PEFT: what they do there they do here, or a sentence says why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from tiny import MLP, same_bits, snapshot, tiny_opt
from torch import Tensor, nn

import shira_lab
from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model, inject_adapter_in_model
from shira_lab.errors import AdapterError, ConfigError

SHIRA = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0)
LORA = LoraConfig(r=2, target_modules=["lin0", "lin1"])
BOTH = pytest.mark.parametrize("config", [SHIRA, LORA], ids=["SHIRA", "LORA"])


def mlp() -> MLP:
    torch.manual_seed(0)
    return MLP().eval()


def run(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(torch.linspace(-1, 1, 40).view(4, 10))


# ---- the name of the base model -------------------------------------------------------------------------------------


KINDS = pytest.mark.parametrize("kind", ["ShiraConfig", "LoraConfig"])
LIBRARIES = pytest.mark.parametrize("library", [shira_lab, peft], ids=["shira_lab", "peft"])


@LIBRARIES
@KINDS
@pytest.mark.parametrize("base, name", [(lambda: tiny_opt(name_or_path="some/model"), "some/model"), (tiny_opt, None)])
def test_the_model_that_an_adapter_is_for_is_noted(
    library: Any, kind: str, base: Callable[[], nn.Module], name: str | None
) -> None:
    model = library.get_peft_model(base(), getattr(library, kind)(r=1, target_modules=["q_proj"]))
    assert model.peft_config["default"].base_model_name_or_path == name


@KINDS
def test_the_model_that_an_adapter_is_for_stands_in_the_file(kind: str, tmp_path: Path) -> None:
    config = getattr(shira_lab, kind)(r=1, target_modules=["q_proj"])
    model = get_peft_model(tiny_opt(name_or_path="some/model"), config)
    model.add_adapter("second", config)
    model.save_pretrained(tmp_path)
    for folder in (tmp_path, tmp_path / "second"):
        for reader in (peft.PeftConfig, shira_lab.AdapterConfig):
            assert reader.from_pretrained(folder).base_model_name_or_path == "some/model"
    assert config.base_model_name_or_path is None


def test_another_models_name_in_a_config_is_replaced_with_a_warning() -> None:
    given = ShiraConfig(r=1, target_modules=["q_proj"], base_model_name_or_path="another/model")
    with pytest.warns(UserWarning, match="`base_model_name_or_path` is set to 'some/model': 'another/model' is"):
        model = get_peft_model(tiny_opt(name_or_path="some/model"), given)
    assert model.peft_config["default"].base_model_name_or_path == "some/model"
    assert given.base_model_name_or_path == "another/model"


def test_a_loaded_adapter_keeps_the_name_that_its_file_says(tmp_path: Path) -> None:
    get_peft_model(tiny_opt(name_or_path="some/model"), ShiraConfig(r=1)).save_pretrained(tmp_path)
    back = PeftModel.from_pretrained(tiny_opt(name_or_path="/a/copy/of/it"), tmp_path)
    assert back.peft_config["default"].base_model_name_or_path == "some/model"


# ---- adapters in the user's own object ------------------------------------------------------------------------------


@BOTH
def test_a_second_adapter_is_injected_beside_the_first(config: ShiraConfig | LoraConfig) -> None:
    base = mlp()
    inject_adapter_in_model(config, base, "one")
    assert inject_adapter_in_model(config.copy(r=1, target_modules=["lin1", "lin2"]), base, "two") is base
    assert {name for name, _ in base.lin1.named_adapters()} == {"one", "two"}
    assert base.lin0.active_adapters == [] and base.lin1.active_adapters == base.lin2.active_adapters == ["two"]
    assert list(base.peft_config) == ["one", "two"]
    trains = {name for name, p in base.named_parameters() if p.requires_grad}
    assert trains and all(".two." in name or name.endswith(".two") for name in trains)


@BOTH
def test_what_cannot_be_injected_leaves_the_first_as_it_is(config: ShiraConfig | LoraConfig) -> None:
    base = inject_adapter_in_model(config, mlp(), "one")
    before = snapshot(base)
    with pytest.raises(AdapterError, match="Adapter with name one already exists"):
        inject_adapter_in_model(config, base, "one")
    with pytest.raises(ConfigError, match="Target modules"):
        inject_adapter_in_model(config.copy(target_modules=["head"]), base, "two")
    assert same_bits(snapshot(base), before) and base.lin0.active_adapters == ["one"]
    assert list(base.peft_config) == ["one"]
    with pytest.raises(AdapterError, match="This model is a PeftModel already; use `add_adapter` on it"):
        inject_adapter_in_model(config, get_peft_model(mlp(), config), "two")
    with pytest.raises(AdapterError, match=r"inject_adapter_in_model has no `state_dict` here; got \{'a': tensor"):
        inject_adapter_in_model(config, mlp(), state_dict={"a": torch.ones(1)})
    inject_adapter_in_model(config, mlp(), low_cpu_mem_usage=True, state_dict=None)


# ---- modules to save that are only containers -----------------------------------------------------------------------


class Heads(nn.Module):
    """A linear layer, and heads in a container that is never called itself."""

    def __init__(self, heads: nn.Module) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.heads = heads


CONTAINERS: dict[str, Callable[[], nn.Module]] = {
    "ModuleDict": lambda: nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 3)}),
    "ModuleList": lambda: nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 3)]),
    "ParameterDict": lambda: nn.ParameterDict({"a": nn.Parameter(torch.ones(2))}),
    "ParameterList": lambda: nn.ParameterList([nn.Parameter(torch.ones(2))]),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_is_no_module_to_save(container: str) -> None:
    base = Heads(CONTAINERS[container]())
    with pytest.raises(TypeError, match="modules_to_save cannot be applied to modules of type"):
        peft.get_peft_model(
            Heads(CONTAINERS[container]()), peft.LoraConfig(target_modules="lin", modules_to_save=["heads"])
        )
    names = [f"'heads.{name}'" for name, _ in base.heads.named_children()]
    message = f"'heads' is a {container}, which is never called itself, so .* inside it: {', '.join(names) or 'none'}"
    with pytest.raises(ConfigError, match=message):
        get_peft_model(base, ShiraConfig(r=1, target_modules=["lin"], modules_to_save=["heads"]))
    assert type(base.lin) is nn.Linear and type(base.heads).__name__ == container


@pytest.mark.parametrize("container, name", [("ModuleDict", "heads.b"), ("ModuleList", "heads.1")])
def test_what_is_inside_a_container_is_saved_by_its_own_name(container: str, name: str, tmp_path: Path) -> None:
    config = ShiraConfig(r=1, target_modules=["lin"], modules_to_save=[name])
    model = get_peft_model(Heads(CONTAINERS[container]()), config)
    copy: Any = model.get_base_model().get_submodule(name)
    copy.modules_to_save["default"].weight.data.fill_(3)
    model.save_pretrained(tmp_path)
    back = PeftModel.from_pretrained(Heads(CONTAINERS[container]()), tmp_path).get_base_model().get_submodule(name)
    assert bool((back.chosen().weight == 3).all())
