"""A mask with everything that is said about it: picture and margins, density, singular values, facts, status line."""

from collections.abc import Callable
from functools import partial
from html import escape

import ipywidgets

from shira_lab.analysis.spectrum import Spectrum
from shira_lab.budget import Shape, density
from shira_lab.course.figures import ranks_in_words
from shira_lab.course.figures.budget import ADVICE
from shira_lab.course.figures.theme import BLUE, VERMILLION
from shira_lab.course.language import tr
from shira_lab.course.widgets.aside import Aside
from shira_lab.course.widgets.controls import ERROR, Status, in_words, row, table
from shira_lab.course.widgets.layer_mask import LayerMask
from shira_lab.course.widgets.pictures import MaskCanvas, SpectrumPlot
from shira_lab.course.widgets.resting import WhenResting

#: m * n * min(m, n) up to which singular values follow every move of the slider, in about 100 ms; else its last.
QUICK = 2e9
#: The same, up to which these are exact at once; else to four digits, and exact when the slider rests.
EXACT = 2e7
SCALE = 2 * ADVICE  # density at which the bar is full: the advice stands in its middle


class MaskPanel:
    """Part of an app.

    Widgets: ``mask``; ``density``, ``spectrum`` and ``facts``, which are ``beside`` it; ``status``; all of these are in
    ``view``. And ``ranks``, the ranks in one line, where an app whose ``facts`` may be out of sight makes such a line.
    """

    def __init__(self) -> None:
        self.mask, self.spectrum = MaskCanvas(), SpectrumPlot()
        self.density, self.facts, self.status = ipywidgets.HTML(), ipywidgets.HTML(), Status()
        self.ranks: ipywidgets.HTML | None = None
        self.beside = ipywidgets.VBox([self.density, self.spectrum, self.facts], layout={"flex": "1 1 260px"})
        self.view = ipywidgets.VBox([row(self.mask, self.beside, gap="8px 24px"), self.status])
        # Two threads: a first answer never waits for an exact one that an earlier move asked for.
        self._first, self._exact = Aside[Spectrum](), Aside[Spectrum]()
        self._resting = WhenResting()
        self._mask: LayerMask | None = None

    def show(self, make: Callable[[], LayerMask], shape: Shape, remark: Callable[[], str]) -> None:
        """Draw the mask that ``make`` gives for a weight of ``shape``; its singular values follow when they are known.

        The status line says the budget and a remark. Whatever ``make`` raises, as a learner's own mask function may,
        is said there and beside the mask before, which stays and fades.
        """
        m, n = shape
        quick = m * n * min(m, n) <= QUICK
        if not quick:
            self.rest()
        self._resting.cancel()
        self._exact.cancel()
        try:
            mask = self._mask = make()
        except Exception as error:
            self.rest()
            self.mask.fade()
            self.spectrum.show({})
            self.status.say(in_words(error), error=True)
            self.density.value = f'<p style="color:{ERROR}">{escape(in_words(error))}</p>'
            self.facts.value = ""
            self._say_ranks("")
            return
        self.mask.show(mask.positions, shape, mask.profile)
        self.density.value = density_bar(density(mask.r, shape))
        self.status.say(f"{mask.budget_in_words()} {remark()}".rstrip())
        exact = m * n * min(m, n) <= EXACT
        follow = partial(self._show_spectrum, mask) if exact else partial(self._show_first, mask)
        work = (lambda: mask.spectrum) if exact else (lambda: mask.first_spectrum)
        self._resting.run([partial(self._first.run, work, follow)], at_once=quick)

    def settle(self) -> None:
        """Find what waits to be drawn, and draw it, now."""
        for part in (self._resting, self._first, self._resting, self._exact):  # each may ask for the next
            part.finish()

    def rest(self) -> None:
        """Forget what waits to be drawn."""
        self._resting.cancel()
        self._first.cancel()
        self._exact.cancel()

    def _show_first(self, mask: LayerMask, first: Spectrum) -> None:
        """Singular values to four digits, and those of the newest mask exactly when the slider rests."""
        self._show_spectrum(mask, first, (tr("singular values"), tr("to four digits, exact when the slider rests")))
        if mask is self._mask:
            self._resting.run([partial(self._exact.run, lambda: mask.spectrum, partial(self._show_spectrum, mask))])

    def _show_spectrum(self, mask: LayerMask, spectrum: Spectrum, *remarks: tuple[str, str]) -> None:
        self.spectrum.show(spectrum)
        self.facts.value = table([*mask.facts(spectrum), *remarks])
        self._say_ranks(tr("A random delta here: <strong>{ranks}</strong>.", ranks=ranks_in_words(spectrum)))

    def _say_ranks(self, said: str) -> None:
        if self.ranks is not None:
            self.ranks.value = said


def density_bar(share: float) -> str:
    """A density in [0, 1] as a bar with the advice in its middle; beyond twice the advice it is full."""
    width, full = 400, min(1.0, share / SCALE)
    colour = BLUE if share <= ADVICE else VERMILLION
    name = tr("density {share:.2%}, advice: at most {advice:.0%}", share=share, advice=ADVICE)
    style = f"width:clamp({width}px,33vw,640px);max-width:100%;height:auto;display:block"
    return (
        f'<svg role="img" aria-label="{name}" viewBox="0 0 {width} 36" style="{style}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
        f'<text x="0" y="12">{tr("density {share:.2%}", share=share)}</text>'
        f'<text x="{width / 2}" y="12" text-anchor="middle">{tr("advice {advice:.0%}", advice=ADVICE)}</text>'
        f'<text x="{width}" y="12" text-anchor="end">{tr("{scale:.0%} and more", scale=SCALE)}</text>'
        f'<rect x="0" y="18" width="{width}" height="12" fill="#E5E5E5"/>'
        f'<rect x="0" y="18" width="{width * full:.1f}" height="12" fill="{colour}"/>'
        f'<path d="M{width / 2} 15v18" stroke="#000" stroke-width="2"/></svg>'
    )
