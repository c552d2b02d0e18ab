"""Which adapters act in the calls of one thread, in place of those that are active for all of them."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import nn


class _Here(threading.local):
    """What holds for the calls of this thread. Compiled code does not look here: see ``torch.compiler.set_stance``."""

    acting: Mapping[nn.Module, Sequence[str]] | None = None


here = _Here()


@contextmanager
def acting(names: Mapping[nn.Module, Sequence[str]]) -> Iterator[None]:
    """Inside, in this thread, these adapters act on these modules."""
    before, here.acting = here.acting, names
    try:
        yield
    finally:
        here.acting = before


def acting_names(module: nn.Module, active: Sequence[str]) -> Sequence[str]:
    """The adapters that act on ``module`` here, where ``active`` are active for all threads."""
    return active if here.acting is None else here.acting.get(module, active)
