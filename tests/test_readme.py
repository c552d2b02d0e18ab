"""What the README shows is what happens."""

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n+```text\n(?P<printed>.*?)```", re.DOTALL)


def test_the_example_prints_what_stands_below_it() -> None:
    [(code, expected)] = EXAMPLE.findall(README)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue() == expected


def test_every_file_that_is_linked_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (Path(__file__).parent.parent / target).exists(), target


def test_the_excerpt_of_the_method_stands_in_its_file() -> None:
    [excerpt] = re.findall(r"```python\n(class SparseWeightGrad.*?)```", README, re.DOTALL)
    assert excerpt in (Path(__file__).parent.parent / "shira_lab" / "minimal.py").read_text(encoding="utf-8")
