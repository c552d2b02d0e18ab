"""A weight whose memory others hold is not merged into; merged for good, the layer gets memory of its own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.errors import AdapterError

X = torch.linspace(-1, 1, 80).view(5, 16)
CONFIGS = [
    ShiraConfig(r=2, target_modules=["lin"], random_seed=0, init_weights=False),
    LoraConfig(r=2, target_modules=["lin"], init_lora_weights=False),
]
each_config = pytest.mark.parametrize("config", CONFIGS, ids=["shira", "lora"])
REFUSED = r"^Layer '[a-z.]+': This layer's weight is shared with another module"


class Two(nn.Module):
    """Two square layers; ``tie`` lets them share memory in some way."""

    def __init__(self, tie: Callable[["Two"], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin, self.other = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)
        tie(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.other(torch.tanh(self.lin(x)))


def fused(two: Two) -> None:
    two.fused = nn.Parameter(torch.randn(48, 16))
    two.lin.weight = nn.Parameter(two.fused[16:32].detach())


def buffer(two: Two) -> None:
    two.register_buffer("kept", two.lin.weight.detach()[3])


TIES: dict[str, Callable[[Two], object]] = {
    "one object": lambda two: setattr(two.other, "weight", two.lin.weight),
    "a parameter of a parameter": lambda two: setattr(two.other, "weight", nn.Parameter(two.lin.weight)),
    "data": lambda two: setattr(two.other.weight, "data", two.lin.weight.data),
    "transposed": lambda two: setattr(two.other.weight, "data", two.lin.weight.data.t()),
    "a slice of a fused weight": fused,
    "a row in a buffer": buffer,
    "a tensor that is no parameter": lambda two: setattr(two.other, "look", two.lin.weight.data),
    "one module": lambda two: setattr(two, "other", two.lin),
}


@each_config
@pytest.mark.parametrize("tie", TIES)
def test_merging_is_refused_and_merging_for_good_gives_the_layer_its_own_memory(tie: str, config: ShiraConfig) -> None:
    model = get_peft_model(Two(TIES[tie]), config).eval()
    right = model(X).detach()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(AdapterError, match=REFUSED):
        model.merge_adapter()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(model(X), right)
    merged = model.merge_and_unload()
    torch.testing.assert_close(merged(X), right)


@each_config
@pytest.mark.parametrize("late", ["one object", "data"])
def test_a_tie_that_was_made_after_the_adapter_is_seen(late: str, config: ShiraConfig) -> None:
    model = get_peft_model(Two(lambda two: None), config).eval()
    two = model.base_model.model
    if late == "data":
        two.other.weight.data = two.lin.weight.data
    else:
        two.other.weight = two.lin.base_layer.weight
    with pytest.raises(AdapterError, match=REFUSED):
        model.merge_adapter()


def test_no_layer_is_merged_where_one_of_them_shares_its_memory() -> None:
    net = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16))
    net[2].weight.data = net[1].weight.data
    model = get_peft_model(net, CONFIGS[0].copy(target_modules=["0", "1"])).eval()
    with pytest.raises(AdapterError, match=r"^Layer '1': This layer's weight is shared"):
        model.merge_adapter()
    assert not net[0].merged


def two_names(encoder: nn.Module) -> nn.Module:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enc, self.dec = nn.Sequential(encoder), nn.Sequential(encoder)

        def forward(self, x: Tensor) -> Tensor:
            return self.dec(torch.tanh(self.enc(x)))

    return Tied()


@each_config
@pytest.mark.parametrize("inside", [False, True])
def test_a_module_under_two_names_has_an_adapter_for_each(inside: bool, config: ShiraConfig) -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(16, 16)) if inside else nn.Linear(16, 16)
    base = two_names(block)
    plain = base(X).detach()
    model = get_peft_model(base, config.copy(target_modules=["0.0" if inside else "0"])).eval()
    right = model(X).detach()
    assert not torch.allclose(right, plain)
    with pytest.raises(AdapterError, match=REFUSED.replace("a-z", "a-z0-9")):
        model.merge_adapter()
    torch.testing.assert_close(model.merge_and_unload()(X), right)


def test_weights_that_only_stand_in_one_storage_are_merged() -> None:
    two = Two(lambda two: None)
    together = torch.randn(32, 16)
    two.lin.weight.data, two.other.weight.data = together[:16], together[16:]
    model = get_peft_model(two, CONFIGS[0]).eval()
    right = model(X).detach()
    model.merge_adapter()
    torch.testing.assert_close(model(X), right)
    assert torch.equal(two.other.weight, together[16:])


def test_a_tied_layer_without_an_active_adapter_stays_tied() -> None:
    two = Two(TIES["one object"])
    model: PeftModel = get_peft_model(two, CONFIGS[0])
    model.base_model.set_adapter([])
    merged = model.merge_and_unload()
    assert merged.lin.weight is merged.other.weight
