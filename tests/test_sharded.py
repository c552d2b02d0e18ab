"""Two processes that share the weights of a model by FSDP train the adapter that one process trains."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import torch
import torch.distributed as dist
from tiny import fill_randomly, layers, tiny_opt, tokens
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
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

inputs = tokens(batch=2)
alone = made()
expected = trained(alone, inputs, [p for p in alone.parameters() if p.requires_grad])
model = made()
for layer in layers(model):
    layer.leave_weight_alone()
for block in model.get_base_model().model.decoder.layers:
    fully_shard(block, mesh=mesh)
fully_shard(model.get_base_model(), mesh=mesh)
rank = dist.get_rank()
shares = trained(model, inputs[rank : rank + 1], [p for p in model.parameters() if p.requires_grad])
frozen = layers(model)[0].base_layer.weight
assert frozen.to_local().numel() * 2 == frozen.numel()
for share, whole in zip(shares, expected):
    torch.testing.assert_close(share.full_tensor(), whole, rtol=1e-4, atol=1e-5)
if rank == 0:
    print("equal")
dist.destroy_process_group()
"""


def test_a_sharded_model_trains_the_adapter_of_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    here = Path(__file__).parent
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{here.parent}:{here}", "PATH": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "script.py")], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["equal"]
