"""Run a notebook from top to bottom in a kernel of its own, as a learner does with "Restart Kernel and Run All"."""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

CELL_SECONDS = 600
# Without it ipykernel warns, on every start, that others on this machine could listen.
ENCRYPTED = Config(KernelManager={"transport_encryption": "auto"})


def run_notebook(path: Path) -> NotebookNode:
    """The notebook at `path` with the outputs of a fresh run; the file stays as it is.

    Raises nbclient's CellExecutionError, which shows the cell and its traceback, where a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    run(notebook, path.parent)
    return notebook


def run(notebook: NotebookNode, folder: Path) -> None:
    """Run `notebook` in `folder`, as `run_notebook` does, and put the outputs into it.

    Nobody learns here, so nothing is written into anybody's progress.
    """
    NotebookClient(
        notebook,
        config=ENCRYPTED,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
    ).execute(env={**os.environ, "SHIRA_LAB_PROGRESS": "off"})
