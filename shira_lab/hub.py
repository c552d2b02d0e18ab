"""Where models come from: the package itself, a folder, the local cache, and only then the hub.

A hub that cannot be reached is found out in two seconds, with a sentence that says what to do instead.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import torch
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from shira_lab.errors import ShiraError

EMBEDDED = "embedded"
PROBE_SECONDS = 2.0
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # the first kind that a repository has is taken
CONFIG = ("config.json",)
INSTEAD = "Use the folder of a saved model, or 'embedded', the model inside the package, which needs no network."


def load_model(name: str | Path = EMBEDDED) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer, in float32 on the CPU and in evaluation mode.

    Args:
        name: "embedded" for the small model inside the package, a folder written by ``save_pretrained``, or the
            name of a model on the hub such as "facebook/opt-125m"; the local cache is asked before the network.

    Raises:
        ShiraError: there is no such model, it cannot be reached, or it cannot be loaded without running code
            of its own.
    """
    if name == EMBEDDED:
        with as_file(files("shira_lab") / "embedded") as folder:
            return _load(folder)
    folder = Path(name).expanduser()
    return _load(folder if folder.is_dir() else _cached(str(name), WEIGHTS) or _download(str(name)))


def load_config(name: str | Path = EMBEDDED) -> PreTrainedConfig:
    """The configuration of a model alone, found as :func:`load_model` finds the model.

    Raises:
        ShiraError: there is no such model, it cannot be reached, or its configuration needs code of its own.
    """
    if name == EMBEDDED:
        with as_file(files("shira_lab") / "embedded") as folder:
            return _read_config(folder)
    folder = Path(name).expanduser()
    return _read_config(folder if folder.is_dir() else _cached(str(name), CONFIG) or _download(str(name), CONFIG))


def _read_config(folder: Path) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # what a file from anywhere says may fail in any way
        raise ShiraError(f"no configuration of a model could be read from {folder}: {error}") from error


def _load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with _without_progress_bars():
        try:
            # float32: many checkpoints are float16, which transformers would keep and a CPU trains badly in.
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ShiraError(f"no causal language model could be loaded from {folder}: {error}") from error
    return model.eval(), tokenizer


def _cached(name: str, needed: Sequence[str]) -> Path | None:
    """The folder of a hub model in the local cache, if a file that matches one of ``needed`` is there."""
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except HFValidationError:
        raise ShiraError(
            f"{name!r} is neither a folder nor the name of a model such as 'facebook/opt-125m'. {INSTEAD}"
        ) from None
    except LocalEntryNotFoundError:
        return None
    return folder if any(any(folder.glob(pattern)) for pattern in needed) else None


def _download(name: str, wanted: Sequence[str] = ()) -> Path:
    """Fetch the files of a hub model that match ``wanted``, by default all that it takes to use the model."""
    missing = f"{name!r} is neither a folder nor in the local cache"
    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE:
        raise ShiraError(f"{missing}, and HF_HUB_OFFLINE forbids to ask {endpoint}. {INSTEAD}")
    if not _answers(endpoint):
        raise ShiraError(f"{missing}, and {endpoint} did not answer in {PROBE_SECONDS:g} s. {INSTEAD}")
    try:
        return Path(snapshot_download(name, endpoint=endpoint, allow_patterns=[*(wanted or _usable(name, endpoint))]))
    except (HfHubHTTPError, OSError) as error:
        raise ShiraError(f"{missing}, and {endpoint} did not give it: {error}. {INSTEAD}") from error


def _usable(name: str, endpoint: str) -> list[str]:
    """Configuration, tokenizer, and one of the several kinds of weights that many models have."""
    repository = [Path(path) for path in HfApi(endpoint).list_repo_files(name)]
    weights = next((kind for kind in WEIGHTS if any(path.match(kind) for path in repository)), WEIGHTS[0])
    return ["*.json", "*.txt", "*.model", weights]


def _answers(endpoint: str) -> bool:
    """Whether anything answers at this address in time; in a thread, as looking up a name has no timeout."""
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(endpoint, method="HEAD")
            urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # a refusal is an answer, too
        except (OSError, ValueError):
            return
        answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    return answered.is_set()


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
