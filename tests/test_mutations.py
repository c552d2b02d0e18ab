"""The mistakes that the mutation test puts into the source: one at a time, and none where nobody could notice it."""

import ast

from mutants import EXPLAINED, TESTS, all_files, mutants_of
from mutations import mutants

SOURCE = '''
"""A docstring."""
import torch

@torch.no_grad()
def f(x: int = 1) -> "str":
    """Another."""
    assert x is not None
    if x < 2 and x:
        raise ValueError(f"{x} is small")
    y = x.detach() + 1
    return torch.sum(y, dim=0)
'''


def changes(line: str) -> set[str]:
    return {mutant.text for mutant in mutants("f.py", SOURCE) if SOURCE.splitlines()[mutant.first - 1].strip() == line}


def test_each_mutant_is_the_source_with_one_line_changed() -> None:
    lines = SOURCE.splitlines()
    found = list(mutants("f.py", SOURCE))
    assert len({mutant.source for mutant in found}) == len(found) == 18
    for mutant in found:
        ast.parse(mutant.source)
        different = [i + 1 for i, (a, b) in enumerate(zip(lines, mutant.source.splitlines(), strict=True)) if a != b]
        assert different == [mutant.first] == [mutant.last]
        assert str(mutant) == f"f.py: {' '.join(mutant.source.splitlines()[mutant.first - 1].split())}"


def test_operators_conditions_values_and_calls_are_exchanged() -> None:
    assert changes("if x < 2 and x:") == {
        "if (x < 2 or x):", "if (x):", "if (x < 2):", "if (x <= 2) and x:", "if (x >= 2) and x:", "if x < (3) and x:"
    }  # fmt: skip
    assert changes("y = x.detach() + 1") == {
        "y = None", "y = (x.detach() - 1)", "y = (x) + 1", "y = x.detach() + (2)"
    }  # fmt: skip
    assert changes("return torch.sum(y, dim=0)") == {
        "return None # torch.sum(y, dim=0)", "return (torch.sum(y))", "return (torch)", "return torch.sum(y, dim=(1))"
    }  # fmt: skip
    assert changes('raise ValueError(f"{x} is small")') == {
        "pass # raise ValueError(f'{x} is small')", 'raise ValueError(("?"))'
    }  # fmt: skip
    assert changes("@torch.no_grad()") == {"@(lambda same: same) # torch.no_grad()"}
    assert changes('def f(x: int = 1) -> "str":') == {'def f(x: int = (2)) -> "str":'}


def test_what_only_people_and_mypy_read_is_left_alone() -> None:
    untouched = ('"""A docstring."""', "import torch", '"""Another."""', "assert x is not None")
    assert all(changes(line) == set() for line in untouched)


def test_the_page_of_accepted_mutants_names_only_mutants_that_exist() -> None:
    lines = EXPLAINED.read_text(encoding="utf-8").splitlines()
    named = {line.strip() for line in lines if line.startswith("    shira_lab/")}
    made = {str(mutant) for file in all_files() for mutant in mutants_of(file)}
    assert named and not named - made, "lines of tests/mutants.md to take out, or to write anew"


def test_the_tests_that_meet_the_mutants_exist() -> None:
    assert set(TESTS) <= {path.stem.removeprefix("test_") for path in EXPLAINED.parent.rglob("test_*.py")}
