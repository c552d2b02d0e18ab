"""A run that is killed at any moment is continued by the same command, and ends as one that was never stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_lm import save_tiny_lm, tiny_lm

from shira_lab import PeftModel
from shira_lab.training.checkpoints import last_checkpoint
from shira_lab.training.history import History

STEPS = 30
#: Seeds of the moments. A run takes about so many steps a second that most of them fall between two checkpoints.
MOMENTS = [int(seed) for seed in os.environ.get("SHIRA_LAB_KILLS", "1").split(",")]


def command(model: Path, out: Path) -> list[str]:
    settings = ["--steps", STEPS, "--batch-size", 2, "--eval-every", 2, "--r", 2, "--sample-tokens", 4, "--seed", 3]
    return [*map(str, [sys.executable, "-m", "shira_lab.cli", "finetune", "--model", model, *settings, "--out", out])]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model's folder, and that of a run that was never stopped."""
    folder = tmp_path_factory.mktemp("killed")
    model = save_tiny_lm(folder / "model")
    subprocess.run(command(model, folder / "whole"), check=True, capture_output=True, timeout=200)
    return model, folder / "whole"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_as_one_that_was_never_stopped(
    undisturbed: tuple[Path, Path], tmp_path: Path, moment: int
) -> None:
    model, whole = undisturbed
    at = random.Random(moment).randrange(2, STEPS)
    out = tmp_path / "run"
    running = subprocess.Popen(command(model, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while running.poll() is None and _step(out) < at - at % 2:
            time.sleep(0.001)
        time.sleep(random.Random(-moment).random() * 0.2)  # also in the middle of a step, or of writing
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    if running.returncode == -signal.SIGKILL:
        last_good = last_checkpoint(out) or out  # at the very end the result is there, and the checkpoints are gone
        assert PeftModel.from_pretrained(tiny_lm(), last_good).active_adapter == "default"
        if last_good != out:
            subprocess.run(command(model, out), check=True, capture_output=True, timeout=200)
    learned, expected = (load_file(folder / "adapter_model.safetensors") for folder in (out, whole))
    assert learned.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in learned.items())
    run, same = (History.load(folder / "history.json") for folder in (out, whole))
    assert [(p.step, p.loss) for p in run.steps] == [(p.step, p.loss) for p in same.steps]
    assert (run.evals, run.ranks, run.samples) == (same.evals, same.ranks, same.samples)
    assert not (out / "checkpoints").exists()


def _step(out: Path) -> int:
    checkpoint = last_checkpoint(out)
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
