"""Models so small that a test can look at every number of them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import OPTConfig, OPTForCausalLM, OPTForSequenceClassification

from shira_lab import PeftModel, get_peft_model
from shira_lab.adapters.config import AdapterConfig
from shira_lab.layers import AdapterLayer, LoraAdapter

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class MLP(nn.Module):
    """Three linear layers; lin1 has no bias, lin2 has the transposed shape of lin0."""

    def __init__(self) -> None:
        super().__init__()
        self.lin0 = nn.Linear(10, 20)
        self.lin1 = nn.Linear(20, 20, bias=False)
        self.lin2 = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(torch.relu(self.lin1(torch.relu(self.lin0(x)))))


def mlp(dtype: torch.dtype = torch.float32) -> MLP:
    """The same model at each call."""
    torch.manual_seed(0)
    return MLP().to(dtype)


@torch.no_grad()
def run(model: nn.Module) -> Tensor:
    """The output of an MLP for four inputs."""
    return model(torch.linspace(-1, 1, 40).view(4, 10).to(next(model.parameters()).dtype))


def opt_config(**changes: object) -> OPTConfig:
    sizes = {"vocab_size": 50, "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 24, "num_attention_heads": 2}
    tokens = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 32}
    return OPTConfig(**{**sizes, **tokens, "num_hidden_layers": 2, "dropout": 0.0, **changes})


def tiny_opt(**changes: object) -> OPTForCausalLM:
    torch.manual_seed(0)
    return OPTForCausalLM(opt_config(**changes)).eval()


def tiny_classifier(**changes: object) -> OPTForSequenceClassification:
    torch.manual_seed(0)
    return OPTForSequenceClassification(opt_config(num_labels=3, **changes)).eval()


def tokens(batch: int = 2, length: int = 7) -> Tensor:
    return torch.randint(3, 50, (batch, length), generator=torch.Generator().manual_seed(1))


def layers(model: PeftModel) -> list[AdapterLayer]:
    return [layer for _, layer in model.base_model.adapter_layers()]


@torch.no_grad()
def fill_randomly(model: PeftModel, seed: int = 0, size: float = 0.1, only: str | None = None) -> PeftModel:
    """Give every adapter, or ``only`` one, values that are not zero, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    for layer in layers(model):
        for name, adapter in layer.named_adapters():
            if only in (None, name):
                parameter = adapter.lora_B.weight if isinstance(adapter, LoraAdapter) else adapter.shira_weight
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)
    return model


def adapted(model: nn.Module, config: AdapterConfig, seed: int = 0) -> PeftModel:
    """``model`` with an adapter whose values are not zero."""
    return fill_randomly(get_peft_model(model, config), seed)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def base_weights(model: PeftModel) -> Iterator[Tensor]:
    """The weights as they are in memory, whatever ``state_dict`` makes of them."""
    return (layer.base_layer.weight for layer in layers(model))


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())
