"""Misir as a person starts it: real processes in data directories of their own, real HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

MISIR = Path(sys.executable).parent / "misir"
PATIENCE_S = 90.0
OURS = ("MISIR_", "DATABASE_", "SUPABASE_", "EMBEDDING_")
NAMES = {"MOCK_AUTH", "MOCK_USER_ID", "LOG_LEVEL", "RATE_LIMIT_ENABLED", "RATE_LIMIT_STORAGE", "CORS_ORIGINS"}


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        time.sleep(0.05)


class Server:
    """A `misir serve` that was started, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        """Where it says it is; waits until it does."""
        wait_until(lambda: "(Ctrl-C" in self.said or self.process.poll() is not None, "an address")
        words = self.said.split()
        return next(word for word in words if word.startswith("http://"))

    def end(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(30)

    def count_artifacts(self) -> int:
        spaces = httpx.get(f"{self.url}/api/v1/spaces", timeout=30).json()["spaces"]
        return sum(space["artifact_count"] for space in spaces)


class House:
    """One data directory, and every process that was started on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(OURS) and k not in NAMES}
        self.environment = {**clean, "MISIR_DATA_DIR": str(self.data), "COLUMNS": "100"}
        self._servers: list[Server] = []

    def misir(
        self, *words: str, stdin: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MISIR, *words],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.root,
            env={**self.environment, **environment},
            timeout=PATIENCE_S,
            check=False,
        )

    def serve(self, *words: str, **environment: str) -> Server:
        """A local server on a port of its own, in a session of its own as under a terminal."""
        log = self.root / f"server-{len(self._servers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [MISIR, "serve", "--local", "--port", "0", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.root,
                env={**self.environment, **environment, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self._servers.append(Server(process, log))
        return self._servers[-1]

    def processes(self) -> set[int]:
        """Everybody at work on this data directory: by what they were started with, or where they work."""
        return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if self._is_ours(entry)}

    def _is_ours(self, entry: Path) -> bool:
        here = str(self.data).encode()
        try:
            return here in (entry / "cmdline").read_bytes() or os.fsencode(
                (entry / "cwd").readlink()
            ).startswith(here)
        except OSError:
            return False

    wait_until = staticmethod(wait_until)

    def leave(self) -> None:
        for server in self._servers:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
        wait_until(lambda: not self.processes(), "the supervisor's end")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.leave()


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """For tests that only look, or each use a space of their own: one database for the module."""
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.leave()
