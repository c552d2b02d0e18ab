"""Programs that were written for PEFT: what they do there they do here, or a sentence says why not."""

import copy
import importlib.metadata
import inspect
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
from tiny import MLP, adapted, same_bits, snapshot, tiny_opt
from torch import Tensor, nn

import shira_lab
from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model, inject_adapter_in_model
from shira_lab.errors import AdapterError, ConfigError, ShiraError, StorageError

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
    with pytest.raises(StorageError, match=r"'lm_head.base_layer.weight' is another one than the model's 'lm_head"):
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
    with pytest.raises(ConfigError, match=f"`init_lora_weights='{start}'` can be loaded, but a new adapter"):
        get_peft_model(base, LoraConfig(r=2, target_modules=["lin1"], init_lora_weights=start))
    assert type(base.lin1) is nn.Linear


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga"])
def test_a_start_that_changed_the_base_weights_is_refused(start: str) -> None:
    with pytest.raises(ConfigError, match=f"`init_lora_weights` should be True, False or 'gaussian'; got '{start}'"):
        shira_lab.AdapterConfig.from_dict({"peft_type": "LORA", "init_lora_weights": start})


# ---- arguments of PEFT's --------------------------------------------------------------------------------------------

#: Arguments that only PEFT's functions have, with another value than PEFT's default.
ONLY_PEFTS: dict[str, tuple[Callable[[PeftModel, Path, dict[str, Any]], object], dict[str, Any]]] = {
    "save_pretrained": (
        lambda model, folder, others: model.save_pretrained(folder, **others),
        {"save_embedding_layers": True, "path_initial_model_for_weight_conversion": "start", "push_to_hub": True},
    ),
    "load_adapter": (
        lambda model, folder, others: PeftModel.from_pretrained(mlp(), folder, **others),
        {"ephemeral_gpu_offload": True, "key_mapping": {"a": "b"}, "revision": "main", "token": "x", "cache_dir": "x"},
    ),
    "add_adapter": (
        lambda model, folder, others: get_peft_model(mlp(), SHIRA, **others),
        {"mixed": True, "revision": "main"},
    ),
    "inject_adapter_in_model": (
        lambda model, folder, others: inject_adapter_in_model(SHIRA, mlp(), **others),
        {"state_dict": {"a": torch.ones(1)}},
    ),
    "get_peft_model_state_dict": (
        lambda model, folder, others: shira_lab.get_peft_model_state_dict(model, **others),
        {"state_dict": {"a": torch.ones(1)}, "unwrap_compiled": True, "save_embedding_layers": True},
    ),
    "set_peft_model_state_dict": (
        lambda model, folder, others: shira_lab.set_peft_model_state_dict(
            model, shira_lab.get_peft_model_state_dict(model), **others
        ),
        {"ignore_mismatched_sizes": True},
    ),
}


THEIRS = {
    "save_pretrained": [peft.PeftModel.save_pretrained],
    "load_adapter": [peft.PeftModel.from_pretrained, peft.PeftModel.load_adapter],
    "add_adapter": [peft.get_peft_model, peft.PeftModel.add_adapter],
    "inject_adapter_in_model": [peft.inject_adapter_in_model],
    "get_peft_model_state_dict": [peft.get_peft_model_state_dict],
    "set_peft_model_state_dict": [peft.set_peft_model_state_dict],
}


@pytest.mark.parametrize(
    "function, name", [(function, name) for function in THEIRS for name in ONLY_PEFTS[function][1]]
)
def test_an_argument_that_only_peft_has_is_refused_by_name(function: str, name: str, tmp_path: Path) -> None:
    call, values = ONLY_PEFTS[function]
    model = adapted(mlp(), SHIRA)
    model.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ShiraError, match=rf"^{function} has no `{name}` here; got .*\. [A-Z].*\.$"):
        call(model, tmp_path, {name: values[name]})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("function", THEIRS)
def test_each_argument_of_pefts_is_taken_at_pefts_default(function: str, tmp_path: Path) -> None:
    call = ONLY_PEFTS[function][0]
    model = adapted(mlp(), SHIRA)
    model.save_pretrained(tmp_path)
    for theirs in THEIRS[function]:
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(theirs).parameters.items()
            if parameter.default is not parameter.empty
        }
        assert defaults
        call(model, tmp_path, defaults)
        call(model, tmp_path, {"low_cpu_mem_usage": True})


def test_a_state_dict_is_saved_in_the_models_place(tmp_path: Path) -> None:
    for config in (SHIRA, LORA, SHIRA.copy(modules_to_save=["lin2"])):
        model = random(get_peft_model(mlp(), config))
        expected, state = run(model), snapshot(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        model.save_pretrained(tmp_path / config.peft_type, state_dict=state)
        assert torch.equal(run(PeftModel.from_pretrained(mlp(), tmp_path / config.peft_type)), expected)


@BOTH
def test_a_state_dict_that_is_not_the_models_is_refused(config: ShiraConfig | LoraConfig, tmp_path: Path) -> None:
    model = adapted(mlp(), config)
    for key in [key for key in model.state_dict() if "default" in key]:
        state = snapshot(model)
        shape = tuple(state.pop(key).shape)
        message = re.escape(f"`state_dict` should hold '{key}' of shape {shape}; pass all that")
        for wrong in (state, {**state, key: torch.ones(3)}):
            with pytest.raises(StorageError, match=message):
                model.save_pretrained(tmp_path / "new", state_dict=wrong)
    assert not (tmp_path / "new").exists()


def test_a_process_that_is_not_the_main_one_writes_nothing(tmp_path: Path) -> None:
    adapted(mlp(), SHIRA).save_pretrained(tmp_path / "new", is_main_process=False)
    assert not (tmp_path / "new").exists()


def test_an_adapter_is_found_in_a_subfolder(tmp_path: Path) -> None:
    model = adapted(mlp(), SHIRA)
    model.save_pretrained(tmp_path / "inner")
    assert torch.equal(run(PeftModel.from_pretrained(mlp(), tmp_path, subfolder="inner")), run(model))
    with pytest.raises(StorageError, match="`subfolder` should be the path of a folder; got 3"):
        PeftModel.from_pretrained(mlp(), tmp_path, subfolder=3)


@LIBRARIES
@KINDS
def test_a_wrapper_can_be_made_with_its_first_adapter(library: Any, kind: str) -> None:
    model = library.PeftModel(mlp(), getattr(library, kind)(r=2, target_modules=["lin1"]), "first")
    assert list(model.peft_config) == ["first"] and model.active_adapters == ["first"]
    assert {name for name, p in model.named_parameters() if p.requires_grad and "lin1" in name}


# ---- names ----------------------------------------------------------------------------------------------------------


def test_pefts_names_are_here() -> None:
    assert shira_lab.PeftConfig.from_dict({"peft_type": "LORA"}) == LoraConfig()
    assert {kind: str(kind) for kind in shira_lab.PeftType} == {"SHIRA": "SHIRA", "LORA": "LORA"}
    assert all(getattr(peft.PeftType, kind) == kind for kind in shira_lab.PeftType)
    assert (
        LoraConfig().peft_type is shira_lab.PeftType.LORA and LoraConfig(peft_type=peft.PeftType.LORA) == LoraConfig()
    )
    assert isinstance(get_peft_model(mlp(), SHIRA), shira_lab.PeftModelForCausalLM)
    assert importlib.metadata.version("shira-lab") == shira_lab.__version__


def parameters(model: nn.Module) -> dict[str, tuple[tuple[int, ...], bool]]:
    return {name: (tuple(p.shape), p.requires_grad) for name, p in model.named_parameters()}


@pytest.mark.parametrize("changes", [{}, {"modules_to_save": ["lin2"]}, {"lora_dropout": 0.5}])
def test_loras_parameters_have_pefts_names(changes: dict[str, Any]) -> None:
    ours, theirs = (
        library.get_peft_model(mlp(), library.LoraConfig(r=2, target_modules=["lin0", "lin1"], **changes), "mine")
        for library in (shira_lab, peft)
    )
    assert parameters(ours) == parameters(theirs)
    for model, library in ((ours, shira_lab), (theirs, peft)):
        model.add_adapter("other", library.LoraConfig(r=1, target_modules=["lin1"]))
    assert parameters(ours) == parameters(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    theirs.load_state_dict(random(ours).state_dict())
    torch.testing.assert_close(run(theirs), run(ours))
    ours.delete_adapter("mine")
    theirs.delete_adapter("mine")
    left, right = ([name for name in parameters(model) if "lora" in name] for model in (ours, theirs))
    assert left == right


@BOTH
def test_copies_pickles_and_moves_keep_an_adapters_parts_together(config: ShiraConfig | LoraConfig) -> None:
    model = random(get_peft_model(mlp(), config))
    expected = run(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.deepcopy(model).double().float()):
        assert torch.equal(run(other), expected)
        with torch.no_grad():
            for parameter in other.parameters():
                if parameter.requires_grad:
                    parameter.zero_()
        assert torch.equal(run(other), run(mlp()))
    assert torch.equal(run(model), expected)


@BOTH
def test_an_adapter_and_the_model_it_names_are_loaded_in_one_call(
    config: ShiraConfig | LoraConfig, tmp_path: Path
) -> None:
    base, _ = shira_lab.load_model()
    assert base.name_or_path == "embedded"
    model = random(get_peft_model(base, config.copy(target_modules=["q_proj"], task_type="CAUSAL_LM")))
    model.save_pretrained(tmp_path)
    back = shira_lab.AutoPeftModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(logits(back), logits(model)) and isinstance(back, PeftModel)
    trainable = shira_lab.AutoPeftModelForCausalLM.from_pretrained(tmp_path, "mine", is_trainable=True)
    assert trainable.active_adapters == ["mine"] and any(p.requires_grad for p in trainable.parameters())


def test_a_model_that_nobody_named_is_not_guessed(tmp_path: Path) -> None:
    adapted(mlp(), SHIRA).save_pretrained(tmp_path)
    with pytest.raises(StorageError, match=r"The adapter in .* does not name its model. Load it, then use PeftModel"):
        shira_lab.AutoPeftModelForCausalLM.from_pretrained(tmp_path)


@KINDS
def test_peft_finds_the_model_that_our_adapter_is_for(kind: str, tmp_path: Path) -> None:
    tiny_opt().save_pretrained(tmp_path / "base")
    base = type(tiny_opt()).from_pretrained(tmp_path / "base")
    model = random(get_peft_model(base, getattr(shira_lab, kind)(r=2, target_modules=["q_proj"])))
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "tokenizer_config.json").touch()  # without it PEFT looks on the hub
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("peft.auto.AutoTokenizer.from_pretrained", lambda *_, **__: range(50))
        theirs = peft.AutoPeftModel.from_pretrained(tmp_path / "adapter")
    torch.testing.assert_close(logits(theirs), logits(model), rtol=1e-5, atol=1e-5)
