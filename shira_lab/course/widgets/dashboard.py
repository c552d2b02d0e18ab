"""All apps on one page, for lectures: a tab each, made when it is first opened."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
import traitlets
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.course.fusion.pair import shipped_pair
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.budget_explorer import BudgetExplorer
from shira_lab.course.widgets.comparison_table import ComparisonTable
from shira_lab.course.widgets.fine_tune_lab import FineTuneLab
from shira_lab.course.widgets.fusion_lab import FusionLab
from shira_lab.course.widgets.mask_explorer import MaskExplorer
from shira_lab.course.widgets.mask_overlap import MaskOverlap
from shira_lab.course.widgets.mask_painter import MaskPainter
from shira_lab.course.widgets.positions_explorer import PositionsExplorer
from shira_lab.course.widgets.rank_explorer import RankExplorer
from shira_lab.errors import ConfigError
from shira_lab.models.hub import load_model

#: What each tab shows, made from a model and its tokenizer.
TABS: Mapping[str, Callable[[PreTrainedModel, PreTrainedTokenizerBase], App]] = {
    "Masks": lambda model, tokenizer: MaskExplorer(model),
    "Two masks": lambda model, tokenizer: MaskOverlap(model),
    "Paint a mask": lambda model, tokenizer: MaskPainter(model),
    "Budgets": lambda model, tokenizer: BudgetExplorer(model="embedded"),
    "Ranks": lambda model, tokenizer: RankExplorer(),
    "Positions": lambda model, tokenizer: PositionsExplorer(model, tokenizer),
    "Fine-tune": lambda model, tokenizer: FineTuneLab(),
    "Comparisons": lambda model, tokenizer: ComparisonTable(),
    "Fuse": lambda model, tokenizer: FusionLab(*shipped_pair()),
}


class Dashboard(App):
    """``Dashboard()``: every app of the package on the embedded model.

    Attributes:
        tab: title of the open tab.
        apps: those made so far, by title.
    """

    tab = traitlets.Unicode(next(iter(TABS))).tag(state=True)

    def __init__(self, **state: Any) -> None:
        super().__init__((), **state)
        self.apps: dict[str, App] = {}
        self._model, self._tokenizer = load_model()
        self._tabs = ipywidgets.Tab([ipywidgets.VBox() for _ in TABS], titles=tuple(TABS))
        self.view.children = (self._tabs,)
        self._tabs.observe(self._chosen, "selected_index")
        self.on_change(self._open, "tab")
        self._open()

    @traitlets.validate("tab")
    def _known(self, proposal: Any) -> str:
        if proposal["value"] not in TABS:
            raise ConfigError(f"`tab={proposal['value']!r}` is unknown; there are {', '.join(TABS)}.")
        return proposal["value"]

    def _chosen(self, change: Any) -> None:
        self.tab = tuple(TABS)[change["new"]]

    def _open(self, _: Any = None) -> None:
        place = tuple(TABS).index(self.tab)
        if self.tab not in self.apps:
            self.apps[self.tab] = TABS[self.tab](self._model, self._tokenizer)
            self._tabs.children[place].children = (self.apps[self.tab].view,)
        self._tabs.selected_index = place

    def close(self) -> None:
        self._tabs.unobserve(self._chosen, "selected_index")
        for app in self.apps.values():
            app.close()
        super().close()
