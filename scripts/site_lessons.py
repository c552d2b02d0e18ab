"""A stored lesson as a page.

What is to be read stays, what takes a kernel says so, and an exercise has its hint and its solution, folded.
"""

import re

from links import address, binder
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from site_apps import move

from shira_lab.course.exercises import EXERCISES
from shira_lab.course.widgets.still import HINT

#: The style of a stored app, which is Jupyter's alone; a lesson that was stored earlier may have an earlier one.
IN_JUPYTER = re.compile(r"^<style>.*?</style>", re.DOTALL)
PLOTLY = "application/vnd.plotly.v1+json"
HOW = '<a href="#with-a-kernel">how to get one</a>'
#: Stands above the picture of an app, in place of its hint for a notebook.
STILL = f"A picture of the app, as it was last. To move it takes a kernel: {HOW}."

WITH_A_KERNEL = """
<aside class="kernel" id="with-a-kernel">
<p><strong>Code does not run on this page.</strong> What you read was computed when the lesson was stored. Apps that
move say so. To run and change the code takes a kernel. Two ways to get one:</p>
<ul>
<li>on your machine: where shira-lab is installed with its extra <code>course</code>, <code>shira-lab lab</code> opens
all lessons in JupyterLab;</li>
<li>{elsewhere}.</li>
</ul>
</aside>
"""

EXERCISE = """
To try your answer with `check({name})` takes a kernel: {how}.

<details><summary>Hint: what the check says of the code as it stands</summary>

<div class="verdict">{hint}</div>

</details>

<details><summary>Solution</summary>

```python
{answer}
```

</details>
"""


def prepared(notebook: NotebookNode, name: str) -> NotebookNode:
    """The lesson with this file name, changed for a page."""
    move(notebook)
    cells = [cell for cell in notebook.cells if "YourProgress(" not in cell.source]
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            cells[number] = _asked(cell) if _checks(cell) else _read(cell)
    cells.insert(1, new_markdown_cell(WITH_A_KERNEL.format(elsewhere=_elsewhere(name))))
    notebook.cells = cells
    return notebook


def _elsewhere(name: str) -> str:
    file = f'<a href="{name}" download>{name}</a>'
    at = address()
    if at:
        return f'in a browser: <a href="{binder(at, name)}">Binder</a> starts a machine for this lesson, {file}'
    return f"on a Jupyter server where the package is installed: upload this lesson, {file}"


def _checks(cell: NotebookNode) -> str | None:
    """The exercise whose answer a cell tries."""
    last = cell.source.splitlines()[-1]
    name = last.removeprefix("check(").removesuffix(")")
    return name if last == f"check({name})" and name in EXERCISES else None


def _asked(cell: NotebookNode) -> NotebookNode:
    """In place of a check: what it says, and the solution, both folded."""
    name = str(_checks(cell))
    [verdict] = cell.outputs
    return new_markdown_cell(
        EXERCISE.format(name=name, how=HOW, hint=verdict.data["text/html"], answer=EXERCISES[name].answer)
    )


def _read(cell: NotebookNode) -> NotebookNode:
    """A cell whose figures are pictures with a text, and whose apps stand still and say so."""
    cell.outputs = [output for output in cell.outputs if output.get("data") != {}]
    for output in cell.outputs:
        data = output.get("data", {})
        if data.pop(PLOTLY, None):
            cell.metadata["mystnb"] = {"image": {"alt": data["text/plain"]}}
        if "text/html" in data:
            data["text/html"] = IN_JUPYTER.sub("", data["text/html"]).replace(HINT, STILL)
    return cell
