"""The pages of the API: every name that a public module offers, with its docstring and what is the same in PEFT.

A module is public where it has ``__all__``. So are those of `ALSO`, with every name that has no underscore. Sphinx
reads the docstrings, which are plain text with code in backticks; `as_rst` keeps it from reading more into them.
"""

import ast
import enum
import importlib
import inspect
import re
from typing import Any

from rooms import FILES, ROOMS, TREES, room

ALSO = (
    "shira_lab.adapters.tuner", "shira_lab.analysis.costs", "shira_lab.analysis.interference",
    "shira_lab.analysis.overlap", "shira_lab.budget", "shira_lab.minimal", "shira_lab.training.finetune",
)  # fmt: skip

#: What is the same in PEFT 0.21, where anything is: every name in double backticks with "peft." is there.
IN_PEFT = {
    "AdapterConfig": "``peft.PeftConfig``, the base of all its configs. There it has no fields of targets and sizes.",
    "AdapterLayer": "``peft.tuners.shira.ShiraLayer``, or ``peft.tuners.lora.LoraLayer``: one class for each kind.",
    "AdapterModel": "``peft.tuners.shira.ShiraModel``, or ``peft.tuners.lora.LoraModel``: one class for each kind.",
    "AutoPeftModelForCausalLM": "``peft.AutoPeftModelForCausalLM``.",
    "LoraAdapter": "an entry of the dicts ``lora_A`` and ``lora_B`` of ``peft.tuners.lora.LoraLayer``.",
    "LoraConfig": "``peft.LoraConfig``, with more fields. At PEFT's default they are taken here, at others refused.",
    "PeftConfig": "``peft.PeftConfig``.",
    "PeftModel": "``peft.PeftModel``.",
    "PeftModelForCausalLM": "``peft.PeftModelForCausalLM``. There each task has a class, here one serves them all.",
    "PeftType": "``peft.PeftType``, with all of its methods.",
    "ShiraAdapter": "an entry of the dicts ``shira_weight`` and ``shira_indices`` of ``peft.tuners.shira.ShiraLayer``.",
    "ShiraConfig": "``peft.ShiraConfig``: no patterns by layer, no `seed_per_layer`, no `avoid`, one mask of its own.",
    "TaskType": "``peft.TaskType``.",
    "get_base_model_state_dict": "``peft.get_base_model_state_dict``.",
    "get_layer_status": "``peft.get_layer_status``.",
    "get_model_status": "``peft.get_model_status``.",
    "get_peft_model": "``peft.get_peft_model``. There masks are not calibrated: `calibration` is ours.",
    "get_peft_model_state_dict": "``peft.get_peft_model_state_dict``.",
    "inject_adapter_in_model": "``peft.inject_adapter_in_model``.",
    "random_mask": "``peft.tuners.shira.mask_functions.random_mask``, the same positions for the same seed.",
    "set_base_model_state_dict": "``peft.set_base_model_state_dict``.",
    "set_peft_model_state_dict": "``peft.set_peft_model_state_dict``.",
}  # fmt: skip
NOTHING = "nothing of the kind."


def public() -> list[str]:
    """The public modules, from the ground up."""
    with_all = [name for name, path in FILES.items() if "__all__" in path.read_text(encoding="utf-8")]
    return sorted([*with_all, *ALSO], key=lambda name: (["face", *ROOMS].index(room(name)), name))


def names(module: str) -> list[str]:
    """The names that a public module offers."""
    found = importlib.import_module(module)
    if module not in ALSO:
        return sorted(found.__all__)
    defined = (node.name for node in TREES[module].body if isinstance(node, ast.ClassDef | ast.FunctionDef))
    return sorted(name for name in defined if not name.startswith("_"))


def pages() -> dict[str, str]:
    """Each page by its name, in reStructuredText."""
    lines = [f"{module} <{module}>" for module in public()]
    index = _title("API") + ".. toctree::\n\n" + "".join(f"   {line}\n" for line in lines)
    return {"index": index} | {module: page(module) for module in public()}


def page(module: str) -> str:
    text = as_rst(inspect.getdoc(importlib.import_module(module)) or "")
    return _title(f"``{module}``") + f".. py:module:: {module}\n\n{text}\n\n" + "".join(_entries(module))


def _entries(module: str) -> list[str]:
    return [_entry(module, name, getattr(importlib.import_module(module), name)) for name in names(module)]


def _entry(module: str, name: str, value: Any) -> str:
    """What tells Sphinx to show one name."""
    note = IN_PEFT.get(name, "") if module != "shira_lab.minimal" else ""
    if inspect.isclass(value):
        kind = "class"
        options = [":members:", ":undoc-members:"] if issubclass(value, enum.Enum) else [":members:"]
        if room(module) in ("face", "layers", "masks", "analysis"):
            note = note or NOTHING
    elif inspect.isroutine(value):
        kind, options = "function", []
    else:
        kind, module, options = "data", _home(module, name), [":no-value:"]
    lines = [f".. auto{kind}:: {module}.{name}", *(f"   {option}" for option in options)]
    return "\n".join([*lines, "", f"   **In PEFT:** {note}" if note else "", "", ""])


def _home(module: str, name: str) -> str:
    """The module whose source defines a name that another one offers."""
    for node in TREES[module].body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return _home(str(node.module), name)
    return module


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n\n"


def as_rst(text: str) -> str:
    """A docstring in which only code, roles and examples have a meaning to Sphinx."""
    parts = re.split(r"(``.+?``|`[^`\n]+`|^ *(?:>>>|\.\.\.) .*$)", text, flags=re.MULTILINE)
    parts[::2] = (re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2])
    return "".join(parts)
