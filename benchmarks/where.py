"""Where the time of one capture and of one search goes: `python benchmarks/where.py [--full] [--json]`

Through the product's own functions in this process, on a PostgreSQL of its own, with 300 pages in it; every text is new. The parts
are told apart by who is waited for: the model's threads, PostgreSQL, or this process's Python. With the extra `peers` pyinstrument's
trees are written beside the results.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from ground import ME, RESULTS, VOCABULARY, Row, plain_row, postgres, resources, run
from psycopg import AsyncConnection

from misir.capture.batch import capture_batch
from misir.capture.pipeline import capture
from misir.capture.schemas import CaptureRequest
from misir.resources import Resources
from misir.search.find import search
from misir.search.schemas import SearchRequest
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace

N_PAGES = 300


class Clock:
    """Seconds spent waiting for the model and for PostgreSQL, by watching the two functions that wait."""

    def __init__(self, res: Resources) -> None:
        self.waited: dict[str, float] = defaultdict(float)
        self._watch(res.embedder, "embed_text", "model")
        self._watch(AsyncConnection, "wait", "database")

    def _watch(self, owner: Any, name: str, part: str) -> None:
        original = getattr(owner, name)

        async def timed(*args: Any, **more: Any) -> Any:
            started = time.perf_counter()
            try:
                return await original(*args, **more)
            finally:
                self.waited[part] += time.perf_counter() - started

        setattr(owner, name, timed)


def words(chance: np.random.Generator, n: int) -> str:
    return " ".join(chance.choice(VOCABULARY, n))


async def parts_of(clock: Clock, n: int, work: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """Medians, in seconds, of the whole and of its parts."""
    for _ in range(10):
        await work()
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(n):
        clock.waited.clear()
        started, cpu = time.perf_counter(), time.thread_time()
        await work()
        found["whole"].append(time.perf_counter() - started)
        found["Python"].append(time.thread_time() - cpu)
        for part, seconds in clock.waited.items():
            found[part].append(seconds)
    return {part: statistics.median(seconds) for part, seconds in found.items()}


async def tree_of(name: str, n: int, work: Callable[[], Awaitable[Any]]) -> None:
    try:
        from pyinstrument import Profiler  # noqa: PLC0415 - an extra
    except ImportError:
        return
    profiler = Profiler(interval=0.0005, async_mode="enabled")
    with profiler:
        for _ in range(n):
            await work()
    text = profiler.output_text(unicode=True, color=False, show_all=False)
    await asyncio.to_thread((RESULTS / f"where-{name}.txt").write_text, text, "utf-8")


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Rows of {name, value, unit, target, verdict}."""
    n = 300 if is_full else 100
    rows: list[Row] = []
    chance = np.random.default_rng(20261126)
    with postgres() as url:
        async with resources(url) as res:
            now = datetime.now(UTC)
            topics = [{"name": name} for name in ("rivers", "clocks", "gardens")]
            space = await create_space(
                res, ME, NewSpace.model_validate({"name": "W", "subspaces": topics}), now
            )
            numbers = iter(range(10**9))

            def page() -> dict[str, Any]:
                url = f"https://where.example/{next(numbers)}"
                return {
                    "space_id": space.id,
                    "url": url,
                    "title": words(chance, 5),
                    "content": words(chance, 45),
                }

            async def one_capture() -> None:
                await capture(res, ME, CaptureRequest.model_validate(page()), datetime.now(UTC))

            async def one_search() -> None:
                await search(res, ME, SearchRequest(q=words(chance, 6)))

            await capture_batch(res, ME, [page() for _ in range(N_PAGES)], now)
            clock = Clock(res)
            for name, work in (("capture", one_capture), ("search", one_search)):
                parts = await parts_of(clock, n, work)
                rows.append(plain_row(f"one {name}", parts.pop("whole") * 1e3, "ms"))
                rows += [plain_row(f"one {name}: {part}", s * 1e3, "ms") for part, s in sorted(parts.items())]
                await tree_of(name, n, work)
    return rows


if __name__ == "__main__":
    run(measure, "where", (__doc__ or "").partition("\n")[0])
