"""Chromium and JupyterLab for the tests of this folder."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from lab_server import ROOT, jupyter_lab
from lesson import Lesson
from playwright.sync_api import sync_playwright

#: Where Chromium is, if it is not on the path under one of the usual names.
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = [f"--disable-{what}" for what in ("gpu", "quic", "background-networking", "component-update", "sync")]


@pytest.fixture(scope="module")
def change_source() -> Callable[[str], str]:
    """What the copies of the lessons have in place of a cell's source; a module may say another."""
    return str


@pytest.fixture(scope="module")
def lab_address(tmp_path_factory: pytest.TempPathFactory, change_source: Callable[[str], str]) -> Iterator[str]:
    """JupyterLab on a copy of the lessons without their outputs: what is seen was made now, by this module."""
    notebooks = tmp_path_factory.mktemp("notebooks")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        lesson = nbformat.read(path, as_version=4)
        for cell in lesson.cells:
            if cell.cell_type == "code":
                cell.source, cell.outputs, cell.execution_count = change_source(cell.source), [], None
        nbformat.write(lesson, notebooks / path.name)
    with jupyter_lab(notebooks, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    """An empty page of 1280 x 800 in a fresh Chromium."""
    if CHROMIUM is None:
        pytest.fail(
            "No Chromium was found: install one (Debian: apt-get install chromium), or set CHROMIUM to its path."
        )
    with sync_playwright() as playwright:
        profile = tmp_path_factory.mktemp("profile")
        size = {"width": 1280, "height": 800}
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, chromium_sandbox=False, args=QUIET, viewport=size
        )
        yield Lesson(browser.pages[0])
        browser.close()


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    """A folder for screenshots, if SHIRA_LAB_SCREENSHOTS names one."""
    folder = os.environ.get("SHIRA_LAB_SCREENSHOTS")
    return Path(folder) if folder else None
