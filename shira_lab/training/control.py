"""The control of a trained update: random values for all trainable parameters.

A rank that a trained update shares with its control says what the positions allow, and nothing of the training.
"""

import torch
from torch import Tensor

from shira_lab.adapters.model import PeftModel
from shira_lab.analysis.rank import random_delta
from shira_lab.layers import Adapter, AdapterLayer, ShiraAdapter
from shira_lab.training.methods import Trainable
from shira_lab.training.ways import Way


def random_update(adapter: Adapter, seed: int = 0) -> Tensor:
    """The (m, n) update of ``adapter`` with independent normal values in place of its own; float32, on the CPU.

    SHiRA: S with a value at each of its positions. LoRA: B A with a value in each entry of B (m, r) and A (r, n). Other
    ways: what they make of such parameters.

    >>> trained = ShiraAdapter(1, (2, 3), torch.tensor([0, 4]), torch.ones(2), fan_in_fan_out=False)
    >>> random_update(trained).nonzero().tolist()
    [[0, 0], [1, 1]]
    """
    if isinstance(adapter, ShiraAdapter):
        return random_delta(adapter.positions.cpu(), adapter.shape, seed).float()
    if isinstance(adapter, Way):
        return adapter.random_update(seed)
    m, n = adapter.shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, adapter.r, generator=generator) @ torch.randn(adapter.r, n, generator=generator)


def control_weight(trained: Trainable, path: str) -> Tensor:
    """The update of the layer at ``path`` with random values for all that trains in it, (m, n)."""
    if isinstance(trained, PeftModel):
        layer = trained.get_base_model().get_submodule(path)
        assert isinstance(layer, AdapterLayer)
        return random_update(layer.get_adapter(trained.active_adapter))
    m, n = trained.get_submodule(path).weight.shape
    return random_delta(torch.arange(m * n), (m, n), seed=0).float()
