"""The costs of a page, by counting and by the clock: pictures and words for each size of a layer that was measured."""

from typing import Any

from shira_lab.course.figures.count import compared, count_svg, sizes
from shira_lab.course.speed import shipped
from shira_lab.course.widgets.count_and_clock import switch_in_words


def speed_data() -> dict[str, Any]:
    """``moments``: for each ``size`` the picture as ``svg`` and the sentence that is ``said`` with it."""
    growth = shipped()
    machine = ", ".join(f"{name} {fact}" for name, fact in growth.machine.items())
    rows = {size: compared(growth, size) for size in sizes(growth)}
    return {
        "moments": [
            {"size": size, "svg": count_svg(found), "said": switch_in_words(size, found)}
            for size, found in rows.items()
        ],
        "note": f"These times are recorded: {machine}.",
    }
