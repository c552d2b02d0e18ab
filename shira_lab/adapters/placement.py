"""Where the parts of a model are, against where somebody expects them to be.

Adapters go to the devices of their layers. Moving or spreading a model is the work of ``model.to`` or of accelerate.
"""

from typing import Any

import torch
from torch import nn

from shira_lab.errors import ShiraError


def check_placement(model: nn.Module, device_map: dict[str, Any]) -> None:
    """Check that the parameters below each module's path ("" is the model) are on its device; longer paths win.

    Raises:
        ShiraError: naming the first parameter that is elsewhere, or what is no such map.
    """
    if not isinstance(device_map, dict):
        raise ShiraError(
            f"`device_map={device_map!r}` would place the model, which is not done here: place it first, with "
            "`model.to(device)` or transformers' `from_pretrained(..., device_map=...)`."
        )
    for name, parameter in model.named_parameters():
        paths = [path for path in device_map if not path or f"{name}.".startswith(f"{path}.")]
        if paths and not _same(parameter.device, device_map[max(paths, key=len)]):
            raise ShiraError(
                f"'{name}' is on {parameter.device}, not on {device_map[max(paths, key=len)]} as expected; an adapter "
                "goes to the device of its layer. Move the model first, with `model.to(device)`."
            )


def _same(device: torch.device, expected: Any) -> bool:
    """Whether these are one device; "cuda" is any of them."""
    try:
        wanted = torch.device(expected)
    except (RuntimeError, TypeError):
        raise ShiraError(f"{expected!r} is no device; name one such as 'cpu' or 'cuda:0'.") from None
    return device.type == wanted.type and wanted.index in (None, device.index)
