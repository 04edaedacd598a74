"""What a worker says of itself every two seconds, for gauges nobody's request would set."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from misir.plumbing.beside import beside
from misir.plumbing.metrics import Metrics, count_limits, set_limiter_storage, start_metrics
from misir.resources import Resources

EVERY_S: Final = 2.0


@asynccontextmanager
async def vital_signs(res: Resources) -> AsyncIterator[None]:
    """Metrics are on from here, and the gauges are kept true until the block ends."""
    metrics = start_metrics(res.settings.VERSION)
    try:
        async with beside(_watch(res, metrics), "vital signs"):
            yield
    finally:
        if res.limiter is not None:
            count_limits(res.limiter.decided)


async def _watch(res: Resources, metrics: Metrics) -> None:
    count_cpu = cpu_counter(metrics)
    while True:
        read_pool(res, metrics)
        if res.limiter is not None:
            set_limiter_storage(res.limiter.storage)
            count_limits(res.limiter.decided)
        metrics.memory.set(resident_bytes())
        count_cpu()
        await asyncio.sleep(EVERY_S)


def read_pool(res: Resources, metrics: Metrics) -> None:
    stats = res.database.pool_stats()
    metrics.pool.labels("size").set(stats.get("pool_size", 0))
    metrics.pool.labels("available").set(stats.get("pool_available", 0))
    metrics.pool.labels("waiting").set(stats.get("requests_waiting", 0))


def cpu_counter(metrics: Metrics) -> Callable[[], None]:
    """Counts what this process has used since it was last called."""
    counted = 0.0

    def count() -> None:
        nonlocal counted
        used = time.process_time()
        metrics.cpu.inc(used - counted)
        counted = used

    return count


def resident_bytes() -> int:
    """The resident memory of this process; 0 where the system does not tell it in /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
