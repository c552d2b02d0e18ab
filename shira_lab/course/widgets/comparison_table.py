"""The shipped comparison as a table, any cell of which can be run again here and now."""

from typing import Any

import ipywidgets
import traitlets

from shira_lab.course.comparison.log import shipped
from shira_lab.course.comparison.measures import EXCESS, MEASURES, Measure
from shira_lab.course.comparison.records import Cell, Run
from shira_lab.course.comparison.results import Comparison
from shira_lab.course.comparison.run import run_cell
from shira_lab.course.figures import figure_png, seeds_figure
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.comparison_rows import comparison_table
from shira_lab.course.widgets.controls import Status, button, dropdown, in_words, number, plain, row
from shira_lab.course.widgets.texts import progress
from shira_lab.course.widgets.worker import Worker
from shira_lab.errors import ConfigError, ShiraError
from shira_lab.training.history import History


class ComparisonTable(App):
    """Look at a comparison, and repeat a cell of it: ``table = ComparisonTable()``.

    Args:
        comparison: what to show; None takes the one that ships with the package.
        show: the controls to be seen, out of r, measure, method and seed; None for all.
        state: initial ``r``, ``measure``, ``method`` and ``seed``; the last two say what Re-run runs.

    Attributes:
        fresh: the runs that were made here, in their order.
    """

    controls_offered = ("r", "measure", "method", "seed")

    r = traitlets.Int(8).tag(state=True)
    measure = traitlets.Unicode(EXCESS.name).tag(state=True)
    method = traitlets.Unicode("LoRA").tag(state=True)
    seed = traitlets.Int(3, min=0, help="one that was not shipped is a repetition of its own").tag(state=True)

    def __init__(self, comparison: Comparison | None = None, show: tuple[str, ...] | None = None, **state: Any) -> None:
        self.comparison = shipped() if comparison is None else comparison
        super().__init__(show, **state)
        self.fresh: list[Run] = []
        self._worker: Worker[Run] | None = None
        self._build()
        self.on_change(self._draw, *self.traits(state=True))
        self._draw()

    # ---- what a program may ask -------------------------------------------------------------------------------------

    @property
    def cell(self) -> Cell:
        """The cell that Re-run runs.

        Raises:
            ConfigError: when the comparison has no such cell.
        """
        found = {cell.family: cell for cell in self.comparison.with_budget(self.r)}
        if self.method not in found:
            raise ConfigError(f"There is no cell {self.method!r} with r = {self.r}; there are {', '.join(found)}.")
        return found[self.method]

    @property
    def running(self) -> bool:
        return self._worker is not None and self._worker.running

    def run(self) -> None:
        """Run the chosen cell in the background, as the button does; while one runs, this does nothing.

        Raises:
            ConfigError: when there is no such cell, or the seed is the one that chose the learning rate.
        """
        if self.running:
            return
        cell, protocol, seed = self.cell, self.comparison.protocol, self.seed
        if seed == protocol.tuning_seed:
            raise ConfigError(f"`seed={seed}` chose the learning rates and would flatter them; take another.")
        rate = self.comparison.best_rate(cell)
        self._enable(running=True)

        def work(worker: Worker[Run]) -> Run:
            def on_event(history: History) -> None:
                bar, said = progress(history), f"{cell.label}, seed {seed}: step {history.step} of {protocol.steps}."
                worker.tell(lambda: self._show_progress(bar, said))

            return run_cell(cell, protocol, rate, seed, on_event, worker.should_stop)

        self.status.say(f"{cell.label}, seed {seed}: measuring the model as it is ...")
        self._worker = Worker(work, self._ended)

    def stop(self) -> None:
        """End the run after the step that is under way; nothing is kept of it."""
        if self.running:
            assert self._worker is not None
            self.status.say("Stopping after this step ...")
            self._worker.stop()

    async def finished(self) -> Run:
        """Wait for the run without blocking its buttons; returns it, or raises what stopped it."""
        return await self._started().finished()

    def wait(self) -> Run:
        """As :meth:`finished`, for scripts without an event loop."""
        return self._started().result()

    def _started(self) -> Worker[Run]:
        if self._worker is None:
            raise ShiraError("Nothing was run yet: press Re-run, or call `run()` first.")
        return self._worker

    # ---- what the state may be --------------------------------------------------------------------------------------

    @traitlets.validate("r")
    def _known_r(self, proposal: Any) -> int:
        return self._known("r", proposal["value"], self._budgets())

    @traitlets.validate("measure")
    def _known_measure(self, proposal: Any) -> str:
        return self._known("measure", proposal["value"], list(MEASURES))

    @traitlets.validate("method")
    def _known_method(self, proposal: Any) -> str:
        return self._known("method", proposal["value"], self._families())

    def _known(self, name: str, value: Any, known: list[Any]) -> Any:
        if value not in known:
            raise ConfigError(f"`{name}={value!r}` is not compared; there are {', '.join(map(str, known))}.")
        return value

    def _budgets(self) -> list[int]:
        return sorted({cell.r for cell in self.comparison.cells if cell.r is not None})

    def _families(self) -> list[str]:
        return list(dict.fromkeys(cell.family for cell in self.comparison.cells))

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        controls: dict[str, ipywidgets.Widget] = {
            "r": dropdown("r", plain(self._budgets()), self.r),
            "measure": dropdown("measure", plain(list(MEASURES)), self.measure),
            "method": dropdown("run again", plain(self._families()), self.method),
            "seed": number("seed", self.seed, 0, 9999),
        }
        for name, control in controls.items():
            self.link(name, control)
        self.status, self._table, self._progress = Status(), ipywidgets.HTML(), ipywidgets.HTML()
        self.run_button = button("Re-run", "primary", self._run_and_say, "run the chosen cell with this seed")
        self.stop_button = button("Stop", "warning", self.stop, "end the run")
        shown = [self.controls[name] for name in self.shown]
        looking = [control for control in shown if control in (controls["r"], controls["measure"])]
        running = [control for control in shown if control not in looking]
        buttons = (self.run_button, self.stop_button, self._progress)
        again = row(*running, *buttons, gap="4px 12px", align_items="center")
        self.view.children = (row(*looking), self._table, again, self.status)
        self._enable(running=False)
        self.status.say("Dots are seeds, a stroke is their mean. Re-run puts a fresh run beside them, as a diamond.")

    def _run_and_say(self) -> None:
        try:
            self.run()
        except ShiraError as error:
            self.status.say(in_words(error), error=True)

    def _draw(self, _: Any = None) -> None:
        self._table.value = comparison_table(self.comparison, self.r, self._measure, self.fresh)

    @property
    def _measure(self) -> Measure:
        return MEASURES[self.measure]

    def _show_progress(self, bar: str, said: str) -> None:
        self._progress.value = bar
        self.status.say(said)

    def _ended(self, run: Run | None, error: BaseException | None) -> None:
        self._enable(running=False)
        self._progress.value = ""
        if error is not None:
            self.status.say(in_words(error), error=True)
        elif run is not None and run.status != "finished":
            self.status.say(f"{run.cell.label}, seed {run.seed}: {run.status}. Only whole runs can be compared.")
        elif run is not None:
            self.fresh.append(run)
            self._draw()
            self.status.say(self._outcome(run))

    def _outcome(self, run: Run) -> str:
        shipped_spread = self.comparison.over_seeds(run.cell, EXCESS.of)
        return (
            f"{run.cell.label}, seed {run.seed}: excess {run.excess:.2f} nats/token after {run.seconds:.0f} s. "
            f"Shipped: {shipped_spread.mean:.2f}, deviation {shipped_spread.deviation:.2f} over seeds."
        )

    def _enable(self, running: bool) -> None:
        self.run_button.disabled, self.stop_button.disabled = running, not running
        for name in ("method", "seed"):
            self.controls[name].disabled = running

    def close(self) -> None:
        self.stop()
        super().close()

    def picture(self) -> bytes | None:
        return figure_png(seeds_figure(self.comparison, self._measure))
