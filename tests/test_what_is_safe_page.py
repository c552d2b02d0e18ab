"""Each row of ``docs/what-is-safe.md`` names a test that exists, in a file that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "what-is-safe.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| (?!What you do|Report)", line)]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_ends_with_its_test(row: str) -> None:
    found = re.search(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\) \|$", row)
    assert found, row
    name, path = found.groups()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path} has no {name}"


def test_the_page_has_rows_and_the_readme_leads_to_it() -> None:
    assert len(ROWS) > 30
    assert "(docs/what-is-safe.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
