"""From a move of the r slider to the painted picture, in a real Chromium on a real JupyterLab."""

import os
import re
import shutil
import statistics
import tempfile
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, sync_playwright

from scripts.lab_server import jupyter_lab

CELL = """import torch
from torch import nn
from shira_lab.course.widgets import MaskExplorer
torch.manual_seed(0)
MaskExplorer(nn.Sequential(nn.Linear(768, 768), nn.Linear(8, 8)), layer="0", r=16)"""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
MOVES = 60
WAIT_MS = 120_000
STARTED = re.compile(r"\[[*\d]")  # the prompt of a cell that runs or has run
# A move is an input event, as the mouse makes it. The picture is there one frame after the canvas (or the spectrum's
# curve) was drawn.
MEASURE = """async ({moves, spectrum}) => {
  const slider = document.querySelector(".shira-slider input");
  const canvas = document.querySelector("canvas.shira-mask");
  const curve = document.querySelector("svg.shira-spectrum");
  const frame = () => new Promise(requestAnimationFrame);
  let drawn = () => {};
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...all) {
    put.apply(this, all);
    if (!spectrum && this.canvas === canvas) drawn();
  };
  const watch = new MutationObserver(() => spectrum && drawn());
  watch.observe(curve, {childList: true});
  const times = [];
  for (let move = 0; move < moves; move++) {
    const painted = new Promise((resolve) => { drawn = resolve; });
    const start = performance.now();
    slider.value = 4 + ((7 * move) % 60);
    slider.dispatchEvent(new Event("input"));
    await painted;
    await frame();
    await frame();
    times.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  watch.disconnect();
  CanvasRenderingContext2D.prototype.putImageData = put;
  return times;
}"""


def browser_path() -> str | None:
    """Where Chromium is: the variable CHROMIUM, or a program that is found."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def slider_ms() -> dict[str, list[float]]:
    """Milliseconds of each move of a 768 x 768 mask: to the mask alone, and to the mask and its spectrum."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        notebooks = Path(folder) / "notebooks"
        notebooks.mkdir()
        nbformat.write(new_notebook(cells=[new_code_cell(CELL)], metadata=KERNEL), notebooks / "slider.ipynb")
        with jupyter_lab(notebooks, Path(folder) / "home") as address:
            browser = playwright.chromium.launch(
                executable_path=browser_path(), chromium_sandbox=False, args=["--disable-gpu"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address.format("slider.ipynb"))
            page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=WAIT_MS)
            started = page.locator(".jp-InputPrompt").get_by_text(STARTED)
            while not started.count():  # JupyterLab loses the command while it still talks to the kernel
                page.get_by_role("menuitem", name="Run", exact=True).click()
                page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
                page.wait_for_timeout(2000)
            page.locator("svg.shira-spectrum polyline").wait_for(timeout=WAIT_MS)
            found = {name: _moves(page, name == "mask and spectrum") for name in ("mask", "mask and spectrum")}
            browser.close()
    return found


def percentile_95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _moves(page: Page, spectrum: bool) -> list[float]:
    times: list[float] = page.evaluate(MEASURE, {"moves": MOVES, "spectrum": spectrum})
    return times[5:]  # the first moves warm up
