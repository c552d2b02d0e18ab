"""The method on one page gives what the library gives: positions, training and files."""

import ast
from pathlib import Path

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import snapshot, tiny_opt, tokens
from torch import nn

import shira_lab
from shira_lab import minimal
from shira_lab.course.exercises import check
from shira_lab.masks.builtin import magnitude_mask, random_mask
from shira_lab.masks.positions import from_mask

SOURCE = Path(minimal.__file__).read_text(encoding="utf-8")
every_mask = pytest.mark.parametrize("mask_type", ["random", "magnitude"])


def fields(mask_type: str) -> dict[str, object]:
    return {"r": 2, "mask_type": mask_type, "random_seed": 7, "target_modules": ["q_proj", "v_proj", "fc1"]}


def train(model: nn.Module) -> nn.Module:
    """20 steps of AdamW on one batch."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        model(input_ids=tokens(), labels=tokens()).loss.backward()
        optimizer.step()
    return model


def minimal_opt(mask_type: str) -> nn.Module:
    model = tiny_opt()
    minimal.inject_adapter_in_model(minimal.ShiraConfig(**fields(mask_type)), model)
    return model


def test_it_is_one_page() -> None:
    assert SOURCE.count("\n") <= 100


def test_it_needs_pytorch_and_safetensors_alone() -> None:
    nodes = list(ast.walk(ast.parse(SOURCE)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    standard = {"json", "dataclasses", "pathlib", "typing"}
    assert {name.split(".")[0] for name in names} <= {"torch", "safetensors"} | standard


@given(st.integers(3, 30), st.integers(3, 30), st.integers(1, 15), st.integers(0, 2**31 - 1), st.booleans())
def test_positions_are_those_of_the_library(m: int, n: int, r: int, seed: int, ties: bool) -> None:
    layer = nn.Linear(n, m)
    if ties:
        layer.weight.data.mul_(10).round_()
    r = min(r, m * n // (m + n))
    for mask_type, mask in {"random": random_mask, "magnitude": magnitude_mask}.items():
        config = minimal.ShiraConfig(target_modules=[""], r=r, mask_type=mask_type, random_seed=seed)
        assert torch.equal(minimal.mask_positions(layer.weight, config), from_mask(mask(layer, r, random_seed=seed)))


def test_gradients_are_those_of_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    x, v, weight, bias = (
        torch.randn(s, dtype=torch.float64, generator=generator) for s in ((2, 3, 5), (4,), (4, 5), (4,))
    )
    rest = (weight, torch.tensor([1, 5, 6, 19]), bias)
    inputs = (x.requires_grad_(), v.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, v: minimal.SparseWeightGrad.apply(x, v, *rest), inputs)


def test_its_gradient_passes_the_check_of_the_lesson_that_writes_it_which_counts_what_is_made() -> None:
    verdict = check(minimal.SparseWeightGrad)
    assert verdict.passed, verdict.message


@every_mask
def test_twenty_steps_are_those_of_the_library_and_the_base_stays(mask_type: str) -> None:
    before = snapshot(tiny_opt())
    ours = train(minimal_opt(mask_type))
    theirs = train(shira_lab.get_peft_model(tiny_opt(), shira_lab.ShiraConfig(**fields(mask_type))))
    values = [p for p in ours.parameters() if p.requires_grad], [p for p in theirs.parameters() if p.requires_grad]
    for mine, other in zip(*values, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)
    for name, value in ours.state_dict().items():
        if not name.endswith((".positions", ".shira_weight")):
            assert torch.equal(value, before[name.replace(".base_layer.", ".")]), name


@every_mask
@pytest.mark.parametrize("library", [shira_lab, peft])
def test_its_files_load(library: object, mask_type: str, tmp_path: Path) -> None:
    ours = train(minimal_opt(mask_type))
    minimal.save_pretrained(ours, minimal.ShiraConfig(**fields(mask_type)), tmp_path)
    loaded = library.PeftModel.from_pretrained(tiny_opt(), tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens()).logits, ours(tokens()).logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"r": 100}, r"`r` is 100; expected 1 to 8 for a weight of shape \(16, 16\)\."),
        ({"mask_type": "best"}, r"`mask_type` is 'best'; expected 'random' or 'magnitude'\."),
        ({"target_modules": ["k"]}, r"`target_modules` is \['k'\]; the linear layers are model\.decoder"),
    ],
)
def test_what_is_refused_changes_nothing(change: dict[str, object], told: str) -> None:
    model = tiny_opt()
    with pytest.raises(ValueError, match=told):
        minimal.inject_adapter_in_model(minimal.ShiraConfig(**{**fields("random"), **change}), model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.state_dict().keys() == tiny_opt().state_dict().keys()
