"""What a study of fusing is made of, as plain data: its pairs of adapters, the protocol, and what was measured.

Losses are excesses over the entropy floor, in nats per token.
"""

import dataclasses
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

Second = Literal["same seed", "other seed", "disjoint", "same weights"]


@dataclass(frozen=True)
class Pair:
    """How the adapters of the two worlds are made.

    Attributes:
        family: "lora", or the SHiRA mask of both adapters.
        second: what sets the second adapter's start apart from that of the first: nothing ("same seed"), another seed,
            or a mask that avoids the first one's positions; "same weights": the mask follows from the base weights.
    """

    family: str
    second: Second

    @property
    def label(self) -> str:
        """ "LoRA" or "SHiRA random, disjoint"."""
        if self.family == "lora":
            return "LoRA"
        return f"SHiRA {self.family}" + (f", {self.second}" if self.second != "same weights" else "")


#: In the order in which they are run.
PAIRS = (
    Pair("lora", "other seed"),
    Pair("random", "same seed"),
    Pair("random", "other seed"),
    Pair("random", "disjoint"),
    Pair("magnitude", "same weights"),
    Pair("magnitude", "disjoint"),
)


@dataclass(frozen=True)
class Protocol:
    """How every pair is treated.

    Args:
        worlds: the first adapter learns the first world, the second the second.
        target: both train until their held-out excess is at most this, so that no adapter is simply the stronger one.
        steps: after so many the learning rate would be zero; an adapter ends before.
        stories: held-out stories of a measurement.
        first_look: the first measurement comes after so many steps; before, the loss falls too fast to be followed.
        learning_rates: the best ones of the comparison of methods for r = 8, by family.
        scales: both adapters are fused at each of these; 1 is as they were trained.
    """

    model: str = "embedded"
    worlds: tuple[str, str] = ("sea", "space")
    target: float = 0.8
    r: int = 8
    target_modules: str = "all-linear"
    steps: int = 120
    batch_size: int = 4
    stories: int = 32
    first_look: int = 20
    learning_rates: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"lora": 0.03, "random": 0.1, "magnitude": 0.1}
    )
    scales: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True)
class Shared:
    """What two adapters share over all layers; see :class:`shira_lab.analysis.interference.Interference`."""

    overlap_share: float
    expected_share: float
    inner: float
    norms: tuple[float, float]
    awom: float
    awom_spectral: float
    awor: float
    awor_predicted: float

    @property
    def cosine(self) -> float:
        """<A1, A2>_F / (||A1||_F ||A2||_F)."""
        return self.inner / (self.norms[0] * self.norms[1])

    @property
    def mean_norm(self) -> float:
        return fmean(self.norms)

    @property
    def relative_awom(self) -> float:
        """||A1^T A2||_F / (||A1||_F ||A2||_F): free of the size of the updates."""
        return self.awom / (self.norms[0] * self.norms[1])


@dataclass(frozen=True)
class Fused:
    """Excess on each world, in the protocol's order, with both adapters at ``scale``."""

    scale: float
    excess: tuple[float, float]


@dataclass(frozen=True)
class FusionRun:
    """What came of one pair with one seed.

    Attributes:
        steps: that each adapter took to the target.
        alone: excess of each adapter on its own world.
        abroad: excess of each adapter on the other one's world.
        fused: for each scale of the protocol, rising.
        shared: how much the two updates get into each other's way.
        seconds: wall time, on whatever machine that was.
    """

    pair: Pair
    seed: int
    steps: tuple[int, int]
    alone: tuple[float, float]
    abroad: tuple[float, float]
    fused: tuple[Fused, ...]
    shared: Shared
    seconds: float

    @property
    def single(self) -> float:
        """Mean excess of the adapters, each alone on its own world."""
        return fmean(self.alone)

    def fused_mean(self, scale: float = 1.0) -> float:
        """Mean excess over the worlds with both adapters at ``scale``."""
        return next(fmean(fused.excess) for fused in self.fused if fused.scale == scale)

    def growth(self, scale: float = 1.0) -> float:
        """What fusing adds to the mean excess: the paper's drop, single less fused accuracy, for losses."""
        return self.fused_mean(scale) - self.single

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` gives an equal run."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "FusionRun":
        """The run of what :meth:`to_dict` gave."""
        pairs = {name: tuple(content[name]) for name in ("steps", "alone", "abroad")}
        shared = content["shared"]
        return cls(
            **{
                **content,
                **pairs,
                "pair": Pair(**content["pair"]),
                "fused": tuple(Fused(one["scale"], tuple(one["excess"])) for one in content["fused"]),
                "shared": Shared(**{**shared, "norms": tuple(shared["norms"])}),
            }
        )
