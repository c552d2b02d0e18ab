"""One run of the study: train a pair of adapters to equal strength, add them up, and measure."""

import time
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.model import PeftModel
from shira_lab.analysis.inspection import adapter_interference
from shira_lab.analysis.interference import total
from shira_lab.course.fusion.records import Fused, FusionRun, Pair, Protocol, Shared
from shira_lab.course.fusion.train import train_to
from shira_lab.models.hub import load_model
from shira_lab.training.evaluate import story_loss
from shira_lab.training.worlds import Story, get_world

OTHER = 1000  # added to the seed where the second adapter has another one
STEPS = "steps.txt"  # beside a trained adapter: how many it took


def run_pair(pair: Pair, protocol: Protocol, seed: int, folder: Path) -> FusionRun:
    """Train or find the pair's adapters, and measure them alone and together.

    Args:
        folder: trained adapters are kept there, one folder each. The first adapter of pairs of one family is the same.
    """
    started = time.perf_counter()
    model, tokenizer = load_model(protocol.model)
    both = PeftModel(model)
    first, second = protocol.worlds
    steps = tuple(
        _train(both, tokenizer, name, config, pair, protocol, seed, folder / place)
        for name, config, place in zip(
            protocol.worlds, configs(pair, protocol, seed), adapter_names(pair, protocol, seed), strict=True
        )
    )
    held_out = [get_world(world).stories(protocol.stories, split="held-out") for world in protocol.worlds]
    alone = {name: _measure(both, tokenizer, {name: 1.0}, held_out) for name in protocol.worlds}
    fused = tuple(
        Fused(scale, _measure(both, tokenizer, dict.fromkeys(protocol.worlds, scale), held_out))
        for scale in protocol.scales
    )
    return FusionRun(
        pair,
        seed,
        (steps[0], steps[1]),
        alone=(alone[first][0], alone[second][1]),
        abroad=(alone[first][1], alone[second][0]),
        fused=fused,
        shared=shared(both, first, second),
        seconds=round(time.perf_counter() - started, 1),
    )


def adapter_names(pair: Pair, protocol: Protocol, seed: int) -> tuple[str, str]:
    """The folders of the two trained adapters; pairs of one family have the first in common."""
    first, second = protocol.worlds
    return f"{pair.family}-{first}-{seed}", f"{pair.family}-{second}-{seed}-{pair.second}".replace(" ", "-")


def configs(pair: Pair, protocol: Protocol, seed: int) -> tuple[AdapterConfig, AdapterConfig]:
    """The configs of the two adapters; the first one is named after the first world."""
    if pair.family == "lora":
        lora = LoraConfig(protocol.r, protocol.target_modules, lora_alpha=protocol.r, task_type="CAUSAL_LM")
        return lora, lora
    first = ShiraConfig(
        protocol.r, protocol.target_modules, mask_type=pair.family, random_seed=seed, task_type="CAUSAL_LM"
    )
    if pair.second == "disjoint":
        return first, first.copy(avoid=[protocol.worlds[0]])
    return first, first.copy(random_seed=seed + OTHER) if pair.second == "other seed" else first


def shared(model: PeftModel, first: str, second: str) -> Shared:
    """How much two adapters of a model get into each other's way, over all layers."""
    found = total(adapter_interference(model, first, second).values())
    return Shared(
        found.overlap_share,
        found.expected_share,
        found.inner,
        found.norms,
        found.awom,
        found.awom_spectral,
        found.awor,
        found.awor_predicted,
    )


def _train(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    config: AdapterConfig,
    pair: Pair,
    protocol: Protocol,
    seed: int,
    place: Path,
) -> int:
    """Add the trained adapter ``name`` to the model; returns the steps it took."""
    if place.exists():
        model.load_adapter(place, name)
        return int((place / STEPS).read_text())
    torch.manual_seed(seed + OTHER * protocol.worlds.index(name))  # where LoRA starts
    model.add_adapter(name, config)
    model.set_adapter(name)
    steps = train_to(
        model,
        tokenizer,
        get_world(name),
        protocol.target,
        learning_rate=protocol.learning_rates[pair.family],
        steps=protocol.steps,
        batch_size=protocol.batch_size,
        stories=protocol.stories,
        seed=seed,
        first_look=protocol.first_look,
    )
    model.save_pretrained(place.parent, selected_adapters=[name])
    (place.parent / name / STEPS).write_text(str(steps))
    (place.parent / name).rename(place)  # last, so that the place is there as a whole or not at all
    return steps


def _measure(
    model: PeftModel, tokenizer: PreTrainedTokenizerBase, scales: dict[str, float], held_out: list[list[Story]]
) -> tuple[float, float]:
    """Excess on the stories of each world with these adapters at these scales."""
    for name, scale in scales.items():
        model.set_scale(name, scale)
    model.set_adapter(list(scales), inference_mode=True)
    first, second = (round(story_loss(model, tokenizer, stories).excess, 4) for stories in held_out)
    return first, second
