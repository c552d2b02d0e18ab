"""All apps on one page, for lectures: a tab each, made when it is first opened, and a mode for who presents them."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

import ipywidgets
import traitlets
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.course.fusion.pair import shipped_pair
from shira_lab.course.questions import questions
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.budget_explorer import BudgetExplorer
from shira_lab.course.widgets.comparison_table import ComparisonTable
from shira_lab.course.widgets.fine_tune_lab import FineTuneLab
from shira_lab.course.widgets.fusion_lab import FusionLab
from shira_lab.course.widgets.mask_explorer import MaskExplorer
from shira_lab.course.widgets.mask_overlap import MaskOverlap
from shira_lab.course.widgets.mask_painter import MaskPainter
from shira_lab.course.widgets.positions_explorer import PositionsExplorer
from shira_lab.course.widgets.presenter import ALONE, LARGE, Presenter
from shira_lab.course.widgets.rank_explorer import RankExplorer
from shira_lab.course.widgets.vote import Vote
from shira_lab.errors import ConfigError
from shira_lab.models.hub import load_model


@dataclass(frozen=True)
class Tab:
    """What a tab shows.

    Attributes:
        lesson: number of the lesson that asks about it.
        app: its class.
        arguments: those of the class, from a model and its tokenizer.
        state: how it opens.
    """

    lesson: int
    app: type[App]
    arguments: Callable[[PreTrainedModel, PreTrainedTokenizerBase], tuple[Any, ...]] = lambda model, tokenizer: ()
    state: Mapping[str, Any] = field(default_factory=dict)


TABS: Mapping[str, Tab] = {
    "Masks": Tab(2, MaskExplorer, lambda model, tokenizer: (model,)),
    "Two masks": Tab(2, MaskOverlap, lambda model, tokenizer: (model,)),
    "Paint a mask": Tab(8, MaskPainter, lambda model, tokenizer: (model,)),
    "Budgets": Tab(3, BudgetExplorer, state={"model": "embedded"}),
    "Ranks": Tab(4, RankExplorer),
    "Positions": Tab(7, PositionsExplorer, lambda model, tokenizer: (model, tokenizer)),
    "Fine-tune": Tab(5, FineTuneLab),
    "Comparisons": Tab(6, ComparisonTable),
    "Fuse": Tab(10, FusionLab, lambda model, tokenizer: shipped_pair()),
}


class Dashboard(App):
    """``Dashboard()``: every app of the package on the embedded model.

    Who presents sees one app at a time in large type, with the lesson's questions above it to be put to the vote; Page
    Down and Page Up, the keys of a clicker, go on and back. The link opens the page as it stands.

    Attributes:
        tab: title of the open tab.
        presenting: whether the page is in presenter's mode.
        app: the state of the open tab's app, as its ``state_text`` gives it; it says how the first app opens.
        apps, votes: those made so far, by title of their tab.
    """

    tab = traitlets.Unicode(next(iter(TABS))).tag(state=True)
    presenting = traitlets.Bool(False).tag(state=True)
    app = traitlets.Unicode("").tag(state=True)

    def __init__(self, **state: Any) -> None:
        super().__init__((), **state)
        self.apps: dict[str, App] = {}
        self.votes: dict[str, Vote] = {}
        self._first = TABS[self.tab].app.read_state(self.app)
        self._model, self._tokenizer = load_model()
        self._tabs = ipywidgets.Tab([ipywidgets.VBox() for _ in TABS], titles=tuple(TABS))
        self._presenter = Presenter(self._step)
        self.link("presenting", self._presenter.switch)
        self.view.children = (self._presenter.view, self._tabs)
        self._tabs.observe(self._chosen, "selected_index")
        self.on_change(self._show, "tab", "presenting", "app")  # where one is, before an app that takes a moment
        self.on_change(self._open, "tab")
        self._show()
        self._open()

    @classmethod
    def from_link(cls, query: str) -> Self:
        """The dashboard that :meth:`link_text` describes; an empty query gives the usual one.

        Raises:
            ConfigError: when the query is no state of the dashboard.
        """
        return cls.from_text(shlex.join(f"{name}={value}" for name, value in parse_qsl(query)))

    def link_text(self) -> str:
        """The state as a link's query, what follows the address of the page."""
        return f"?{urlencode({name: value for name, value in self.state().items() if value != ''})}"

    @traitlets.validate("tab")
    def _known(self, proposal: Any) -> str:
        if proposal["value"] not in TABS:
            raise ConfigError(f"`tab={proposal['value']!r}` is unknown; there are {', '.join(TABS)}.")
        return str(proposal["value"])

    def _chosen(self, change: Any) -> None:
        self.tab = tuple(TABS)[change["new"]]

    def _step(self, by: int) -> None:
        titles = tuple(TABS)
        self.tab = titles[min(max(titles.index(self.tab) + by, 0), len(titles) - 1)]

    def _open(self, _: Any = None) -> None:
        place, tab = tuple(TABS).index(self.tab), TABS[self.tab]
        self._tabs.selected_index = place
        if self.tab not in self.apps:
            state, self._first = {**tab.state, **self._first}, {}
            app = self.apps[self.tab] = tab.app(*tab.arguments(self._model, self._tokenizer), **state)
            app.observe(self._follow, list(app.traits(state=True)))
            self._tabs.children[place].children = (app.view,)
        self._follow()

    def _follow(self, _: Any = None) -> None:
        self.app = self.apps[self.tab].state_text()

    def _show(self, _: Any = None) -> None:
        if self.presenting and self.tab not in self.votes:
            self.votes[self.tab] = Vote(questions(TABS[self.tab].lesson))
        vote = self.votes.get(self.tab) if self.presenting else None
        self._presenter.show(f"{self.tab} ({tuple(TABS).index(self.tab) + 1} of {len(TABS)})", self.link_text(), vote)
        for view, name in ((self._tabs, ALONE), (self.view, LARGE)):
            view.add_class(name) if self.presenting else view.remove_class(name)

    def close(self) -> None:
        self._tabs.unobserve(self._chosen, "selected_index")
        for app in (*self.apps.values(), *self.votes.values()):
            app.close()
        super().close()
