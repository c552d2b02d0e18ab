"""Two apps of numbers: what rounding does to a merge that is undone, and costs by counting and by the clock."""

from collections.abc import Iterator

import pytest
import torch

from shira_lab.course.figures.count import ROWS, compared, count_svg, counted, sizes
from shira_lab.course.figures.rounding import Rounding
from shira_lab.course.speed import shipped
from shira_lab.course.speed.growth import STEP
from shira_lab.course.widgets import CountAndClock, MergeAndUndo
from shira_lab.errors import ConfigError


@pytest.fixture
def undo() -> Iterator[MergeAndUndo]:
    app = MergeAndUndo(torch.linspace(0.5, 1.5, 200).view(10, 20))
    yield app
    app.close()


def test_an_entry_comes_back_is_lost_or_never_changes() -> None:
    weight = torch.tensor([1.0, 1.0, 1.0, 0.1], dtype=torch.bfloat16)
    values = torch.tensor([0.0, 0.5, 2.0**-9, 3.0])
    found = Rounding.of(weight, values)
    assert found.codes.tolist() == [0, 0, 2, 1] and (found.lost, found.unmoved) == (1, 1)


def test_a_value_too_small_for_the_precision_never_changes_its_entry() -> None:
    assert Rounding.of(torch.ones(3, dtype=torch.float16), torch.full((3,), 1e-12)).unmoved == 3


def test_smaller_values_come_back_more_often_and_in_half_precision_many_never_arrive(undo: MergeAndUndo) -> None:
    undo.halvings = 0
    lost = undo.rounding.lost
    undo.halvings = 12
    assert undo.rounding.lost < lost and undo.rounding.unmoved == 0
    undo.precision = "bfloat16"
    assert undo.rounding.unmoved > 100
    assert undo.status.value.count("in bfloat16 with values up to 0.00024.") == 1
    assert undo.rounding.in_words() in undo._canvas.alt and undo.picture().startswith(b"\x89PNG")


def test_what_is_counted_follows_the_density() -> None:
    point = next(shipped().series(STEP, "size"))
    assert [counted(cost, side, point.density) for _, cost, side in ROWS] == [
        1 + point.density / 2, 1 + 3 * point.density / 2, 1.5, point.density, point.density,
    ]  # fmt: skip


def test_every_size_shows_what_was_measured_there() -> None:
    growth = shipped()
    assert sizes(growth) == [256, 512, 768, 1024, 2048, 4096]
    drawn = set()
    for size in sizes(growth):
        rows = compared(growth, size)
        assert all(one.low <= one.median <= one.high for one in rows)
        point = next(point for point in growth.series(STEP, "size") if point.m == size)
        assert rows[0].median == point.ratios["SHiRA"][0]
        drawn.add(count_svg(rows))
    assert len(drawn) == 6


def test_the_app_says_both_and_refuses_a_size_that_was_not_measured() -> None:
    app = CountAndClock(size=4096)
    assert "0.0078 times as many numbers as LoRA&#x27;s, and took 0.32 times as long." in app.status.value
    app.size = 256
    assert "256 x 256" in app.status.value and repr(app).startswith("CountAndClock(size=256): SHiRA's training step: ")
    with pytest.raises(ConfigError, match="`size=300` was not measured; there are 256, 512, 768, 1024, 2048, 4096"):
        app.size = 300
    assert app.size == 256 and "256 x 256" in app.status.value
    app.close()
