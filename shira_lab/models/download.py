"""Fetch the files of a model from the hub into its local cache: the size is told first, a break is gone on from, a
stalled hub is given up, and a file is in the cache whole and with the announced content, or not at all.

The cache has the layout of huggingface_hub, whose own download begins anew after each break.
"""

import hashlib
import json
import os
import shutil
import string
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from huggingface_hub import constants, get_token
from huggingface_hub.file_download import repo_folder_name

from shira_lab.adapters.storage.files import write_atomic
from shira_lab.analysis.costs import in_units

PROBE_SECONDS = 2.0
STALL_SECONDS = 6.0  # with the probe before it, a hub that hangs is given up within ten seconds
ATTEMPTS = 3  # at a file that breaks off
CHUNK = 1 << 16

#: Called with (bytes that are here, bytes in all); first when the size is known, before anything is fetched.
Progress: TypeAlias = Callable[[int, int], None]


class HubTrouble(Exception):
    """Why the hub did not give a model, as the end of a sentence that began elsewhere."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub announces it; ``digest`` is git's SHA-1 of small files and SHA-256 of large ones."""

    name: str
    size: int
    digest: str


def fetch(
    name: str, endpoint: str, choose: Callable[[Sequence[str]], Sequence[str]], on_progress: Callable[[], Progress]
) -> Path:
    """The folder in the cache that holds the chosen files of a model.

    Args:
        choose: of the names of all files at the repository's top, those to fetch.
        on_progress: called once something has to be fetched.

    Raises:
        HubTrouble: what has come by then stays, unseen by others, for the next call to go on from.
    """
    if not _answers(endpoint):
        raise HubTrouble(f"{endpoint} could not be reached")
    commit, there = _listing(name, endpoint)
    chosen = set(choose([file.name for file in there]))
    cache = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")
    snapshot = cache / "snapshots" / commit
    missing = [file for file in there if file.name in chosen and not (snapshot / file.name).exists()]
    try:
        if missing:
            parts = {file: cache / "blobs" / f"{file.digest}.incomplete" for file in missing}
            _fetch_all(f"{endpoint}/{quote(name)}/resolve/{commit}", parts, on_progress())
            snapshot.mkdir(parents=True, exist_ok=True)
            for file, part in parts.items():
                os.replace(part, snapshot / file.name)
        write_atomic(cache / "refs" / "main", commit.encode())
    except OSError as error:
        raise HubTrouble(f"what {endpoint} gave could not be kept in {cache} ({error.strerror or error})") from error
    return snapshot


def _listing(name: str, endpoint: str) -> tuple[str, list[RemoteFile]]:
    """The commit that is current, and the files at the repository's top."""
    with _opened(f"{endpoint}/api/models/{quote(name)}/revision/main?blobs=true", endpoint) as response:
        try:
            content = json.loads(response.read())
            commit = _hexadecimal(content["sha"])
            files = [_announced(entry) for entry in content["siblings"] if not set(entry["rfilename"]) & set("/\\")]
        except (ValueError, TypeError, KeyError) as error:
            raise HubTrouble(f"what answers at {endpoint} does not speak the protocol of the hub ({error!r})") from None
    return commit, files


def _announced(entry: dict[str, Any]) -> RemoteFile:
    digest = entry["lfs"]["sha256"] if entry.get("lfs") else entry["blobId"]
    return RemoteFile(entry["rfilename"], int(entry["size"]), _hexadecimal(digest))


def _hexadecimal(word: str) -> str:
    """``word``, which becomes the name of a file or a folder here."""
    if not word or set(word) - set(string.hexdigits):
        raise ValueError(f"no digest: {word!r}")
    return word


def _fetch_all(address: str, parts: dict[RemoteFile, Path], on_progress: Progress) -> None:
    total = sum(file.size for file in parts)
    done = sum(_size(part) for part in parts.values())
    on_progress(done, total)
    first = next(iter(parts.values()))
    first.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(first.parent).free
    if free < total - done:
        raise HubTrouble(f"the disk has {in_units(free)} left for the {in_units(total - done)} to come")
    for file, part in parts.items():
        others = sum(_size(other) for other in parts.values()) - _size(part)
        _fetch_whole(f"{address}/{quote(file.name)}", file, part, partial(_advance, on_progress, others, total))
        if _digest(part, file) != file.digest:
            part.unlink()
            raise HubTrouble(f"{file.name} did not arrive as announced: its checksum is another one. Try again")


def _advance(on_progress: Progress, others: int, total: int, here: int) -> None:
    on_progress(others + here, total)


def _fetch_whole(url: str, file: RemoteFile, part: Path, on_progress: Callable[[int], None]) -> None:
    """Go on with ``part`` until it has the file's size."""
    for _ in range(ATTEMPTS):
        if _size(part) >= file.size:
            break
        _append(url, part, on_progress)
    if _size(part) < file.size:
        raise HubTrouble(
            f"the connection broke off after {in_units(_size(part))} of the {in_units(file.size)} of {file.name}. "
            "Try again: what is here is kept, and the rest will be fetched"
        )


def _append(url: str, part: Path, on_progress: Callable[[int], None]) -> None:
    """Fetch what is behind the end of ``part``; a connection that breaks off ends it early."""
    begin = _size(part)
    with _opened(url, url, begin) as response, part.open("ab") as file:
        if begin and response.status != 206:  # not a part: the whole file from its beginning
            file.truncate(0)
        while chunk := _read(response, url):
            file.write(chunk)
            on_progress(file.tell())


def _read(response: HTTPResponse, url: str) -> bytes:
    try:
        return response.read1(CHUNK)  # what is there now, so that a stall loses none of it
    except TimeoutError:
        raise HubTrouble(
            f"{_host(url)} stopped sending, for {STALL_SECONDS:g} s. Try again: what is here is kept"
        ) from None
    except (OSError, HTTPException):
        return b""


@contextmanager
def _opened(url: str, asked: str, begin: int = 0) -> Iterator[HTTPResponse]:
    """The answer to a request for what is behind the first ``begin`` bytes at ``url``."""
    request = urllib.request.Request(url, headers={"User-Agent": "shira-lab"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    if token := get_token():
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.build_opener(_KeepsSecrets).open(request, timeout=STALL_SECONDS) as response:
            yield response
    except urllib.error.HTTPError as error:
        raise HubTrouble(_refusal(error.code, _host(asked))) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise HubTrouble(f"{_host(asked)} took a request and did not answer it in {STALL_SECONDS:g} s") from None
        raise HubTrouble(f"the connection to {_host(asked)} failed ({reason})") from None


class _KeepsSecrets(urllib.request.HTTPRedirectHandler):
    """Follows redirections; another host than the hub is not given the token."""

    def redirect_request(self, req: urllib.request.Request, *args: Any) -> urllib.request.Request | None:
        request = super().redirect_request(req, *args)
        if request is not None and urlsplit(request.full_url).netloc != urlsplit(req.full_url).netloc:
            request.remove_header("Authorization")
        return request


def _refusal(status: int, host: str) -> str:
    if status in (401, 403):
        return (
            f"{host} refused ({status}): there is no such model, or it is private or asks for consent to its terms. If "
            "you have access, set HF_TOKEN"
        )
    if status == 404:
        return f"{host} has no model of that name (404)"
    if status == 429:
        return f"{host} was asked too often (429). Try again in a few minutes"
    if status >= 500:
        return f"{host} is in trouble itself ({status}). Try again later"
    return f"{host} refused ({status})"


def _host(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path, file: RemoteFile) -> str:
    """SHA-256 of the content, or git's SHA-1, which begins with the size."""
    digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(b"blob %d\0" % _size(path))
    with path.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _answers(endpoint: str) -> bool:
    """Whether anything answers at this address in time; in a thread, as looking up a name has no timeout."""
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(endpoint, method="HEAD")
            urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # a refusal is an answer, too
        except (OSError, ValueError, HTTPException):
            return
        answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    return answered.is_set()
