"""``accelerate launch`` with two processes trains the adapter that one process trains on the same batches."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from tiny import tiny_opt
from tiny_lm import tokenizer

from shira_lab.cli import main

LAUNCH = "accelerate.commands.launch --cpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"


def test_two_launched_processes_train_the_adapter_of_one(tmp_path: Path) -> None:
    ids = {name: getattr(tokenizer(), name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    tiny_opt(vocab_size=len(tokenizer()), max_position_embeddings=256, **ids).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    settings = ["--steps", "4", "--batch-size", "4", "--eval-every", "4", "--r", "2", "--sample-tokens", "4"]
    asked = ["finetune", "--model", str(tmp_path / "model"), *settings, "--out"]
    assert main([*asked, str(tmp_path / "one")]) == 0
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
    command = [sys.executable, "-m", *LAUNCH.split(), "-m", "shira_lab.cli", *asked, str(tmp_path / "two")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Written to") == 1
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)
