"""Kill a saving process at random moments and at every system call: the folder holds the old adapter or the new one.

python scripts/kill_saves.py [--kills 1000] [--seed 0]

The two adapters that take turns differ in r, positions, values, scale and file form, so that a mixture of them could
not pass for either. Needs ``fork`` (Linux, macOS).
"""

import argparse
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from shira_lab import PeftModel, ShiraConfig, get_peft_model
from shira_lab.adapters.storage.save import adapter_tensors, recorded_config

FORMS: tuple[dict[str, bool], ...] = ({}, {"compact": True}, {"safe_serialization": False})
#: What a save asks of the system. Killed before and after each of them, a process has been killed everywhere.
CALLS = ("open", "write", "fsync", "chmod", "replace", "unlink", "close", "mkdir")

Content = tuple[dict[str, Any], dict[str, Tensor]]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 32))


def adapter(r: int) -> PeftModel:
    return get_peft_model(net(), ShiraConfig(r, "all-linear", random_seed=r, scale=1 / r, init_weights=False))


def content(model: PeftModel) -> Content:
    config = recorded_config(model.base_model, "default").copy(inference_mode=True)
    return config.to_dict(), {
        name: value.detach().clone() for name, value in adapter_tensors(model.base_model, "default").items()
    }


def which(folder: Path, saved: dict[str, Content]) -> str:
    """The name of the one of these adapters that the folder holds.

    Raises:
        AssertionError: when it holds none of them, whole.
    """
    found, tensors = content(PeftModel.from_pretrained(net(), folder))
    for name, (config, values) in saved.items():
        if found == config and all(torch.equal(tensors[key], value) for key, value in values.items()):
            return name
    raise AssertionError(f"the folder holds a mixture: {sorted(path.name for path in folder.iterdir())}")


def in_a_child(work: Callable[[], object]) -> int:
    """Start ``work`` in a process of its own."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)


def kill_at_random(kills: int, seed: int, folder: Path) -> Counter[str]:
    """Kill a process that saves without end, ``kills`` times; returns which adapter was found how often."""
    dice = random.Random(seed)
    models = {"first": adapter(2), "second": adapter(5)}
    saved = {name: content(model) for name, model in models.items()}
    models["first"].save_pretrained(folder)
    started = time.perf_counter()
    for form in FORMS:
        models["first"].save_pretrained(folder, **form)
    usual = (time.perf_counter() - started) / len(FORMS)
    found: Counter[str] = Counter()

    def save_without_end() -> NoReturn:
        while True:
            for form in FORMS:
                for model in models.values():
                    model.save_pretrained(folder, **form)

    for _ in range(kills):
        child = in_a_child(save_without_end)
        time.sleep(dice.uniform(0, 8 * usual))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found[which(folder, saved)] += 1
    return found


def kill_at_every_call(before: dict[str, bool], after: dict[str, bool], folder: Path, keep: bool = True) -> list[str]:
    """Kill one save, of a second adapter over a first, at each of its calls; returns what was found each time.

    Args:
        before, after: the file forms of the two.
        keep: whether there is a first adapter; without it, the folder is empty, and "nothing" may be found.
    """
    first, second = adapter(2), adapter(5)
    saved = {"first": content(first), "second": content(second)}
    found: list[str] = []
    for last_call in range(1000):
        place = folder / str(last_call)
        if keep:
            first.save_pretrained(place, **before)

        def save(last_call: int = last_call, place: Path = place) -> None:
            _die_at(last_call)
            second.save_pretrained(place, **after)

        _, status = os.waitpid(in_a_child(save), 0)
        empty = not keep and not any(path.suffix in (".safetensors", ".bin") for path in place.glob("[!.]*"))
        found.append("nothing" if empty else which(place, saved))
        if not os.WIFSIGNALED(status):
            return found
    raise AssertionError("saving never came to an end")


def _die_at(call: int) -> None:
    """From here on, this process kills itself at the given number of calls of :data:`CALLS`, before or after it."""
    left = [call]

    def fatal(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            for moment in ("before", "after"):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                if moment == "before":
                    result = function(*args, **kwargs)
            return result

        return wrapped

    for name in CALLS:
        setattr(os, name, fatal(getattr(os, name)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill saving processes, and look at what they leave.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for before in FORMS:
        for after in FORMS:
            with tempfile.TemporaryDirectory() as folder:
                found = Counter(kill_at_every_call(before, after, Path(folder)))
            print(
                f"{before or 'usual'} -> {after or 'usual'}: killed at {sum(found.values()) - 1} calls, {dict(found)}"
            )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        found = kill_at_random(options.kills, options.seed, Path(folder))
        left = len(list(Path(folder).iterdir()))
    seconds = time.perf_counter() - started
    print(f"{options.kills} random kills in {seconds:.0f} s: {dict(found)}; {left} files in the folder")


if __name__ == "__main__":
    main()
