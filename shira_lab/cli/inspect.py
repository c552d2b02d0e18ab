"""``shira-lab inspect``: what saved adapters are and what they share, as a table."""

import argparse
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.storage.save import in_words
from shira_lab.analysis.interference import Interference, total
from shira_lab.cli.adapters import add_arguments, load_adapters

if TYPE_CHECKING:
    from shira_lab.analysis.inspection import AdapterFacts


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    inspect = commands.add_parser(
        "inspect",
        help="show what saved adapters are and what they share",
        description="Show config, budget, density and ranks of saved adapters, and for each two what they share. Ranks "
        "are means over the layers. The base model is read for its shapes.",
    )
    add_arguments(inspect)
    inspect.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    from shira_lab.analysis.inspection import adapter_facts, adapter_interference

    model, names = load_adapters(asked)
    columns = [_facts(model.peft_config[name], adapter_facts(model, name)) for name in names]
    _print_table(["", *map(str, asked.adapters)], [[key, *(c[key] for c in columns)] for key in columns[0]])
    pairs = []
    for (one, name1), (two, name2) in combinations(zip(asked.adapters, names, strict=True), 2):
        layers = adapter_interference(model, name1, name2)
        shared = _shared(total(layers.values())) if layers else dict.fromkeys(_SHARED, "-") | {"layers": "0"}
        pairs.append([f"{one} and {two}", str(len(layers)), *(shared[key] for key in _SHARED)])
    if pairs:
        print()
        _print_table(["", "layers", *_SHARED], pairs)
    return 0


_SHARED = ("shared entries", "of the smaller", "random masks", "cosine", "||A1^T A2||_F", "||A1^T A2||_2", "zeros")


def _facts(config: AdapterConfig, facts: "AdapterFacts") -> dict[str, str]:
    mask = f"{config.mask_type}, seed {config.random_seed}" if isinstance(config, ShiraConfig) else "-"
    alpha = f", lora_alpha={config.lora_alpha:g}" if isinstance(config, LoraConfig) else ""
    targets = config.target_modules
    return {
        "method": f"{in_words(config)[0]}, r={config.r}{alpha}",
        "mask": mask,
        "targets": targets if isinstance(targets, str) else " ".join(sorted(targets or ["default"])),
        "scale": f"{config.scale:g}" + (" and others by layer" if config.scale_pattern else ""),
        "layers": str(len(facts.spectra)),
        "trainable parameters": f"{facts.trained:,}",
        "density": f"{facts.density:.2%}",
        "rank": f"{facts.rank:.1f} of {facts.full_rank:g}",
        "effective rank": f"{facts.effective_rank:.1f}",
        "norm of the update": f"{facts.norm:.3f}",
    }


def _shared(all_layers: Interference) -> dict[str, str]:
    values = (
        f"{all_layers.overlap:,}",
        f"{all_layers.overlap_share:.2%}",
        f"{all_layers.expected_share:.2%}",
        f"{all_layers.cosine:.4f}",
        f"{all_layers.awom:.3g}",
        f"{all_layers.awom_spectral:.3g}",
        f"{all_layers.awor:.2%}",
    )
    return dict(zip(_SHARED, values, strict=True))


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
