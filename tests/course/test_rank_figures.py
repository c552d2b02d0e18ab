"""The figures of the rank lesson show the numbers that they are given, and say in words what they show."""

import numpy as np
import torch

from shira_lab.analysis.rank import smallest_cover
from shira_lab.course.figures import column_scale_figure, cover_figure, expectation_figure
from shira_lab.course.figures.cover import ENTRY, ON_COLUMN, ON_ROW, cover_cells

CROSS = torch.tensor([1, 4, 5, 6, 7, 9, 13])  # row 1 and column 1 of 4 x 4


def test_a_cover_is_drawn_as_lines_with_every_entry_on_one() -> None:
    cover = smallest_cover(CROSS, (4, 4))
    cells = cover_cells(CROSS, (4, 4), cover)
    assert (cover.rows.tolist(), cover.columns.tolist()) == ([1], [1])
    assert cells[1].tolist() == [ON_ROW + ENTRY] * 4
    assert cells[[0, 2, 3], 1].tolist() == [ON_COLUMN + ENTRY] * 3
    assert not (cells == ENTRY).any()  # an entry on no line would be one that the cover leaves out


def test_each_panel_counts_its_lines() -> None:
    diagonal = torch.arange(4) * 5
    figure = cover_figure((4, 4), {name: (p, smallest_cover(p, (4, 4))) for name, p in (("+", CROSS), ("o", diagonal))})
    titles = [note.text for note in figure.layout.annotations]
    assert titles[0] == "+: 2 lines<br>1 rows + 1 columns" and titles[1].startswith("o: 4 lines<br>")
    assert [np.asarray(trace.z).shape for trace in figure.data] == [(4, 4), (4, 4)]


def test_lines_are_theory_and_dots_are_draws() -> None:
    figure = expectation_figure((8, 8), {"rank": {4: 3.5, 8: 6.0}}, {"rank": {4: [3, 4], 8: [6, 6]}})
    line, dots = figure.data
    assert (list(line.x), list(line.y)) == ([4, 8], [3.5, 6.0])
    assert (list(dots.x), list(dots.y)) == ([4, 4, 8, 8], [3, 4, 6, 6])
    assert figure.alt == "Figure: Random masks of a 8 x 8 weight (rank, expected; rank, drawn)"


def test_a_curve_for_each_mask_over_the_column_scale() -> None:
    figure = column_scale_figure((8, 8), 1, {"magnitude": {0.0: 8, 1.0: 3}, "diagonal": {0.0: 8, 1.0: 8}})
    assert [list(trace.y) for trace in figure.data] == [[8, 3], [8, 8]]
    assert figure.layout.annotations[0].text == "full rank, 8"
