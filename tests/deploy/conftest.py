"""Misir as an operator starts it: the shipped template, the documented commands, real processes."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / ".env.production"
BIN = Path(sys.executable).parent
PATIENCE_S = 40.0


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> float:
    """How long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < patience_s, f"not within {patience_s:.0f} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started


def clean_environment(home: Path) -> dict[str, str]:
    """What a login shell of nobody in particular has: none of our variables can come in from outside."""
    return {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def filled_in(values: dict[str, str]) -> str:
    """The shipped template with these values in place of its own; a name it lacks comes at the end."""
    lines = TEMPLATE.read_text().splitlines()
    names = [line.partition("=")[0] for line in lines]
    kept = [
        f"{name}={values[name]}" if name in values else line for name, line in zip(names, lines, strict=True)
    ]
    return (
        "\n".join([*kept, *(f"{name}={value}" for name, value in values.items() if name not in names)]) + "\n"
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# ---- a database that can be unplugged ------------------------------------------------------------


class Relay:
    """A TCP port that leads to the test's PostgreSQL while it is plugged in, and refuses while it is not."""

    def __init__(self, target_url: str) -> None:
        self._target = psycopg.conninfo.conninfo_to_dict(target_url)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    @property
    def url(self) -> str:
        given = self._target
        secret = f":{given['password']}" if given.get("password") else ""
        return f"postgresql://{given['user']}{secret}@127.0.0.1:{self.port}/{given['dbname']}"

    def unplug(self) -> None:
        """The port stays ours, bound and closed, so that nobody else gets it meanwhile."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._hang_up()

    def plug_in(self) -> None:
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def close(self) -> None:
        self.unplug()
        self._listener.close()

    def _hang_up(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = self._connect()
                self._open += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=[source, sink], daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = str(self._target["host"]), int(str(self._target.get("port") or 5432))
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def relay(app_url: str) -> Iterator[Relay]:
    relay = Relay(app_url)
    yield relay
    relay.close()


# ---- who signs tokens ----------------------------------------------------------------------------


@pytest.fixture
def project() -> Iterator[Any]:
    """The key server and mint of tests/auth: what a Supabase project is to us."""
    path = ROOT / "tests" / "auth" / "conftest.py"
    spec = importlib.util.spec_from_file_location("auth_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    project = module.Project()
    yield project
    project.close()


# ---- a server ------------------------------------------------------------------------------------


class Server:
    """Processes started by one command line, in a session of their own; its leader is the documented command."""

    def __init__(self, command: list[str], directory: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = directory / "server.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                env=clean_environment(directory),
                start_new_session=True,
            )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=15, trust_env=False, **options)

    def answers(self, path: str, status: int, **options: Any) -> bool:
        with suppress(httpx.TransportError):
            return self.get(path, **options).status_code == status
        return False

    def wait_for(self, path: str, status: int, patience_s: float = PATIENCE_S, **options: Any) -> float:
        try:
            return wait_until(lambda: self.answers(path, status, **options), f"{path} {status}", patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said}") from None

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def session(self) -> dict[int, str]:
        """Every process of the session that has not ended, and its command line."""
        return {pid: line for pid, session, _, line in _processes() if session == self.process.pid}

    def workers(self) -> set[int]:
        """The leader's children that serve; multiprocessing's tracker is not one of them."""
        mine = [(pid, line) for pid, _, parent, line in _processes() if parent == self.process.pid]
        return {pid for pid, line in mine if "resource_tracker" not in line}

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Ends it as a service manager does, and proves that nothing is left."""
        self.process.send_signal(signum)
        self.process.wait(PATIENCE_S)
        wait_until(lambda: not self.session(), "the end of every process", 10)

    wait_until = staticmethod(wait_until)

    def clean_up(self) -> None:
        for pid in self.session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


def _processes() -> Iterator[tuple[int, int, int, str]]:
    """Id, session, parent and command line of each process that has not ended."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent, _, session = re.sub(r"^.*\) ", "", (entry / "stat").read_text()).split()[:4]
            if state not in {"Z", "X"}:
                yield int(entry.name), int(session), int(parent), (entry / "cmdline").read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`start(shell, line, values)`: a shell runs `line` ({port} filled in) beside main.py and the template."""
    servers: list[Server] = []

    def run(shell: str, line: str, values: dict[str, str], *, template: str = ".env.production") -> Server:
        directory = tmp_path / f"server-{len(servers)}"
        directory.mkdir()
        shutil.copy(ROOT / "main.py", directory)
        (directory / template).write_text(filled_in(values))
        port = free_port()
        servers.append(Server([shell, "-c", line.format(port=port)], directory, port))
        return servers[-1]

    yield run
    for server in servers:
        server.clean_up()
