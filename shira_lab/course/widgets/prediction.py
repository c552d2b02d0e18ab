"""A question to answer before anything runs: whoever has committed to a prediction reads the result with other eyes."""

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets
import traitlets

from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import Status, button
from shira_lab.errors import ConfigError


class Prediction(App):
    """``guess = Prediction(question, options)``, and :meth:`compare` in a later cell.

    Args:
        question: one sentence.
        options: the answers to choose from.
    """

    committed = traitlets.Unicode("", help="the prediction; empty until the learner commits to one").tag(state=True)

    def __init__(self, question: str, options: Sequence[str], **state: Any) -> None:
        self.question, self.options = question, tuple(options)
        super().__init__((), **state)
        self.choices = ipywidgets.RadioButtons(
            options=self.options, value=self.committed or None, layout={"width": "max-content"}
        )
        self.commit_button = button("Commit", "primary", self._commit, "keep this prediction; it cannot be changed")
        self.status = Status()
        asked = ipywidgets.HTML(f"<strong>{escape(question)}</strong>")
        self.view.children = (asked, self.choices, self.commit_button, self.status)
        self.on_change(self._show, "committed")
        self._show()

    def compare(self, answer: str) -> None:
        """Print the answer beside what was predicted.

        Raises:
            ConfigError: when the answer is none of the options.
        """
        if answer not in self.options:
            raise ConfigError(f"{answer!r} is none of the options; there are {', '.join(map(repr, self.options))}.")
        said = f"You predicted: {self.committed}." if self.committed else "No prediction was made."
        print(f"The answer: {answer}. {said}")

    @traitlets.validate("committed")
    def _an_option(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *self.options):
            raise ConfigError(
                f"{proposal['value']!r} is none of the options; there are {', '.join(map(repr, self.options))}."
            )
        return proposal["value"]

    def _commit(self) -> None:
        if self.choices.value is None:
            self.status.say("Choose an answer first.")
        else:
            self.committed = self.choices.value

    def _show(self, _: Any = None) -> None:
        done = bool(self.committed)
        self.choices.disabled = self.commit_button.disabled = done
        self.status.say(f"You predict: {self.committed}. Run on, and see." if done else "")

    def __repr__(self) -> str:
        return f"Prediction: {self.question} ({' / '.join(self.options)})"
