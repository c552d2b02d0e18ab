"""What is asked of all layers is done to all of them or to none: a refusal has changed nothing anywhere."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError

CONFIGS = [
    ShiraConfig(r=2, target_modules=["0", "1", "2"], random_seed=0, init_weights=False),
    LoraConfig(r=2, target_modules=["0", "1", "2"], init_lora_weights=False),
]
each_config = pytest.mark.parametrize("config", CONFIGS, ids=["shira", "lora"])


def three(config: ShiraConfig | LoraConfig, middle: float = 1.0) -> PeftModel:
    """Three layers with a merged adapter, whose update on the middle one is ``middle`` times as large."""
    torch.manual_seed(0)
    model = get_peft_model(nn.Sequential(*[nn.Linear(16, 16) for _ in range(3)]), config).eval()
    model.add_adapter("idle", config)
    with torch.no_grad():
        for parameter in model.base_model.model[1].adapters.parameters():
            parameter.mul_(middle)
    model.merge_adapter()
    return model


def state(model: PeftModel) -> dict[str, object]:
    """All that a refused call might have changed, the weights as they are in memory."""
    tensors: dict[str, object] = {}
    for path, layer in model.base_model.adapter_layers():
        tensors |= {f"{path}.{name}": value.clone() for name, value in layer.adapters.state_dict().items()}
        tensors |= {path: layer.weight.detach().clone(), f"{path}.merged": list(layer.merged_adapters)}
        tensors |= {f"{path}.active": list(layer.active_adapters), f"{path}.off": layer.disable_adapters}
        tensors |= {f"{path}.scale": dict(layer.scaling)}
    return tensors | {"config": dict(model.peft_config), "active": list(model.active_adapters)}


def same(a: dict[str, object], b: dict[str, object]) -> bool:
    def equal(x: object, y: object) -> bool:
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            return x.dtype == y.dtype and torch.equal(x, y)
        return x == y

    return a.keys() == b.keys() and all(equal(value, b[name]) for name, value in a.items())


CASTS: dict[str, Callable[[PeftModel], object]] = {
    "half": lambda model: model.half(),
    "to a dtype": lambda model: model.to(torch.float16),
    "to a device and a dtype": lambda model: model.to("cpu", torch.float16),
    "the tree": lambda model: model.base_model.half(),
}


@each_config
@pytest.mark.parametrize("cast", CASTS)
def test_a_cast_that_cannot_hold_what_is_merged_changes_no_layer(cast: str, config: ShiraConfig) -> None:
    model = three(config, middle=3e4)
    before = state(model)
    with pytest.raises(AdapterError, match=r"^Layer '1': NaNs detected in the merged weights.*Nothing was merged"):
        CASTS[cast](model)
    assert same(state(model), before)
    model.unmerge_adapter()
    assert model.half().base_model.model[1].weight.dtype == torch.float16


@each_config
def test_a_cast_of_one_layer_changes_nothing_of_it(config: ShiraConfig) -> None:
    model = three(config, middle=3e4)
    before = state(model)
    with pytest.raises(AdapterError, match="NaNs detected in the merged weights"):
        model.base_model.model[1].half()
    assert same(state(model), before)


@each_config
def test_what_is_merged_is_cast_where_it_fits(config: ShiraConfig) -> None:
    model, x = three(config), torch.ones(2, 16, dtype=torch.float64)
    model.double()
    merged = model(x)
    model.unmerge_adapter()
    torch.testing.assert_close(model(x), merged)


CALLS: dict[str, Callable[[PeftModel], object]] = {
    "unmerge": lambda model: model.unmerge_adapter(),
    "switch": lambda model: model.set_adapter("idle"),
    "merge another": lambda model: model.merge_adapter(["idle"]),
    "scale": lambda model: model.set_scale("default", 2.0),
    "delete": lambda model: model.delete_adapter("default"),
    "disable": lambda model: model.base_model.disable_adapter_layers(),
    "disable inside": lambda model: model.disable_adapter().__enter__(),
    "unload": lambda model: model.unload(),
    "merge for good": lambda model: model.merge_and_unload(),
    "double": lambda model: model.double(),
    "load": lambda model: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}),
}
MASK = {"mask": lambda model: model.set_mask("default", CONFIGS[0].copy(random_seed=7))}


@pytest.mark.parametrize("call", [*CALLS, *MASK])
@each_config
def test_a_weight_that_somebody_changed_while_it_was_merged_stops_the_call_at_all_layers(
    call: str, config: ShiraConfig
) -> None:
    if call == "mask" and isinstance(config, LoraConfig):
        return
    model = three(config)
    with torch.no_grad():
        model.base_model.model[2].weight.add_(1)
    before = state(model)
    with pytest.raises(AdapterError, match=r"^Layer '2': The base weight was changed in place"):
        (CALLS | MASK)[call](model)
    assert same(state(model), before)


@each_config
def test_a_scale_that_one_layer_refuses_leaves_this_layer_alone(config: ShiraConfig) -> None:
    model = three(config)
    before = state(model)
    with pytest.raises(AdapterError, match="Nothing was merged"):
        model.base_model.model[1].set_scale("default", 1e39)
    assert same(state(model), before)
