"""One mask on one weight, and what follows from it: its budget in words, its profile, the ranks it makes possible."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from shira_lab.analysis.rank import RankReport
from shira_lab.analysis.spectrum import Spectrum
from shira_lab.budget import Shape, density, max_r, num_params
from shira_lab.course.figures import MaskProfile, mask_profile
from shira_lab.course.figures.budget import ADVICE
from shira_lab.course.language import tr
from shira_lab.course.widgets.first_spectrum import first_spectrum


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

    @cached_property
    def first_spectrum(self) -> Spectrum:
        """About the same in half of the time, its rank exact."""
        return first_spectrum(self.positions, self.shape)

    def budget_in_words(self) -> str:
        """ "r(m + n) = 8 * (64 + 48) = 896 of 3,072 entries train: 29.17%, above the usual 10%." """
        (m, n), share = self.shape, density(self.r, self.shape)
        budget = tr(
            "r(m + n) = {r} * ({m} + {n}) = {k:,} of {entries:,} entries train: {share:.2%},",
            r=self.r, m=m, n=n, k=num_params(self.r, self.shape), entries=m * n, share=share,
        )  # fmt: skip
        advice = tr("within the usual {advice:.0%}.") if share <= ADVICE else tr("above the usual {advice:.0%}.")
        return f"{budget} {advice.format(advice=ADVICE)}"

    def facts(self, ranks: Spectrum) -> list[tuple[str, str]]:
        """What the mask makes possible, as names and values, with ``ranks`` as far as they are known."""
        (m, n), profile = self.shape, self.profile
        return [
            (
                tr("rank of a random delta here"),
                tr("{rank} of {most} (LoRA with as many parameters: {r})", rank=ranks.rank, most=min(m, n), r=self.r),
            ),
            (tr("stable rank, effective rank"), f"{ranks.stable_rank:.1f}, {ranks.effective_rank:.1f}"),
            (tr("rows without an entry"), tr("{some} of {all}", some=profile.empty_rows, all=m)),
            (tr("columns without an entry"), tr("{some} of {all}", some=profile.empty_columns, all=n)),
            (tr("largest r for this shape"), f"{max_r(self.shape)}"),
        ]
