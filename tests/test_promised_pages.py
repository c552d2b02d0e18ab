"""Each row of the pages that promise something names a test that exists, in a file that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("what-is-safe.md", "coming-from-peft.md")
ROWS = [
    line
    for page in PAGES
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    if re.match(r"\| (?!.* Test \|$)", line)
]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_ends_with_its_test(row: str) -> None:
    found = re.search(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\) \|$", row)
    assert found, row
    name, path = found.groups()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path} has no {name}"


def test_the_pages_have_rows_and_the_readme_leads_to_them() -> None:
    assert len(ROWS) > 70
    assert all(f"(docs/{page})" in (ROOT / "README.md").read_text(encoding="utf-8") for page in PAGES)
