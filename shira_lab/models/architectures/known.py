"""Configurations of well-known models that ship with the package, so that their shapes need no network.

``known.json`` holds the fields that decide shapes, as they stand in ``config.json`` of the model's repository on the
Hugging Face hub, and the number of parameters that the hub counts in its weights (tied ones once).
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from transformers import AutoConfig, PreTrainedConfig


@cache
def _facts() -> dict[str, dict[str, Any]]:
    facts: dict[str, dict[str, Any]] = json.loads(
        (files("shira_lab.models.architectures") / "known.json").read_text(encoding="utf-8")
    )
    return facts


def known_models() -> dict[str, int]:
    """The published number of parameters by name, smallest model first."""
    return {name: fact["parameters"] for name, fact in _facts().items()}


def known_config(name: str) -> PreTrainedConfig:
    """The configuration of one of the :func:`known_models`."""
    return AutoConfig.for_model(**_facts()[name]["config"])
