"""What the lesson on other ways measures: what a way costs, and how far it comes in a few steps."""

from dataclasses import replace

import torch
from safetensors.torch import save
from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.model import get_peft_model
from shira_lab.adapters.storage.state_dicts import get_peft_model_state_dict
from shira_lab.budget import Shape
from shira_lab.models.hub import load_model
from shira_lab.training.finetune import finetune
from shira_lab.training.settings import Settings

SHORT = Settings(mask_type="random", batch_size=4, eval_stories=8, sample_tokens=1)


def file_bytes(config: AdapterConfig, shape: Shape) -> int:
    """Bytes of the adapter's file for one weight of this shape."""
    return len(save(get_peft_model_state_dict(_adapted(config, shape))))


def kept_bytes(config: AdapterConfig, shape: Shape, tokens: int) -> int:
    """Bytes that the forward pass of one layer keeps for the backward pass, beside weights, parameters and its input.

    Args:
        config: of an adapter whose target is "0".
        shape: (m, n) of the layer's weight.
        tokens: rows of the input.
    """
    model, x = _adapted(config, shape), torch.zeros(tokens, shape[1], requires_grad=True)
    known = {tensor.untyped_storage().data_ptr() for tensor in (x, *model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(x)
    assert output.requires_grad
    return sum(kept.values())


def short_race(methods: dict[str, float], steps: int = 12, seed: int = 0) -> dict[str, float]:
    """Held-out excess (nats/token) of each method after a few steps of the embedded model, at the rate it is given.

    Args:
        methods: the learning rate of each method of :class:`~shira_lab.training.settings.Settings`.
    """
    excess = {}
    for method, rate in methods.items():
        settings = replace(SHORT, method=method, learning_rate=rate, steps=steps, eval_every=steps, seed=seed)
        history = finetune(*load_model("embedded"), settings, on_event=lambda _: None).history
        excess[method] = history.evals[-1].excess
    return excess


def _adapted(config: AdapterConfig, shape: Shape) -> nn.Module:
    torch.manual_seed(0)
    return get_peft_model(nn.Sequential(nn.Linear(shape[1], shape[0])), config)
