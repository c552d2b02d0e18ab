"""Which app came from which cell, so that running a cell again replaces its apps instead of piling them up.

The browser keeps every widget that was ever shown until it is closed; a plotly figure holds 5 MB there.
"""

from typing import Protocol
from weakref import WeakSet


class Closeable(Protocol):
    def close(self) -> None: ...


#: cell id -> the run that made the apps, and the apps.
_made: dict[str, tuple[str, WeakSet[Closeable]]] = {}


def replaces_its_predecessor(app: Closeable) -> None:
    """Close what an earlier run of the current cell has made, and remember ``app``. Outside a notebook: nothing."""
    cell, run = _current()
    if not cell:
        return
    earlier, apps = _made.get(cell, (run, WeakSet()))
    if earlier != run:
        for old in list(apps):
            old.close()
        apps = WeakSet()
    apps.add(app)
    _made[cell] = run, apps


def _current() -> tuple[str, str]:
    """The id of the cell that is running and of this run of it; empty outside a notebook."""
    from IPython.core.getipython import get_ipython

    parent: dict[str, dict[str, str]] = getattr(get_ipython(), "get_parent", dict)() or {}
    return parent.get("metadata", {}).get("cellId", ""), parent.get("header", {}).get("msg_id", "")
