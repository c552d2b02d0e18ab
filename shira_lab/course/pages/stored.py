"""Which app a stored cell showed, and in which state: read off the line of text that its output carries."""

import ast
import re
from collections.abc import Mapping
from typing import Any

from shira_lab.course.pages.build import APPS, PageApp

_MASK = r"(\w+) r=(\d+) seed (\d+) on ([\w.]+)"
_OVERLAP = re.compile(rf"MaskOverlap\({_MASK}; {_MASK}\)")
_OVERLAP_STATE = tuple(f"{name}_{which}" for which in "12" for name in ("mask_type", "r", "random_seed", "layer"))


def app_of_cell(source: str, text: str) -> PageApp | None:
    """The app whose text an output has, in the state that the text and the cell's ``source`` say; None for no app.

    The text says what the app showed at last; what it leaves out, such as the ``batch_size`` of a BudgetExplorer, is
    taken from the arguments in the source.
    """
    name = re.match(r"\w+", text)
    if name is None or name[0] not in APPS or not text.startswith(f"{name[0]}("):
        return None
    return PageApp(name[0], {**_arguments(source, name[0]), **_said(text)})


def _said(text: str) -> Mapping[str, str]:
    """The state that an app's text names."""
    overlap = _OVERLAP.match(text)
    if overlap:
        return dict(zip(_OVERLAP_STATE, overlap.groups(), strict=True))
    inside = re.split(r"\)(?:: |$)", text.partition("(")[2])[0]
    # A value may hold commas, as in "mask_types=random, struct": it ends where another name begins.
    return dict(re.findall(r"(\w+)=(.*?)(?=, \w+=|, [\d,]+ (?:of|cells)|$)", inside))


def _arguments(source: str, name: str) -> dict[str, Any]:
    """The arguments of the app's first call in the source that are written out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            return {
                word.arg: word.value.value
                for word in node.keywords
                if word.arg and isinstance(word.value, ast.Constant) and word.arg != "show"
            }
    return {}
