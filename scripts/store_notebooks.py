"""Run notebooks and store them with their outputs, such that running them again gives the same files.

    python scripts/store_notebooks.py                              every lesson
    python scripts/store_notebooks.py notebooks/01-start-here.ipynb

What differs from run to run or from machine to machine (widget ids and state, timings, the Python version) is left
out; a stored widget keeps its picture and its text. Figures get a picture too, drawn by kaleido and Chromium.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from run_notebook import run_notebook

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def normalise(notebook: NotebookNode, stem: str) -> NotebookNode:
    """`notebook` without what no second run would repeat; a cell without an id is named after `stem` and its place."""
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells, start=1):
        cell.setdefault("id", f"{stem}-{number:02}")
        for transient in ("execution", "collapsed", "scrolled"):
            cell.metadata.pop(transient, None)
        for output in cell.get("outputs", []):
            # A view refers to a live widget by a random id; its picture and text stay.
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def main(paths: list[Path]) -> None:
    os.environ["SHIRA_LAB_PICTURES"] = "1"
    for path in paths:
        print(f"running {path} ...", flush=True)
        nbformat.write(normalise(run_notebook(path), path.stem), path)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")))
