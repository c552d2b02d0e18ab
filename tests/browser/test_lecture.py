"""The page for lectures: a clicker's keys go on and back, and each reload ends the kernel of the page that goes."""

import os
import subprocess
import sys
from collections.abc import Iterator

import nbformat
import psutil
import pytest
from lab_server import ROOT, free_port, wait_for
from lesson import Lesson
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SECONDS = 120


def kernels(server: psutil.Process) -> int:
    return sum("ipykernel_launcher" in " ".join(child.cmdline()) for child in server.children())


LIGHT = "import ipywidgets\nipywidgets.Label('here')"
#: A presenter's row, and what came of its keys.
PRESENTER = """
import ipywidgets
from shira_lab.course.widgets.presenter import Presenter
place = ipywidgets.Label("at 0")
def step(by):
    place.value = f"at {int(place.value.removeprefix('at ')) + by}"
presenter = Presenter(step)
presenter.switch.value = True
presenter.show("One app", "?tab=One", None)
ipywidgets.VBox((presenter.view, ipywidgets.Text(description="elsewhere"), place))"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """Where the pages `light` and `presenter` are, and their server."""
    folder, port = tmp_path_factory.mktemp("lecture"), free_port()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for name, code in (("light", LIGHT), ("presenter", PRESENTER)):
        page = new_notebook(cells=[new_code_cell(code)], metadata={"kernelspec": kernel})
        nbformat.write(page, folder / f"{name}.ipynb")
    command = [sys.executable, "-m", "voila", str(folder), "--template=offline", "--no-browser"]
    environment = {**os.environ, "JUPYTER_PATH": str(ROOT / "dashboard")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--port={port}"], env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}/"
            wait_for(f"{address}voila/static/voila.js", server, folder / "log")
            yield f"{address}voila/render/{{}}.ipynb", psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(30)


def test_a_clickers_keys_go_on_and_back_wherever_the_focus_is(
    lesson: Lesson, served: tuple[str, psutil.Process]
) -> None:
    page = lesson.page
    page.goto(served[0].format("presenter"), timeout=1000 * SECONDS)
    expect(page.get_by_text("at 0")).to_be_visible(timeout=1000 * SECONDS)
    page.keyboard.press("PageDown")
    expect(page.get_by_text("at 1")).to_be_visible()
    page.get_by_label("elsewhere").focus()
    for key, place in (("PageDown", "at 2"), ("PageUp", "at 1")):
        page.keyboard.press(key)
        expect(page.get_by_text(place)).to_be_visible()


def test_a_reload_ends_the_kernel_of_the_page_before(lesson: Lesson, served: tuple[str, psutil.Process]) -> None:
    page, (address, server) = lesson.page, served
    page.goto(address.format("light"), timeout=1000 * SECONDS)
    for _ in range(3):
        expect(page.get_by_text("here")).to_be_visible(timeout=1000 * SECONDS)
        page.reload()
    expect(page.get_by_text("here")).to_be_visible(timeout=1000 * SECONDS)
    for _ in range(5 * SECONDS):
        if kernels(server) == 1:
            break
        page.wait_for_timeout(200)
    assert kernels(server) == 1
