"""Every field, default and rule of a config, and the round trip through PEFT's ``adapter_config.json``."""

import copy
import dataclasses
import json
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from tiny import MLP, layers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from shira_lab import AdapterConfig, LoraConfig, ShiraConfig, get_peft_model, register_mask
from shira_lab.errors import ConfigError, StorageError
from shira_lab.masks import find_mask, magnitude_mask, mask_types, random_mask

SHIRA_DEFAULTS = {
    "r": 32,
    "mask_type": "random",
    "random_seed": None,
    "target_modules": None,
    "fan_in_fan_out": False,
    "init_weights": True,
    "modules_to_save": None,
}


def test_the_defaults_are_pefts() -> None:
    ours, theirs = ShiraConfig(), peft.ShiraConfig()
    assert {name: getattr(ours, name) for name in SHIRA_DEFAULTS} == SHIRA_DEFAULTS
    assert {name: getattr(theirs, name) for name in SHIRA_DEFAULTS} == SHIRA_DEFAULTS
    assert (ours.peft_type, LoraConfig().peft_type) == ("SHIRA", "LORA")
    for name in ("r", "lora_alpha", "lora_dropout", "use_rslora", "init_lora_weights", "bias"):
        assert getattr(LoraConfig(), name) == getattr(peft.LoraConfig(), name)


def test_a_list_of_targets_becomes_a_set_and_a_pattern_stays_one() -> None:
    assert ShiraConfig(target_modules=["q", "v"]).target_modules == {"q", "v"}
    pattern = r".*decoder.*(SelfAttention).*(q|v)$"
    assert ShiraConfig(target_modules=pattern).target_modules == pattern


@pytest.mark.parametrize("name", mask_types())
def test_a_mask_type_brings_its_function(name: str) -> None:
    assert ShiraConfig(mask_type=name).mask_fn is find_mask(name)


def test_an_unknown_mask_type_warns_and_takes_the_users_function() -> None:
    with pytest.warns(UserWarning, match=r"`mask_type='mine'` is not recognized; .* `config.mask_fn = my_mask_fn`"):
        config = ShiraConfig(r=1, mask_type="mine", target_modules=["lin1"])
    with pytest.raises(ConfigError, match="`mask_type='mine'` has no function: known are random, magnitude"):
        get_peft_model(MLP(), config)

    def first_entries(base_layer: nn.Module, r: int) -> Tensor:
        mask = torch.zeros_like(base_layer.weight)
        mask.view(-1)[: r * sum(mask.shape)] = 1
        return mask

    config.mask_fn = first_entries
    (layer,) = layers(get_peft_model(MLP(), config))
    assert layer.adapters["default"].positions.tolist() == list(range(40))


def test_a_loaded_config_of_an_unknown_mask_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ShiraConfig(mask_type="mine", inference_mode=True).mask_fn is None


def test_a_copy_with_another_mask_type_has_its_function() -> None:
    assert ShiraConfig().copy(mask_type="magnitude").mask_fn is magnitude_mask
    assert ShiraConfig(mask_fn=magnitude_mask).copy(r=3).mask_fn is magnitude_mask


def test_a_registered_mask_is_given_its_arguments() -> None:
    seen = {}

    @register_mask("mine")
    def mine(base_layer: nn.Module, r: int, random_seed: int, start: int = 0) -> Tensor:
        seen.update(random_seed=random_seed, start=start)
        return random_mask(base_layer, r, random_seed=random_seed)

    config = ShiraConfig(r=1, mask_type="mine", random_seed=4, mask_kwargs={"start": 7}, target_modules=["lin1"])
    get_peft_model(MLP(), config)
    assert seen == {"random_seed": 4, "start": 7}
    with pytest.raises(ConfigError, match=r"`mask_kwargs` has \['stop'\], which the mask 'mine' does not take"):
        get_peft_model(MLP(), config.copy(mask_kwargs={"stop": 1}))


# ---- seeds ----------------------------------------------------------------------------------------------------------


def positions(config: ShiraConfig) -> list[Tensor]:
    return [layer.adapters["default"].positions for layer in layers(get_peft_model(MLP(), config))]


def test_a_drawn_seed_is_recorded_and_the_callers_config_left_alone() -> None:
    config = ShiraConfig(r=1, target_modules=["lin1"])
    model = get_peft_model(MLP(), config)
    seed = model.peft_config["default"].random_seed
    assert isinstance(seed, int) and config.random_seed is None
    assert torch.equal(positions(config.copy(random_seed=seed))[0], layers(model)[0].adapters["default"].positions)
    assert not torch.equal(positions(config)[0], positions(config)[0])


def test_torchs_seed_governs_the_drawn_one() -> None:
    config = ShiraConfig(r=1, target_modules=["lin1"])
    torch.manual_seed(3)
    first = positions(config)
    torch.manual_seed(3)
    assert torch.equal(first[0], positions(config)[0])


def test_a_mask_that_does_not_draw_records_no_seed() -> None:
    config = ShiraConfig(r=1, mask_type="magnitude", target_modules=["lin1"])
    assert get_peft_model(MLP(), config).peft_config["default"].random_seed is None


class Twins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)


def test_layers_of_one_shape_share_the_mask_of_a_seed_unless_each_has_its_own() -> None:
    def masks(**changes: object) -> list[list[int]]:
        config = ShiraConfig(r=1, target_modules=["a", "b"], random_seed=1, **changes)
        return [layer.adapters["default"].positions.tolist() for layer in layers(get_peft_model(Twins(), config))]

    together, apart = masks(), masks(seed_per_layer=True)
    assert together[0] == together[1]
    assert apart[0] != apart[1]
    assert apart == masks(seed_per_layer=True)


@pytest.mark.filterwarnings("ignore:`rank_pattern`. no layer")  # some patterns are there to match nothing
def test_rank_pattern_sets_r_by_layer_as_in_peft() -> None:
    patterns = {"lin1": 2, "layers.0.q": 3, "^block.*v": 4, "(a|b).k": 5}
    config = ShiraConfig(r=1, target_modules=["lin0", "lin1"], rank_pattern=patterns)
    assert [layer.r["default"] for layer in layers(get_peft_model(MLP(), config))] == [1, 2]
    for path in ("lin1", "x.lin1", "xlin1", "layers.0.q", "m.layers.0.q", "block.v", "m.block.v", "b.k", "k"):
        key = peft.utils.other.get_pattern_key(patterns, path)
        assert config.r_for(path) == patterns.get(key, 1)


@pytest.mark.parametrize("rslora", [False, True])
def test_loras_scaling_is_alpha_over_r_or_its_root(rslora: bool) -> None:
    config = LoraConfig(r=4, lora_alpha=8, use_rslora=rslora, rank_pattern={"b": 16}, alpha_pattern={"b": 32})
    assert (config.scaling_for("a"), config.scaling_for("b")) == ((4.0, 8.0) if rslora else (2.0, 2.0))


# ---- what cannot work is refused when the config is made -----------------------------------------------------------

REFUSED = {
    "`r` should be a positive integer value but the value passed is 0": {"r": 0},
    "`r` should be a positive integer value but the value passed is '8'": {"r": "8"},
    "`random_seed` should be None or an integer in \\[0, 2\\*\\*63\\); got -1": {"random_seed": -1},
    "`random_seed` should be None or an integer in \\[0, 2\\*\\*63\\); got 9223372036854775808": {"random_seed": 2**63},
    "`mask_type` should be a name such as 'random'; got 3": {"mask_type": 3},
    "`target_modules` is empty; name at least one module": {"target_modules": []},
    "`target_modules` is an empty string": {"target_modules": ""},
    "`target_modules` is not a valid regular expression: '\\('": {"target_modules": "("},
    "`target_modules` should be a list of module names or one regular expression; got 5": {"target_modules": 5},
    "`exclude_modules` should be a list of module names or one regular expression; got \\[1\\]": {
        "exclude_modules": [1]
    },
    "`layers_to_transform` should be a list of layer indices; got \\['1'\\]": {"layers_to_transform": ["1"]},
    "`rank_pattern\\['q'\\]` should be a positive integer value but the value passed is 0": {"rank_pattern": {"q": 0}},
    "`rank_pattern` is not a valid regular expression: '\\('": {"rank_pattern": {"(": 2}},
    "`scale_pattern` is not a valid regular expression: '\\('": {"scale_pattern": {"(": 2.0}},
    "`rank_pattern` should be a dict of \\{pattern: value\\}; got \\[\\]": {"rank_pattern": []},
    "`modules_to_save` should be a list of names; got 'score'": {"modules_to_save": "score"},
    **{
        f"`mask_kwargs` should not hold {name}: the mask function is given these anyway": {"mask_kwargs": {name: 1}}
        for name in ("base_layer", "r", "random_seed", "gradient", "input_norm", "avoid")
    },
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_value_that_cannot_work_is_refused_by_name(message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ShiraConfig(**REFUSED[message])


LORA_REFUSED = {
    "`lora_dropout` should be in \\[0, 1\\); got 1.0": {"lora_dropout": 1.0},
    "`lora_alpha` should be a number that is not negative; got 'x'": {"lora_alpha": "x"},
    "`lora_alpha` should be a number that is not negative; got -1": {"alpha_pattern": {"q": -1}},
    "`alpha_pattern` is not a valid regular expression: '\\('": {"alpha_pattern": {"(": 2}},
    "`init_lora_weights` should be True, False or 'gaussian'; got 'pissa'": {"init_lora_weights": "pissa"},
    "`bias` should be 'none', biases stay frozen here; got 'all'": {"bias": "all"},
}


@pytest.mark.parametrize("message", LORA_REFUSED)
def test_a_lora_value_that_cannot_work_is_refused_by_name(message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoraConfig(**LORA_REFUSED[message])


def test_the_least_values_that_work_are_accepted() -> None:
    LoraConfig(r=1, lora_alpha=0, lora_dropout=0.0, alpha_pattern={"q": 0.5}, init_lora_weights="gaussian", scale=0)


ODD = [
    None,
    True,
    -1,
    0.5,
    float("nan"),
    10**400,
    "x",
    "(",
    "",
    [],
    [1],
    [[]],
    [None],
    {},
    {"q": {}},
    {"(": 1},
    {"q": []},
]


@pytest.mark.parametrize("kind", [ShiraConfig, LoraConfig])
def test_whatever_stands_in_a_file_is_a_config_or_refused(kind: type[AdapterConfig]) -> None:
    for name in kind().to_dict().keys() | {field.name for field in dataclasses.fields(kind)} | {"peft_type", "new"}:
        for value in ODD:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    config = AdapterConfig.from_dict({"peft_type": kind.peft_type, name: value})
                except ConfigError:
                    continue
            assert isinstance(config, kind)


def test_fan_in_fan_out_follows_the_layer_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="`fan_in_fan_out` is set to False: the target is nn.Linear"):
        get_peft_model(MLP(), ShiraConfig(r=1, target_modules=["lin1"], fan_in_fan_out=True))
    model = nn.Sequential(Conv1D(6, 4))
    with pytest.warns(UserWarning, match="`fan_in_fan_out` is set to True: the target is Conv1D"):
        adapted = get_peft_model(model, ShiraConfig(r=1, target_modules=["0"]))
    assert adapted.peft_config["default"].fan_in_fan_out


# ---- adapter_config.json --------------------------------------------------------------------------------------------

OURS = [
    ShiraConfig(r=3, target_modules=["q_proj", "v_proj"], random_seed=5, modules_to_save=["score"]),
    ShiraConfig(r=3, target_modules=".*q_proj", init_weights=False, base_model_name_or_path="x", task_type="CAUSAL_LM"),
    LoraConfig(r=4, lora_alpha=16, use_rslora=True, target_modules=["q_proj"], rank_pattern={"q": 2}),
    LoraConfig(r=4, lora_dropout=0.1, layers_to_transform=[0, 1], exclude_modules=["v_proj"], target_modules=["q"]),
]


@pytest.mark.parametrize("config", OURS, ids=lambda config: config.peft_type)
def test_peft_reads_our_configs_and_we_read_them_back(config: AdapterConfig, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = peft.PeftConfig.from_pretrained(tmp_path)
        back = AdapterConfig.from_pretrained(tmp_path)
    text = (tmp_path / "adapter_config.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True)  # PEFT's form
    assert type(theirs).__name__ == type(config).__name__
    assert back == config
    for field in dataclasses.fields(config):
        if hasattr(theirs, field.name) and field.name != "mask_fn":
            assert getattr(theirs, field.name) == getattr(config, field.name)


@pytest.mark.parametrize(
    "theirs",
    [
        peft.ShiraConfig(r=3, target_modules=["q"], random_seed=5, modules_to_save=["score"]),
        peft.LoraConfig(r=4, lora_alpha=16, target_modules=["q"], task_type="CAUSAL_LM", use_rslora=True),
    ],
    ids=lambda config: config.peft_type,
)
def test_we_read_pefts_configs_without_a_word_and_lose_nothing(theirs: peft.PeftConfig, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = AdapterConfig.from_pretrained(tmp_path)
    ours.save_pretrained(tmp_path)
    assert peft.PeftConfig.from_pretrained(tmp_path) == theirs


KINDS = [ShiraConfig, LoraConfig]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_pefts_is_taken_at_pefts_default(kind: type[AdapterConfig]) -> None:
    theirs = getattr(peft, kind.__name__)()
    for field in dataclasses.fields(theirs):
        assert kind(**{field.name: getattr(theirs, field.name)}) == kind(), field.name
    assert kind(**{field.name: getattr(theirs, field.name) for field in dataclasses.fields(theirs)}) == kind()


@pytest.mark.parametrize("kind", KINDS)
def test_another_value_of_a_field_that_only_peft_has_is_refused_by_name(kind: type[AdapterConfig]) -> None:
    theirs = {field.name for field in dataclasses.fields(getattr(peft, kind.__name__))}
    for name in theirs - {field.name for field in dataclasses.fields(kind)} - {"peft_type", "peft_version"}:
        for value in (True, "something", [3], {"a": 1}):
            message = (
                rf"{kind.__name__} has no `{name}` here; got {re.escape(repr(value))}. Leave it out, or give PEFT's"
            )
            with pytest.raises(ConfigError, match=message):
                kind(**{name: value})
            with pytest.raises(ConfigError, match=message):
                AdapterConfig.from_dict({"peft_type": kind.peft_type, name: value})


@pytest.mark.parametrize(("name", "value"), [("seed", 0), ("random_sed", 0), ("dropout", 0.0), ("layers", 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_zero_is_a_value_and_refused_under_a_name_that_is_none(
    kind: type[AdapterConfig], name: str, value: float
) -> None:
    with pytest.raises(ConfigError, match=rf"{kind.__name__} has no `{name}` here; got {value}."):
        kind(**{name: value})


def test_settings_that_only_work_at_run_time_are_looked_into() -> None:
    assert LoraConfig(runtime_config=peft.LoraRuntimeConfig()) == LoraConfig()
    with pytest.raises(ConfigError, match="LoraConfig has no `runtime_config` here; got LoraRuntimeCo"):
        LoraConfig(runtime_config=peft.LoraRuntimeConfig(ephemeral_gpu_offload=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_is_on_by_default_is_not_switched_off_under_a_wrong_name(kind: type[AdapterConfig]) -> None:
    init = "init_weights" if kind is ShiraConfig else "init_lora_weights"
    for wrong in (init[:-1], init.replace("_", "", 1), f"{init}_"):
        with pytest.raises(ConfigError, match=f"{kind.__name__} has no field `{wrong}`; did you mean `{init}`"):
            kind(**{wrong: False})


def test_what_only_peft_has_and_is_off_is_forgotten() -> None:
    content = {"peft_type": "SHIRA", "r": 2, "use_sparkle": False, "empty_option": None, "peft_version": "0.21.2"}
    config = AdapterConfig.from_dict(content)
    assert config == ShiraConfig(r=2) and not {"use_sparkle", "empty_option"} & config.to_dict().keys()
    config = AdapterConfig.from_dict({"peft_type": "SHIRA", "auto_mapping": {"parent_library": "transformers"}})
    assert config.copy(r=1).to_dict()["auto_mapping"] == {"parent_library": "transformers"}


def test_a_mask_function_does_not_come_from_a_file() -> None:
    with pytest.raises(ConfigError, match=r"`mask_fn` should be a function .*; got 'os.remove'"):
        AdapterConfig.from_dict({"peft_type": "SHIRA", "mask_fn": "os.remove"})


def test_a_config_is_compared_and_shown_by_what_a_file_holds() -> None:
    config = ShiraConfig(mask_fn=magnitude_mask, auto_mapping={"parent_library": "transformers"})
    assert config == ShiraConfig(mask_type="magnitude")
    assert "mask_fn" not in repr(config) and "auto_mapping" not in repr(config)


def test_what_json_has_no_form_for_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"The config cannot be written as JSON \(.*\); give it numbers, strings"):
        ShiraConfig(mask_kwargs={"f": object()}).save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_what_says_something_is_written_beyond_pefts_fields() -> None:
    assert "rank_pattern" not in ShiraConfig().to_dict()
    content = ShiraConfig(rank_pattern={"q": 2}, seed_per_layer=True, mask_kwargs={"block_size": 4}).to_dict()
    assert content["rank_pattern"] == {"q": 2} and content["seed_per_layer"] and "mask_fn" not in content


@pytest.mark.parametrize("peft_type", ["ADALORA", None, ["SHIRA"], 3])
def test_another_kind_of_config_is_refused(peft_type: object) -> None:
    with pytest.raises(ConfigError, match="expected 'SHIRA' or 'LORA'"):
        AdapterConfig.from_dict({"peft_type": peft_type})
    with pytest.raises(ConfigError, match="`peft_type` is 'LORA'; expected 'SHIRA'"):
        ShiraConfig.from_dict({"peft_type": "LORA"})


def first_ones(base_layer: nn.Module, r: int) -> Tensor:
    mask = torch.zeros_like(base_layer.weight)
    mask.view(-1)[: r * sum(mask.shape)] = 1
    return mask


def last_ones(base_layer: nn.Module, r: int) -> Tensor:
    return first_ones(base_layer, r).flip(0, 1)


def square_config(**fields: object) -> ShiraConfig:
    return ShiraConfig(r=2, target_modules=["lin1"], random_seed=0, **fields)


def trained(config: ShiraConfig) -> tuple[Tensor, str, str]:
    """The positions that train, the mask type that is recorded, and the one that is saved."""
    torch.manual_seed(0)
    model = get_peft_model(MLP(), config)
    (layer,) = layers(model)
    recorded = model.peft_config["default"]
    return layer.adapters["default"].positions, recorded.mask_type, recorded.to_dict()["mask_type"]


def assigned(name: str = "magnitude", **fields: object) -> ShiraConfig:
    config = square_config(**fields)
    config.mask_type = name
    return config


def assigned_function(mask_fn: Callable[..., Tensor], **fields: object) -> ShiraConfig:
    config = square_config(**fields)
    config.mask_fn = mask_fn
    return config


CHOSEN: dict[str, tuple[Callable[[], ShiraConfig], str]] = {
    "given": (lambda: square_config(mask_type="magnitude"), "magnitude"),
    "assigned": (assigned, "magnitude"),
    "assigned twice": (lambda: assigned("random", mask_type="magnitude"), "random"),
    "assigned over an own function": (lambda: assigned(mask_fn=first_ones), "magnitude"),
    "replaced": (lambda: dataclasses.replace(square_config(), mask_type="magnitude"), "magnitude"),
    "replaced by the default": (
        lambda: dataclasses.replace(square_config(mask_type="magnitude"), mask_type="random"), "random"
    ),
    "something else replaced": (
        lambda: dataclasses.replace(square_config(mask_type="magnitude"), inference_mode=True), "magnitude"
    ),
    "function replaced": (lambda: dataclasses.replace(square_config(), mask_fn=magnitude_mask), "magnitude"),
    "copied": (lambda: square_config().copy(mask_type="magnitude"), "magnitude"),
    "copied over an own function": (lambda: square_config(mask_fn=first_ones).copy(mask_type="random"), "random"),
    "copied with a function": (lambda: square_config().copy(mask_fn=magnitude_mask), "magnitude"),
    "a function of a name": (lambda: square_config(mask_fn=magnitude_mask), "magnitude"),
    "a function of a name, assigned": (lambda: assigned_function(magnitude_mask), "magnitude"),
    "deeply copied": (lambda: copy.deepcopy(assigned()), "magnitude"),
    "pickled": (lambda: pickle.loads(pickle.dumps(assigned())), "magnitude"),
    "asdict and back": (lambda: ShiraConfig(**dataclasses.asdict(assigned())), "magnitude"),
}  # fmt: skip


@pytest.mark.parametrize("how", CHOSEN)
def test_the_mask_that_trains_is_the_one_that_is_recorded(how: str) -> None:
    make, name = CHOSEN[how]
    positions, recorded, saved = trained(make())
    assert torch.equal(positions, trained(square_config(mask_type=name))[0])
    assert recorded == saved == name
    assert make().mask_fn is find_mask(name)


OWN: dict[str, Callable[[], ShiraConfig]] = {
    "given": lambda: square_config(mask_fn=first_ones),
    "assigned": lambda: assigned_function(first_ones),
    "assigned beside a name": lambda: assigned_function(first_ones, mask_type="magnitude"),
    "copied": lambda: square_config(mask_fn=first_ones).copy(r=2),
    "copied with it": lambda: square_config().copy(mask_fn=first_ones),
    "replaced": lambda: dataclasses.replace(square_config(mask_fn=first_ones), inference_mode=True),
    "instead of another": lambda: square_config(mask_fn=last_ones).copy(mask_fn=first_ones),
}


@pytest.mark.parametrize("how", OWN)
def test_an_own_function_is_not_recorded_under_the_name_of_another(how: str) -> None:
    positions, recorded, saved = trained(OWN[how]())
    assert positions.tolist() == list(range(80))
    assert recorded == saved == "custom"


def test_an_own_function_keeps_the_name_that_was_announced_for_it() -> None:
    with pytest.warns(UserWarning, match="is not recognized"):
        config = square_config(mask_type="mine")
    config.mask_fn = first_ones
    assert trained(config)[1:] == ("mine", "mine")
    assert trained(square_config(mask_type="mine", mask_fn=first_ones))[1:] == ("mine", "mine")


def test_a_name_that_does_not_exist_trains_nothing() -> None:
    for config in (assigned("nonsense"), assigned("nonsense", mask_fn=first_ones)):
        assert config.mask_fn is None
        with pytest.raises(ConfigError, match="`mask_type='nonsense'` has no function"):
            get_peft_model(MLP(), config)


def test_two_masks_in_one_config_are_refused() -> None:
    message = (
        "`mask_type='magnitude'` is a mask of its own, and `mask_fn` is another. Give one of them, or your function "
        "another name."
    )
    for make in (
        lambda: square_config(mask_type="magnitude", mask_fn=first_ones),
        lambda: dataclasses.replace(square_config(mask_fn=first_ones), mask_type="magnitude"),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        assert str(caught.value) == message


def test_values_that_cannot_be_are_refused_when_they_are_assigned_too() -> None:
    config = square_config()
    with pytest.raises(ConfigError, match="`mask_type` should be a name such as 'random'; got 7"):
        config.mask_type = 7
    with pytest.raises(ConfigError, match=r"`mask_fn` should be a function \(base_layer, r, \*\*kwargs\); got 'mine'"):
        config.mask_fn = "mine"
    assert config.mask_type == "random" and config.mask_fn is random_mask


def test_a_mask_that_is_registered_again_is_the_new_one_in_older_configs_too() -> None:
    register_mask("mine")(first_ones)
    config = square_config(mask_type="mine")
    register_mask("mine")(last_ones)
    assert trained(config)[0].tolist() == trained(square_config(mask_type="mine"))[0].tolist() == list(range(320, 400))
    assert config.copy(r=3).mask_fn is last_ones


@pytest.mark.parametrize("make", [assigned, lambda: square_config().copy(mask_type="magnitude")])
def test_set_mask_takes_the_mask_that_the_config_names(make: Callable[[], ShiraConfig]) -> None:
    torch.manual_seed(0)
    model = get_peft_model(MLP(), square_config(mask_fn=first_ones))
    model.set_mask("default", make())
    (layer,) = layers(model)
    assert torch.equal(layer.adapters["default"].positions, trained(square_config(mask_type="magnitude"))[0])
    assert model.peft_config["default"].mask_type == "magnitude"
    model.set_mask("default", square_config(mask_fn=last_ones))
    assert layer.adapters["default"].positions.tolist() == list(range(320, 400))
    assert model.peft_config["default"].mask_type == "custom"
