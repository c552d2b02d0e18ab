"""One mask on one weight, and what follows from it: its budget in words, its profile, the ranks it makes possible."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from shira_lab.analysis.rank import RankReport
from shira_lab.analysis.spectrum import Spectrum
from shira_lab.budget import Shape, density, max_r, num_params
from shira_lab.course.figures import MaskProfile, mask_profile
from shira_lab.course.figures.budget import ADVICE


@dataclass(frozen=True)
class LayerMask:
    """A mask with r(m + n) entries.

    Attributes:
        positions: sorted flat positions (k,).
        shape: (m, n) of the weight.
    """

    positions: Tensor
    shape: Shape
    r: int

    @cached_property
    def profile(self) -> MaskProfile:
        """Entries by row and by column."""
        return mask_profile(self.positions, self.shape)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Singular values of a delta with normally distributed values at the positions."""
        return RankReport(self.positions, self.shape).spectrum

    def budget_in_words(self) -> str:
        """ "r(m + n) = 8 * (64 + 48) = 896 of 3,072 entries train: 29.17%, above the usual 10%." """
        (m, n), share = self.shape, density(self.r, self.shape)
        advice = "within" if share <= ADVICE else "above"
        return (
            f"r(m + n) = {self.r} * ({m} + {n}) = {num_params(self.r, self.shape):,} of {m * n:,} entries train: "
            f"{share:.2%}, {advice} the usual {ADVICE:.0%}."
        )

    def facts(self) -> list[tuple[str, str]]:
        """What the mask makes possible, as names and values."""
        (m, n), profile, ranks = self.shape, self.profile, self.spectrum
        return [
            ("rank of a random delta here", f"{ranks.rank} of {min(m, n)} (LoRA with as many parameters: {self.r})"),
            ("stable rank, effective rank", f"{ranks.stable_rank:.1f}, {ranks.effective_rank:.1f}"),
            ("rows without an entry", f"{profile.empty_rows} of {m}"),
            ("columns without an entry", f"{profile.empty_columns} of {n}"),
            ("largest r for this shape", f"{max_r(self.shape)}"),
        ]
