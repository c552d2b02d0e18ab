"""Fine-tune with sliders and buttons: watch loss and rank, compare texts, switch the adapter off, save, reload."""

from collections.abc import Callable
from typing import Any

import ipywidgets

from shira_lab.analysis.costs import in_units
from shira_lab.course.figures import figure_png, training_figure, training_svg
from shira_lab.course.language import tr
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Status, button, in_words, row
from shira_lab.course.widgets.film_view import FilmView
from shira_lab.course.widgets.memory_panel import MEMORY, MemoryPanel
from shira_lab.course.widgets.settings_controls import names, settings_controls, settings_of_state, settings_state
from shira_lab.course.widgets.texts import outcome_sentence, progress, progress_sentence, samples_list, side_by_side
from shira_lab.course.widgets.update_view import UpdateView
from shira_lab.course.widgets.workbench import Workbench
from shira_lab.course.widgets.worker import Worker
from shira_lab.errors import ShiraError
from shira_lab.masks import mask_types
from shira_lab.models.hub import EMBEDDED, is_here
from shira_lab.training.finetuned import Finetuned
from shira_lab.training.forecast import DoesNotFit, Offer
from shira_lab.training.history import History
from shira_lab.training.settings import Settings

FOLDER = "my-adapter"
BEFORE = "before"
AFTER = "after"
OFF = "after, adapter off"

SettingsState: Any = settings_state(Settings)


class FineTuneLab(App, SettingsState):
    """Fine-tune with buttons: ``lab = FineTuneLab()``, and ``await lab.finished()`` in a later cell.

    Args:
        show: the controls to be seen, out of ``controls_offered``; None for all, () for none but the buttons. Those
            that save memory are folded away; with None, they are there for models that may need them.
        state: initial values; each setting that :class:`~shira_lab.training.settings.Settings` gives the lab.
    """

    controls_offered = names("control", "memory")

    def __init__(self, show: tuple[str, ...] | None = None, **state: Any) -> None:
        super().__init__(show, **state)
        self.history: History | None = None
        self._bench = Workbench()
        self._worker: Worker[Finetuned] | None = None
        self._show_memory = None if show is None else not set(MEMORY).isdisjoint(show)
        if is_here(self.model):
            self._bench.prepare(self.model)
        self._build()
        self.on_change(self._announce, *self.traits(state=True))
        self._announce()

    # ---- what a program may ask -------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings that Run would use now.

        Raises:
            ConfigError: when they cannot work.
        """
        return settings_of_state(Settings, self.state())

    @property
    def running(self) -> bool:
        return self._worker is not None and self._worker.running

    @property
    def result(self) -> Finetuned | None:
        """The fine-tuned model of the last run that has ended."""
        return None if self.running else self._bench.result

    def run(self) -> None:
        """Start training in the background, as the Run button does; while it trains, this does nothing."""
        if self.running:
            return
        settings = self.settings
        self._enable(training=True)
        self.adapter_off.value = False
        self.checked.say("")
        self.needs.say("")
        self.memory.offer((), self._take)
        self._show(History(settings))
        self._worker = Worker(lambda worker: self._train(worker, settings), self._ended)

    def stop(self) -> None:
        """End training after the step that is under way, and keep what was learned."""
        if self.running:
            assert self._worker is not None
            self.status.say(tr("Stopping after this step ..."))
            self._worker.stop()

    async def finished(self) -> Finetuned:
        """Wait for the run without blocking its buttons; returns its result, or raises what stopped it."""
        return await self._started().finished()

    def wait(self) -> Finetuned:
        """As :meth:`finished`, for scripts without an event loop."""
        return self._started().result()

    def _started(self) -> Worker[Finetuned]:
        if self._worker is None:
            raise ShiraError(tr("Nothing was run yet: press Run, or call `run()` first."))
        return self._worker

    # ---- training, in the worker's thread ---------------------------------------------------------------------------

    def _train(self, worker: Worker[Finetuned], settings: Settings) -> Finetuned:
        def on_event(history: History) -> None:
            seen = history.snapshot()
            worker.tell(lambda: self._show(seen))

        def on_progress(done: int, total: int) -> None:
            said = f"Getting {settings.model}, once: {in_units(done)} of {in_units(total)} are here ..."
            worker.tell(lambda: self.status.say(said))

        needs = self._bench.needs(settings, on_progress)
        worker.tell(lambda: self.needs.say(needs))
        return self._bench.run(settings, on_event, worker.should_stop)

    def _ended(self, result: Finetuned | None, error: BaseException | None) -> None:
        self._enable(training=False)
        if result is not None:
            self._show(result.history)
            self.status.say(outcome_sentence(result.history), error=result.history.status == "diverged")
        elif isinstance(error, DoesNotFit) and error.offers:
            self.status.say(f"{error.reason} What fits:", error=True)
            self.memory.offer(error.offers, self._take)
        elif error is not None:
            self.status.say(in_words(error), error=True)

    def _take(self, offer: Offer) -> None:
        """Set what an offer changes; Run is the learner's to press."""
        for name, value in offer.changes.items():
            setattr(self, name, ", ".join(value) if isinstance(value, tuple) else value)

    # ---- the view ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        for name, control in settings_controls(Settings, self.state()).items():
            self.link(name, control)
        self.after_each_cell(lambda: self.offer("mask_type", *mask_types()))
        self.status, self.needs, self.checked, self._progress = Status(), Status(), Status(), ipywidgets.HTML()
        self.run_button = button(
            tr("Run"), "primary", self._said(self.run, self.status), tr("train with these settings")
        )
        self.stop_button = button(tr("Stop"), "warning", self.stop, tr("end training and keep what was learned"))
        self.adapter_off = ipywidgets.Checkbox(
            description=tr("adapter off"), indent=False, layout={"width": "max-content"}
        )
        self.folder = ipywidgets.Text(FOLDER, description=tr("folder"), style={"description_width": "initial"})
        self.save_button = button(
            tr("Save"), "", self._said(self.save, self.checked), tr("write the adapter into the folder")
        )
        self.reload_button = button(
            tr("Reload: same logits?"), "", self._said(self.reload, self.checked), tr("load and compare")
        )
        self.adapter_off.observe(self._said(self._switch, self.checked), "value")
        self._texts, self._samples = ipywidgets.HTML(), ipywidgets.HTML()
        self.chart = ipywidgets.HTML(training_svg(History(self.settings)))
        self.updates = UpdateView(History(self.settings))
        self.film = FilmView(History(self.settings))
        self.memory = MemoryPanel([self.controls[name] for name in self.shown if name in MEMORY])
        self.view.children = (
            row(*(self.controls[name] for name in self.shown if name not in MEMORY)),
            self.memory.view,
            row(self.run_button, self.stop_button, self._progress, gap="4px 12px", align_items="center"),
            self.status,
            self.memory.offers,
            self.needs,
            self.chart,
            self._texts,
            row(self.adapter_off, self.folder, self.save_button, self.reload_button, gap="4px 12px"),
            self.checked,
            self.updates.view,
            self.film.view,
            self._samples,
        )
        self._enable(training=False)

    def _said(self, action: Callable[[], None], line: Status) -> Callable[..., None]:
        """``action`` for a button: what it raises is said in a status line, as nobody would see a traceback."""

        def act(*_: Any) -> None:
            try:
                action()
            except Exception as error:
                line.say(in_words(error), error=True)

        return act

    def _announce(self, _: Any = None) -> None:
        """What Run would do, whenever a setting changes and nothing trains."""
        if self.running:
            return
        self._enable(training=False)
        self.memory.show(self.model != EMBEDDED if self._show_memory is None else self._show_memory)
        try:
            settings = self.settings
            parameters = self._bench.parameters(settings)
            here = is_here(settings.model)
        except ShiraError as error:
            self.status.say(in_words(error), error=True)
            return
        if not here:
            self.status.say(f"{settings.model} is not on this machine yet: Run fetches it, and says its size.")
            return
        count = ""
        if parameters:
            count = tr(": {some:,} of {all:,} parameters are trainable", some=parameters[0], all=parameters[1])
        self.status.say(tr("Ready for {run}. Press Run.", run=f"{settings.label}{count}"))
        if self._bench.result is None:
            self.chart.value = training_svg(History(settings))

    def _enable(self, training: bool) -> None:
        for control in self.controls.values():
            control.disabled = training
        for name in ("mask_type", "mask_moves"):
            self.controls[name].disabled = training or self.method != "shira"
        self.controls["swap_every"].disabled = self.controls["mask_moves"].disabled or self.mask_moves == "never"
        self.controls["r"].disabled = self.controls["target_modules"].disabled = training or self.method == "full"
        self.run_button.disabled, self.stop_button.disabled = training, not training
        for widget in (self.adapter_off, self.folder, self.save_button, self.reload_button):
            widget.disabled = training or self._bench.result is None

    def _show(self, history: History) -> None:
        self.history = history
        self.chart.value = training_svg(history)
        self.updates.show(history)
        self.film.show(history)
        self._progress.value = progress(history)
        self.status.say(progress_sentence(history))
        self._show_texts()

    def _show_texts(self, title: str = AFTER, last: str | None = None) -> None:
        samples = self.history.samples if self.history else []
        if samples:
            now = tr(AFTER) if title == AFTER else tr(OFF)
            cards = [(tr(BEFORE), samples[0].text), (now, last or samples[-1].text)]
            self._texts.value = side_by_side(cards if len(samples) > 1 else cards[:1])
            self._samples.value = samples_list(samples)

    # ---- after the run ----------------------------------------------------------------------------------------------

    def _switch(self) -> None:
        if self.running:
            return
        if not self.adapter_off.value:
            self._show_texts()
            return
        text, identical = self._bench.text_before()
        self._show_texts(OFF, text)
        self.checked.say(
            tr("Adapter off: text and logits against those before training, identical: {same}", same=identical)
        )

    def save(self) -> None:
        """Write the result into the folder named beside the button."""
        size = self._bench.save(self.folder.value)
        self.checked.say(tr("Saved in {folder}: {size:.2f} MB.", folder=self.folder.value, size=size / 1e6))

    def reload(self) -> None:
        """Load the folder onto a fresh model, and say whether it gives the same logits."""
        same = self._bench.reload(self.folder.value)
        self.checked.say(
            tr("Loaded {folder} onto a fresh model: logits identical: {same}", folder=self.folder.value, same=same)
        )

    def close(self) -> None:
        self.stop()
        self.updates.close()
        self.film.close()
        super().close()

    def picture(self) -> bytes | None:
        return figure_png(training_figure(self.history or History(self.settings)))
