"""The film of a mask that moves: of each watched layer, what a swap kept, dropped and grew, and what the rank may be.

Dropped and grown are counted from the frame before, so a mask that is chosen anew after each step has its film, too.
"""

import zlib
from base64 import b64encode

import torch
from torch import Tensor

from shira_lab.adapters.model import PeftModel
from shira_lab.analysis.spectrum import spectrum
from shira_lab.layers import AdapterLayer, ShiraAdapter
from shira_lab.training.control import random_update
from shira_lab.training.history import History, SwapPoint
from shira_lab.training.overview import overview

#: Codes of a pixel. Where it stands for several entries, the largest counts, so that no move is too small to see.
NEITHER, KEPT, DROPPED, GROWN = range(4)
MAX_PIXELS = 384  # a side


class Film:
    """Appends a :class:`~shira_lab.training.history.SwapPoint` for each of ``layers`` whenever :meth:`frame` is called.

    Args:
        history: it is appended to.
        trained: a model whose active adapter is a SHiRA adapter.
        layers: paths of the layers that are watched.
    """

    def __init__(self, history: History, trained: PeftModel, layers: list[str]) -> None:
        self.history, self.trained, self.layers = history, trained, layers
        self.before = {path: self._adapter(path).positions for path in layers}
        self.ever = dict(self.before)

    def frame(self, step: int) -> None:
        for path in self.layers:
            adapter, before = self._adapter(path), self.before[path]
            after = adapter.positions
            self.ever[path] = torch.cat([self.ever[path], after]).unique()
            self.before[path] = after
            kept = int(torch.isin(after, before, assume_unique=True).sum())
            codes = _codes(before, after, adapter.shape)
            rank = spectrum(random_update(adapter)).rank
            self.history.swaps.append(
                SwapPoint(step, path, kept, after.numel() - kept, self.ever[path].numel(), rank, *codes)
            )

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs, by name."""
        frames = {"before": self.before, "ever": self.ever}
        return {f"{path}.{name}": found[path].clone() for name, found in frames.items() for path in self.layers}

    def take_in(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` gave."""
        for name, found in (("before", self.before), ("ever", self.ever)):
            found.update({path: tensors[f"{path}.{name}"] for path in self.layers})

    def _adapter(self, path: str) -> ShiraAdapter:
        layer = self.trained.get_base_model().get_submodule(path)
        assert isinstance(layer, AdapterLayer)
        adapter = layer.get_adapter(self.trained.active_adapter)
        assert isinstance(adapter, ShiraAdapter)
        return adapter


def _codes(before: Tensor, after: Tensor, shape: tuple[int, int]) -> tuple[tuple[int, int], str]:
    """The shape of the picture, and its codes as :class:`~shira_lab.training.history.SwapPoint` keeps them."""
    entries = torch.zeros(shape[0] * shape[1], device=after.device)
    entries[before] = DROPPED
    entries[after] = torch.where(entries[after] == NEITHER, float(GROWN), float(KEPT))
    pixels = overview(entries.view(shape), MAX_PIXELS).to(torch.uint8).cpu()
    rows, columns = pixels.shape
    return (rows, columns), b64encode(zlib.compress(pixels.numpy().tobytes())).decode()
