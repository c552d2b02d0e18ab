"""The modules of a model, each with its path, in the order in which the model holds them."""

from collections.abc import Iterator

from torch import nn


def walk(model: nn.Module, stop_at: tuple[type[nn.Module], ...] = ()) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) of all modules below ``model``, not descending into those of the ``stop_at`` types."""

    def visit(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            yield path, child
            if not isinstance(child, stop_at):
                yield from visit(f"{path}.", child)

    return visit("", model)
