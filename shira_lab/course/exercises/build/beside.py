"""Two pieces of code side by side: what a learner wrote, and what the package has."""

import ast
import inspect
import linecache
import re
import textwrap
from difflib import SequenceMatcher
from html import escape
from itertools import zip_longest
from typing import Any

from shira_lab.course.exercises.shown import are_shown
from shira_lab.course.figures.theme import BLUE
from shira_lab.errors import ShiraError


def source_of(thing: Any) -> str:
    """The code of a function or a class, also of one from a notebook's cell or from a solution that was taken.

    ``inspect.getsource`` looks for a class in the file of its module, which a notebook does not have.
    """
    function = thing
    if inspect.isclass(thing):
        members = (getattr(member, "__func__", member) for member in vars(thing).values())
        function = next(member for member in members if inspect.isfunction(member))
    code = inspect.unwrap(function).__code__
    text = "".join(linecache.getlines(code.co_filename))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == thing.__name__:
            start = min(line.lineno for line in (node, *node.decorator_list))
            if start <= code.co_firstlineno <= (node.end_lineno or start):
                return textwrap.dedent("\n".join(text.splitlines()[start - 1 : node.end_lineno]))
    raise ShiraError(f"The code of {thing.__name__} is not to be found: run the cell that defines it once more.")


class Beside:
    """Pairs of functions or classes as a page of two columns; words that only one side has are coloured.

    Where solutions are kept back, a pair is left out until its left side is the learner's own.
    """

    def __init__(self, *pairs: tuple[Any, Any], titles: tuple[str, str] = ("yours", "shira_lab/minimal.py")) -> None:
        self.titles = titles
        self.pairs = [(source_of(yours), source_of(theirs)) for yours, theirs in pairs if _may_be_seen(yours)]

    @property
    def lines(self) -> int:
        """Lines of code on the left, without empty ones."""
        return sum(bool(line.strip()) for yours, _ in self.pairs for line in yours.splitlines())

    def __repr__(self) -> str:
        width = max((len(line) for yours, _ in self.pairs for line in yours.splitlines()), default=0)
        rows = [
            f"{left:{width}} | {right}".rstrip()
            for pair in (self.titles, *self.pairs)
            for left, right in [*zip_longest(*(side.splitlines() for side in pair), fillvalue=""), ("", "")]
        ]
        return "\n".join(rows).rstrip("| \n")

    def _repr_html_(self) -> str:
        heads = "".join(f'<th style="text-align:left">{escape(title)}</th>' for title in self.titles)
        rows = "".join(f"<tr>{''.join(map(_cell, _marked(*pair)))}</tr>" for pair in self.pairs)
        return f'<table style="width:100%;table-layout:fixed"><tr>{heads}</tr>{rows}</table>'


def _may_be_seen(yours: Any) -> bool:
    try:
        return bool(source_of(yours))
    except ShiraError:
        if are_shown():
            raise
        return False


def _marked(*pair: str) -> tuple[str, str]:
    """Both sides as HTML, with the words in blue that the other side lacks in this place."""
    left, right = (re.findall(r"\w+|\s+|[^\w\s]", text) for text in pair)
    marked = ["", ""]
    for kind, start, end, other_start, other_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        for side, words in enumerate((left[start:end], right[other_start:other_end])):
            text = escape("".join(words))
            marked[side] += text if kind == "equal" else f'<span style="color:{BLUE}">{text}</span>'
    return marked[0], marked[1]


def _cell(code: str) -> str:
    style = "margin:0;text-align:left;white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;font-size:11px"
    return f'<td style="vertical-align:top;text-align:left"><pre style="{style}">{code}</pre></td>'
