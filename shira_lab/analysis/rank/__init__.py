"""How high the rank of an update can be, from the positions of its entries alone, and what an update measures."""

from shira_lab.analysis.rank.expectation import empty_rows_if_independent, expected_empty_rows, expected_rank
from shira_lab.analysis.rank.report import RankReport, lora_spectrum, random_delta
from shira_lab.analysis.rank.support import Cover, smallest_cover, structural_rank

__all__ = [
    "Cover",
    "RankReport",
    "empty_rows_if_independent",
    "expected_empty_rows",
    "expected_rank",
    "lora_spectrum",
    "random_delta",
    "smallest_cover",
    "structural_rank",
]
