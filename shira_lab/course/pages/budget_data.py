"""What the budgets of a page need: for each known model its layers, and what a token leaves for the backward pass."""

from collections import Counter
from typing import Any

from shira_lab.analysis import costs
from shira_lab.course.widgets.budget_explorer import GROUP_LABELS, MAX_BATCH, MAX_LENGTH, in_words
from shira_lab.errors import ShiraError
from shira_lab.models.architectures import DTYPES, Architecture, find_architecture, known_models
from shira_lab.models.hub import EMBEDDED


def budget_data() -> dict[str, Any]:
    """The models by name, the groups of layers, and the bytes of a number in each of its roles."""
    labels = {EMBEDDED: f"{EMBEDDED} (2 million)"}
    labels |= {name: f"{name} ({in_words(size)})" for name, size in known_models().items()}
    return {
        "models": {name: {"label": label, **_model(find_architecture(name))} for name, label in labels.items()},
        "targets": GROUP_LABELS,
        "widths": {name: dtype.itemsize for name, dtype in DTYPES.items()},
        "maxBatch": MAX_BATCH,
        "maxLength": MAX_LENGTH,
        "bytes": {
            "float": costs.FLOAT32,
            "gradient": costs.GRADIENT,
            "adamw": costs.ADAMW,
            "shira": costs.FLOAT32 + costs.SHIRA_PLACE,
            "shiraFile": costs.SHIRA_FILE,
        },
    }


def _model(architecture: Architecture) -> dict[str, Any]:
    """Its parameters, and for each group of layers these by name and shape, and the bytes that a token keeps."""
    groups, full, uncounted = {}, dict.fromkeys(DTYPES, 0), ""
    for target in GROUP_LABELS:
        shapes = architecture.shapes(target)
        counted = Counter((path.rsplit(".", 1)[-1], shape) for path, shape in shapes.items())
        kept = dict.fromkeys(DTYPES, 0)
        for dtype in DTYPES:
            try:
                found = architecture.costs(1, shapes, 1, dtype)
            except ShiraError as error:
                uncounted = f" {error}"
            else:
                kept[dtype], full[dtype] = found["SHiRA"].activations, found["full"].activations
        layers = [{"name": name, "shape": shape, "count": count} for (name, shape), count in counted.items()]
        groups[target] = {"layers": layers, "kept": kept}
    return {"parameters": architecture.parameters, "kept": full, "groups": groups, "uncounted": uncounted}
