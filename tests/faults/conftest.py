"""A durable PostgreSQL of a module's own, and servers and workers as processes that can be killed.

MISIR_FAULTS_LONG=1 kills more often, for minutes; MISIR_FAULTS_JSON=1 keeps the figures in benchmarks/results/faults.json.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from misir.embed.embedder import build_embedder
from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.migrate import migrate
from misir.settings import Settings

IS_LONG = os.environ.get("MISIR_FAULTS_LONG") == "1"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "faults.json"
DISPATCHER = """
from misir.webhooks import deliver
from misir.jobs import worker
deliver.TRY_WITHIN_S = 2.0
worker.LOOK_EVERY_S = 0.2
from misir.cli import main
main()
"""
"""`misir worker` that waits two seconds for receivers which hang, not 15, and looks for work at once: the tests have
thousands of both."""

MEMORY = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Site:
    """One deployment: a database that really writes, and the processes on it."""

    def __init__(self, root: Path) -> None:
        self.is_long = IS_LONG
        self.postgres = EmbeddedPostgres(root)
        self.postgres.start()
        self._postmaster = int((root / "postgres" / "postmaster.pid").read_text().split()[0])
        self._pid_file = root / "postgres" / "postmaster.pid"
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as conn:
            conn.execute("create database misir")
            for login in ("misir_login", "misir_worker"):
                conn.execute(f"create role {login} login noinherit".encode())
        self.embedder = build_embedder(Settings(_env_file=None))
        migrate(
            self.postgres.url("misir"),
            app_login="misir_login",
            service_login="misir_worker",
            model=self.embedder.spec,
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._running: list[subprocess.Popen[bytes]] = []
        # verify=False: nothing here is https, and reading the system's certificates takes long
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=20,
            trust_env=False,
            verify=False,  # noqa: S501
        )

    @property
    def settings(self) -> dict[str, str]:
        return {
            "MOCK_AUTH": "True",
            "DATABASE_URL": self.postgres.url("misir", "misir_login"),
            "DATABASE_SERVICE_URL": self.postgres.url("misir", "misir_worker"),
            "MISIR_SECRET_KEY": "a-key-of-the-tests-that-seals-secrets",
            "OUTBOUND_ALLOW": "127.0.0.1/32",
            "RATE_LIMIT_ENABLED": "False",
            "LOG_LEVEL": "CRITICAL",
        }

    def _spawn(self, *command: str, **more: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **MEMORY, **self.settings, **more}
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._running.append(process)
        return process

    def dispatch(self) -> subprocess.Popen[bytes]:
        """A worker that sends, and nothing beside it."""
        return self._spawn("-c", DISPATCHER, "worker")

    def serve(self, **settings: str) -> subprocess.Popen[bytes]:
        """A server at `port` that answers; it works, too, unless JOBS=off."""
        app = "misir.app:app_from_environment"
        process = self._spawn("-m", "uvicorn", app, "--factory", "--port", str(self.port), **settings)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                if self.api.get("/api/v1/spaces").status_code == 200:
                    return process
            assert process.poll() is None, "the server ended"
            time.sleep(0.05)
        raise AssertionError("the server did not start")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._running.remove(process)

    def end_leases(self) -> None:
        """Of workers that are dead: nobody waits two minutes for them here."""
        self.rows(
            "update misir.job set leased_until = now() - interval '1 second' where lease is not null returning 1"
        )

    def restart_postgres(self) -> None:
        """At once, without a checkpoint: what was committed comes back from its log."""
        os.kill(self._postmaster, signal.SIGQUIT)
        deadline = time.monotonic() + 30
        while self.postgres.is_running():  # its pid file goes a moment before it does
            assert time.monotonic() < deadline, "PostgreSQL did not end"
            time.sleep(0.02)
        self.postgres.start()
        self._postmaster = int(self._pid_file.read_text().split()[0])

    def rows(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.postgres.url("misir"), autocommit=True) as conn:
            return conn.execute(query.encode(), values).fetchall()

    def note(self, name: str, **figures: Any) -> None:
        """What a test found, for people: in the results where MISIR_FAULTS_JSON asks for it."""
        if os.environ.get("MISIR_FAULTS_JSON") != "1":
            return
        kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
        git = ["git", "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True, cwd=RESULTS.parent)
        form = "long" if self.is_long else "short"
        at = datetime.now(UTC).isoformat(timespec="seconds")
        kept[name] = {"at": at, "commit": commit.stdout.strip(), "form": form, **figures}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")

    def close(self) -> None:
        for process in list(self._running):
            self.kill(process)
        self.api.close()
        self.postgres.stop()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    root = Path(tempfile.mkdtemp(prefix="misir-faults-"))
    root.chmod(0o755)
    site = Site(root)
    yield site
    site.close()
    shutil.rmtree(root, ignore_errors=True)
