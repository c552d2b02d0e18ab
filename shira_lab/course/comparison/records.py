"""What a comparison is made of, as plain data: its cells, the protocol that treats them alike, and the runs.

A cell is one method with one budget. Losses are excesses over the entropy floor, in nats per token.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from shira_lab.course.masks.running import REDUCTION_NAMES
from shira_lab.masks.calibration import Reduction
from shira_lab.training.history import Status
from shira_lab.training.settings import MOVE_NAMES, Moves, Settings, methods


@dataclass(frozen=True)
class Cell:
    """One method with one budget; "full" has neither a mask nor an r, and SHiRA alone has a mask.

    ``calibration_samples``, ``reduction`` and ``mask_moves`` are those of
    :class:`~shira_lab.training.settings.Settings`, None for its defaults.
    """

    method: str
    mask_type: str | None = None
    r: int | None = None
    calibration_samples: int | None = None
    reduction: Reduction | None = None
    mask_moves: Moves | None = None

    @property
    def family(self) -> str:
        """The method without its budget: "SHiRA random", "SHiRA snip, 8 samples, mean |g|", "SHiRA random, RigL",
        "LoRA" or "full"."""
        mask = f" {self.mask_type}" if self.method == "shira" else ""
        samples = [f"{self.calibration_samples} samples"] if self.calibration_samples else []
        reduction = [REDUCTION_NAMES[self.reduction]] if self.reduction else []
        moves = [MOVE_NAMES[self.mask_moves]] if self.mask_moves else []
        return ", ".join([methods()[self.method] + mask, *samples, *reduction, *moves])

    @property
    def label(self) -> str:
        """ "SHiRA random, r=8", "LoRA, r=8" or "full"."""
        return self.family if self.r is None else f"{self.family}, r={self.r}"


@dataclass(frozen=True)
class Protocol:
    """How every cell is treated, so that what differs between two cells is the method.

    Args:
        world: its stories are trained on; ``reference_world``: its held-out loss shows what is forgotten.
        target_modules: layers that carry an adapter.
        steps, batch_size, eval_every, eval_stories, swap_every: as in :class:`~shira_lab.training.settings.Settings`.
        samples: texts that a model generates at the end, to be checked for consistency; ``temperature``: how it draws
            them. Below 1 it makes fewer slips, so that more sentences are whole enough to be checked.
        learning_rates: the grid, rising; a cell takes the rate with the least final excess under ``tuning_seed``.
        full_learning_rates: the grid of full fine-tuning, where it wants rates far below the other one; None: the same.
        seeds: the seeds that are reported, all at that rate; the tuning seed is not among them.
    """

    model: str = "embedded"
    world: str = "sea"
    reference_world: str | None = "meadow"
    target_modules: str = "all-linear"
    steps: int = 80
    batch_size: int = 4
    eval_every: int = 20
    eval_stories: int = 32
    samples: int = 60
    temperature: float = 0.5
    learning_rates: tuple[float, ...] = (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3)
    full_learning_rates: tuple[float, ...] | None = None
    tuning_seed: int = 100
    seeds: tuple[int, ...] = (0, 1, 2)
    swap_every: int = Settings.swap_every

    def rates(self, cell: Cell) -> tuple[float, ...]:
        """The grid over which ``cell`` is tuned."""
        own = self.full_learning_rates if cell.method == "full" else None
        return own or self.learning_rates

    def settings(self, cell: Cell, learning_rate: float, seed: int) -> Settings:
        """The settings of one run. A tuning run is measured at its ends alone, and on the first world alone."""
        tuning = seed == self.tuning_seed
        return Settings(
            model=self.model,
            world=self.world,
            method=cell.method,
            mask_type=cell.mask_type or Settings.mask_type,
            calibration_samples=cell.calibration_samples or Settings.calibration_samples,
            reduction=cell.reduction or Settings.reduction,
            mask_moves=cell.mask_moves or Settings.mask_moves,
            swap_every=self.swap_every,
            r=cell.r or Settings.r,
            target_modules=self.target_modules,
            learning_rate=learning_rate,
            steps=self.steps,
            batch_size=self.batch_size,
            seed=seed,
            eval_every=self.steps if tuning else self.eval_every,
            eval_stories=self.eval_stories,
            sample_tokens=1,  # texts are generated at the end, many of them
            reference_world=None if tuning else self.reference_world,
        )


@dataclass(frozen=True)
class RunPoint:
    """Excess on the trained world after ``step`` steps, and on the reference world where that is followed."""

    step: int
    excess: float
    reference: float | None


@dataclass(frozen=True)
class LayerRank:
    """The three ranks of the update of one layer; see :mod:`shira_lab.analysis.spectrum`."""

    layer: str
    rank: int
    stable_rank: float
    effective_rank: float


@dataclass(frozen=True)
class Run:
    """What came of one cell with one learning rate and one seed.

    Attributes:
        trainable: number of trainable parameters.
        points: one for each evaluation, the first before training.
        ranks: of the watched layers at the end.
        consistency: check -> (texts that passed it, texts that got far enough to be checked).
        seconds: wall time of training, on whatever machine that was.

    A tuning run has neither ranks nor consistency.
    """

    cell: Cell
    learning_rate: float
    seed: int
    status: Status
    trainable: int
    points: tuple[RunPoint, ...]
    ranks: tuple[LayerRank, ...]
    consistency: dict[str, tuple[int, int]]
    seconds: float

    @property
    def excess(self) -> float:
        """Final excess; infinite for a run that diverged, so that it never counts as the best."""
        return self.points[-1].excess if self.status == "finished" else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives an equal run."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Run":
        """The run of what :meth:`to_dict` gave."""
        consistency = {check: (right, checked) for check, (right, checked) in content["consistency"].items()}
        return cls(
            **{
                **content,
                "cell": Cell(**content["cell"]),
                "points": tuple(RunPoint(**point) for point in content["points"]),
                "ranks": tuple(LayerRank(**rank) for rank in content["ranks"]),
                "consistency": consistency,
            }
        )
