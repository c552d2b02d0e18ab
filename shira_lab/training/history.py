"""What a fine-tuning run was asked for and what came of it: plain data, readable without a model or torch.

A run appends to its :class:`History`, figures draw it, and ``history.json`` keeps it. Losses are in nats per token.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shira_lab.adapters.storage.files import read_json, write_atomic
from shira_lab.errors import StorageError
from shira_lab.training.settings import Settings

Status = Literal["running", "finished", "stopped", "diverged"]


@dataclass(frozen=True)
class StepPoint:
    """Training loss of one step (1, 2, ...), and wall seconds since the run began, evaluations included."""

    step: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class EvalPoint:
    """Loss on held-out texts after ``step`` steps, and their floor: what a perfect model reaches on average.

    The floor of real text is not known. It is 0 then, below which no loss can be.
    """

    step: int
    loss: float
    floor: float

    @property
    def excess(self) -> float:
        """loss - floor."""
        return self.loss - self.floor


@dataclass(frozen=True)
class RankPoint:
    """How many directions the update of a weight has after ``step`` steps; see :mod:`shira_lab.analysis.spectrum`.

    Attributes:
        layer: path of the layer in the model.
        singular_values: of the update, descending.
        shape: (m, n) of the weight.
    """

    step: int
    layer: str
    rank: int
    stable_rank: float
    effective_rank: float
    singular_values: tuple[float, ...]
    shape: tuple[int, int]


@dataclass(frozen=True)
class PicturePoint:
    """A small picture of the update of one layer's weight after ``step`` steps; see :mod:`shira_lab.training.overview`.

    Attributes:
        layer: path of the layer in the model.
        shape: rows and columns of the picture.
        largest: the largest |entry| of the update.
        levels: base64 of one byte for each pixel, row by row: 255 |entry| / ``largest``.
    """

    step: int
    layer: str
    shape: tuple[int, int]
    largest: float
    levels: str


@dataclass(frozen=True)
class SwapPoint:
    """Where the mask of one layer is after a swap, beside where it was; see :mod:`shira_lab.training.moving`.

    Attributes:
        step: after which it moved.
        layer: path of the layer in the model.
        kept: entries of the mask before that are in it still.
        grown: entries that are new in it; as many were dropped.
        ever: entries that have trained at some time up to here.
        rank: of random values at the new positions: what the mask allows.
        shape: rows and columns of the picture.
        codes: base64 of zlib of one byte for each pixel, row by row: 0 never trained, 1 kept, 2 dropped, 3 grown.
    """

    step: int
    layer: str
    kept: int
    grown: int
    ever: int
    rank: int
    shape: tuple[int, int]
    codes: str


@dataclass(frozen=True)
class SamplePoint:
    """The text that the model generates after ``step`` steps; it begins with ``prompt``."""

    step: int
    prompt: str
    text: str


@dataclass
class History:
    """One run, as far as it has come. Points are in the order of their steps.

    Attributes:
        settings: of the run, with the learning rate and the seed that were used.
        trainable: how many parameters are trainable; ``parameters``: how many the model has without the adapter.
        status: "diverged" when a loss or an update was not finite; ``message`` then says at which step and what to try.
        texts: what was trained on, in words.
        controls: for each layer in ``ranks`` the same measures, for random values in place of the learned ones; again
            at each measurement before which the mask has moved.
        swaps: where the mask of each of these layers went, swap by swap; empty for a mask that does not move.
        reference: held-out loss on the reference world, at the same steps as ``evals``; empty where none is followed.
    """

    settings: Settings
    trainable: int = 0
    parameters: int = 0
    status: Status = "running"
    message: str = ""
    texts: str = ""
    steps: list[StepPoint] = field(default_factory=list)
    evals: list[EvalPoint] = field(default_factory=list)
    ranks: list[RankPoint] = field(default_factory=list)
    controls: list[RankPoint] = field(default_factory=list)
    pictures: list[PicturePoint] = field(default_factory=list)
    samples: list[SamplePoint] = field(default_factory=list)
    reference: list[EvalPoint] = field(default_factory=list)
    swaps: list[SwapPoint] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""
        return self.steps[-1].step if self.steps else 0

    @property
    def seconds(self) -> float:
        """Wall seconds up to the last step."""
        return self.steps[-1].seconds if self.steps else 0.0

    @property
    def layers(self) -> list[str]:
        """The layers whose ranks are followed, in the order of the model."""
        return list(dict.fromkeys(point.layer for point in self.ranks))

    @property
    def last_ranks(self) -> list[RankPoint]:
        """One point for each of ``layers``, of the last measurement."""
        return [point for point in self.ranks if point.step == self.ranks[-1].step]

    def ranks_of(self, layer: str) -> list[RankPoint]:
        """The points of one layer."""
        return [point for point in self.ranks if point.layer == layer]

    @property
    def last_controls(self) -> list[RankPoint]:
        """One control for each of ``layers``, of the positions that train now."""
        return [point for point in self.controls if point.step == self.controls[-1].step]

    def control_of(self, layer: str, step: int | None = None) -> RankPoint:
        """The control of one of ``layers`` at the positions that train at ``step``, or now."""
        points = [point for point in self.controls if point.layer == layer]
        return [point for point in points if step is None or point.step <= step][-1]

    def swaps_of(self, layer: str) -> list[SwapPoint]:
        """The swaps of one layer's mask."""
        return [point for point in self.swaps if point.layer == layer]

    def pictures_of(self, layer: str) -> list[PicturePoint]:
        """The pictures of one layer's update."""
        return [point for point in self.pictures if point.layer == layer]

    def snapshot(self) -> "History":
        """The history as it is now, which stays while this one goes on growing."""
        lists: dict[str, Any] = {
            f.name: [*value] for f in dataclasses.fields(self) if isinstance(value := getattr(self, f.name), list)
        }
        return dataclasses.replace(self, **lists)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives an equal history."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "History":
        """The history of what :meth:`to_dict` gave.

        Raises:
            StorageError: when fields are missing, unknown or of the wrong type.
        """
        try:
            lists = {name: [kind(**_tuples(point)) for point in content[name]] for name, kind in _POINTS.items()}
            return cls(**{**content, "settings": Settings(**_tuples(content["settings"])), **lists})
        except (KeyError, TypeError) as error:
            raise StorageError(f"This is not the history of a run: {error}.") from None

    def save(self, path: str | Path) -> None:
        """Write the history as JSON, whole or not at all.

        Raises:
            StorageError: when it cannot be written.
        """
        write_atomic(Path(path), json.dumps(self.to_dict(), indent=1, allow_nan=False).encode())

    @classmethod
    def load(cls, path: str | Path) -> "History":
        """Read what :meth:`save` wrote.

        Raises:
            StorageError: when it cannot be read or is no history.
        """
        return cls.from_dict(read_json(Path(path)))


#: The lists of a history, and what they hold.
_POINTS: dict[str, type] = {
    "steps": StepPoint,
    "evals": EvalPoint,
    "ranks": RankPoint,
    "controls": RankPoint,
    "pictures": PicturePoint,
    "samples": SamplePoint,
    "reference": EvalPoint,
    "swaps": SwapPoint,
}


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists only; settings and points have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
