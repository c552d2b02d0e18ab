"""An active adapter leaves the base weight alone, so whoever else holds it, reads it or traces it is right."""

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations, prune, weight_norm
from transformers.pytorch_utils import Conv1D

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError
from shira_lab.layers import product
from shira_lab.layers.product import which_way

X = torch.linspace(-1, 1, 60).view(5, 12)
CONFIGS = [
    ShiraConfig(r=2, target_modules=["lin"], random_seed=0, init_weights=False),
    ShiraConfig(r=2, target_modules=["lin"], mask_type="magnitude", init_weights=False),
    LoraConfig(r=2, target_modules=["lin"], init_lora_weights=False),
]
each_config = pytest.mark.parametrize("config", CONFIGS, ids=["random", "magnitude", "lora"])


def adapted(base: nn.Module, config: ShiraConfig | LoraConfig) -> PeftModel:
    torch.manual_seed(0)
    return get_peft_model(nn.Sequential(OrderedDict(lin=base)), config).eval()


def layer_of(model: PeftModel) -> nn.Module:
    return model.base_model.model[0]


def expected(model: PeftModel, weight: Tensor, x: Tensor = X) -> Tensor:
    layer = layer_of(model)
    return nn.functional.linear(x, weight + layer.delta_weight("default").detach(), layer.bias)


@each_config
def test_many_threads_get_what_one_gets(config: ShiraConfig) -> None:
    model = adapted(nn.Linear(12, 9), config)
    before = layer_of(model).weight.detach().clone()
    right, wrong = expected(model, before), []

    def ask() -> None:
        with torch.no_grad():
            wrong.extend(1 for _ in range(50) if not torch.allclose(model(X), right, atol=1e-5))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong and torch.equal(layer_of(model).weight, before)


@each_config
def test_processes_that_share_a_models_memory_get_what_one_gets(config: ShiraConfig) -> None:
    model = adapted(nn.Linear(12, 9), config).share_memory()
    before = layer_of(model).weight.detach().clone()
    right = expected(model, before)
    model.set_scale("default", 2.0)
    twice = expected(model, before)
    model.set_scale("default", 1.0)
    processes = torch.multiprocessing.get_context("fork")
    wrong = torch.zeros(3).share_memory_()

    def ask(number: int) -> None:
        with torch.no_grad():
            for _ in range(50):
                model.set_scale("default", 1.0 + number % 2)
                answer = twice if number % 2 else right
                wrong[number] += not torch.allclose(model(X), answer, atol=1e-5)

    children = [processes.Process(target=ask, args=(number,)) for number in (1, 2)]
    [child.start() for child in children]
    ask(0)
    [child.join() for child in children]
    assert [child.exitcode for child in children] == [0, 0]
    assert not wrong.any() and torch.equal(layer_of(model).weight, before)


@each_config
def test_who_writes_parameters_in_place_changes_the_base_weight(config: ShiraConfig) -> None:
    model = adapted(nn.Linear(12, 9), config)
    model(X)
    with torch.no_grad():
        for _, parameter in model.named_parameters():  # weight averaging
            parameter.lerp_(torch.ones_like(parameter), 0.5)
        torch.testing.assert_close(model(X), expected(model, layer_of(model).weight))
        model.merge_adapter()
        layer_of(model).weight.mul_(2)
        with pytest.raises(AdapterError, match="The base weight was changed in place while an adapter was written"):
            model(X)


@each_config
def test_a_data_parallel_model_trains_and_merges_as_one_without(config: ShiraConfig, tmp_path: Path) -> None:
    alone = adapted(nn.Linear(12, 9), config).train()
    model = copy.deepcopy(alone)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model)
        for one in (alone, parallel):
            optimizer = torch.optim.SGD([p for p in one.parameters() if p.requires_grad], lr=1e-3)
            for _ in range(2):
                optimizer.zero_grad()
                one(X).pow(2).sum().backward()
                optimizer.step()
        torch.testing.assert_close(parallel(X), alone(X))
        model.merge_adapter()
        again = nn.parallel.DistributedDataParallel(model.requires_grad_(True))  # sends the merged weight
        torch.testing.assert_close(again(X), alone(X))
        model.unmerge_adapter()
    finally:
        torch.distributed.destroy_process_group()
    assert torch.equal(layer_of(model).weight, layer_of(alone).weight)


@each_config
def test_a_functional_call_takes_the_weight_and_the_values_that_it_is_given(config: ShiraConfig) -> None:
    model = adapted(nn.Linear(12, 9), config)
    other = copy.deepcopy(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for _, parameter in other.named_parameters():
            parameter.mul_(3)
        given = {name: value.detach() for name, value in other.named_parameters()}
        torch.testing.assert_close(torch.func.functional_call(model, given, (X,)), other(X))
    gradient = torch.func.grad(lambda values: torch.func.functional_call(model, values, (X,)).sum())(given)
    assert all(value.isfinite().all() for value in gradient.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


SHARED: dict[str, Callable[[nn.Linear], Tensor]] = {
    "another parameter": lambda linear: nn.Parameter(linear.weight),
    "data": lambda linear: linear.weight.data,
    "transposed": lambda linear: linear.weight.t(),
    "a slice": lambda linear: linear.weight[2:5],
}


@each_config
@pytest.mark.parametrize("how", SHARED)
def test_who_shares_the_memory_of_a_weight_sees_the_base_weight(how: str, config: ShiraConfig) -> None:
    base = nn.Linear(12, 9)
    other = SHARED[how](base)
    before, right = base.weight.detach().clone(), other.detach().clone()
    model = adapted(base, config)
    with torch.no_grad():
        torch.testing.assert_close(model(X), expected(model, before))
    model(X.clone().requires_grad_()).sum().backward()
    assert torch.equal(other, right)


COMPUTED: dict[str, Callable[[nn.Linear], object]] = {
    "pruned": lambda linear: prune.l1_unstructured(linear, "weight", 0.5),
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "weight norm by a hook": weight_norm,
}


@each_config
@pytest.mark.parametrize("how", COMPUTED)
def test_an_adapter_acts_beside_a_weight_that_is_computed_at_each_call(how: str, config: ShiraConfig) -> None:
    base = nn.Linear(12, 9)
    COMPUTED[how](base)
    base.eval()
    model = adapted(base, config)
    weight = base.weight.detach().clone()
    for _ in range(2):
        torch.testing.assert_close(model(X), expected(model, weight))
    with model.disable_adapter():
        torch.testing.assert_close(model(X), nn.functional.linear(X, weight, base.bias))


@each_config
@pytest.mark.parametrize("how", COMPUTED)
def test_nothing_is_merged_into_a_weight_that_is_computed_at_each_call(how: str, config: ShiraConfig) -> None:
    base = nn.Linear(12, 9)
    COMPUTED[how](base)
    base.eval()
    model = adapted(base, config)
    right = model(X)
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(AdapterError, match="This layer computes its weight at each call: it is pruned, normed or"):
            merge()
        assert torch.equal(model(X), right)


def exported(model: PeftModel) -> Callable[[Tensor], Tensor]:
    return torch.export.export(model.base_model.model, (X,)).module()


def faked(model: PeftModel) -> Callable[[Tensor], Tensor]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert model(X).shape == (5, 9)
    return model


TOOLS: dict[str, Callable[[PeftModel], Callable[[Tensor], Tensor]]] = {
    "export": exported,
    "trace": lambda model: torch.jit.trace(model.base_model.model, X, check_trace=False),
    "fake tensors": faked,
    "compile": lambda model: torch.compile(model.base_model.model, backend="eager"),
}


@each_config
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.filterwarnings("ignore")
def test_who_traces_a_model_gets_its_numbers_and_leaves_it_whole(tool: str, config: ShiraConfig) -> None:
    model = adapted(nn.Linear(12, 9), config)
    right = expected(model, layer_of(model).weight.detach().clone())
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(TOOLS[tool](model)(X), right)
            torch.testing.assert_close(model(X), right)
    with model.disable_adapter():
        assert torch.equal(model(X), nn.functional.linear(X, layer_of(model).weight, layer_of(model).bias))


@each_config
def test_inference_mode_may_load_use_and_merge(config: ShiraConfig) -> None:
    with torch.inference_mode():
        model = adapted(nn.Linear(12, 9), config)
        right = expected(model, layer_of(model).base_weight().clone())
        torch.testing.assert_close(model(X), right)
        model.merge_adapter()
        torch.testing.assert_close(model(X), right)
        model.unmerge_adapter()
    with torch.no_grad():
        torch.testing.assert_close(model(X), right)


@each_config
def test_gradients_of_each_sample_and_in_forward_mode_are_those_of_a_dense_weight(config: ShiraConfig) -> None:
    model = adapted(nn.Linear(12, 9), config)
    trained = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}

    def loss(values: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(model, values, (x[None],)).pow(2).sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(trained, X)
    for row in range(len(X)):
        model.zero_grad()
        model(X[row : row + 1]).pow(2).sum().backward()
        for name, value in model.named_parameters():
            if value.requires_grad:
                torch.testing.assert_close(each[name][row], value.grad, rtol=1e-4, atol=1e-5)
    direction = {name: torch.ones_like(value) for name, value in trained.items()}
    _, forward = torch.func.jvp(lambda values: loss(values, X[0]), (trained,), (direction,))
    gradient = torch.func.grad(loss)(trained, X[0])
    torch.testing.assert_close(forward, sum(value.sum() for value in gradient.values()), rtol=1e-4, atol=1e-4)


@each_config
@pytest.mark.parametrize("merged", ["default", "second"])
def test_an_adapter_that_is_active_beside_a_merged_one_acts(merged: str, config: ShiraConfig) -> None:
    model = adapted(nn.Linear(12, 9), config)
    model.add_adapter("second", ShiraConfig(r=1, target_modules=["lin"], random_seed=7, init_weights=False))
    model.base_model.set_adapter(["default", "second"])
    right = expected(model, layer_of(model).weight + layer_of(model).delta_weight("second").detach())
    model.merge_adapter([merged])
    torch.testing.assert_close(model(X), right)


@pytest.mark.parametrize("seed", [1, 2])
def test_values_are_loaded_with_their_positions(seed: int) -> None:
    def make(seed: int, r: int = 2) -> PeftModel:
        torch.manual_seed(0)
        config = ShiraConfig(r=r, target_modules=["lin"], random_seed=seed, init_weights=False)
        return get_peft_model(nn.Sequential(OrderedDict(lin=nn.Linear(12, 9))), config).eval()

    model, other = make(0), make(seed)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    torch.testing.assert_close(other(X), model(X))
    broken = model.state_dict()
    key = next(name for name in broken if name.endswith("positions"))
    broken[key] = broken[key].flip(0)
    before = other(X)
    with pytest.raises(RuntimeError, match="should be 42 sorted flat positions"):
        other.load_state_dict(broken)
    torch.testing.assert_close(other(X), before)


@each_config
def test_a_scale_that_a_merged_weight_cannot_hold_changes_no_layer(config: ShiraConfig) -> None:
    both = config.copy(target_modules=["0", "1"])
    model = get_peft_model(nn.Sequential(nn.Linear(12, 9), nn.Linear(9, 9)), both)
    for parameter in model.base_model.model[1].adapters.parameters():
        parameter.data.mul_(1e9)
    model.merge_adapter()
    before = [layer.weight.detach().clone() for _, layer in model.base_model.adapter_layers()]
    with pytest.raises(AdapterError, match="Nothing was merged"):
        model.set_scale("default", 1e30)
    for (_, layer), weight in zip(model.base_model.adapter_layers(), before, strict=True):
        assert torch.equal(layer.weight, weight) and layer.get_adapter("default").scale == 1.0


def test_one_place_decides_how_the_product_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def way(base: nn.Module, x: Tensor = X) -> str:
        model = adapted(base, CONFIGS[0])
        return which_way(layer_of(model).base_layer, [layer_of(model).get_adapter("default")], x)

    hooked, pruned, trains = nn.Linear(12, 9), nn.Linear(12, 9), nn.Linear(12, 9)
    hooked.register_forward_hook(lambda *_: None)
    prune.identity(pruned, "weight")
    assert way(nn.Linear(12, 9)) == "sparse"
    assert way(hooked) == "dense"
    assert way(pruned) == "beside"
    model = adapted(trains, CONFIGS[0])
    trains.weight.requires_grad_(True)
    assert which_way(trains, [layer_of(model).get_adapter("default")], X) == "dense"
    with torch.no_grad():
        assert way(nn.Linear(120, 90), torch.ones(1, 120)) == "few tokens"
        assert way(nn.Linear(120, 90), torch.ones(500, 120)) == "sparse"
        with monkeypatch.context() as patch:
            patch.setattr(product, "SPARSE_ROWS", False)
            assert way(nn.Linear(120, 90), torch.ones(1, 120)) == "sparse"
    model = adapted(nn.Linear(120, 90), CONFIGS[0])
    layer = layer_of(model)
    model.requires_grad_(False)  # as `from_pretrained` leaves it: its outputs are those of the model that trained it
    assert which_way(layer.base_layer, [layer.get_adapter("default")], torch.ones(1, 120)) == "sparse"


@pytest.mark.parametrize("tokens", [(1, 1), (1,), (), (2, 3)])
@pytest.mark.parametrize("base", [nn.Linear(120, 90), Conv1D(90, 120)], ids=["Linear", "Conv1D"])
@pytest.mark.filterwarnings("ignore:`fan_in_fan_out` is set to True")
def test_few_tokens_get_what_many_get(base: nn.Module, tokens: tuple[int, ...]) -> None:
    model = adapted(copy.deepcopy(base), CONFIGS[0])
    model.add_adapter("second", ShiraConfig(r=1, target_modules=["lin"], random_seed=7, init_weights=False))
    model.base_model.set_adapter(["default", "second"])
    model.set_scale("second", -2.0)
    x = torch.linspace(-1, 1, 500 * 120).view(500, 120)
    few = x[: torch.Size(tokens).numel()].view(*tokens, 120)
    with torch.no_grad():
        many = model(x)[: torch.Size(tokens).numel()].view(*tokens, 90)
        torch.testing.assert_close(model(few), many)
        model.set_mask("default", CONFIGS[0].copy(random_seed=3))
        again = model(x)[: torch.Size(tokens).numel()].view(*tokens, 90)
        assert not torch.allclose(again, many)
        torch.testing.assert_close(model(few), again)
