"""Step 6 of "Build it": PEFT's two files, written by hand."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from shira_lab.adapters.model import PeftModel
from shira_lab.course.exercises.build.judging import Pictures, close, judged, names_of
from shira_lab.course.exercises.build.layer import ShiraLinear
from shira_lab.course.exercises.build.training import NAMES, SEED, TARGETS, R, Small, adapted, batches, layer_at
from shira_lab.course.exercises.exercise import Exercise, Solution
from shira_lab.course.exercises.looking import mask_picture
from shira_lab.course.exercises.trials import Wrong
from shira_lab.errors import ShiraError


def save(model, folder, names, r, seed):
    """Write PEFT's two files: the config, and each layer's v (k,) with its rows and columns (2, k)."""
    tensors = {}
    for path, layer in model.named_modules():
        if isinstance(layer, ShiraLinear):
            n = layer.base_layer.weight.shape[1]  # stub: -
            indices = torch.stack([layer.positions // n, layer.positions % n])  # stub: indices = layer.positions
            tensors[f"base_model.model.{path}.shira_weight"] = layer.shira_weight.detach()  # stub: -
            tensors[f"base_model.model.{path}.shira_indices"] = indices.to(torch.int32)  # stub: tensors[path] = indices
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "SHIRA", "r": r, "target_modules": names, "random_seed": seed}  # stub: config = {"r": r}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2))


CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
FIELDS = {"peft_type": "SHIRA", "r": R, "target_modules": list(NAMES), "random_seed": SEED}


def _examine(answer: Solution) -> Pictures:
    model = adapted(names_of(answer)["ShiraLinear"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answer(model, folder, list(NAMES), R, SEED)
        for expected in (TENSORS, CONFIG):
            if not (folder / expected).is_file():
                there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
                raise Wrong(f"There is no {expected} in the folder: PEFT looks for this name, and found {there}.")
        tensors = load_file(folder / TENSORS)
        _has_the_keys(tensors)
        for path in TARGETS:
            _is_the_layers(tensors, path, layer_at(model, path))
        _has_the_fields(_read_config(folder / CONFIG))
        try:
            loaded = PeftModel.from_pretrained(Small(), folder)
        except ShiraError as error:
            raise Wrong(f"The library does not take the files: {error}") from None
        batch = batches(1)[0]
        if not close(loaded(**batch).output, model(**batch).output):
            raise Wrong("The files load, and the model with them gives other outputs than yours.")
    rows, columns = tensors[f"{PREFIX}{TARGETS[0]}.shira_indices"]
    mask = torch.zeros(layer_at(model, TARGETS[0]).base_layer.weight.shape).index_put(
        (rows, columns), torch.ones(len(rows))
    )
    return {f"{TARGETS[0]}, as the file has it": mask_picture(mask)}


def _has_the_keys(tensors: dict[str, Tensor]) -> None:
    wanted = {f"{PREFIX}{path}.{part}" for path in TARGETS for part in ("shira_weight", "shira_indices")}
    others, missing = sorted(tensors.keys() - wanted), sorted(wanted - tensors.keys())
    if any(name.endswith(("base_layer.weight", "base_layer.bias")) for name in others):
        raise Wrong(
            "The file holds the base layers, too: an adapter's file holds v and its places alone, and is small."
        )
    if others and f"{PREFIX}{others[0]}" in wanted:
        raise Wrong(f"The name {others[0]} lacks PEFT's beginning: it puts {PREFIX} before the path of each layer.")
    if missing and missing[0].endswith("shira_indices") and not any("indices" in name for name in tensors):
        raise Wrong(
            f"The places are not in the file: write {missing[0]}, rows and columns (2, k). The seed alone does not give"
            " them back for every mask."
        )
    if missing or others:
        named = f" and {others[0]} is none of PEFT's names" if others else ""
        raise Wrong(
            f"The file has no tensor {missing[0]}{named}." if missing else f"{others[0]} is none of PEFT's names."
        )


def _is_the_layers(tensors: dict[str, Tensor], path: str, layer: Any) -> None:
    values, indices = (tensors[f"{PREFIX}{path}.shira_{part}"] for part in ("weight", "indices"))
    n, k = layer.base_layer.weight.shape[1], len(layer.positions)
    expected = torch.stack([layer.positions // n, layer.positions % n])
    if indices.shape == (k, 2):
        raise Wrong(f"shira_indices has shape ({k}, 2): PEFT has all rows first and then all columns, (2, {k}).")
    if indices.shape != (2, k):
        raise Wrong(
            f"shira_indices holds a row and a column for each entry, (2, {k}); yours has shape {tuple(indices.shape)}."
        )
    if indices.dtype != torch.int32:
        raise Wrong(
            f"shira_indices is {indices.dtype}; PEFT has torch.int32, half of the bytes of int64 and enough for any"
            " row."
        )
    if torch.equal(indices.flip(0), expected.int()):
        raise Wrong("shira_indices has the columns before the rows: row p // n comes first, and then column p % n.")
    if values.shape != (k,):
        raise Wrong(f"shira_weight holds the k = {k} values, shape ({k},); yours has shape {tuple(values.shape)}.")
    own = dict(zip(map(tuple, expected.T.tolist()), layer.shira_weight.tolist(), strict=True))
    if not torch.equal(indices, expected.int()):
        found = dict(zip(map(tuple, indices.T.tolist()), values.tolist(), strict=True))
        if found == own:
            return  # another order, of both alike
        if sorted(found) == sorted(own):
            raise Wrong(
                "The values stand in another order than their places: number p of shira_weight belongs to column p of"
                " shira_indices."
            )
        raise Wrong(
            f"shira_indices of {path} holds other places than the layer's: position p is row p // n, column p % n, with"
            f" n the columns of its weight, {n}."
        )
    if close(values.sort().values, layer.shira_weight.sort().values) and not torch.equal(values, layer.shira_weight):
        raise Wrong(
            "The values stand in another order than their places: number p of shira_weight belongs to column p of"
            " shira_indices."
        )
    if not torch.equal(values, layer.shira_weight):
        raise Wrong("shira_weight holds other numbers than the layer's v: the values alone, not W + S.")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Wrong(f"{path.name} is no JSON: write it with `json.dumps`. ({error})") from None
    if not isinstance(config, dict):
        raise Wrong(f"{path.name} should be one object, from a dict of fields.")
    return config


def _has_the_fields(config: dict[str, Any]) -> None:
    for name, value in FIELDS.items():
        if name not in config:
            why = (
                "it says which method the file is of"
                if name == "peft_type"
                else "without it nobody can make the adapter"
            )
            raise Wrong(f"{CONFIG} lacks `{name}`: {why}.")
        if config[name] != value:
            raise Wrong(f"{CONFIG} has `{name}` {config[name]!r}; expected {value!r}.")


SAVE = Exercise(
    solution=save,
    check=judged(_examine, "The library loads your files, and its outputs are those of your model."),
    difficulty="medium",
    minutes=10,
    stub_says=(
        "The places are not in the file: write base_model.model.blocks.0.q.shira_indices, rows and columns (2, k). The"
        " seed alone does not give them back for every mask."
    ),
)
