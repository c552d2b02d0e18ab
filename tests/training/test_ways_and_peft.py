"""The ways that PEFT has too give what PEFT's give: outputs and gradients within 1e-5."""

from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from shira_lab.training.ways import WAYS, Way

M, N, R, SEED = 24, 16, 4, 7
K = R * (M + N)


def _in_our_order(values: Tensor) -> Tensor:
    """PEFT keeps its coefficients in the order in which positions were drawn; ours are sorted."""
    drawn = torch.randperm(M * N, generator=torch.Generator().manual_seed(SEED))[:K]
    return values[drawn.argsort()]


#: PEFT's config; then for each of our parameters PEFT's name, and how PEFT's numbers become ours.
Pair = tuple[Any, dict[str, tuple[str, Callable[[Tensor], Tensor]]]]
PAIRS: dict[str, Pair] = {
    "dora": (
        peft.LoraConfig(r=R, lora_alpha=R, use_dora=True, target_modules=["0"]),
        {
            "lora_A": ("lora_A.default.weight", Tensor.clone),
            "lora_B": ("lora_B.default.weight", Tensor.clone),
            "magnitude": ("lora_magnitude_vector.default.weight", Tensor.clone),
        },
    ),
    "hira": (
        peft.HiraConfig(r=R, target_modules=["0"]),
        {"hira_A": ("hira_A.default", Tensor.clone), "hira_B": ("hira_B.default", Tensor.clone)},
    ),
    "gralora": (
        peft.GraloraConfig(r=R, alpha=R, gralora_k=2, target_modules=["0"]),
        {"gralora_A": ("gralora_A.default", Tensor.clone), "gralora_B": ("gralora_B.default", Tensor.clone)},
    ),
    "fourier": (
        peft.FourierFTConfig(n_frequency=K, scaling=(M * N) ** 0.5, random_loc_seed=SEED, target_modules=["0"]),
        {"coefficients": ("fourierft_spectrum.default", _in_our_order)},
    ),
    "haar": (
        peft.WaveFTConfig(n_frequency=K, scaling=1.0, random_loc_seed=SEED, target_modules=["0"]),
        {"coefficients": ("waveft_spectrum.default", _in_our_order)},
    ),
}


def both(name: str) -> tuple[nn.Module, Way, nn.Linear]:
    """PEFT's layer with random parameters, our way with the same ones, and the base layer."""
    torch.manual_seed(0)
    base = nn.Linear(N, M)
    config, names = PAIRS[name]
    theirs = peft.get_peft_model(nn.Sequential(base), config).base_model.model[0]
    ours = WAYS[name](base, R, seed=SEED)
    with torch.no_grad():
        for mine, (its, convert) in names.items():
            parameter = theirs.get_parameter(its)
            parameter.copy_(torch.randn_like(parameter))
            ours.get_parameter(mine).copy_(convert(parameter))
    return theirs, ours, base


@pytest.mark.parametrize("name", PAIRS)
def test_output_and_gradients_are_pefts(name: str) -> None:
    theirs, ours, base = both(name)
    x, weights = torch.randn(6, N), torch.randn(6, M)
    expected = theirs(x)
    found = ours.add_to(base(x) if isinstance(base, nn.Linear) else base, x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    for mine, (its, convert) in PAIRS[name][1].items():
        gradient = theirs.get_parameter(its).grad
        assert gradient is not None
        torch.testing.assert_close(ours.get_parameter(mine).grad, convert(gradient), rtol=1e-5, atol=1e-5)


def test_they_have_as_many_parameters_as_ours() -> None:
    for name in PAIRS:
        theirs, ours, _ = both(name)
        trainable = sum(p.numel() for p in theirs.parameters() if p.requires_grad)
        assert trainable == sum(p.numel() for p in ours.parameters()) == ours.parameters_for(R, (M, N))
