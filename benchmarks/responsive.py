"""Who waits while a batch of 500 pages is embedded: `python benchmarks/responsive.py [--full] [--json]`

The event loop of the process that takes the batch in, by a timer that should fire every 5 ms; then a real server, asked for /health
twenty times a second by a process of its own, and by another whether a search is answered.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
from ground import ME, VOCABULARY, Row, plain_row, postgres, resources, run
from serving import Side, sides

from misir.capture.batch import capture_batch
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace

N_PAGES = 500
EVERY_S = 0.005
SEARCH = "/api/v1/search?q=rivers+N"
PATHS = {"/health": 0.05, SEARCH: 0.5}
"""And the seconds between two questions."""

POLLER = """
import sys, time, httpx
url, token, path, every = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
with httpx.Client(base_url=url, headers={"Authorization": "Bearer " + token}, timeout=60) as client:
    for number in range(10**6):
        started = time.perf_counter()
        assert client.get(path.replace("N", str(number))).status_code == 200
        print(time.perf_counter() - started, flush=True)
        time.sleep(every)
"""


def pages(space_id: int, first: int, n_words: int) -> list[dict[str, Any]]:
    chance = np.random.default_rng(first)
    return [
        {"space_id": space_id, "url": f"https://busy.example/{n}", "title": f"Page {n}", "engagement_level": "engaged",
         "content": " ".join(chance.choice(VOCABULARY, n_words))}
        for n in range(first, first + N_PAGES)
    ]  # fmt: skip


async def lag_of(work: Any) -> tuple[list[float], float]:
    """How late a timer fires while `work` is being awaited, in seconds; and how long that takes."""
    late: list[float] = []

    async def watch() -> None:
        while True:
            due = time.perf_counter() + EVERY_S
            await asyncio.sleep(EVERY_S)
            late.append(time.perf_counter() - due)

    watching = asyncio.create_task(watch())
    started = time.perf_counter()
    await work
    taken = time.perf_counter() - started
    watching.cancel()
    return late, taken


async def in_process(url: str, n_words: int) -> list[Row]:
    async with resources(url) as res:
        space = await create_space(res, ME, NewSpace(name="busy"), datetime.now(UTC))
        batch = capture_batch(res, ME, pages(space.id, 0, n_words), datetime.now(UTC))
        late, taken = await lag_of(batch)
    p99 = float(np.quantile(late, 0.99)) * 1e3
    return [
        plain_row(f"a batch of {N_PAGES} × {n_words} words", taken, "s"),
        plain_row("the event loop's lag meanwhile, p99", p99, "ms", 20, at_least=False),
        plain_row("the event loop's lag meanwhile, longest", max(late) * 1e3, "ms"),
    ]


async def over_http(url: str, n_words: int) -> list[Row]:
    with sides(url) as them:
        side = them[0]
        await side.prepare()
        quiet = await _poll_while(side, asyncio.sleep(5))
        batch = side.client.post(
            "/api/v1/artifacts/batch",
            json={"artifacts": pages(side.space_id, 10_000, n_words)},
            timeout=300,
        )
        busy = await _poll_while(side, batch)
        for one in them:
            await one.client.aclose()
    rows = []
    for name, target in (("/health", 50), (SEARCH, None)):
        what = "/health" if name == "/health" else "a search"
        for when, found, goal in (
            ("alone", quiet, None),
            (f"while {N_PAGES} pages are embedded", busy, target),
        ):
            p50, p99 = (float(np.quantile(found[name], q)) * 1e3 for q in (0.5, 0.99))
            rows.append(plain_row(f"{what} {when}, median", p50, "ms"))
            rows.append(plain_row(f"{what} {when}, p99", p99, "ms", goal, at_least=False))
    return rows


async def _poll_while(side: Side, work: Any) -> dict[str, list[float]]:
    """Seconds of each answer while `work` goes on, asked by a process for each path."""
    token = side.client.headers["Authorization"].removeprefix("Bearer ")
    pollers = {}
    for path, every in PATHS.items():
        command = [sys.executable, "-c", POLLER, str(side.client.base_url), token, path, str(every)]
        pollers[path] = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220, S603 - ours
    await asyncio.sleep(1)  # until they run
    await work
    for one in pollers.values():
        one.terminate()
    return {path: await _answers(one) for path, one in pollers.items()}


async def _answers(poller: subprocess.Popen[bytes]) -> list[float]:
    out, _ = await asyncio.to_thread(poller.communicate)
    return [float(one) for one in out.split()]


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Rows of {name, value, unit, target, verdict}."""
    n_words = 200 if is_full else 50
    with postgres() as url:
        return [*await in_process(url, n_words), *await over_http(url, n_words)]


if __name__ == "__main__":
    run(measure, "responsive", (__doc__ or "").partition("\n")[0])
