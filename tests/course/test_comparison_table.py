"""The table of a comparison without a browser: what is shown follows the controls, and a cell runs again on demand."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from comparisons import BEST, LORA, PROTOCOL, RANDOM, a_comparison

from shira_lab.course.comparison.measures import EXCESS, MEASURES
from shira_lab.course.widgets import ComparisonTable
from shira_lab.course.widgets.comparison_rows import comparison_table
from shira_lab.errors import ConfigError, ShiraError


@pytest.fixture
def table() -> Iterator[ComparisonTable]:
    app = ComparisonTable(a_comparison())
    yield app
    app.close()


def rows(html: str) -> list[list[str]]:
    """The text of each cell, row by row, without the header."""
    return [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", html)[1:]
    ]


def test_the_table_has_a_row_for_each_method_the_best_first(table: ComparisonTable) -> None:
    assert rows(table._table.value) == [
        ["full", "100", "0.03", "0.18 ± 0.01", "", ""],
        ["SHiRA random", "100", "0.1 (edge)", "0.77 ± 0.07", "", ""],
        ["LoRA", "100", "0.03", "0.84 ± 0.02", "", ""],
    ]
    assert "edge: the best learning rate is the smallest or the largest that was tried" in table._table.value


def test_choosing_a_measure_shows_that_measure(table: ComparisonTable) -> None:
    table.controls["measure"].value = "rank"
    assert [row[3] for row in rows(table._table.value)] == ["191 ± 0", "190 ± 0", "7 ± 0"]
    assert "rank, mean of the watched layers, r = 8" in table._table.value


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_of_the_shipped_comparison_can_be_shown(name: str) -> None:
    app = ComparisonTable(measure=name)
    for r in app._budgets():
        app.r = r
        shown = rows(app._table.value)
        assert {row[0] for row in shown} == {cell.family for cell in app.comparison.with_budget(r)}
        assert "nan" not in app._table.value
    app.close()


def test_every_strip_says_in_words_what_it_draws() -> None:
    comparison = a_comparison()
    fresh = comparison.reported(LORA)[:1]
    html = comparison_table(comparison, 8, EXCESS, fresh)
    assert 'role="img" aria-label="seeds 0.82, 0.84, 0.86, fresh 0.82"' in html
    assert html.count("<circle") == 9 and html.count('fill="none"') == 1


def test_re_running_a_cell_puts_the_fresh_number_beside_the_shipped_one(table: ComparisonTable) -> None:
    table.controls["method"].value, table.controls["seed"].value = "LoRA", 5
    table.run_button.click()
    run = table.wait()
    assert (run.cell, run.learning_rate, run.seed, run.status) == (LORA, BEST[LORA], 5, "finished")
    assert [point.step for point in run.points] == [0, 1, 2]
    assert table.fresh == [run]
    assert [row[5] for row in rows(table._table.value)] == ["", "", f"{run.excess:.2f}"]
    assert f"LoRA, r=8, seed 5: excess {run.excess:.2f} nats/token" in table.status.value
    assert "Shipped: 0.84, deviation 0.02 over seeds." in table.status.value
    assert not table.run_button.disabled and table.stop_button.disabled


def test_in_a_notebook_a_run_can_be_stopped_and_leaves_nothing(table: ComparisonTable) -> None:
    async def lesson() -> None:
        table.run()
        assert table.running and table.run_button.disabled and table.controls["seed"].disabled
        table.stop_button.click()
        assert (await table.finished()).status == "stopped"

    asyncio.run(lesson())
    assert table.fresh == []
    assert "LoRA, r=8, seed 3: stopped. Only whole runs can be compared." in table.status.value
    assert not table.running and not table.run_button.disabled


def test_the_seed_that_chose_the_rates_is_refused_in_the_status_line(table: ComparisonTable) -> None:
    table.seed = PROTOCOL.tuning_seed
    table.run_button.click()
    assert not table.running
    assert "`seed=100` chose the learning rates and would flatter them; take another." in table.status.value


def test_what_is_not_compared_cannot_be_chosen(table: ComparisonTable) -> None:
    def refusal(name: str, value: object) -> str:
        with pytest.raises(ConfigError) as error:
            setattr(table, name, value)
        return str(error.value)

    assert refusal("r", 3) == "`r=3` is not compared; there are 8."
    assert refusal("method", "DoRA") == "`method='DoRA'` is not compared; there are LoRA, SHiRA random, full."
    assert refusal("measure", "speed").startswith("`measure='speed'` is not compared; there are excess, forgetting,")
    with pytest.raises(ShiraError, match="Nothing was run yet: press Re-run"):
        table.wait()


def test_the_state_travels_as_a_line(table: ComparisonTable) -> None:
    table.measure, table.method, table.seed = "effective rank", "SHiRA random", 7
    again = ComparisonTable.from_text(table.state_text(), a_comparison())
    assert again.state() == table.state() and again.cell == RANDOM
    assert repr(again) == "ComparisonTable(measure=effective rank, method=SHiRA random, r=8, seed=7)"
    again.close()


def test_hidden_controls_are_not_in_the_view() -> None:
    app = ComparisonTable(a_comparison(), show=("measure",))
    assert app.view.children[0].children == (app.controls["measure"],)
    assert app.controls["seed"] not in app.view.children[2].children
    app.close()
