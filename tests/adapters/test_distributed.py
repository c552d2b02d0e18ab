"""Two processes under torchrun: one mask, one adapter, the numbers of a single process, and one voice."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_lm import save_tiny_lm

from shira_lab.models.hub import load_model
from shira_lab.training.finetune import finetune
from shira_lab.training.history import History
from shira_lab.training.settings import Settings

# Run by each process: what it learned goes into a file of its own, so that processes can be compared.
SCRIPT = """
import dataclasses, os, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from shira_lab.cli import main
from shira_lab.models.hub import load_model
from shira_lab.adapters.storage.save import adapter_tensors
from shira_lab.training.finetune import finetune
from shira_lab.training.settings import Settings

folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
short = Settings(model=str(folder / "model"), steps=2, batch_size=4, eval_every=2, eval_stories=2, sample_tokens=4, r=2)
for name, changes in {
    "drawn": {"mask_type": "random", "seed": None},
    "gradient": {"mask_type": "gradient"},
    "lora": {"method": "lora"},
}.items():
    torch.manual_seed(100 + rank)  # processes that draw differently must agree all the same
    settings = dataclasses.replace(short, **changes)
    run = finetune(*load_model(folder / "model"), settings, on_event=lambda _: None)
    tensors = adapter_tensors(run.model.base_model, "default")
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, folder / f"{name}-{rank}")
    base = {path: layer.base_weight().contiguous() for path, layer in run.model.base_model.adapter_layers()}
    save_file(base, folder / f"{name}-base-{rank}")
options = "--steps 2 --batch-size 2 --eval-every 1 --r 2 --sample-tokens 4".split()
code = main(["finetune", "--model", str(folder / "model"), *options, "--out", str(folder / "run")])
bad = main(["finetune", "--model", str(folder / "model"), "--batch-size", "3", "--out", str(folder / "bad")])
(folder / f"codes-{rank}").write_text(f"{code} {bad}")
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The folder, stdout and stderr of two processes that trained together."""
    folder = tmp_path_factory.mktemp("two")
    save_tiny_lm(folder / "model")
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
    done = subprocess.run(
        [*command, str(folder / "script.py"), str(folder)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["drawn", "gradient", "lora"])
def test_both_processes_end_with_the_same_adapter(together: tuple[Path, str, str], name: str) -> None:
    first, second = (load_file(together[0] / f"{name}-{rank}") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert all(value.any() for key, value in first.items() if key.endswith(("shira_weight", "lora_B.weight")))


@pytest.mark.parametrize("name", ["drawn", "gradient", "lora"])
def test_the_base_weights_of_both_processes_stay_those_of_the_file(together: tuple[Path, str, str], name: str) -> None:
    model, _ = load_model(together[0] / "model")
    for rank in (0, 1):
        for path, weight in load_file(together[0] / f"{name}-base-{rank}").items():
            assert torch.equal(model.get_submodule(path).weight, weight)


def test_two_processes_learn_what_one_learns(together: tuple[Path, str, str]) -> None:
    settings = Settings(model="tiny", steps=2, batch_size=2, eval_every=1, sample_tokens=4, r=2)
    alone = finetune(*load_model(together[0] / "model"), settings, on_event=lambda _: None).history
    shared = History.load(together[0] / "run/history.json")
    # The first step has the same weights and stories. Dropout is drawn by each process for itself.
    assert shared.evals[0].loss == alone.evals[0].loss
    assert shared.steps[0].loss == pytest.approx(alone.steps[0].loss, rel=1e-2)


def test_only_the_first_process_writes_and_speaks(together: tuple[Path, str, str]) -> None:
    folder, out, err = together
    assert out.count("held-out loss") == 1
    assert out.count("Written to") == 1
    assert err.count("`batch_size` is 3, which 2 processes cannot share equally; choose a multiple.") == 1
    assert [(folder / f"codes-{rank}").read_text() for rank in (0, 1)] == ["0 2", "0 2"]
    names = {"README.md", "adapter_config.json", "adapter_model.safetensors", "history.json", "report.html"}
    assert {file.name for file in (folder / "run").iterdir()} == names
