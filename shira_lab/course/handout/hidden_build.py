"""Hidden tests of the lesson "Build it". A step that uses earlier ones finds them among the answer's own names."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from shira_lab.budget import num_params
from shira_lab.course.exercises.build.judging import close, linear, names_of, randn
from shira_lab.course.exercises.build.layer import add_sparse
from shira_lab.course.exercises.build.positions import mask_positions
from shira_lab.course.exercises.build.training import Small, adapted, layer_at, train

Hidden = Callable[[Any, Random], bool]


def _drawn(dice: Random) -> tuple[nn.Linear, Tensor, Tensor]:
    """A layer, positions in it, and a value for each of them."""
    m, n = dice.sample(range(8, 30), 2)
    layer, r = linear(m, n, seed=dice.randrange(1000)), dice.randint(1, 3)
    positions = mask_positions(layer.weight, r, dice.randrange(1000))
    return layer, positions, randn(len(positions), seed=dice.randrange(1000))


def _mask_positions(answer: Any, dice: Random) -> bool:
    weight, r, seed = torch.zeros(dice.randint(8, 40), dice.randint(8, 40)), dice.randint(1, 3), dice.randrange(1000)
    return torch.equal(answer(weight, r, seed), mask_positions(weight, r, seed))


def _add_sparse(answer: Any, dice: Random) -> bool:
    layer, positions, v = _drawn(dice)
    weight, before = layer.weight.detach(), layer.weight.detach().clone()
    return close(answer(weight, positions, v), add_sparse(before, positions, v)) and torch.equal(weight, before)


@torch.no_grad()
def _shira_linear(answer: Any, dice: Random) -> bool:
    layer, positions, v = _drawn(dice)
    x, weight, bias = randn(5, layer.in_features), layer.weight.detach().clone(), layer.bias
    mine = answer(layer, positions)
    mine.shira_weight.copy_(v)
    return close(mine(x), nn.functional.linear(x, add_sparse(weight, positions, v), bias))


def _sparse_weight_grad(answer: Any, dice: Random) -> bool:
    layer, positions, v = _drawn(dice)
    x = randn(dice.randint(2, 6), 7, layer.in_features, seed=dice.randrange(1000))
    weight, bias = layer.weight.detach(), layer.bias.detach()
    dy = randn(*x.shape[:-1], layer.out_features, seed=dice.randrange(1000))
    x.requires_grad_()
    v.requires_grad_()
    expected = torch.autograd.grad(nn.functional.linear(x, add_sparse(weight, positions, v), bias), (x, v), dy)
    found = torch.autograd.grad(answer.apply(x, v, weight, positions, bias), (x, v), dy)
    return all(map(close, found, expected))


def _inject(answer: Any, dice: Random) -> bool:
    names, r, seed, model, before = ["seq", "qk"], dice.randint(1, 2), dice.randrange(1000), Small(), Small()
    answer(model, names, r, seed)
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    paths = [path for path, _ in before.named_modules() if path.split(".")[-1] in names]
    wanted = {f"{path}.shira_weight": num_params(r, tuple(layer_at(before, path).weight.shape)) for path in paths}
    return {name: one.numel() for name, one in trained.items()} == wanted and all(
        torch.equal(layer_at(model, path).positions, mask_positions(layer_at(before, path).weight, r, seed))
        for path in paths
    )


def _train(answer: Any, dice: Random) -> bool:
    seed, rate = dice.randrange(1000), dice.choice((0.003, 0.02))
    data = [
        {"tokens": torch.randint(20, (3, 5), generator=torch.Generator().manual_seed(seed + step)), "wanted": wanted}
        for step, wanted in enumerate(randn(7, 3, 5, 8, seed=seed))
    ]
    found, expected = (loop(Small(), data, rate) for loop in (answer, train))
    return all(type(loss) is float for loss in found) and close(torch.tensor(found), torch.tensor(expected))


def _unload(answer: Any, dice: Random) -> bool:
    data = {"tokens": torch.randint(20, (3, 5)), "wanted": torch.zeros(3, 5, 8)}
    for merge in (True, False):
        model = adapted(names_of(answer)["ShiraLinear"])
        expected = (model if merge else Small())(**data).output
        answer(model, merge=merge)
        if any(hasattr(layer, "shira_weight") for layer in model.modules()):
            return False
        if not close(model(**data).output, expected):
            return False
    return True


def _save(answer: Any, dice: Random) -> bool:
    model, r, seed, names = adapted(names_of(answer)["ShiraLinear"]), dice.randint(1, 9), dice.randrange(1000), ["q"]
    with tempfile.TemporaryDirectory() as folder:
        answer(model, Path(folder), names, r, seed)
        tensors = load_file(Path(folder) / "adapter_model.safetensors")
        config = json.loads((Path(folder) / "adapter_config.json").read_text())
    wanted = {"peft_type": "SHIRA", "r": r, "target_modules": names, "random_seed": seed}
    for path, layer in model.named_modules():
        if hasattr(layer, "shira_weight"):
            rows, columns = tensors[f"base_model.model.{path}.shira_indices"]
            if not torch.equal(rows * layer.base_layer.weight.shape[1] + columns, layer.positions):
                return False
            if not torch.equal(tensors[f"base_model.model.{path}.shira_weight"], layer.shira_weight):
                return False
    return wanted.items() <= config.items()


@torch.no_grad()
def _lora_linear(answer: Any, dice: Random) -> bool:
    layer, r = _drawn(dice)[0], dice.randint(1, 4)
    x, base = randn(5, layer.in_features), layer.weight.detach().clone()
    mine = answer(layer, r)
    begins = close(mine(x), layer(x)) and (bool(mine.A.any()) or bool(mine.B.any()))
    mine.A.copy_(randn(*mine.A.shape, seed=dice.randrange(1000)))
    mine.B.copy_(randn(*mine.B.shape, seed=dice.randrange(1000)))
    return begins and close(mine(x), nn.functional.linear(x, base + mine.B @ mine.A, layer.bias))


BUILD: dict[str, Hidden] = {
    "mask_positions": _mask_positions,
    "add_sparse": _add_sparse,
    "ShiraLinear": _shira_linear,
    "SparseWeightGrad": _sparse_weight_grad,
    "inject": _inject,
    "train": _train,
    "unload": _unload,
    "save": _save,
    "LoraLinear": _lora_linear,
}
