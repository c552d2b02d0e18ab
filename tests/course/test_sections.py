"""Whoever opens a lesson in the middle runs its first cell, and what the section names, and goes on from there."""

import ast
import builtins
import re
import symtable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from test_notebooks_stored import START, every_notebook

KNOWN = {*dir(builtins), "display", "get_ipython"}


@dataclass
class Section:
    """Code under one heading.

    Attributes:
        made, needed: names that its cells bind, and those that they look for before.
    """

    heading: str
    said: str = ""
    made: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)

    @property
    def short(self) -> str:
        """The heading as others name it: that of an exercise without its difficulty and minutes."""
        return self.heading.partition(": Your turn")[0]

    def add(self, source: str) -> None:
        made, used = names(source)
        self.needed |= used - made - self.made - KNOWN
        self.made |= made


def names(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell binds at its top, and the global ones that it reads anywhere."""
    tree = compile(source, "cell", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    table = symtable.symtable(ast.unparse(tree).replace("await ", ""), "cell", "exec")
    made = {one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()}
    tables, used = [table], set[str]()
    while tables:
        here = tables.pop()
        tables += here.get_children()
        used |= {
            one.get_name() for one in here.get_symbols() if one.is_referenced() and (here is table or one.is_global())
        }
    return made, used


def sections(path: Path) -> list[Section]:
    """The first cell, what else stands before the first heading, and the code under each heading."""
    first, found = Section("first cell"), [Section("opening")]
    begun = False
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            (found[-1] if begun else first).add(cell.source)
            begun = True
            continue
        for part in re.split(r"^## ", cell.source, flags=re.MULTILINE)[1:]:
            found.append(Section(part.splitlines()[0], said=said[1] if (said := START.search(part)) else ""))
    return [first, *found]


@every_notebook
def test_the_first_cell_needs_nothing_and_a_section_the_first_cell_or_what_it_says(path: Path) -> None:
    first, *others = sections(path)
    assert not first.needed
    for place, section in enumerate(others):
        makers: dict[int, list[str]] = {}
        for name in sorted(section.needed - first.made):
            maker = max(number for number, other in enumerate(others[:place]) if name in other.made)
            makers.setdefault(maker, []).append(f"`{name}`")
        expected = ", ".join(f"{others[maker].short} ({', '.join(makers[maker])})" for maker in sorted(makers))
        assert section.said == expected, section.heading


@pytest.mark.parametrize(
    ("source", "made", "used"),
    [
        ("import a.b\nfrom c import d as e", {"a", "e"}, set()),
        ("x = [y for y in z]", {"x"}, {"z"}),
        ("def f(v):\n    return v + w", {"f"}, {"w"}),
        ("tuned = await lab.finished()", {"tuned"}, {"lab"}),
        ("class C:\n    size = side", {"C"}, {"side"}),
    ],
)
def test_the_names_of_a_cell_are_found(source: str, made: set[str], used: set[str]) -> None:
    assert names(source) == (made, used)
