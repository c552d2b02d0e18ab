"""A hub on this machine that speaks the real one's protocol as far as a download needs it, and misbehaves on demand."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 20_000  # bytes from which on a file is kept apart and known by its SHA-256, as with git LFS


class LoopbackHub(ThreadingHTTPServer):
    """Serves ``models``, folders by name, and counts what is asked.

    Attributes:
        status: what every request but the first knock is answered with, instead of its content.
        hang_at: "listing", or the name of a file of which half comes once, and then nothing.
        break_at: the name of a file whose connection is cut after a third of what was asked for, ``breaks`` times.
        forged: the name of a file that comes with other content than announced.
        names_alone: the listing says neither sizes nor digests, as a mirror's.
        together: a listing comes when as many as this barrier waits for have asked for it.
        tags: what files are announced to be known by, instead of their checksums.
        ranges: what was asked of each file, in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.models: dict[str, Path] = {}
        self.status = 200
        self.hang_at = self.break_at = self.forged = ""
        self.breaks = 0
        self.names_alone = False
        self.together = threading.Barrier(1)
        self.tags: dict[str, str] = {}
        self.ranges: dict[str, list[str | None]] = {}
        self.waiting = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: LoopbackHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        name, _, file = unquote(urlsplit(self.path).path)[1:].partition(f"/resolve/{COMMIT}/")
        if not file:
            self._send(200, b"")
        elif self.server.status != 200:
            self._send(self.server.status, b"")
        else:
            self._announce(self.server.models[name] / file)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.server.status != 200:
            self._send(self.server.status, b"{}")
        elif path.startswith("/api/models/"):
            name = path.removeprefix("/api/models/").removesuffix("/revision/main")
            self._list(name)
        elif f"/resolve/{COMMIT}/" in path:
            name, _, file = path[1:].partition(f"/resolve/{COMMIT}/")
            self._give(self.server.models[name] / file)
        else:
            self._send(404, b"{}")

    def _list(self, name: str) -> None:
        if self.server.hang_at == "listing":
            self.server.waiting.wait(30)
        elif name not in self.server.models:
            self._send(404, b"{}")
        else:
            self.server.together.wait(200)
            siblings = [_listed(file) for file in sorted(self.server.models[name].iterdir())]
            if self.server.names_alone:
                siblings = [{"rfilename": sibling["rfilename"]} for sibling in siblings]
            content = {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
            self._send(200, json.dumps(content).encode())

    def _announce(self, path: Path) -> None:
        tag = self.server.tags.get(path.name) or _tag(path)
        self.send_response(200)
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()

    def _give(self, path: Path) -> None:
        content = path.read_bytes()
        wanted = self.headers["Range"]
        self.server.ranges.setdefault(path.name, []).append(wanted)
        if path.name == self.server.forged:
            content = bytes(len(content))
        begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        rest = content[begin:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if path.name == self.server.hang_at:
            self.wfile.write(b"" if wanted else rest[: len(rest) // 2])
            self.server.waiting.wait(30)
        elif path.name == self.server.break_at and self.server.breaks > 0:
            self.server.breaks -= 1
            self.wfile.write(rest[: len(rest) // 3])
            self.close_connection = True
        else:
            self.wfile.write(rest)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _tag(file: Path) -> str:
    """What the hub knows a file by: SHA-256 of a large one, git's SHA-1 of another."""
    content = file.read_bytes()
    if len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _listed(file: Path) -> dict[str, object]:
    size = file.stat().st_size
    sibling: dict[str, object] = {"rfilename": file.name, "size": size, "blobId": _tag(file)}
    if size >= LARGE:
        sibling["lfs"] = {"sha256": _tag(file), "size": size, "pointerSize": 134}
    return sibling


@contextmanager
def loopback_hub() -> Iterator[LoopbackHub]:
    """A hub that answers inside."""
    with LoopbackHub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.waiting.set()
            server.shutdown()
