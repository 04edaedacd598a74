"""What the benchmarks of this folder share: a PostgreSQL of their own, rounds in turn, and rows of results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import psycopg
import uvloop

from misir.embed.embedder import build_embedder
from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.migrate import migrate
from misir.resources import Resources, build_resources
from misir.settings import Settings

ME = uuid.UUID("6d697369-7200-5000-8000-000000000001")
RESULTS = Path(__file__).parent / "results"
MOST_SPREAD = 2.0
"""A ratio whose rounds differ by more says nothing."""

VOCABULARY = np.array(
    sorted({word for text in topics.values() for word in re.findall(r"\b[a-z]{3,12}\b", text)})
)
"""Some thousand English words of Python's own documentation."""

Row = dict[str, Any]
Work = Callable[[int], Awaitable[Any]]


@contextmanager
def postgres() -> Iterator[str]:
    """The superuser's URL of a migrated server that ends with the block: durable and vacuumed, as for people."""
    root = Path(tempfile.mkdtemp(prefix="misir-bench-"))
    root.chmod(0o755)
    server = EmbeddedPostgres(root)
    server.start()
    try:
        with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
            for login in ("misir_login", "misir_worker"):
                conn.execute(f"create role {login} login noinherit".encode())
        spec = build_embedder(Settings(_env_file=None)).spec
        migrate(server.url("postgres"), app_login="misir_login", service_login="misir_worker", model=spec)
        yield server.url("postgres")
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


@asynccontextmanager
async def resources(url: str) -> AsyncIterator[Resources]:
    """The product's own, as its plain login."""
    login = url.replace("//postgres@", "//misir_login@")
    wanted: Any = {"MOCK_AUTH": True, "DATABASE_URL": login, "JOBS": "off", "RATE_LIMIT_ENABLED": False}
    res = build_resources(Settings(_env_file=None, **wanted))
    await res.start()
    try:
        await res.embedder.load()
        yield res
    finally:
        await res.close()


async def interleaved(rounds: int, **works: Work) -> dict[str, list[float]]:
    """Seconds of each piece of work in each round; in every second round the last goes first."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        order = list(works.items())[:: -1 if number % 2 else 1]
        for name, work in order:
            started = time.perf_counter()
            await work(number)
            found[name].append(time.perf_counter() - started)
    return found


def ratio_row(name: str, ours: Sequence[float], theirs: Sequence[float], target: float | None) -> Row:
    """The median of the rounds' ratios, smallest and largest beside it; at most `target` is good."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    value, low, high = statistics.median(ratios), min(ratios), max(ratios)
    is_sure = high <= MOST_SPREAD * max(low, 1e-9)
    verdict = None if target is None else "met" if value <= target else "missed"
    return {
        "name": name,
        "value": round(value, 3),
        "unit": "ratio",
        "low": round(low, 3),
        "high": round(high, 3),
        "target": target,
        "verdict": verdict if is_sure else f"{verdict or 'measured'}, spread over {MOST_SPREAD:g}",
    }


def plain_row(
    name: str, value: float, unit: str, target: float | None = None, *, at_least: bool = True
) -> Row:
    is_met = target is None or (value >= target if at_least else value <= target)
    verdict = None if target is None else "met" if is_met else "missed"
    return {"name": name, "value": round(value, 4), "unit": unit, "target": target, "verdict": verdict}


def run(measure: Callable[..., Awaitable[list[Row]]], name: str, description: str) -> None:
    """The command line: prints a table, and with --json keeps the rows in benchmarks/results."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--full", action="store_true", help="more rounds, and up to 100,000 rows")
    parser.add_argument("--huge", action="store_true", help="up to 1,000,000 rows")
    parser.add_argument("--json", action="store_true", help=f"write benchmarks/results/{name}.json")
    asked = parser.parse_args()
    rows = uvloop.run(measure(is_full=asked.full or asked.huge, is_huge=asked.huge))
    for row in rows:
        spread = f" ({row['low']}–{row['high']})" if "low" in row else ""
        goal = "" if row["target"] is None else f"  target {row['target']}: {row['verdict']}"
        sys.stdout.write(f"{row['name']}: {row['value']} {row['unit']}{spread}{goal}\n")
    if asked.json:
        RESULTS.mkdir(exist_ok=True)
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}
        text = json.dumps({"machine": machine, "rows": rows}, indent=1, ensure_ascii=False)
        (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
