"""`make lab` opens a server that runs any code: for this machine alone, and only for who has its token."""

import json
import os
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from lab_server import ROOT, free_port, wait_for

from shira_lab.cli.lab import jupyter_options
from shira_lab.course.lessons import lessons

pytestmark = pytest.mark.timeout(180)


def recipe(target: str, program: str) -> list[str]:
    """The command by which make starts the program."""
    lines = (
        subprocess.run(
            ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
        )
        .stdout.replace("\\\n", " ")
        .splitlines()
    )
    (line,) = (line for line in lines if f"/bin/{program} " in line and "labextension" not in line)
    return shlex.split(line)


def test_make_lab_opens_a_copy_that_git_ignores() -> None:
    assert recipe("lab", "shira-lab")[1:] == ["lab", "lessons"]
    assert "/lessons/" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize(
    ("command", "ip"),
    [(jupyter_options(Path("lessons"), no_browser=False), "--ip"), (recipe("dashboard", "voila"), "--Voila.ip")],
)
def test_servers_bind_to_loopback_and_switch_no_protection_off(command: list[str], ip: str) -> None:
    assert f"{ip}=127.0.0.1" in command
    assert not [word for word in command if any(name in word for name in ("token", "password", "disable_check_xsrf"))]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[psutil.Process, str, Path]]:
    """The server of `make lab`, with no browser, on a port of its own: process, address, folder of its run files."""
    port = free_port()
    settings = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    settings |= {"JUPYTER_PORT": str(port), "JUPYTER_PORT_RETRIES": "0"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER_")} | settings
    command = [sys.executable, "-m", "shira_lab.cli", "lab", str(tmp_path / "lessons"), "--no-browser"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/api", process, tmp_path / "log")
            yield psutil.Process(process.pid), f"http://127.0.0.1:{port}", tmp_path / "RUNTIME"
        finally:
            process.terminate()
            process.wait(30)


def status(address: str, token: str = "") -> int:
    request = urllib.request.Request(address, headers={"Authorization": f"token {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_lab_listens_on_loopback_alone_and_asks_for_its_token(server: tuple[psutil.Process, str, Path]) -> None:
    process, address, runtime = server
    processes = (process, *process.children(recursive=True))
    sockets = [socket for one in processes for socket in one.net_connections() if socket.status == psutil.CONN_LISTEN]
    assert {socket.laddr.ip for socket in sockets} == {"127.0.0.1"}
    (facts,) = (json.loads(file.read_text()) for file in runtime.glob("jpserver-*.json"))
    assert len(facts["token"]) >= 40 and not facts["password"]
    for path in ("/api/contents", "/api/kernels", "/api/sessions", "/api/terminals"):
        assert status(address + path) == 403, path
        assert status(address + path, "0" * 48) == 403, path
    for lesson in lessons():
        assert status(f"{address}/api/contents/{lesson.name}?content=0", facts["token"]) == 200
