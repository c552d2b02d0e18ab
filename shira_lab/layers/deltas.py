"""Updates merged into a weight in place, and taken out again bit for bit.

A merged SHiRA adapter costs nothing in use because W' = W + scaling * S *is* a weight: k of its entries are other
numbers. The overlay writes them, keeps the k originals, and touches only entries that differ. W + delta - delta is not
W in floating point; putting back the originals is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from shira_lab.errors import AdapterError
from shira_lab.layers.shira import Delta, plus, version_of


@dataclass
class Overlay:
    """What is written into one weight at the moment.

    Whether the values have changed since is decided by comparing them: fused optimizers and ``.data`` writes change a
    tensor without raising its version.

    Whoever interrupts a notebook may do so between any two lines here. Originals without anything ``written`` are the
    sign of that: what the weight holds is not known then, and the next call puts the originals back.
    """

    written: list[Delta] = field(default_factory=list)
    positions: Tensor | None = None  # (u,) the union of what is written; None: the whole weight
    originals: Tensor | None = None  # (u,) or the weight's shape
    version: int = -1  # the weight's version after the last write here

    @property
    def holds(self) -> bool | None:
        """Whether something is written; None after an interrupt, when nobody knows."""
        return None if self.originals is not None and not self.written else bool(self.written)

    @torch.no_grad()
    def write(self, weight: Tensor, deltas: Sequence[Delta]) -> None:
        """Make ``weight`` the base weight plus ``deltas``.

        Raises:
            AdapterError: when somebody else has changed the weight while it carried an adapter.
        """
        self.check_untouched(weight)
        if self.holds is not None and len(deltas) == len(self.written) and all(map(_alike, deltas, self.written)):
            return
        if not self._same_places(deltas):
            self.restore(weight)
            if not deltas:
                return
            self.positions = _union([d.positions for d in deltas])
            self.originals = _read(weight, self.positions)
        assert self.originals is not None
        total, written = _sum(self.originals, self.positions, deltas), [d.snapshot() for d in deltas]
        self.written = []
        _write(weight, self.positions, total)
        self.version = version_of(weight)
        self.written = written

    @torch.no_grad()
    def restore(self, weight: Tensor) -> None:
        """Put the originals back: ``weight`` is the base weight again, bit for bit."""
        if self.originals is not None:
            self.check_untouched(weight)
            self.written = []
            _write(weight, self.positions, self.originals)
        self.forget()

    @torch.no_grad()
    def base(self, weight: Tensor) -> Tensor:
        """The base weight: ``weight`` itself if nothing is written, else a copy with the originals in place."""
        if self.originals is None:
            return weight.detach()
        copy = weight.detach().clone()
        _write(copy, self.positions, self.originals)
        return copy

    def forget(self) -> None:
        """Take what the weight holds now as the base weight."""
        self.written, self.positions, self.originals = [], None, None

    def _same_places(self, deltas: Sequence[Delta]) -> bool:
        """Whether the originals that are kept serve ``deltas`` too: then only the values are written."""
        here, there = [d.positions for d in self.written], [d.positions for d in deltas]
        same = (
            a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in zip(here, there, strict=False)
        )
        return len(here) == len(there) > 0 and all(same)

    def check_untouched(self, weight: Tensor) -> None:
        """Raise :class:`AdapterError` when somebody else has changed what is written here. Who writes the same numbers,
        as data-parallel training does when it sends them, or changes other entries, is welcome."""
        if self.written and version_of(weight) != self.version:
            assert self.originals is not None
            if torch.equal(_read(weight, self.positions), _sum(self.originals, self.positions, self.written)):
                self.version = version_of(weight)
                return
            raise AdapterError(
                "The base weight was changed in place while an adapter was written into it, so its original values "
                "are no longer known. Change base weights inside `with model.disable_adapter():` or through "
                "`load_state_dict`."
            )


@torch.no_grad()
def entries_with(weight: Tensor, deltas: Sequence[Delta]) -> tuple[Tensor | None, Tensor]:
    """The positions that ``deltas`` change, None where that is the whole weight, and what stands there with them."""
    positions = _union([d.positions for d in deltas])
    return positions, _sum(_read(weight, positions), positions, deltas)


def _alike(one: Delta, other: Delta) -> bool:
    """Whether both would write the same numbers in the same places; values are compared, see :class:`Overlay`."""
    return (
        one.scaling == other.scaling
        and one.positions is other.positions
        and one.values.dtype == other.values.dtype
        and torch.equal(one.values, other.values)
    )


def _union(positions: Sequence[Tensor | None]) -> Tensor | None:
    sparse = [p for p in positions if p is not None]
    if len(sparse) < len(positions):
        return None
    return sparse[0] if len(sparse) == 1 else torch.cat(sparse).unique()


def _sum(originals: Tensor, union: Tensor | None, deltas: Sequence[Delta]) -> Tensor:
    """:func:`~shira_lab.layers.shira.plus` for the numbers at ``union``, or for all where it is None."""
    if union is not None:  # then all are sparse
        sparse = [(delta, delta.positions) for delta in deltas if delta.positions is not None]
        deltas = [replace(d, positions=None if p is union else torch.searchsorted(union, p)) for d, p in sparse]
    return plus(originals, deltas)


def _read(weight: Tensor, positions: Tensor | None) -> Tensor:
    """A copy of these entries: (k,), or in the weight's shape where ``positions`` is None."""
    weight = weight.detach()
    return weight.clone() if positions is None else weight.reshape(-1).index_select(0, positions)


def _write(weight: Tensor, positions: Tensor | None, values: Tensor) -> None:
    """Make these entries ``values``, of the weight's dtype."""
    if positions is None:
        weight.copy_(values)
    elif weight.device.type == "cpu" and not torch.are_deterministic_algorithms_enabled():
        weight.put_(positions, values)  # in all threads; deterministic where, as here, no position comes twice
    else:
        weight.view(-1).scatter_(0, positions, values)
