"""A drawn mask as a Python file of its own, for people who use PEFT and not this package.

The functions in it are read from the source of :mod:`shira_lab.course.masks.drawn`, so that there is one of each.
"""

import inspect

from torch import Tensor

from shira_lab.course.masks.drawn import drawn_positions, rings, stretched

TEMPLATE = '''"""A mask drawn by hand, as a mask function for PEFT's SHiRA:

    config = ShiraConfig(r={r}, mask_type="{name}")  # PEFT warns that it does not know the type
    config.mask_fn = {name}
"""

import torch
from torch import Tensor

SEED = {seed}
PICTURE = """
{picture}
"""


{functions}

def {name}(base_layer, r, **kwargs):
    """Ones at r(m + n) entries under the picture's paint, or as near to it as there is room."""
    m, n = base_layer.weight.shape
    if r * (m + n) > m * n:
        raise ValueError(f"r={{r}} is too large for a weight of {{m}} x {{n}}; the largest is {{m * n // (m + n)}}.")
    cells = torch.tensor([[mark == "#" for mark in line] for line in PICTURE.split()])
    mask = torch.zeros_like(base_layer.weight)
    mask.view(-1)[drawn_positions(cells, (m, n), r * (m + n), SEED)] = 1
    return mask
'''


def drawn_source(cells: Tensor, seed: int, name: str, r: int) -> str:
    """A module that defines ``name(base_layer, r, **kwargs) -> mask`` and imports nothing but torch.

    Args:
        cells: the painted cells (a, b), kept in the file as lines of ``#`` and ``.``.
        r: named in the example of its docstring; the function takes any.
    """
    picture = "\n".join("".join("#" if painted else "." for painted in row) for row in cells.tolist())
    return source_with(picture, str(seed), name, str(r))


def source_with(picture: str, seed: str, name: str, r: str) -> str:
    """The module of :func:`drawn_source`, with these texts in their places."""
    functions = "\n\n".join(inspect.getsource(function) for function in (rings, stretched, drawn_positions))
    return TEMPLATE.format(name=name, r=r, seed=seed, picture=picture, functions=functions)
