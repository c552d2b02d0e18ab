"""Mixed batches: another adapter for each sample of a batch, or none, in one call. For use, not for training.

The batch is split where it enters the model: the whole model runs once for each adapter, on that adapter's samples,
and the outputs are put together again. Whatever the model does with rows in between, route tokens to experts,
pack them, put the sequence first, cannot mix the adapters up. PEFT shares rows out at each layer, and its SHiRA ignores
``adapter_names`` silently.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shira_lab.adapters.tree import BASE, check_known, switched
from shira_lab.adapters.tuner import AdapterModel
from shira_lab.errors import AdapterError
from shira_lab.layers.layer import here

# Arguments of transformers' models that each adapter's samples get whole, as they get the settings of `generate`.
_SETTINGS = frozenset({"cache_position", "logits_to_keep", "tokenizer", "generation_config"})
# Outputs of theirs that are kept for a next call, in a form of their own. They are left out.
_CACHES = frozenset({"past_key_values", "mems", "cache_params", "past_buckets_states"})


# Compiled code leaves it alone, but by the caller's word: as a decorator that would import the whole compiler at once.
@torch.no_grad()
def run_mixed(
    model: AdapterModel,
    run: Callable[..., Any],
    adapter_names: Sequence[str],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """What ``run(*args, **kwargs)`` gives sample i with the adapter ``adapter_names[i]``, "__base__" being none.

    A tensor among the arguments whose first dimension is the number of samples holds a row for each of them; one whose
    first dimension is 1 serves all. Outputs have a row for each sample, too, or several where several sequences are
    generated; sequences that ended early are padded. Caches are left out of the outputs.

    Args:
        model: the adapters. Which of them are active does not change, and other threads notice nothing.
        run: the user's model, or its ``generate``.
        adapter_names: a name for each sample.
        args: positional arguments of ``run``.
        kwargs: keyword arguments of ``run``.

    Raises:
        AdapterError: before anything ran: for a name that is not there, another number of samples, training mode,
            merged adapters, or an argument that cannot be shared out. Afterwards: for an output without rows.
    """
    given = {**{f"argument {i}": value for i, value in enumerate(args)}, **kwargs}
    names = _checked(model, adapter_names, given)
    rows = {name: [i for i, other in enumerate(names) if other == name] for name in dict.fromkeys(names)}
    generates = run is not model.model
    settings = vars(model.model.generation_config) if generates else {}
    whole = {key for key in given if len(rows) == 1 or key in _SETTINGS or key in settings}
    shares = [
        {key: value if key in whole else _share(value, key, mine, len(names)) for key, value in given.items()}
        for mine in rows.values()
    ]
    modules = [module for _, module in (*model.adapter_layers(), *model.wrapped_modules())]
    outputs = []
    for name, share in zip(rows, shares, strict=True):
        positional = [share.pop(f"argument {i}") for i in range(len(args))]
        with _acting({module: [name] for module in modules}), torch.compiler.set_stance("force_eager"):
            outputs.append(run(*positional, **share))
    if len(rows) == 1:
        return outputs[0]
    if generates:
        _pad(outputs, [kwargs, vars(kwargs.get("generation_config", model.model.generation_config)), settings])
    return _together(outputs, list(rows.values()), "output", several=generates)


@contextmanager
def _acting(names: Mapping[nn.Module, Sequence[str]]) -> Iterator[None]:
    """Inside, in this thread, these adapters act on these modules."""
    before, here.acting = here.acting, names
    try:
        yield
    finally:
        here.acting = before


def _checked(model: AdapterModel, adapter_names: Sequence[str], given: Mapping[str, Any]) -> list[str]:
    """The adapter of each sample; all of them "__base__" while adapters are disabled."""
    if isinstance(adapter_names, str):
        raise AdapterError(f"`adapter_names` should be a list, one name for each sample; got {adapter_names!r}.")
    names = list(adapter_names)
    check_known(model.peft_config, (name for name in names if name != BASE))
    sizes = (len(v) for v in _tensors({k: v for k, v in given.items() if k not in _SETTINGS}) if v.dim() > 0)
    samples = next(sizes, None)
    if samples is None or samples != len(names):
        raise AdapterError(
            "Length of `adapter_names` should be the same as the number of inputs, but got "
            f"{len(names)} and {samples} respectively."
        )
    if model.training:
        raise AdapterError("Cannot pass `adapter_names` when the model is in training mode; call `model.eval()` first.")
    if any(layer.merged for _, layer in model.adapter_layers()):
        raise AdapterError(
            "Cannot pass `adapter_names` when there are merged adapters, please call `unmerge_adapter` first."
        )
    return names if any(not module.disable_adapters for module in switched(model.model)) else [BASE] * len(names)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in dicts of dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _tensors(entry)


def _share(value: Any, name: str, rows: list[int], samples: int) -> Any:
    """What the samples at ``rows`` get of an argument."""
    if isinstance(value, Mapping):
        return _like(value, {key: _share(entry, f"{name}['{key}']", rows, samples) for key, entry in value.items()})
    if isinstance(value, Tensor):
        if value.dim() > 0 and len(value) == samples:
            return value[rows]
        if value.dim() == 0 or len(value) == 1:
            return value
        what = f"is a tensor of shape {tuple(value.shape)} for {samples} samples"
    elif _is_plain(value):
        return value
    else:
        what = f"is a {type(value).__name__}, and nobody knows which sample has what of it"
    raise AdapterError(
        f"`adapter_names`: `{name}` {what}, so it cannot be shared out among the adapters. Leave it out, or run each "
        "adapter's samples alone."
    )


def _together(outputs: Sequence[Any], rows: Sequence[list[int]], name: str, several: bool) -> Any:
    """One output for the whole batch.

    Args:
        outputs: what the samples of each adapter gave.
        rows: the places of these samples in the batch.
        name: what the output is called in an error.
        several: whether there may be several rows for each sample, the same number for all.
    """
    first = outputs[0]
    if isinstance(first, Mapping):
        keys = [key for key in first if key not in _CACHES]
        return _like(first, {k: _together([o[k] for o in outputs], rows, f"{name}['{k}']", several) for k in keys})
    if isinstance(first, tuple | list) and len({len(output) for output in outputs}) == 1:
        items = enumerate(zip(*outputs, strict=True))
        return type(first)([_together(parts, rows, f"{name}[{i}]", several) for i, parts in items])
    if isinstance(first, Tensor) and first.dim() > 0 and len({output.shape[1:] for output in outputs}) == 1:
        each = {len(output) / len(mine) for output, mine in zip(outputs, rows, strict=True)}
        if each == {1.0} or (several and len(each) == 1):
            order = torch.tensor([i for mine in rows for i in mine]).argsort()
            return torch.cat(list(outputs)).unflatten(0, (len(order), -1))[order].flatten(0, 1)
    if not isinstance(first, Tensor) and _is_plain(first) and all(output == first for output in outputs):
        return first
    raise AdapterError(
        f"`adapter_names`: `{name}` has no row for each sample, so what the adapters gave cannot be put together. Ask "
        "the model for less, for instance without `labels`, or run each adapter's samples alone."
    )


def _pad(outputs: list[Any], settings: Sequence[Mapping[str, Any]]) -> None:
    """Bring generated sequences, which come alone or in an output's field, to one length, as ``generate`` would."""
    wide = max((_sequences(output) for output in outputs), key=lambda ids: ids.shape[1])
    for i, output in enumerate(outputs):
        ids = _sequences(output)
        if ids.shape[1] < wide.shape[1]:
            ids = F.pad(ids, (0, wide.shape[1] - ids.shape[1]), value=_pad_token(settings))
            outputs[i] = ids if isinstance(output, Tensor) else _like(output, {**output, "sequences": ids})


def _sequences(output: Any) -> Any:
    return output if isinstance(output, Tensor) else output["sequences"]


def _pad_token(settings: Sequence[Mapping[str, Any]]) -> int:
    """The token that fills up, or else the first that ends a sequence, by the first of ``settings`` that has one."""
    found = [s[key] for key in ("pad_token_id", "eos_token_id") for s in settings if s.get(key) is not None]
    return int(torch.as_tensor(found[0]).flatten()[0])


def _like(value: Any, content: dict[Any, Any]) -> Any:
    """A dict or an output of transformers' models with other content."""
    return type(value)(content) if type(value) is dict else type(value)(**content)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float | torch.dtype)
