"""Programs that were written for PEFT: what they do there they do here, or a sentence says why not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
from tiny import MLP, same_bits, snapshot, tiny_opt
from torch import Tensor, nn

import shira_lab
from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model, inject_adapter_in_model
from shira_lab.errors import AdapterError, ConfigError, StorageError

SHIRA = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0)
LORA = LoraConfig(r=2, target_modules=["lin0", "lin1"])
BOTH = pytest.mark.parametrize("config", [SHIRA, LORA], ids=["SHIRA", "LORA"])


def mlp() -> MLP:
    torch.manual_seed(0)
    return MLP().eval()


def run(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(torch.linspace(-1, 1, 40).view(4, 10))


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


def test_a_name_that_the_config_says_stays() -> None:
    given = ShiraConfig(r=1, target_modules=["q_proj"], base_model_name_or_path="another/model")
    model = get_peft_model(tiny_opt(name_or_path="/where/it/lies"), given)
    assert model.peft_config["default"].base_model_name_or_path == "another/model"


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


# ---- files that PEFT writes -----------------------------------------------------------------------------------------

TOKENS = torch.arange(3, 11)[None]


def grown(**changes: Any) -> nn.Module:
    """A language model whose vocabulary has grown; the new rows are random."""
    model = tiny_opt(**changes)
    model.resize_token_embeddings(60, mean_resizing=False)
    return model.eval()


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(TOKENS).logits


def random(model: nn.Module) -> nn.Module:
    """Every parameter that trains gets other values."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


@KINDS
@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_in_a_file_are_the_adapters_own(kind: str, tied: bool, tmp_path: Path) -> None:
    config = getattr(peft, kind)(r=2, target_modules=["q_proj"])
    base = grown(tie_word_embeddings=tied)
    with torch.no_grad():
        base.get_input_embeddings().weight[50:] += 1
    theirs = random(peft.get_peft_model(base, config))
    expected = logits(theirs)
    theirs.save_pretrained(tmp_path, save_embedding_layers=True)

    other = grown(tie_word_embeddings=tied)
    before, plain = snapshot(other), logits(other)
    ours = PeftModel.from_pretrained(other, tmp_path)
    torch.testing.assert_close(logits(ours), expected, rtol=1e-5, atol=1e-5)
    with ours.disable_adapter():
        assert torch.equal(logits(ours), plain)
    ours.save_pretrained(tmp_path / "again")
    again = peft.PeftModel.from_pretrained(grown(tie_word_embeddings=tied), tmp_path / "again")
    torch.testing.assert_close(logits(again), expected, rtol=1e-5, atol=1e-5)
    assert same_bits(snapshot(ours.unload()), before)


@KINDS
def test_embeddings_that_are_the_models_are_passed_over(kind: str, tmp_path: Path) -> None:
    theirs = random(peft.get_peft_model(tiny_opt(), getattr(peft, kind)(r=2, target_modules=["q_proj"])))
    theirs.save_pretrained(tmp_path, save_embedding_layers=True)
    ours = PeftModel.from_pretrained(tiny_opt(), tmp_path)
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-5, atol=1e-5)
    assert ours.peft_config["default"].modules_to_save is None


def test_the_base_weight_below_an_adapter_on_the_output_layer_must_be_the_models(tmp_path: Path) -> None:
    untied = {"tie_word_embeddings": False}
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "lm_head"])
    theirs = random(peft.get_peft_model(tiny_opt(**untied), config))
    theirs.save_pretrained(tmp_path)  # the output layer's weight is in the file, unasked
    ours = PeftModel.from_pretrained(tiny_opt(**untied), tmp_path)
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-5, atol=1e-5)
    base = tiny_opt(**untied)
    base.lm_head.weight.data.add_(1)
    before = snapshot(base)
    with pytest.raises(StorageError, match="'lm_head.base_layer.weight' is another one than the model's 'lm_head.weight'"):
        PeftModel.from_pretrained(base, tmp_path)
    assert same_bits(snapshot(base), before)


def test_embeddings_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    theirs = peft.get_peft_model(grown(), peft.LoraConfig(r=2, target_modules=["q_proj"]))
    theirs.save_pretrained(tmp_path, save_embedding_layers=True)
    with pytest.raises(StorageError, match=r"tensor 'lm_head.weight' has shape \(60, 16\); the model .* \(50, 16\)"):
        PeftModel.from_pretrained(tiny_opt(), tmp_path)


def two() -> nn.Sequential:
    return nn.Sequential(mlp(), mlp())


def whole() -> nn.Module:
    return torch.compile(two(), backend="eager")


def in_parts() -> nn.Module:
    return nn.Sequential(torch.compile(mlp(), backend="eager"), mlp())


def names_of(folder: Path) -> list[str]:
    return list(safetensors.torch.load_file(folder / "adapter_model.safetensors"))


@KINDS
@pytest.mark.parametrize("compiled", [whole, in_parts])
@LIBRARIES
def test_a_file_from_a_compiled_model_fits_a_plain_one_and_the_other_way(
    library: Any, kind: str, compiled: Callable[[], nn.Module], tmp_path: Path
) -> None:
    config = getattr(library, kind)(r=2, target_modules=["lin1"], modules_to_save=["lin2"])
    model = random(library.get_peft_model(compiled(), config))
    plain = random(library.get_peft_model(two(), config))
    model.save_pretrained(tmp_path / "compiled")
    plain.save_pretrained(tmp_path / "plain")
    if library is shira_lab:
        assert names_of(tmp_path / "compiled") == names_of(tmp_path / "plain")
    else:
        assert any("_orig_mod" in name for name in names_of(tmp_path / "compiled"))
    torch.testing.assert_close(run(PeftModel.from_pretrained(two(), tmp_path / "compiled")), run(model))
    torch.testing.assert_close(run(PeftModel.from_pretrained(compiled(), tmp_path / "plain")), run(plain))


def test_a_compact_file_from_a_compiled_model_fits_a_plain_one(tmp_path: Path) -> None:
    model = random(get_peft_model(whole(), SHIRA.copy(seed_per_layer=True)))
    model.save_pretrained(tmp_path, compact=True)
    torch.testing.assert_close(run(PeftModel.from_pretrained(two(), tmp_path)), run(model))


@pytest.mark.parametrize("start", ["eva", "orthogonal"])
def test_how_a_training_began_says_nothing_about_what_it_made(start: str, tmp_path: Path) -> None:
    theirs = random(peft.get_peft_model(mlp(), peft.LoraConfig(r=2, target_modules=["lin1"])))
    theirs.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**content, "init_lora_weights": start}))
    ours = PeftModel.from_pretrained(mlp(), tmp_path)
    torch.testing.assert_close(run(ours), run(theirs))
    assert ours.peft_config["default"].init_lora_weights == start
    base = mlp()
    with pytest.raises(ConfigError, match=f"`init_lora_weights='{start}'` can be loaded, but a new adapter cannot start"):
        get_peft_model(base, LoraConfig(r=2, target_modules=["lin1"], init_lora_weights=start))
    assert type(base.lin1) is nn.Linear


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga"])
def test_a_start_that_changed_the_base_weights_is_refused(start: str) -> None:
    with pytest.raises(ConfigError, match=f"`init_lora_weights` should be True, False or 'gaussian'; got '{start}'"):
        shira_lab.AdapterConfig.from_dict({"peft_type": "LORA", "init_lora_weights": start})
