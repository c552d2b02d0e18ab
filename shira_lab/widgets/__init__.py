"""Apps for a learner's own notebook: each is one object, made and shown with one line."""

from shira_lab.widgets.adapter_switcher import AdapterSwitcher
from shira_lab.widgets.budget_explorer import BudgetExplorer
from shira_lab.widgets.comparison_table import ComparisonTable
from shira_lab.widgets.dashboard import Dashboard
from shira_lab.widgets.fine_tune_lab import FineTuneLab
from shira_lab.widgets.fusion_lab import FusionLab
from shira_lab.widgets.mask_explorer import MaskExplorer
from shira_lab.widgets.mask_overlap import MaskOverlap
from shira_lab.widgets.mask_painter import MaskPainter
from shira_lab.widgets.positions_explorer import PositionsExplorer
from shira_lab.widgets.prediction import Prediction
from shira_lab.widgets.rank_explorer import RankExplorer
from shira_lab.widgets.update_view import UpdateView

__all__ = [
    "AdapterSwitcher",
    "BudgetExplorer",
    "ComparisonTable",
    "Dashboard",
    "FineTuneLab",
    "FusionLab",
    "MaskExplorer",
    "MaskOverlap",
    "MaskPainter",
    "PositionsExplorer",
    "Prediction",
    "RankExplorer",
    "UpdateView",
]
