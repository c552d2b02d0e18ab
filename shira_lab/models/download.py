"""Fetch the files of a model with huggingface_hub, into its cache: locks, proxies, mirrors and storage are its own.

Here the hub is knocked at first, the size is known before anything comes, a file with other content than announced is
thrown away, and each fault becomes the end of a sentence.
"""

import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, get_session, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name
from tqdm import tqdm

from shira_lab.adapters.storage.files import write_atomic
from shira_lab.analysis.costs import in_units

PROBE_SECONDS = 2.0
ANSWER_SECONDS = 6.0  # with the probe before it, a hub that does not answer is given up within ten seconds

NO_ACCESS = (
    "refused ({}): there is no such model, or it is private or asks for consent to its terms. If you have access, set "
    "HF_TOKEN"
)
REFUSALS = {
    401: NO_ACCESS,
    403: NO_ACCESS,
    404: "has no model of that name ({})",
    429: "was asked too often ({}). Try again in a few minutes",
}

#: Called with (bytes that are here, bytes in all); first when the size is known, before anything is fetched.
Progress: TypeAlias = Callable[[int, int], None]


class HubTrouble(Exception):
    """Why the hub did not give a model, as the end of a sentence that began elsewhere."""


def fetch(
    name: str, endpoint: str, choose: Callable[[Sequence[str]], Sequence[str]], on_progress: Callable[[], Progress]
) -> Path:
    """The folder in the cache that holds the chosen files of a model.

    Args:
        name: the model's name on the hub.
        endpoint: the hub's address.
        choose: of the names of all files at the repository's top, those to fetch.
        on_progress: called once something has to be fetched.

    Raises:
        HubTrouble: the cache does not name this model yet; files that came whole stay there for the next call.
    """
    if not _answers(endpoint):
        raise HubTrouble(f"{endpoint} could not be reached")
    cache = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")
    with _explained(endpoint, cache):
        model = HfApi(endpoint).model_info(name, timeout=ANSWER_SECONDS)
        commit = _plain(model.sha)
        top = [file.rfilename for file in model.siblings or [] if not set(file.rfilename) & set("/\\")]
        missing = [file for file in choose(top) if not (cache / "snapshots" / commit / file).is_file()]
        if missing:
            _fetch_all(name, endpoint, commit, missing, on_progress())
    write_atomic(cache / "refs" / "main", commit.encode())
    return cache / "snapshots" / commit


def _fetch_all(name: str, endpoint: str, commit: str, files: Sequence[str], on_progress: Progress) -> None:
    urls = {file: hf_hub_url(name, file, revision=commit, endpoint=endpoint) for file in files}
    announced = {file: get_hf_file_metadata(url, timeout=ANSWER_SECONDS) for file, url in urls.items()}
    tags = {file: _plain(facts.commit_hash and facts.etag) for file, facts in announced.items()}
    sizes = {file: facts.size or 0 for file, facts in announced.items()}
    total, done = sum(sizes.values()), 0

    class Counter(tqdm):
        """What huggingface_hub takes for a bar of one file: hands on what came, and draws nothing."""

        def __init__(self, *_: Any, **__: Any) -> None:
            super().__init__(disable=True)

        def update(self, n: float | None = 1) -> None:
            nonlocal done
            done += int(n or 0)
            on_progress(done, total)

    on_progress(0, total)
    Path(constants.HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(constants.HF_HUB_CACHE).free
    if free < total:
        raise HubTrouble(f"the disk has {in_units(free)} left for the {in_units(total)} to come")
    for file, tag in tags.items():
        before = done
        try:
            path = Path(hf_hub_download(name, file, revision=commit, endpoint=endpoint, tqdm_class=Counter))
        except httpx2.TransportError as error:
            stalled = f"{endpoint} stopped sending, for {constants.HF_HUB_DOWNLOAD_TIMEOUT:g} s"
            broken = (
                f"the connection broke off after {in_units(done - before)} of the {in_units(sizes[file])} of {file}"
            )
            said = stalled if isinstance(error, httpx2.TimeoutException) else broken
            raise HubTrouble(f"{said}. Try again: the files that came whole are kept") from None
        if len(tag) in (40, 64) and _digest(path, tag) != tag:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise HubTrouble(f"{file} did not arrive as announced: its checksum is another one. Try again")
    on_progress(total, total)


def _plain(word: str | None) -> str:
    """``word``, which becomes the name of a file or a folder in the cache."""
    if not re.fullmatch(r"\w[\w.+=-]*", word or ""):
        raise ValueError(f"no name of a file: {word!r}")
    return str(word)


def _digest(path: Path, tag: str) -> str:
    """What the tag of a file of the hub is: git's SHA-1, which begins with the size, or the SHA-256 of a large one."""
    start = hashlib.sha256() if len(tag) == 64 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: start).hexdigest()


@contextmanager
def _explained(endpoint: str, cache: Path) -> Iterator[None]:
    try:
        yield
    except HfHubHTTPError as error:
        raise HubTrouble(f"{endpoint} {_refusal(error.response.status_code)}") from None
    except httpx2.TimeoutException:
        raise HubTrouble(f"{endpoint} took a request and did not answer it in {ANSWER_SECONDS:g} s") from None
    except (httpx2.HTTPError, LocalEntryNotFoundError) as error:
        raise HubTrouble(f"the connection to {endpoint} failed ({error.__cause__ or error})") from None
    except OSError as error:
        raise HubTrouble(f"what {endpoint} gave could not be kept in {cache} ({error.strerror or error})") from error
    except (ValueError, TypeError, KeyError) as error:
        raise HubTrouble(f"what answers at {endpoint} does not speak the protocol of the hub ({error!r})") from None


def _refusal(status: int) -> str:
    if status >= 500:
        return f"is in trouble itself ({status}). Try again later"
    return REFUSALS.get(status, "refused ({})").format(status)


def _answers(endpoint: str) -> bool:
    """Whether anything answers at this address in time; in a thread, as looking up a name has no timeout."""
    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(endpoint, timeout=PROBE_SECONDS)
            answered.set()
        except (OSError, ValueError, httpx2.HTTPError, httpx2.InvalidURL):
            pass

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(PROBE_SECONDS)
