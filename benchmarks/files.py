"""How many bytes of an adapter file a trained number takes."""

import tempfile
from pathlib import Path

import shira_lab
from benchmarks.models import SIX, base_model


def bytes_per_number(r: int = 16) -> dict[str, float]:
    """By form, for a model of opt-125m's shape: PEFT's layout, and the compact form with and without a seed."""
    sizes: dict[str, float] = {}
    for mask_type, label in (("random", "seeded"), ("magnitude", "magnitude")):
        config = shira_lab.ShiraConfig(r, SIX, mask_type=mask_type, random_seed=0)
        model = shira_lab.get_peft_model(base_model(layers=2), config)
        numbers = model.get_nb_trainable_parameters()[0]
        for compact in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder, compact=compact)
                size = sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))
            sizes[f"{'compact' if compact else 'peft layout'}, {label}"] = size / numbers
    return sizes
