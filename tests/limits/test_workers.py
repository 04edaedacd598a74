"""The real thing: `uvicorn main:app --workers 4`, Redis, and more requests than the limit."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
PATH = "/api/v1/artifacts/999"  # 404 of a verified user: counted for the user, not for the address


@pytest.fixture
def serve(app_url: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts four workers on a free port and gives their address."""
    running: list[subprocess.Popen[bytes]] = []

    def start(port: int, **settings: str) -> str:
        given = {"DATABASE_URL": app_url, "MOCK_AUTH": "True", "LOG_LEVEL": "WARNING", "RATE_LIMIT_DEFAULT": "100",
                 "WEB_CONCURRENCY": "4", "DB_POOL_SIZE": "2", "MISIR_DATA_DIR": str(tmp_path), **settings}  # fmt: skip
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "main:app", "--workers", "4", "--port", str(port), "--log-level", "warning"],
                cwd=ROOT, env={**os.environ, **given}, start_new_session=True,
            )
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        wait_for(address, running[-1])
        return address

    yield start
    for one in running:
        one.terminate()
        try:
            one.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            if httpx.get(f"{address}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not start in time")


async def storm(
    address: str, n: int, *, at: int = -1, event: Callable[[], Any] = lambda: None, path: str = PATH
) -> tuple[Counter[int], float]:
    """The answers of `n` requests over many connections, and the slowest; `event` comes before number `at`."""
    answers: Counter[int] = Counter()
    slowest = 0.0
    numbers = iter(range(n))
    limits = httpx.Limits(max_connections=24, max_keepalive_connections=24)

    async def send(client: httpx.AsyncClient) -> None:
        nonlocal slowest
        for i in numbers:
            if i == at:
                event()
            started = time.monotonic()
            answer = await client.get(path)
            slowest = max(slowest, time.monotonic() - started)
            answers[answer.status_code] += 1

    async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False, limits=limits) as client:
        await asyncio.gather(*(send(client) for _ in range(24)))
    return answers, slowest


def test_four_workers_admit_exactly_the_limit_and_survive_redis(
    serve: Callable[..., str], valkey: Any, port: int
) -> None:
    address = serve(port, RATE_LIMIT_STORAGE="redis", REDIS_URL=valkey.url)
    answers, slowest = asyncio.run(storm(address, 600))
    print(f"four workers: {dict(answers)}, slowest {slowest * 1000:.0f} ms")  # noqa: T201 - for pytest -rP
    assert answers == {404: 100, 429: 500}

    for name, event in (
        ("emptied", valkey.client().flushall),
        ("frozen", lambda: valkey.signal(signal.SIGSTOP)),
    ):
        answers, slowest = asyncio.run(storm(address, 300, at=60, event=event))
        print(f"{name}: {dict(answers)}, slowest {slowest * 1000:.0f} ms")  # noqa: T201 - for pytest -rP
        assert set(answers) <= {404, 429}
        assert answers[404] <= 25
        assert slowest < 3
    valkey.signal(signal.SIGCONT)
    time.sleep(1.5)  # used again within a second and a bit

    answers, slowest = asyncio.run(storm(address, 600, at=60, event=valkey.kill, path="/api/v1/spaces/999"))
    print(f"killed: {dict(answers)}, slowest {slowest * 1000:.0f} ms")  # noqa: T201 - for pytest -rP
    assert set(answers) == {404, 429}
    assert 25 <= answers[404] <= 125  # fewer when the kernel gave some workers few connections
    assert slowest < 3
