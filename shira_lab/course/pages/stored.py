"""Which app a stored cell showed, and in which state: read off the line of text that its output carries."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from shira_lab.course.pages.build import APPS, PREDICTION, PageApp
from shira_lab.course.questions import Question
from shira_lab.masks import mask_types

_MASK = r"(\w+) r=(\d+) seed (\d+) on ([\w.]+)"
_OVERLAP = re.compile(rf"MaskOverlap\({_MASK}; {_MASK}\)")
_OVERLAP_STATE = tuple(f"{name}_{which}" for which in "12" for name in ("mask_type", "r", "random_seed", "layer"))
_MASKS = ("mask_type", "mask_type_1", "mask_type_2", "mask_types")


def app_of_cell(source: str, text: str, asked: Sequence[Question] = ()) -> PageApp | None:
    """The app whose text an output has, in the state that the text and the cell's ``source`` say.

    The text says what the app showed at last; what it leaves out, such as the ``batch_size`` of a BudgetExplorer, is
    taken from the arguments in the source. None for what is no app of a page, and for an app with a mask of the
    learner's own, which needs a kernel.

    Args:
        source: of the cell.
        text: of its output, as ``text/plain``.
        asked: the questions of the lesson, where the app may be a prediction.
    """
    name, _, rest = text.partition("(")
    if text.startswith(f"{PREDICTION}: "):
        found = (one for one in asked if text.startswith(f"{PREDICTION}: {one.question} ("))
        return next((PageApp(PREDICTION, {}, asdict(question)) for question in found), None)
    if name not in APPS or not rest:
        return None
    state = {**_arguments(source, name), **_said(text)}
    masks = {part.strip() for field in _MASKS for part in str(state.get(field, "")).split(",") if part.strip()}
    return PageApp(name, state) if masks <= set(mask_types()) else None


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
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    first = next((call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name), None)
    words = first.keywords if first else []
    return {word.arg: word.value.value for word in words if word.arg and isinstance(word.value, ast.Constant)}
