"""A prediction of the whole class: hands are counted, the counts are typed in and drawn, then the answer is shown."""

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets
import traitlets

from shira_lab.course.figures.theme import BLUE
from shira_lab.course.questions import Question
from shira_lab.course.widgets.app import App
from shira_lab.course.widgets.controls import button, row
from shira_lab.errors import ConfigError

MOST_HANDS = 999


class Vote(App):
    """``Vote(questions)``: one question at a time, a count for each option, and the answer when it is asked for.

    Attributes:
        counts: by option, how many hands were counted for the question that is shown.
        revealed: whether the answer is shown.
    """

    place = traitlets.Int(0, help="which of the questions, from 0").tag(state=True)

    def __init__(self, questions: Sequence[Question], **state: Any) -> None:
        if not questions:
            raise ConfigError("`questions` is empty; give a vote at least one question.")
        self.questions, self.revealed = tuple(questions), False
        super().__init__((), **state)
        self._menu = ipywidgets.Dropdown(
            options=[(f"Question {place}", place - 1) for place in range(1, len(self.questions) + 1)],
            layout={"width": "max-content"},
        )
        self.link("place", self._menu)
        self._reveal = button("Show the answer", "primary", self.reveal, "mark the right option, and say why")
        self._asked, self._bars, self._why = ipywidgets.HTML(), ipywidgets.VBox(), ipywidgets.HTML()
        ways = (self._menu, self._reveal) if len(self.questions) > 1 else (self._reveal,)
        self.view.children = (self._asked, self._bars, row(*ways), self._why)
        self.on_change(self._ask, "place")
        self._ask()

    @traitlets.validate("place")
    def _known(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(self.questions):
            raise ConfigError(f"`place={proposal['value']}`: there are {len(self.questions)} questions, from 0.")
        return int(proposal["value"])

    @property
    def question(self) -> Question:
        """The question that is shown."""
        return self.questions[self.place]

    @property
    def counts(self) -> dict[str, int]:
        return {option: field.value for option, (field, _) in self._fields.items()}

    def reveal(self) -> None:
        """Show the right option and why it is right."""
        self.revealed = True
        self._draw()

    def _ask(self, _: Any = None) -> None:
        self.revealed = False
        self._asked.value = f"<strong>{escape(self.question.question)}</strong>"
        old = tuple(widget for line in self._bars.children for widget in (*line.children, line))
        self._fields = {option: (_hands(option), ipywidgets.HTML()) for option in self.question.options}
        for field, _bar in self._fields.values():
            field.observe(self._draw, "value")
        self._bars.children = tuple(row(*pair, gap="4px 12px") for pair in self._fields.values())
        for widget in old:
            widget.close()
        self._draw()

    def _draw(self, _: Any = None) -> None:
        most, right = max(1, *self.counts.values()), self.question.answer
        for option, (field, bar) in self._fields.items():
            hands = f"{field.value} hand{'s' * (field.value != 1)}"
            mark = " &#10003;" if self.revealed and option == right else ""
            text = f"<strong>{escape(option)}{mark}</strong>" if mark else escape(option)
            bar.value = (
                f'<div style="display:flex;align-items:center;gap:8px"><span style="width:{20 * field.value / most}em;'
                f'height:1em;background:{BLUE}"></span><span>{hands}: {text}</span></div>'
            )
        said = self.question.options[right]
        self._why.value = f'<p role="status">The answer: {escape(right)}. {escape(said)}</p>' if self.revealed else ""

    def __repr__(self) -> str:
        counted = ", ".join(f"{option}: {count}" for option, count in self.counts.items())
        return f"Vote: {self.question.question} ({counted})"


def _hands(option: str) -> ipywidgets.BoundedIntText:
    return ipywidgets.BoundedIntText(0, min=0, max=MOST_HANDS, layout={"width": "9ch"}, tooltip=f"hands: {option}")
