"""A folder of many adapters out of two trained ones: weighted sums on the way from the first to the second."""

from collections.abc import Sequence
from pathlib import Path

from shira_lab.adapters.model import PeftModel


def save_blends(model: PeftModel, adapters: Sequence[str], count: int, folder: str | Path) -> list[str]:
    """Save ``count`` adapters (1 - t) A1 + t A2 with t from 0 to 1, each in a folder of its own; returns their names.

    They are ordinary SHiRA adapters on the union of the positions, and none of them stays on the model.

    Raises:
        AdapterError: as :meth:`~shira_lab.adapters.model.PeftModel.add_weighted_adapter`.
    """
    first, second = adapters
    names = []
    for number in range(count):
        share = number / (count - 1)
        name = f"{number + 1:02}-{first}-{100 * (1 - share):.0f}-{second}-{100 * share:.0f}"
        model.add_weighted_adapter([first, second], [1 - share, share], name)
        model.save_pretrained(folder, selected_adapters=[name])
        model.delete_adapter(name)
        names.append(name)
    return names
