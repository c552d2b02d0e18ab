"""Memory that a cell has freed goes back to the system, for whoever else learns on this machine.

The C library keeps freed memory that lies between pieces in use, for its next use. After a training run that is much.
"""

import ctypes
import sys
from functools import cache
from typing import Any


@cache
def gives_back_after_each_cell() -> None:
    """Have the kernel give free memory back after each cell from now on. Outside a notebook: nothing."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        return

    def give_back(_: Any) -> None:
        libc.malloc_trim(0)

    shell.events.register("post_run_cell", give_back)
