from .budget import budget_figure
from .choices import agreement_figure, column_entries_figure
from .comparison import (
    forgetting_figure,
    rank_against_excess_figure,
    seeds_figure,
    tuning_figure,
)
from .costs import costs_in_words, costs_svg
from .cover import cover_figure
from .entries import curves_figure, entries_figure
from .fusion import fused_over_scale_figure, growth_by_pair_figure, losses_figure, losses_svg
from .growth import growth_figure
from .mask import MaskProfile, mask_pixels, mask_png, mask_profile, profile_figure
from .rank import column_scale_figure, expectation_figure
from .spectrum import ranks_in_words, spectrum_figure
from .speed import cost_growth_figure
from .theme import Figure, figure_png
from .training import loss_figure, rank_figure, training_figure, training_svg

__all__ = [
    "Figure",
    "MaskProfile",
    "agreement_figure",
    "budget_figure",
    "column_entries_figure",
    "column_scale_figure",
    "cost_growth_figure",
    "costs_in_words",
    "costs_svg",
    "cover_figure",
    "curves_figure",
    "entries_figure",
    "expectation_figure",
    "figure_png",
    "forgetting_figure",
    "fused_over_scale_figure",
    "growth_by_pair_figure",
    "growth_figure",
    "loss_figure",
    "losses_figure",
    "losses_svg",
    "mask_pixels",
    "mask_png",
    "mask_profile",
    "profile_figure",
    "rank_against_excess_figure",
    "rank_figure",
    "ranks_in_words",
    "seeds_figure",
    "spectrum_figure",
    "training_figure",
    "training_svg",
    "tuning_figure",
]
