"""Every public call with arguments that cannot work: a ShiraError that names the thing and the remedy, and no change.

One table. A row is the call, then the text of its error. Each call gets a model with two SHiRA adapters and a LoRA
adapter, of which nothing may have moved afterwards.
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import MLP, adapted, same_bits, snapshot
from torch import nn

import shira_lab
from shira_lab import LoraConfig, PeftModel, ShiraConfig, ShiraError, get_peft_model
from shira_lab.masks import block_mask, gradient_mask, magnitude_mask, random_mask, struct_mask

NAN = float("nan")
LINEAR = nn.Linear(6, 8)
FOLDER = Path("somewhere")


def config(**fields: Any) -> ShiraConfig:
    return ShiraConfig(**{"r": 1, "target_modules": ["lin1"], "random_seed": 0, **fields})


def fresh(**fields: Any) -> PeftModel:
    return get_peft_model(MLP(), config(**fields))


def calibrated(calibration: Any) -> PeftModel:
    return get_peft_model(MLP(), config(mask_type="gradient"), calibration=calibration)


def lost(loss_fn: Any) -> Any:
    return shira_lab.calibrate(MLP(), ["lin1"], [torch.ones(2, 10)], loss_fn=loss_fn)


def made(mask: Callable[[nn.Module, int], Any]) -> PeftModel:
    return fresh(mask_fn=mask)


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return MLP()


def ones(count: int, **kind: Any) -> torch.Tensor:
    mask = torch.zeros(400, **kind)
    mask[:count] = 1
    return mask.view(20, 20)


Call = Callable[[PeftModel], object]
POSITIVE = "`r` should be a positive integer value but the value passed is "
NO_SEED = "`random_seed` should be None or an integer in [0, 2**63); got "
UNKNOWN = "Adapter {} does not exist: this model has ['default', 'other', 'lora']."
BAD_NAME = (
    " cannot be an adapter name: use a non-empty string without dots and slashes that is no attribute of a module"
)
NO_CONFIG = "`peft_config` should be a ShiraConfig or LoraConfig; got "
BAD_BATCH = "A calibration batch should be a mapping of model inputs by name; got "
BAD_MODEL = "`name` should be 'embedded', 'smollm2-135m', a model's folder or GGUF file, or its name on the hub; got "
NO_LAYER = "`base_layer` should be a linear layer, with a weight of shape (m, n); got a "

TABLE: list[tuple[Call, str]] = [
    # ---- configs
    (lambda _: config(r=0), POSITIVE + "0."),
    (lambda _: config(r=-1), POSITIVE + "-1."),
    (lambda _: config(r=2.5), POSITIVE + "2.5."),
    (lambda _: config(r=NAN), POSITIVE + "nan."),
    (lambda _: config(r="2"), POSITIVE + "'2'."),
    (lambda _: config(r=True), POSITIVE + "True."),
    (lambda _: config(target_modules=[]), "`target_modules` is empty; name at least one module, for instance"),
    (lambda _: config(target_modules=""), "`target_modules` is an empty string; give names, a regular expression"),
    (lambda _: config(target_modules=[""]), "`target_modules` should be a list of module names or one regular expr"),
    (lambda _: config(target_modules="("), "`target_modules` is not a valid regular expression: '('"),
    (lambda _: config(exclude_modules=3), "`exclude_modules` should be a list of module names or one regular expr"),
    (lambda _: config(layers_to_transform="a"), "`layers_to_transform` should be a list of layer indices; got 'a'."),
    (lambda _: config(rank_pattern=[]), "`rank_pattern` should be a dict of {pattern: value}; got []."),
    (lambda _: config(rank_pattern={"lin1": 0}), "`rank_pattern['lin1']` should be a positive integer value but"),
    (lambda _: config(rank_pattern={3: 1}), "`rank_pattern` should be made of patterns that are strings; got 3."),
    (lambda _: config(scale=NAN), "`scale` should be a finite number; got nan."),
    (lambda _: config(scale_pattern={"lin1": "a"}), "`scale` should be a finite number; got 'a'."),
    (lambda _: config(modules_to_save="lin2"), "`modules_to_save` should be a list of names; got 'lin2'."),
    (lambda _: config(task_type="POETRY"), "Invalid task type: 'POETRY'. Must be one of the following task types:"),
    (lambda _: config(mask_type=3), "`mask_type` should be a name such as 'random'; got 3."),
    (lambda _: config(random_seed=-1), NO_SEED + "-1."),
    (lambda _: config(random_seed=1.5), NO_SEED + "1.5."),
    (lambda _: config(avoid="default"), "`avoid` should be a list of adapter names; got 'default'."),
    (lambda _: config(mask_kwargs=None), "`mask_kwargs` should be a dict of further arguments of the mask function; "),
    (lambda _: config(mask_kwargs={"r": 2}), "`mask_kwargs` should not hold r: the mask function is given these any"),
    (lambda _: config(mask_fn="mine"), "`mask_fn` should be a function (base_layer, r, **kwargs); got 'mine'."),
    (lambda _: config(seed_per_layer="yes"), "`seed_per_layer` should be True or False; got 'yes'."),
    (lambda _: config(init_weights=3), "`init_weights` should be True or False; got 3."),
    (lambda _: LoraConfig(lora_alpha=NAN), "`lora_alpha` should be a number that is not negative; got nan."),
    (lambda _: LoraConfig(lora_dropout=1), "`lora_dropout` should be in [0, 1); got 1."),
    (lambda _: LoraConfig(lora_dropout="a"), "`lora_dropout` should be in [0, 1); got 'a'."),
    (lambda _: LoraConfig(init_lora_weights="x"), "`init_lora_weights` should be True, False or 'gaussian'; got 'x'"),
    (lambda _: LoraConfig(bias="all"), "`bias` should be 'none', biases stay frozen here; got 'all'."),
    (lambda _: ShiraConfig.from_dict({"peft_type": "IA3"}), "`peft_type` is 'IA3'; expected 'SHIRA'."),
    # ---- an adapter meets a model
    (lambda _: get_peft_model(None, config()), "`model` should be a torch.nn.Module; got None."),
    (lambda _: get_peft_model(MLP(), {"r": 1}), NO_CONFIG + "{'r': 1}."),
    (lambda m: get_peft_model(m, config()), "This model has adapters already; use `add_adapter` on it, or `unload`"),
    (lambda m: m.add_adapter("new", None), NO_CONFIG + "None."),
    (lambda _: shira_lab.inject_adapter_in_model("x", MLP()), NO_CONFIG + "'x'."),
    (lambda _: shira_lab.get_layer_status(3), "`model` should be a torch.nn.Module; got 3."),
    (lambda _: shira_lab.get_model_status(MLP()), "No adapter layers found in the model: pass a PeftModel, or"),
    (lambda m: m.add_adapter("default", config()), "Adapter with name default already exists; delete it first or ch"),
    (lambda m: m.add_adapter("a.b", config()), "'a.b'" + BAD_NAME),
    (lambda m: m.add_adapter("a/b", config()), "'a/b'" + BAD_NAME),
    (lambda m: m.add_adapter("", config()), "''" + BAD_NAME),
    (lambda m: m.add_adapter("new", config(r=11)), "r=11 is too large for layer 'lin1': r(m + n) = 11 * (20 + 20) = "),
    (lambda m: m.add_adapter("new", config(r=11)), "The largest r for this shape is 10."),
    (lambda m: m.add_adapter("new", config(target_modules=["lin9"])), "Target modules ['lin9'] not found in the base"),
    (lambda m: m.add_adapter("new", config(target_modules=["lin9"])), "Closest are: lin"),
    (lambda m: m.add_adapter("new", config(target_modules=["n1"])), "Target modules ['n1'] not found in the base mod"),
    (lambda m: m.add_adapter("new", config(modules_to_save=["head"])), "`modules_to_save`: no module is named 'head'"),
    (lambda m: m.add_adapter("new", config(avoid=["no"])), UNKNOWN.format("no")),
    (lambda m: m.add_adapter("new", config(avoid=["lora"])), "'lora' is a LoRA adapter, which changes every entry"),
    (lambda m: m.add_adapter("new", config(mask_kwargs={"x": 1}, mask_fn=made)), "`mask_kwargs` has ['x'], which "),
    (lambda _: get_peft_model(on_meta(), config()), "Layer 'lin1' is on the meta device: it has no numbers to adapt."),
    # ---- masks
    (lambda _: made(lambda base_layer, r: None), "The mask for layer 'lin1' is a NoneType; a mask function returns"),
    (lambda _: made(lambda base_layer, r: ones(39)), "has 39 ones; r(m + n) = 40 are expected: add 1."),
    (lambda _: made(lambda base_layer, r: ones(41)), "has 41 ones; r(m + n) = 40 are expected: leave out 1."),
    (lambda _: made(lambda base_layer, r: ones(40) * 0.5), "is not binary: it holds 0.5. Use 1 for an entry that trai"),
    (lambda _: made(lambda base_layer, r: ones(40) * NAN), "is not binary: it holds nan. Use 1 for an entry that trai"),
    (lambda _: made(lambda base_layer, r: ones(40, dtype=torch.int8)), "has dtype torch.int8; expected the weight's"),
    (lambda _: made(lambda base_layer, r: ones(40, device="meta")), "is on device meta; expected the weight's, cpu."),
    (lambda _: made(lambda base_layer, r: ones(40).flatten()), "has shape (400,); expected the weight's, (20, 20)."),
    (lambda _: random_mask(LINEAR, 4), "r=4 is too large for a layer of shape (8, 6)"),
    (lambda _: random_mask(LINEAR, 1, random_seed="a"), NO_SEED + "'a'."),
    (lambda _: block_mask(LINEAR, 1, random_seed=2**70), NO_SEED),
    (lambda _: block_mask(LINEAR, 1, block_size=0), "`block_size` should be a positive integer; got 0."),
    (lambda _: random_mask(LINEAR, 1, avoid=3), "`avoid` should be a mask of the weight's shape; got 3."),
    (lambda _: struct_mask(LINEAR, 1, avoid=ones(3)), "`avoid` has shape (20, 20); expected the weight's, (8, 6), for"),
    (lambda _: magnitude_mask(None, 1), NO_LAYER + "NoneType."),
    (lambda _: random_mask(nn.Conv2d(3, 3, 3), 1), NO_LAYER + "Conv2d."),
    (lambda _: gradient_mask(LINEAR, 1), "A gradient or SNIP mask needs a gradient: pass `calibration=` batches to"),
    (lambda _: gradient_mask(LINEAR, 1, gradient=3), "`gradient` should be a tensor of the weight's shape; got 3."),
    (lambda _: gradient_mask(LINEAR, 1, gradient=torch.full((8, 6), NAN)), "`gradient` holds NaN or infinite values"),
    (lambda _: shira_lab.register_mask("random"), "The mask type 'random' is built in; choose another name for yours."),
    (lambda _: shira_lab.register_mask("a b"), "A mask type's name should be a Python identifier such as 'my_mask'"),
    (lambda _: shira_lab.register_mask("mine")(3), "The mask type 'mine' should be a function (base_layer, r, **kwarg"),
    # ---- calibration
    (lambda _: calibrated(None), "`mask_type='gradient'` ranks positions by a gradient: pass `calibration=batches` to"),
    (lambda _: calibrated(3), "`calibration` should be a list of batches; got 3."),
    (lambda _: calibrated([]), "`calibration` has no batches; give at least one."),
    (lambda _: calibrated(["text"]), BAD_BATCH + "str."),
    (lambda _: calibrated([{"x": torch.ones(1, 10)}]), "The model gave no `loss` for a calibration batch; include `la"),
    (lambda _: calibrated({"lin1": torch.ones(2, 2)}), "`gradient` has shape (2, 2); expected the weight's, (20, 20)"),
    (lambda _: calibrated([None]), BAD_BATCH + "NoneType."),
    (lambda _: calibrated([{3: torch.ones(1, 10)}]), BAD_BATCH + "one with keys [3]."),
    (lambda _: calibrated("text"), BAD_BATCH + "str."),
    (lambda _: lost(lambda model, batch: 3), "The loss of a calibration batch should be a tensor with one number; go"),
    (lambda _: lost(lambda model, batch: model(batch)), "should be a tensor with one number; got a tensor of shape ("),
    (lambda _: lost("mean"), "`loss_fn` should be a function (model, batch) -> loss; got 'mean'."),
    (lambda _: shira_lab.calibrate(MLP(), ["lin9"], [{}]), "`paths`: the model has no module 'lin9'. Take paths from"),
    (lambda _: shira_lab.calibrate(MLP(), ["lin1"], [{}], "max"), "`reduction` should be 'mean_abs' or 'abs_mean'; go"),
    # ---- adapters act, combine and go
    (lambda m: m.set_adapter("defaul"), UNKNOWN.format("defaul")),
    (lambda m: m.set_adapter("default.x"), UNKNOWN.format("default.x")),
    (lambda m: m.set_adapter(["default", "x"]), UNKNOWN.format("x")),
    (lambda m: m.set_adapter(None), "`adapter_name` should be a list of adapter names; got None."),
    (lambda m: m.set_adapter([["default"]]), "`adapter_name` should be made of names; got ['default']."),
    (lambda m: m.delete_adapter("x"), UNKNOWN.format("x")),
    (lambda m: m.delete_adapter(["default"]), "`adapter_name` should be one name; got ['default']."),
    (lambda m: m.set_scale("x", 1), UNKNOWN.format("x")),
    (lambda m: m.set_scale("default", NAN), "`scale` should be a finite number; got nan."),
    (lambda m: m.set_scale("default", torch.ones(1)), "`scale` should be a finite number; got tensor([1.])."),
    (lambda m: m.merge_adapter("default"), "`adapter_names` should be a list of adapter names; got 'default'."),
    (lambda m: m.merge_adapter(["x"]), UNKNOWN.format("x")),
    (lambda m: m.merge_and_unload(adapter_names=["x"]), UNKNOWN.format("x")),
    (lambda m: m.set_mask("x", config()), UNKNOWN.format("x")),
    (lambda m: m.set_mask("default", LoraConfig()), "`peft_config` should be a ShiraConfig, which says where the new"),
    (lambda m: m.set_mask("default", config(r=2)), "The new mask has 80 positions; adapter 'default' has 40 values."),
    (lambda m: m.set_mask("lora", config()), "Adapter 'lora' is a LoRA adapter; only SHiRA adapters have a mask."),
    (lambda m: m.add_weighted_adapter([], [], "new"), "Each adapter needs one weight: got 0 adapters and 0 weights."),
    (lambda m: m.add_weighted_adapter(["default"], [NAN], "new"), "`weights` should be a list of finite numbers, one"),
    (lambda m: m.add_weighted_adapter(["default"], 1, "new"), "`weights` should be a list of finite numbers, one for"),
    (lambda m: m.add_weighted_adapter(["lora"], [1], "new"), "'lora' is a LoRA adapter, whose update has an entry ev"),
    (lambda m: m.add_weighted_adapter(["default"], [1], "new", "best"), "`combination_type` should be one of linear, "),
    (lambda m: m.add_weighted_adapter(["default"], [1], "new", "ties", 0), "`density` should be in (0, 1] for 'ties'"),
    (lambda m: m.add_weighted_adapter(["default"], [1], "new", "ties", "a"), "`density` should be in (0, 1] for 'tie"),
    (lambda m: m(torch.ones(2, 10), adapter_names=["x", "y"]), "Adapter x does not exist"),
    # ---- disks and state dicts
    (lambda m: m.save_pretrained(3), "`save_directory` should be the path of a folder; got 3."),
    (lambda m: m.save_pretrained(""), "`save_directory` should be the path of a folder; got ''."),
    (lambda m: m.save_pretrained(FOLDER, selected_adapters="lora"), "`selected_adapters` should be a list of adapter "),
    (lambda m: m.save_pretrained(FOLDER, selected_adapters=["x"]), UNKNOWN.format("x")),
    (lambda m: m.save_pretrained(FOLDER, safe_serialization=False, compact=True), "`compact=True` writes safetensors"),
    (lambda m: m.save_pretrained("x" * 300), "File name too long. What was there is unchanged."),
    (lambda m: m.save_pretrained("a\0b"), "embedded null byte. What was there is unchanged."),
    (lambda _: PeftModel.from_pretrained(MLP(), None), "`model_id` should be the path of a folder; got None."),
    (lambda _: PeftModel.from_pretrained(MLP(), FOLDER), "There is no adapter_config.json in somewhere; is this the "),
    (lambda _: PeftModel.from_pretrained(MLP(), FOLDER, config="x"), "`config` should be a ShiraConfig or LoraConfig;"),
    (lambda m: m.load_adapter(FOLDER, "default"), "Adapter with name default already exists; delete it first or cho"),
    (lambda m: m.load_adapter(FOLDER, "new", torch_device="moon"), "'moon' is no device; name one such as 'cpu' or"),
    (lambda m: m.load_adapter(FOLDER, "new", device_map="auto"), "`device_map='auto'` would place the model, which"),
    (lambda m: m.push_to_hub("me/mine"), "`push_to_hub` is not offered. Save the adapter with `save_pretrained(folder"),
    (lambda m: shira_lab.get_peft_model_state_dict(m, "x"), "Adapter x does not exist on this model."),
    (lambda _: shira_lab.get_peft_model_state_dict(None), "`model` should be a PeftModel, or a model with injected ad"),
    (lambda m: shira_lab.set_peft_model_state_dict(m, None), "`state_dict` should be a dict of tensors by name; got N"),
    (lambda m: shira_lab.set_peft_model_state_dict(m, {}), "the state dict: tensor 'lin1.shira_indices' is missing"),
    (lambda m: shira_lab.set_base_model_state_dict(m, {}), "The state dict does not fit the base model: missing are"),
    (lambda m: shira_lab.set_base_model_state_dict(m, {"lin1.weight": 3}), "`state_dict['lin1.weight']` should be a t"),
    (
        lambda m: shira_lab.set_base_model_state_dict(m, {"lin1.weight": torch.ones(1)}, strict=False),
        "The state dict's 'lin1.weight' has shape (1,); the base model's has (20, 20). Is it of another model?",
    ),
    # ---- models
    (lambda _: shira_lab.load_model(None), BAD_MODEL + "None."),
    (lambda _: shira_lab.load_model(3), BAD_MODEL + "3."),
    (lambda _: shira_lab.load_model(""), BAD_MODEL + "''."),
    # ---- mathematics
    (lambda _: shira_lab.spectrum("x"), "`matrix` should be a torch.Tensor of shape (m, n); got 'x'."),
    (lambda _: shira_lab.spectrum(torch.ones(3)), "`matrix` should have a shape (m, n) and numbers; got shape (3,)."),
    (lambda _: shira_lab.spectrum(torch.ones(0, 3)), "`matrix` should have a shape (m, n) and numbers; got shape (0,"),
    (lambda _: shira_lab.spectrum(torch.full((2, 2), NAN)), "`matrix` holds NaN or infinite values and has no singula"),
]  # fmt: skip


@pytest.fixture
def model() -> PeftModel:
    model = adapted(MLP(), config())
    model.add_adapter("other", config(random_seed=1))
    model.add_adapter("lora", LoraConfig(r=1, target_modules=["lin1"]))
    return model


@pytest.mark.parametrize(("call", "message"), TABLE, ids=[f"{i}-{row[1][:30]}" for i, row in enumerate(TABLE)])
def test_a_call_that_cannot_work_says_so_and_changes_nothing(
    call: Call, message: str, model: PeftModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state, modules = snapshot(model), list(model.modules())
    facts = repr(model.peft_config), list(model.active_adapters), [p.requires_grad for p in model.parameters()]
    with warnings.catch_warnings(), pytest.raises(ShiraError, match=re.escape(message)):
        warnings.simplefilter("ignore")
        call(model)
    assert same_bits(snapshot(model), state) and list(model.modules()) == modules
    assert facts == (repr(model.peft_config), model.active_adapters, [p.requires_grad for p in model.parameters()])
    assert not list(tmp_path.iterdir())


def test_the_table_has_a_row_for_every_function_that_can_be_given_something_wrong() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    unreached = {name for name in shira_lab.__all__ if name[0].islower()} - {"mask_types"}
    methods = {name for name in vars(PeftModel) if name[0] != "_" and callable(getattr(PeftModel, name))}
    harmless = (
        "get_base_model unload unmerge_adapter disable_adapter print_trainable_parameters get_nb_trainable_parameters "
        "forward generate prepare_model_for_gradient_checkpointing"
    )
    missing = [name for name in (unreached | methods) - set(harmless.split()) if f"{name}(" not in source]
    assert missing == ["get_base_model_state_dict"]  # takes a PeftModel alone


def test_tied_and_frozen_weights_are_left_alone() -> None:
    """A frozen layer takes an adapter as any other; a tied one too, and is not written into."""
    model = MLP()
    model.lin1.weight.requires_grad_(False)
    model.other = nn.Linear(20, 20, bias=False)
    model.other.weight = model.lin1.weight
    before = model.lin1.weight.clone()
    peft_model = adapted(model, config())
    with torch.no_grad():
        peft_model(torch.ones(1, 10))
    assert torch.equal(model.other.weight, before)
    with pytest.raises(ShiraError, match="This layer's weight is shared with another module, so an adapter cannot be"):
        peft_model.merge_adapter()
