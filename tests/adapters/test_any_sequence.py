"""Whatever is done to adapters, in whatever order: outputs are those of dense weights, and the base comes back.

Some run in the suite. For more of them, and longer ones:

    SHIRA_LAB_SEQUENCES=5000 SHIRA_LAB_STEPS=60 python -m pytest tests/adapters/test_any_sequence.py
"""

import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from tiny import fill_randomly
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from shira_lab import LoraConfig, PeftModel, ShiraConfig
from shira_lab.adapters.config import AdapterConfig
from shira_lab.layers import AdapterLayer

SEQUENCES, STEPS = int(os.environ.get("SHIRA_LAB_SEQUENCES", "150")), int(os.environ.get("SHIRA_LAB_STEPS", "25"))
TARGETS = (["a"], ["b", "c"], ["a", "b"], ["c"], ["a", "b", "c"])
NAMES = ("default", "sea", "space", "meadow")
# Sums of few numbers of size one, in another order: a few units in the last place.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}
scales = st.sampled_from([0.0, 0.5, 1.0, -1.0, 0.3, 2.0])
any_number = st.integers(0, 3)  # an adapter by its place among those that are there


class Net(nn.Module):
    """Three kinds of linear layers, and one pass through all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 5, bias=False), Conv1D(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))


class AnySequence(RuleBasedStateMachine):
    """The model, and beside it what should be true of it, as dense tensors and lists of names."""

    @initialize(dtype=st.sampled_from(list(TOLERANCE)), seed=st.integers(0, 2), lora=st.booleans())
    def start(self, dtype: torch.dtype, seed: int, lora: bool) -> None:
        torch.manual_seed(0)
        net = Net().to(dtype)
        self.tolerance = TOLERANCE[dtype]
        self.base = {name: value.clone() for name, value in net.state_dict().items()}
        self.x = torch.randn(3, 6, dtype=dtype)
        self.base_output = net(self.x).detach()
        self.model = PeftModel(net)
        self.deltas: dict[str, dict[str, Tensor]] = {}  # by adapter, then layer; at scale 1
        self.scales: dict[str, dict[str, float]] = {}
        self.active: list[str] = []
        self.merged: list[str] = []
        self.folder = tempfile.TemporaryDirectory()
        self.add("default", False, 1, ["a", "b"], 0, 1.0)
        self.add("sea", lora, 1, ["b", "c"], seed, 0.5)
        self.activate([0, 1])

    # ---- what a user may do -----------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES), lora=st.booleans(), r=st.integers(1, 2), where=st.sampled_from(TARGETS),
        seed=st.integers(0, 2), scale=scales,
    )  # fmt: skip
    def add(self, name: str, lora: bool, r: int, where: list[str], seed: int, scale: float) -> None:
        if name in self.deltas:
            return
        fields = {"r": r, "target_modules": where, "fan_in_fan_out": "c" in where, "scale": scale}
        config: AdapterConfig = LoraConfig(**fields) if lora else ShiraConfig(**fields, random_seed=seed)
        self.model.add_adapter(name, config)
        fill_randomly(self.model, seed, 0.5, only=name)
        self._learn(name)

    @rule(numbers=st.lists(any_number, max_size=3))
    def activate(self, numbers: list[int]) -> None:
        self.active, self.merged = self._some(numbers), []
        self.model.set_adapter(self.active)

    @rule(number=any_number, scale=scales)
    def scale(self, number: int, scale: float) -> None:
        for name in self._some([number]):
            self.model.set_scale(name, scale)
            self.scales[name] = dict.fromkeys(self.scales[name], scale)

    @rule(number=any_number, path=st.sampled_from("abc"), scale=scales)
    def scale_one_layer(self, number: int, path: str, scale: float) -> None:
        for name in self._some([number]):
            if path in self.deltas[name]:
                dict(self._layers())[path].set_scale(name, scale)
                self.scales[name][path] = scale

    @rule(number=any_number, seed=st.integers(3, 9))
    @precondition(lambda self: not self.merged)
    def train(self, number: int, seed: int) -> None:
        for name in self._some([number]):
            fill_randomly(self.model, seed, 0.5, only=name)
            self._learn(name)

    @rule(numbers=st.none() | st.lists(any_number, min_size=1, max_size=2))
    def merge(self, numbers: list[int] | None) -> None:
        names = self.active if numbers is None else self._some(numbers)
        self.model.merge_adapter(None if numbers is None else names)
        self.merged += [name for name in names if name not in self.merged]

    @rule()
    def unmerge(self) -> None:
        self.model.unmerge_adapter()
        self.merged = []

    @rule(number=any_number)
    def delete(self, number: int) -> None:
        for name in self._some([number]):
            self.model.delete_adapter(name)
            del self.deltas[name], self.scales[name]
            self.merged = [other for other in self.merged if other != name]
            if name in self.active:
                self.active = [other for other in self.active if other != name] or list(self.deltas)[:1]
                self.merged = []

    @rule(number=any_number, new=st.sampled_from(NAMES), compact=st.booleans())
    def save_and_load(self, number: int, new: str, compact: bool) -> None:
        """What is saved comes back under another name, scales included; in its own place if the names are one."""
        for name in self._some([number]):
            if new in self.deltas and new != name:
                return
            folder = Path(tempfile.mkdtemp(dir=self.folder.name))
            self.model.save_pretrained(folder, selected_adapters=[name], compact=compact)
            saved = self.deltas[name], dict(self.scales[name])
            if new == name:
                self.delete(number)
            self.model.load_adapter(folder if name == "default" else folder / name, new)
            self.deltas[new], self.scales[new] = saved

    @rule()
    def disable(self) -> None:
        with self.model.disable_adapter(), torch.no_grad():
            assert all(torch.equal(layer.weight, self.base[f"{path}.weight"]) for path, layer in self._layers())
            assert torch.equal(self.model(self.x), self.base_output)

    # ---- what should be true ----------------------------------------------------------------------------------------

    @rule()
    def forward(self) -> None:
        with torch.no_grad():
            torch.testing.assert_close(self.model(self.x), self._expected(), rtol=0, atol=self.tolerance)

    @rule()
    def merged_weights_hold_their_adapters(self) -> None:
        for path, layer in self._layers():
            if layer.merged:
                torch.testing.assert_close(layer.weight.detach(), self._weight(path), rtol=0, atol=self.tolerance)

    def teardown(self) -> None:
        self.folder.cleanup()
        self.forward()
        net = self.model.unload()
        found = net.state_dict()
        assert found.keys() == self.base.keys()
        assert all(torch.equal(found[name], value) for name, value in self.base.items())
        with torch.no_grad():
            assert torch.equal(net(self.x), self.base_output)

    # ---- helpers ----------------------------------------------------------------------------------------------------

    def _some(self, numbers: list[int]) -> list[str]:
        names = list(self.deltas)
        return list(dict.fromkeys(names[number % len(names)] for number in numbers if names))

    def _layers(self) -> list[tuple[str, AdapterLayer]]:
        return list(self.model.base_model.adapter_layers())

    def _learn(self, name: str) -> None:
        """Read the adapter's dense deltas off its layers, at scale 1; where they come from is tested elsewhere."""
        found = {path: layer.get_adapter(name) for path, layer in self._layers() if name in layer.adapters}
        self.scales[name] = {path: adapter.scale for path, adapter in found.items()}
        self.deltas[name] = {}
        for path, adapter in found.items():
            adapter.scale = 1.0
            self.deltas[name][path] = adapter.delta_weight().detach().clone()
            adapter.scale = self.scales[name][path]

    def _weight(self, path: str) -> Tensor:
        merged = [name for name in self.merged if path in self.deltas[name]]
        weight = self.base[f"{path}.weight"].clone()
        for name in dict.fromkeys([*merged, *self.active]):
            if path in self.deltas[name]:
                weight += self.scales[name][path] * self.deltas[name][path]
        return weight

    def _expected(self) -> Tensor:
        weights = {**self.base, **{f"{path}.weight": self._weight(path) for path in "abc"}}
        return torch.func.functional_call(Net().to(self.x.dtype), weights, (self.x,))


@pytest.mark.filterwarnings("ignore:.*lready (un)?merged")
def test_any_sequence_gives_the_outputs_of_dense_weights_and_ends_at_the_base() -> None:
    run_state_machine_as_test(
        AnySequence,
        settings=settings(
            max_examples=SEQUENCES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
