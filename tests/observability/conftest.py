"""A whole service: uvicorn with its workers as its users start it, on this test's database."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
_SAMPLE = re.compile(r"(misir_\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Service:
    """A running uvicorn, its address, its log."""

    def __init__(self, directory: Path, env: dict[str, str], workers: int) -> None:
        self.log_path = directory / "log"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "--app-dir",
            str(ROOT),
            "main:app",
            "--port",
            str(self.port),
        ]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--workers", str(workers)], cwd=directory, env=env, stderr=log, stdout=log
            )
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def wait(self, workers: int) -> None:
        """Until every worker answers for itself; needs to be allowed to read the metrics."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            try:
                if self.value("workers") == workers:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        pytest.fail("the workers did not come up: " + self.log())

    def until_ready(self) -> None:
        """The model, too: its process comes up after the workers."""
        deadline = time.monotonic() + 60
        while self.client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return self.log_path.read_text("utf-8")

    def scrape(self, client: httpx.Client | None = None) -> Samples:
        return parse((client or self.client).get("/metrics").text)

    def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return total(self.scrape(), name, **labels)

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        names = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        return [pid for pid, name in names.items() if b"spawn_main" in name]

    def stop(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def parse(text: str) -> Samples:
    found = [_SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#")]
    return {
        (one[1], frozenset(_LABEL.findall(one[2] or ""))): float(one[3]) for one in found if one is not None
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(value for (one, has), value in samples.items() if one == f"misir_{name}" and wanted <= has)


@pytest.fixture
def summed() -> Callable[..., float]:
    return total


@pytest.fixture
def start_service(app_url: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """`start_service(workers=4, SETTING="value")`, up when it returns unless `wait=False`."""
    running: list[Service] = []

    def start(*, workers: int = 4, wait: bool = True, **settings: str) -> Service:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        env = kept | {"MOCK_AUTH": "True", "DATABASE_URL": app_url, "DB_POOL_SIZE": "2"}
        env |= {"RATE_LIMIT_ENABLED": "False", "TMPDIR": str(tmp_path)} | settings
        running.append(Service(tmp_path, env, workers))
        if wait:
            running[-1].wait(workers)
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def service(start_service: Callable[..., Service]) -> Any:
    return start_service()
