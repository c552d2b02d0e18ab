"""What the painter of a page needs: how many cells a drawing has, and the module that a drawing becomes."""

from typing import Any

from shira_lab.course.masks.drawn_source import source_with
from shira_lab.course.widgets.paint_canvas import SIZE


def painter_data() -> dict[str, Any]:
    """``size`` of a drawing, and the ``template`` of its source: what the page fills in stands in angle brackets."""
    return {"size": SIZE, "template": source_with("<picture>", "<seed>", "<name>", "<r>")}
