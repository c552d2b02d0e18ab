from .adapter_switcher import AdapterSwitcher
from .budget_explorer import BudgetExplorer
from .comparison_table import ComparisonTable
from .count_and_clock import CountAndClock
from .dashboard import Dashboard
from .film_view import FilmView
from .fine_tune_lab import FineTuneLab
from .fusion_lab import FusionLab
from .mask_explorer import MaskExplorer
from .mask_overlap import MaskOverlap
from .mask_painter import MaskPainter
from .merge_and_undo import MergeAndUndo
from .positions_explorer import PositionsExplorer
from .prediction import Prediction
from .rank_explorer import RankExplorer
from .update_view import UpdateView
from .vote import Vote
from .way_ranks import WayRanks

__all__ = [
    "AdapterSwitcher",
    "BudgetExplorer",
    "ComparisonTable",
    "CountAndClock",
    "Dashboard",
    "FilmView",
    "FineTuneLab",
    "FusionLab",
    "MaskExplorer",
    "MaskOverlap",
    "MaskPainter",
    "MergeAndUndo",
    "PositionsExplorer",
    "Prediction",
    "RankExplorer",
    "UpdateView",
    "Vote",
    "WayRanks",
]
