"""The run on a GPU is ready before there is one: it is tried here with a tiny model, and checked where a GPU is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.checks import check, no_waiting

ROOT = Path(__file__).parents[1]
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_every_cost_is_measured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--minutes", "0.5", "--out", str(tmp_path / "gpu.json")])
    report = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    costs = [name.split(",")[0] for name in report if ", " in name]
    assert [cost.split(" / ")[0] for cost in costs] == [
        "training step", "gradient", "W + S", "peak memory above frozen", "one token", "switch", "attach"
    ]  # fmt: skip
    assert "a step does not wait" in capsys.readouterr().out


def test_what_the_time_does_not_reach_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--minutes", "0", "--out", str(tmp_path / "gpu.json")])
    assert capsys.readouterr().out.endswith("The time is over: the rest was not measured.\n")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_layers_and_gradients_are_those_of_float64(device: str) -> None:
    assert len(check(torch.device(device))) >= 12


@GPU
def test_a_wait_for_the_gpu_is_an_error() -> None:
    number = torch.ones(1, device="cuda")
    with pytest.raises(RuntimeError, match="synchroniz"), no_waiting(number.device):
        number.item()


def test_the_kernels_give_the_entries_and_the_sum() -> None:
    """On the processor, in Triton's interpreter, which has to be chosen before Triton is imported."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", KERNELS], env=environment, cwd=ROOT, check=True)


KERNELS = """
import torch
from benchmarks.gpu.kernels import Bits, plus, sampled_gradient

for (m, n), k, tokens in (((65, 70), 300, 50), ((64, 32), 2048, 33), ((130, 33), 1, 17), ((5, 64), 320, 1)):
    torch.manual_seed(0)
    positions = torch.randperm(m * n)[:k].sort().values
    bits = Bits.of(positions, (m, n))
    a, b, weight, values = torch.randn(tokens, m), torch.randn(tokens, n), torch.randn(m, n), torch.randn(k)
    entries = (a.double().t() @ b.double()).flatten()[positions]
    torch.testing.assert_close(sampled_gradient(a, b, bits).double(), entries, rtol=1e-5, atol=1e-5)
    total = weight.flatten().index_add(0, positions, 0.5 * values).view(m, n)
    torch.testing.assert_close(plus(weight, values, bits, 0.5), total)
"""
