"""A lesson about a package that is missing stops with a sentence that helps, and with nothing else."""

import io
from contextlib import redirect_stdout

import pytest
from IPython.core.interactiveshell import InteractiveShell

from shira_lab.course.widgets.needs import MissingPackage, needs


def test_a_package_that_is_there_stops_nothing() -> None:
    needs("torch", "1.0")


def test_a_missing_package_is_named_with_what_to_do() -> None:
    with pytest.raises(MissingPackage) as stop:
        needs("no-such-package", "2.1")
    assert str(stop.value) == (
        "This lesson needs no-such-package 2.1 or newer, which is not installed here. Run "
        "`%pip install no-such-package` in a cell of its own, restart the kernel, and run the lesson again; until then "
        "it can be read as it is stored."
    )


def test_an_old_package_is_named_with_its_version() -> None:
    with pytest.raises(MissingPackage, match=r"which is installed as \S+\. Run `%pip install --upgrade torch` in"):
        needs("torch", "999")


def test_a_notebook_shows_the_sentence_alone() -> None:
    shown = io.StringIO()
    with redirect_stdout(shown):
        InteractiveShell().run_cell("from shira_lab.course.widgets.needs import needs\nneeds('no-such-package', '1')")
    assert shown.getvalue().startswith("This lesson needs no-such-package 1 or newer")
    assert "Traceback" not in shown.getvalue()
