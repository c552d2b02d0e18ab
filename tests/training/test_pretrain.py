"""An interrupted pretraining goes on as if nothing had happened."""

from __future__ import annotations

import argparse

import pytest
import torch
from pretrain import LOG_EVERY, MIXTURE, Run, learning_rate, texts_of_step

from shira_lab.training.worlds import get_world


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> argparse.Namespace:
    folder = tmp_path_factory.mktemp("run")
    return argparse.Namespace(
        run=folder, steps=6, batch_size=3, learning_rate=1e-2, warm_up=2, hidden=16, layers=1,
        heads=2, seed=0,
    )  # fmt: skip


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(arguments: argparse.Namespace) -> None:
    straight = Run(arguments)
    for step in range(6):
        if step == 3:
            straight.save()
        straight.step()
    resumed = Run(arguments)
    resumed.restore()
    for _ in range(3):
        resumed.step()
    assert resumed.counters["tokens"] == straight.counters["tokens"]
    weights = straight.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in resumed.model.state_dict().items())


def test_the_log_goes_back_to_the_checkpoint(arguments: argparse.Namespace) -> None:
    run = Run(arguments)
    run.counters["step"] = LOG_EVERY
    lines = [f'{{"step": {step * LOG_EVERY}}}' for step in (1, 2, 3)]
    run.log.write_text("\n".join(lines))
    run.trim_log()
    assert run.log.read_text() == lines[0] + "\n"


def test_no_step_repeats_a_text_or_tells_one_that_is_held_out(arguments: argparse.Namespace) -> None:
    told = [text for step in range(6) for text in texts_of_step(step, arguments)]
    held_out = [story.text for story in get_world("meadow").stories(100, split="held-out")]
    assert len(set(told + held_out)) == len(told) + len(held_out)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(arguments: argparse.Namespace) -> None:
    rates = [learning_rate(step, arguments) for step in range(7)]
    assert rates == pytest.approx([0.005, 0.01, 0.01, 0.0075, 0.005, 0.0025, 0])


def test_the_shares_of_the_mixture_add_up() -> None:
    assert sum(first for first, _ in MIXTURE.values()) == pytest.approx(1)
    assert sum(last for _, last in MIXTURE.values()) == pytest.approx(1)
