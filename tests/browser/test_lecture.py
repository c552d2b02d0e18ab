"""The page for lectures leaves nothing behind: each reload ends the kernel of the page that goes."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from lab_server import ROOT, free_port, wait_for
from lesson import Lesson
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SECONDS = 60


def kernels(server: psutil.Process) -> int:
    return sum("ipykernel_launcher" in " ".join(child.cmdline()) for child in server.children())


def test_a_reload_ends_the_kernel_of_the_page_before(lesson: Lesson, tmp_path: Path) -> None:
    page, port = lesson.page, free_port()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_code_cell("import ipywidgets\nipywidgets.Label('here')")]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "page.ipynb")
    command = [sys.executable, "-m", "voila", str(tmp_path / "page.ipynb"), "--template=offline", "--no-browser"]
    environment = {**os.environ, "JUPYTER_PATH": str(ROOT / "dashboard")}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--port={port}"], env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}/"
            wait_for(f"{address}voila/static/voila.js", server, tmp_path / "log")
            page.goto(address)
            for _ in range(3):
                expect(page.get_by_text("here")).to_be_visible(timeout=1000 * SECONDS)
                page.reload()
            expect(page.get_by_text("here")).to_be_visible(timeout=1000 * SECONDS)
            for _ in range(5 * SECONDS):
                if kernels(psutil.Process(server.pid)) == 1:
                    break
                page.wait_for_timeout(200)
            assert kernels(psutil.Process(server.pid)) == 1
        finally:
            server.terminate()
            server.wait(30)
