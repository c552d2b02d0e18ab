"""A mask that avoids other adapters shares no entry with them, and still has exactly r(m + n)."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import MLP, fill_randomly, layers
from torch import Tensor, nn

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model, register_mask
from shira_lab.budget import max_r, num_params
from shira_lab.errors import AdapterError, ConfigError, MaskError
from shira_lab.masks import find_mask, mask_positions, mask_types, random_mask

BUILT_IN = mask_types()
FIRST = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0)


@pytest.mark.parametrize("mask_type", BUILT_IN)
@given(st.integers(4, 24), st.integers(4, 24), st.data())
def test_every_mask_avoids_what_is_taken_and_keeps_its_budget(
    mask_type: str, m: int, n: int, data: st.DataObject
) -> None:
    layer, generator = nn.Linear(n, m), torch.Generator().manual_seed(0)
    r = data.draw(st.integers(1, max_r((m, n))))
    room = data.draw(st.integers(num_params(r, (m, n)), m * n))
    taken = torch.ones(m * n, dtype=torch.bool)
    taken[torch.randperm(m * n, generator=generator)[:room]] = False
    taken = taken.view(m, n)
    statistics: dict[str, object] = {"gradient": torch.randn(m, n), "input_norm": torch.rand(n)}
    options = {"avoid": taken, "random_seed": 3, **statistics}
    mask = find_mask(mask_type)(layer, r, **options)
    assert int(mask.sum()) == num_params(r, (m, n)) and not bool((mask.bool() & taken).any())
    positions = mask_positions(find_mask(mask_type), layer, r, **options)
    assert torch.equal(positions, mask.flatten().nonzero().flatten())


def test_a_magnitude_mask_takes_the_largest_of_what_is_left() -> None:
    layer = nn.Linear(9, 12)
    taken = random_mask(layer, 2, random_seed=0).bool()
    left = layer.weight.detach().abs().masked_fill(taken, 0)
    mask = find_mask("magnitude")(layer, 2, avoid=taken)
    assert torch.equal(mask.flatten().nonzero().flatten(), left.flatten().topk(42).indices.sort().values)


def test_a_config_avoids_adapters_by_name_and_the_mask_survives_the_disk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = get_peft_model(MLP(), FIRST, "sea")
    model.add_adapter("space", FIRST.copy(avoid=["sea"]))
    model.add_adapter(
        "moon", FIRST.copy(mask_type="magnitude", target_modules=["lin1", "lin2"], avoid=["sea", "space"])
    )
    for layer in layers(model):
        positions = [adapter.positions for _, adapter in layer.named_adapters()]
        together = torch.cat(positions)
        assert together.unique().numel() == together.numel()
    fill_randomly(model).save_pretrained(tmp_path)
    alone = PeftModel.from_pretrained(MLP(), tmp_path / "space", "space")
    assert alone.peft_config["space"].avoid == ["sea"]
    for ours, theirs in zip(layers(alone), layers(model), strict=False):
        assert torch.equal(ours.shira_indices["space"], theirs.shira_indices["space"])


def test_no_room_names_the_layer_the_room_and_the_largest_r() -> None:
    model = get_peft_model(MLP(), FIRST.copy(r=3), "sea")
    message = (
        r"No room for r=5 in layer 'lin0': r\(m \+ n\) = 150 positions are needed, and 110 of 20 \* 10 = 200 are "
        r"not to be avoided. The largest r with room is 3."
    )
    with pytest.raises(MaskError, match=message):
        model.add_adapter("space", FIRST.copy(r=5, avoid=["sea"]))
    assert list(model.peft_config) == ["sea"]


def test_a_mask_of_ones_own_that_avoids_is_taken() -> None:
    @register_mask("avoids_well")
    def avoids_well(base_layer: nn.Module, r: int, avoid: Tensor | None = None) -> Tensor:
        return random_mask(base_layer, r, random_seed=0, avoid=avoid)

    model = get_peft_model(MLP(), FIRST, "sea")
    model.add_adapter("space", FIRST.copy(mask_type="avoids_well", avoid=["sea"]))
    for layer in layers(model):
        sea, space = (layer.adapters[name].positions for name in ("sea", "space"))
        assert len(sea) == len(space) and not torch.isin(sea, space).any()


def test_what_cannot_be_avoided_is_refused_by_name() -> None:
    @register_mask("avoids_nothing")
    def avoids_nothing(base_layer: nn.Module, r: int) -> Tensor:
        return random_mask(base_layer, r, random_seed=0)

    @register_mask("avoids_badly")
    def avoids_badly(base_layer: nn.Module, r: int, avoid: Tensor | None = None) -> Tensor:
        return random_mask(base_layer, r, random_seed=0)

    model = get_peft_model(MLP(), FIRST, "sea")
    model.add_adapter("lora", LoraConfig(r=2, target_modules=["lin0"]))
    with pytest.raises(AdapterError, match="Adapter mars does not exist"):
        model.add_adapter("x", FIRST.copy(avoid=["mars"]))
    with pytest.raises(AdapterError, match="`avoid`: 'lora' is a LoRA adapter, which changes every entry"):
        model.add_adapter("x", FIRST.copy(avoid=["lora"]))
    with pytest.raises(
        MaskError, match=r"the mask 'avoids_nothing' avoids nothing. Give its function a parameter `avoid`"
    ):
        model.add_adapter("x", FIRST.copy(mask_type="avoids_nothing", avoid=["sea"]))
    with pytest.raises(MaskError, match="The mask for layer 'lin0' has 60 ones where `avoid` has ones too"):
        model.add_adapter("x", FIRST.copy(mask_type="avoids_badly", avoid=["sea"]))
    with pytest.raises(ConfigError, match="`avoid` should be a list of adapter names; got 'sea'"):
        FIRST.copy(avoid="sea")
    with pytest.raises(MaskError, match=r"`avoid` has shape \(3, 3\); expected the weight's, \(20, 10\)"):
        random_mask(MLP().lin0, 1, avoid=torch.zeros(3, 3))
