"""What an adapter on a model is, in numbers: its budget, its ranks, and what it shares with another adapter."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.tree import check_known
from shira_lab.analysis.interference import Interference, interference
from shira_lab.analysis.spectrum import Spectrum, spectrum
from shira_lab.layers import AdapterLayer, ShiraAdapter
from shira_lab.masks.positions import to_mask


@dataclass(frozen=True)
class AdapterFacts:
    """An adapter's numbers over all its layers.

    Attributes:
        spectra: the spectrum of each layer's update, by path, in the precision of its values: singular values below
            their rounding are not rank.
        trained: trainable parameters, r(m + n) a layer.
        entries: numbers in the adapted weights, mn a layer.
    """

    spectra: dict[str, Spectrum]
    trained: int
    entries: int

    @property
    def density(self) -> float:
        """trained / entries; for LoRA, whose update has an entry everywhere, only a measure of its size."""
        return self.trained / self.entries

    @property
    def rank(self) -> float:
        """Mean of the numerical ranks."""
        return fmean(s.rank for s in self.spectra.values())

    @property
    def effective_rank(self) -> float:
        return fmean(s.effective_rank for s in self.spectra.values())

    @property
    def full_rank(self) -> float:
        """Mean of the largest ranks that the shapes allow, min(m, n)."""
        return fmean(min(s.shape) for s in self.spectra.values())

    @property
    def norm(self) -> float:
        """||delta||_F over all layers."""
        return float(torch.cat([s.values for s in self.spectra.values()]).norm())


@torch.no_grad()
def adapter_facts(model: PeftModel, adapter_name: str) -> AdapterFacts:
    """Measure an adapter as it is scaled now.

    >>> from shira_lab import ShiraConfig, get_peft_model
    >>> model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 8)), ShiraConfig(r=1, target_modules=["0"]))
    >>> facts = adapter_facts(model, "default")
    >>> facts.trained, facts.entries, facts.density
    (16, 64, 0.25)

    Raises:
        AdapterError: for a name that is not there.
    """
    layers = dict(_layers(model, adapter_name))
    return AdapterFacts(
        spectra={path: spectrum(layer.get_delta_weight(adapter_name)) for path, layer in layers.items()},
        trained=sum(p.numel() for layer in layers.values() for p in layer.get_adapter(adapter_name).parameters()),
        entries=sum(layer.weight.numel() for layer in layers.values()),
    )


@torch.no_grad()
def adapter_interference(model: PeftModel, adapter1: str, adapter2: str) -> dict[str, Interference]:
    """The ``Interference`` of two adapters by path, on each layer that carries both.

    :func:`shira_lab.analysis.interference.total` adds the layers up. Positions of SHiRA adapters count whether their
    values are zero or not.

    >>> from shira_lab import ShiraConfig, get_peft_model
    >>> base, configs = torch.nn.Sequential(torch.nn.Linear(8, 8)), [
    ...     ShiraConfig(r=1, target_modules=["0"], random_seed=seed) for seed in (0, 1)
    ... ]
    >>> model = get_peft_model(base, configs[0])
    >>> model.add_adapter("other", configs[1])
    >>> adapter_interference(model, "default", "other")["0"].overlap
    4

    Raises:
        AdapterError: for a name that is not there.
    """
    first, second = dict(_layers(model, adapter1)), dict(_layers(model, adapter2))
    return {
        path: interference(
            *(_out_first(layer, layer.get_delta_weight(name)) for name in (adapter1, adapter2)),
            *(_mask(layer, name) for name in (adapter1, adapter2)),
        )
        for path, layer in first.items()
        if path in second
    }


def _layers(model: PeftModel, name: str) -> Iterator[tuple[str, AdapterLayer]]:
    check_known(model.peft_config, [name])
    return ((path, layer) for path, layer in model.base_model.adapter_layers() if name in layer.adapters)


def _mask(layer: AdapterLayer, name: str) -> Tensor | None:
    adapter = layer.get_adapter(name)
    return _out_first(layer, to_mask(adapter.positions, layer.weight)) if isinstance(adapter, ShiraAdapter) else None


def _out_first(layer: AdapterLayer, stored: Tensor) -> Tensor:
    return stored.t() if layer.fan_in_fan_out else stored
