"""A question to answer before anything runs: whoever has committed to a prediction reads the result with other eyes."""

from collections.abc import Mapping
from html import escape
from typing import Any

import ipywidgets
import traitlets

from shira_lab.course import progress
from shira_lab.course.reasons import reasons
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Status, button
from shira_lab.course.widgets.still import Still
from shira_lab.errors import ConfigError

WAITS = "The answer waits for your prediction. Open this line to see it without one."


class Prediction(App):
    """``guess = Prediction(question)``, and :meth:`compare` in a later cell, which need not wait.

    A prediction is kept in the learner's progress, and is there again when the lesson is opened another day.

    Args:
        question: one sentence.
        options: the answers to choose from, each with a sentence on why it is right or wrong; None for a lesson's own
            question, whose :func:`reasons` are not in its cell.

    Attributes:
        answer: the right option; empty until :meth:`compare` was called.
        reply: what the later cell shows.

    Raises:
        ConfigError: no lesson asks this question, and ``options`` are missing.
    """

    committed = traitlets.Unicode("", help="the prediction; empty until the learner commits to one").tag(state=True)

    def __init__(self, question: str, options: Mapping[str, str] | None = None, **state: Any) -> None:
        self.question, self.answer = question, ""
        self.options = reasons(question) if options is None else dict(options)
        kept = progress.committed_to(question)
        if kept in self.options:
            state.setdefault("committed", kept)
        super().__init__((), **state)
        self.choices = ipywidgets.RadioButtons(
            options=tuple(self.options), value=self.committed or None, layout={"width": "max-content"}
        )
        self.commit_button = button("Commit", "primary", self._commit, "keep this prediction; it cannot be changed")
        self.status, self.reply = Status(), ipywidgets.HTML()
        self._reply_still = Still(self.reply, lambda: f"The answer: {self.answer}.", hint="")
        self.after_each_cell(self._reply_still.catch_up)
        asked = ipywidgets.HTML(f"<strong>{escape(question)}</strong>")
        self.view.children = (asked, self.choices, self.commit_button, self.status)
        self.on_change(self._show, "committed")
        self._show()

    def compare(self, answer: str) -> None:
        """Show the answer as soon as there is a prediction, here and where the question was asked, and why.

        Raises:
            ConfigError: when the answer is none of the options.
        """
        self.answer = self._an_option(answer)
        self._keep()
        self._show()
        self._reply_still.display()

    @traitlets.validate("committed")
    def _known(self, proposal: Any) -> str:
        return self._an_option(proposal["value"]) if proposal["value"] else ""

    def _an_option(self, value: str) -> str:
        if value not in self.options:
            raise ConfigError(f"{value!r} is none of the options; there are {', '.join(map(repr, self.options))}.")
        return value

    def _commit(self) -> None:
        if self.choices.value is None:
            self.status.say("Choose an answer first.")
        else:
            self.committed = self.choices.value
            self._keep()

    def _keep(self) -> None:
        if self.committed:
            progress.keep_prediction(self.question, self.committed, self.answer)

    def _show(self, _: Any = None) -> None:
        done = bool(self.committed)
        self.choices.disabled = self.commit_button.disabled = done
        if self.answer:
            said = escape(self._verdict())
            self.reply.value = f"<p>{said}</p>" if done else f"<details><summary>{WAITS}</summary>{said}</details>"
        if done:
            self.status.say(self._verdict() if self.answer else f"You predict: {self.committed}. Run on, and see.")

    def _verdict(self) -> str:
        """The answer and why, beside what was predicted and why not."""
        right = f"The answer: {self.answer}. {self.options[self.answer]}"
        if self.committed in ("", self.answer):
            return f"Well predicted. {right}" if self.committed else right
        return f"You predicted: {self.committed}. {self.options[self.committed]} {right}"

    def close(self) -> None:
        self._reply_still.close()
        self.reply.close()
        super().close()

    def __repr__(self) -> str:
        return f"Prediction: {self.question} ({' / '.join(self.options)})"
