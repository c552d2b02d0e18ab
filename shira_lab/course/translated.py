"""Lessons in another language: the same cells, in which the texts that a learner reads are replaced.

A translated lesson is written when it is asked for, from the lesson and a catalogue, so code stands in one place. Its
texts are the Markdown cells; and in code cells the comments, and the literals that have words in them. Questions of a
``Prediction`` stay, as what is kept of a learner's progress does; they are translated where they are shown.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from nbformat import NotebookNode

from shira_lab.course.language import ENGLISH, catalogue

#: Two words beside each other, of which one has three letters.
_WORDS = re.compile(r"[^\W\d_]{3,}[,.:;?!]? [^\W\d_]{2,}|[^\W\d_]{2,}[,.:;?!]? [^\W\d_]{3,}")
_SHOWN_BY_APPS = ("Prediction", "compare")


@dataclass(frozen=True)
class Text:
    """A text of a cell: from ``start`` to ``end`` of its source, or all of it.

    Attributes:
        text: as it stands there, with its quotes where it is a literal of code.
        in_code: whether it is replaced in the source; the others of a code cell are translated where they are shown.
    """

    text: str
    start: int
    end: int
    in_code: bool = True


def texts(cell: NotebookNode) -> Iterator[Text]:
    """What a learner reads in a cell. Cells in which a learner writes are left as they are: checks know their stubs."""
    if cell.cell_type == "markdown":
        yield Text(cell.source, 0, len(cell.source))
    elif cell.cell_type == "code" and "exercise" not in cell.metadata.get("tags", []):
        yield from _literals(cell.source)
        yield from _comments(cell.source)


def in_language(notebook: NotebookNode, code: str) -> NotebookNode:
    """A copy in the language ``code``, without outputs; its first code cell chooses the language."""
    if code == ENGLISH:
        return notebook
    translated, known = deepcopy(notebook), catalogue(code)
    for cell in translated.cells:
        for text in sorted(texts(cell), key=lambda text: -text.start):
            if text.in_code:
                cell.source = cell.source[: text.start] + known.gettext(text.text) + cell.source[text.end :]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    first = next(cell for cell in translated.cells if cell.cell_type == "code")
    first.source = f'from shira_lab.course.language import use_language\n\nuse_language("{code}")\n\n{first.source}'
    return translated


def _literals(source: str) -> Iterator[Text]:
    tree = compile(source, "cell", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    shown, inside = set[ast.AST](), set[ast.AST]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in _SHOWN_BY_APPS:
            shown |= {*ast.walk(node)}
        if isinstance(node, ast.JoinedStr):
            inside |= {*ast.walk(node)} - {node}
    lines = source.splitlines(keepends=True)

    def place(line: int, byte: int) -> int:
        return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:byte].decode())

    for node in ast.walk(tree):
        if node in inside or not isinstance(node, ast.JoinedStr | ast.Constant):
            continue
        start, end = place(node.lineno, node.col_offset), place(node.end_lineno or 0, node.end_col_offset or 0)
        literal = source[start:end]
        if node in shown:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield Text(node.value, start, end, in_code=False)
        elif isinstance(getattr(node, "value", ""), str) and _WORDS.search(re.sub(r"\{[^{}]*\}", "", literal)):
            yield Text(literal, start, end)


def _comments(source: str) -> Iterator[Text]:
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and _WORDS.search(token.string):
            start = sum(map(len, lines[: token.start[0] - 1])) + token.start[1]
            yield Text(token.string, start, start + len(token.string))
