"""A control has random values exactly where its adapter trains, whatever the training did."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from shira_lab.analysis.spectrum import spectrum
from shira_lab.layers import LoraAdapter, ShiraAdapter
from shira_lab.masks.positions import random_positions
from shira_lab.training.control import random_update


@given(st.integers(1, 9), st.integers(1, 9), st.data(), st.integers(0, 2**31))
def test_a_control_has_random_values_at_the_positions_and_nothing_elsewhere(
    m: int, n: int, data: st.DataObject, seed: int
) -> None:
    chosen = data.draw(st.sets(st.integers(0, m * n - 1), min_size=1))
    positions, shape = torch.tensor(sorted(chosen)), (m, n)
    trained = ShiraAdapter(1, shape, positions, torch.ones(len(positions)), fan_in_fan_out=False)
    control = random_update(trained, seed)
    assert control.shape == shape and control.dtype == torch.float32
    assert control.flatten().nonzero().flatten().tolist() == positions.tolist()
    assert torch.equal(control, random_update(trained, seed))
    assert not torch.equal(control, random_update(trained, seed + 1))


def test_the_control_of_lora_has_its_rank_and_the_shape_of_the_stored_weight() -> None:
    for fan_in_fan_out in (False, True):
        control = random_update(LoraAdapter(3, (20, 30), 1.0, fan_in_fan_out=fan_in_fan_out))
        assert control.shape == (20, 30) and spectrum(control).rank == 3


def test_training_values_do_not_move_the_control() -> None:
    positions = random_positions((20, 30), 100, seed=0)
    values = (torch.zeros(100), torch.linspace(-5, 5, 100))
    first, second = (random_update(ShiraAdapter(2, (20, 30), positions, v, fan_in_fan_out=False)) for v in values)
    assert torch.equal(first, second)
