"""Two processes that share the weights of a model by FSDP train the adapter that one process trains.

In bfloat16, too, by FSDP's mixed precision: what is sharded stays float32, what is put together is not.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_lm import tiny_lm, tokenizer

from shira_lab.errors import ConfigError
from shira_lab.training.finetune import finetune
from shira_lab.training.settings import Settings

SCRIPT = """
import sys
import torch
import torch.distributed as dist
from tiny import fill_randomly, layers, tiny_opt, tokens
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from shira_lab import ShiraConfig, get_peft_model

dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
config = ShiraConfig(r=2, target_modules="all-linear", random_seed=0)
def made():
    return fill_randomly(get_peft_model(tiny_opt(), config), size=0.3)
def trained(model, inputs, parameters):
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    for _ in range(3):
        model(input_ids=inputs).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return [layer.shira_weight["default"] for layer in layers(model)]

half = sys.argv[1] == "bfloat16"
policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if half else MixedPrecisionPolicy()
inputs = tokens(batch=2)
alone = made()
expected = trained(alone, inputs, [p for p in alone.parameters() if p.requires_grad])
model = made()
for block in model.get_base_model().model.decoder.layers:
    fully_shard(block, mesh=mesh, mp_policy=policy)
fully_shard(model.get_base_model(), mesh=mesh, mp_policy=policy)
rank = dist.get_rank()
shares = trained(model, inputs[rank : rank + 1], [p for p in model.parameters() if p.requires_grad])
frozen = layers(model)[0].base_layer.weight
assert frozen.to_local().numel() * 2 == frozen.numel()
before = layers(made())
for share, whole, layer in zip(shares, expected, before):
    assert share.dtype == torch.float32
    learned, should = (values - layer.shira_weight["default"] for values in (share.full_tensor(), whole))
    error = torch.linalg.vector_norm(learned - should) / torch.linalg.vector_norm(should)
    assert 1e-4 < error < 0.05 if half else error < 1e-4, error
if rank == 0:
    print("equal")
dist.destroy_process_group()
"""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_sharded_model_trains_the_adapter_of_a_whole_one(precision: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    here = Path(__file__).parents[1]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{here.parent}:{here}", "PATH": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "script.py"), precision],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["equal"]


def test_a_run_that_would_be_sharded_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match=r"FSDP was asked for .* shard the model in a loop of your own, as docs/"):
        finetune(tiny_lm(), tokenizer(), Settings(model="tiny"))
