"""An exercise is one source: its solution. The stub that a learner starts from follows from the marked lines.

    k = num_params(r, mask.shape)  # stub: k = 0      the stub has "k = 0  # change this line" here
    mask.view(-1)[chosen] = 1      # stub: -          the stub lacks this line

So a stub and its solution cannot drift apart, and both are ordinary code under the eyes of every tool.
"""

import inspect
import linecache
import re
import textwrap
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

Solution = Callable[..., Any]

_MARKED = re.compile(r"(?P<indent>\s*)(?P<code>.*?)\s*# stub: (?P<stub>.*)")
_LEFT_OUT = "-"


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        passed: whether the answer keeps every promise.
        message: what was right, or what is probably wrong, in a sentence.
        pictures: PNG files by title, for instance "yours" and "expected".
    """

    passed: bool
    message: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{'Well done!' if self.passed else 'Not yet.'} {self.message}"

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """No widget, so that a saved notebook holds the verdict with its pictures, whoever opens it."""
        return {"text/html": self.html(), "text/plain": repr(self)}

    def html(self) -> str:
        """The verdict and its pictures side by side, each under its title."""
        colour = "#006B4E" if self.passed else "#A33D00"
        said = f'<p role="status" style="margin:4px 0;color:{colour}"><strong>{escape(repr(self))}</strong></p>'
        figures = "".join(
            f'<figure style="margin:0"><figcaption>{escape(title)}</figcaption><img alt="{escape(title)}" '
            f'style="image-rendering:pixelated;width:256px;max-width:100%;border:1px solid #999" '
            f'src="data:image/png;base64,{b64encode(picture).decode()}"></figure>'
            for title, picture in self.pictures.items()
        )
        return f'{said}<div style="display:flex;flex-wrap:wrap;gap:16px">{figures}</div>'


@dataclass(frozen=True)
class Exercise:
    """A task with its solution and its check.

    Attributes:
        solution: the function that solves it; lines marked ``# stub:`` are what a learner has to find.
        check: looks at a learner's function and says what is right or probably wrong.
        difficulty, minutes: what a learner should expect.
        stub_says: the message that the untouched stub gets, in full.
    """

    solution: Solution
    check: Callable[[Solution], Verdict]
    difficulty: Literal["easy", "medium", "hard"]
    minutes: int
    stub_says: str

    @property
    def name(self) -> str:
        """The name of the function that a learner writes."""
        return self.solution.__name__

    @property
    def heading(self) -> str:
        """How a lesson announces it."""
        return f"Your turn ({self.difficulty}, {self.minutes} minutes)"

    @property
    def stub(self) -> str:
        """The code that a learner starts from."""
        lines = [_stub_line(line) for line in self._source().splitlines()]
        return "\n".join(line for line in lines if line is not None)

    @property
    def answer(self) -> str:
        """The code of the solution."""
        return _without_marks(self._source())

    @property
    def nearly(self) -> list[str]:
        """The solution with one marked line left as the stub has it, for each line where that is other code."""
        lines = self._source().splitlines()
        marked = [place for place, line in enumerate(lines) if _MARKED.fullmatch(line)]
        texts = ["\n".join(_left(line) if at == place else line for at, line in enumerate(lines)) for place in marked]
        return [code for code in map(_without_marks, texts) if code != self.answer and _compiles(code)]

    def made_among(self, names: dict[str, Any], readable: bool = True) -> Solution:
        """The solution, made anew by code that finds its other names here; a debugger can read it where it may."""
        # Two names, so that what was readable once does not show what is kept back later.
        file = f"<{'' if readable else 'kept '}solution of {self.name}>"
        if readable:
            linecache.cache[file] = (len(self.answer), None, self.answer.splitlines(keepends=True), file)
        made: dict[str, Solution] = {}
        exec(compile(self.answer, file, "exec"), names, made)
        return made[self.name]

    def _source(self) -> str:
        return textwrap.dedent(inspect.getsource(self.solution)).rstrip()


def _without_marks(code: str) -> str:
    return "\n".join(re.sub(r"\s*# stub: .*", "", line) for line in code.splitlines())


def _left(line: str) -> str:
    """The line as the stub has it; where the stub has none, one that does nothing."""
    if marked := _MARKED.fullmatch(line):
        return marked["indent"] + ("pass" if marked["stub"] == _LEFT_OUT else marked["stub"])
    return line


def _compiles(code: str) -> bool:
    try:
        compile(code, "answer", "exec")
    except SyntaxError:
        return False
    return True


def _stub_line(line: str) -> str | None:
    marked = _MARKED.fullmatch(line)
    if marked is None:
        return line
    return None if marked["stub"] == _LEFT_OUT else f"{marked['indent']}{marked['stub']}  # change this line"
