"""How long a page lets one wait, and how much it sends: `python benchmarks/pages.py [SIZE] [--json FILE]`

A library of 10,000 artifacts (SIZE) as benchmarks/analytics.py writes it, half of it in one space of 200 topics, behind a whole Misir on a port of its own. Every
page is asked for in turns, as a browser would: time to the first byte (median and the slowest of the rounds, the first two left out), CPU of the server and of
PostgreSQL, and bytes of HTML. Rows are {name, value, unit, target, verdict}.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvicorn

from analytics import fill, row, user_of
from misir.app import create_app
from misir.embed.embedder import build_embedder
from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.migrate import migrate
from misir.settings import Settings

TARGET_MS = 300.0
ROUNDS = 12
MAX_KB = 300.0

PAGES = {
    "Home": "/app",
    "Everything": "/app/everything",
    "Space": "/app/spaces/{space}",
    "Map": "/app/spaces/{space}/map",
    "Library": "/app/spaces/{space}/library",
    "Insights": "/app/spaces/{space}/insights",
    "Topic": "/app/topics/{topic}",
    "Item": "/app/items/{item}",
    "Search, a word of every page": "/app/search?q=page",
    "Search, a question": "/app/search?q=how+do+I+find+page+4711+again",
    "Add an item": "/app/spaces/{space}/add",
    "Edit a space": "/app/spaces/{space}/edit",
    "New space": "/app/start",
    "Import and export": "/app/settings/transfer",
    "Webhooks": "/app/settings/webhooks",
    "Settings": "/app/settings",
    "Rules": "/app/settings/rules",
    "Diagnostics": "/app/settings/diagnostics",
    "Archive and trash": "/app/away",
}


@contextmanager
def serving(url: str, size: int) -> Iterator[str]:
    settings: Any = Settings(
        _env_file=None,
        MOCK_AUTH=True,
        MOCK_USER_ID=str(user_of(size)),
        DATABASE_URL=url,
        JOBS="off",
        RATE_LIMIT_ENABLED=False,
    )
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def spent_s(owner: psycopg.Connection[Any]) -> float:
    """CPU seconds of this process, which serves, and of PostgreSQL's backends."""
    pids = [
        found[0] for found in owner.execute("select pid from pg_stat_activity where pid <> pg_backend_pid()")
    ]
    files = [Path(f"/proc/{pid}/schedstat") for pid in pids]
    return (
        time.process_time() + sum(int(file.read_text().split()[0]) for file in files if file.exists()) / 1e9
    )


def measure(
    base: str, addresses: dict[str, str], owner: psycopg.Connection[Any]
) -> dict[str, list[tuple[float, float, int]]]:
    """(Milliseconds to the first byte, milliseconds of CPU, bytes) of each page, in turns, every second round backwards."""
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in addresses}
    with httpx.Client(base_url=base, headers={"Accept": "text/html"}, timeout=60) as client:
        for number in range(-2, ROUNDS):
            for name in list(addresses)[:: 1 if number % 2 else -1]:
                before, began = spent_s(owner), time.perf_counter()
                with client.stream("GET", addresses[name]) as answer:
                    first_byte_ms = (time.perf_counter() - began) * 1e3
                    n_bytes = len(answer.read())
                    answer.raise_for_status()
                cpu_ms = (spent_s(owner) - before) * 1e3
                if number >= 0:
                    found[name].append((first_byte_ms, cpu_ms, n_bytes))
    return found


def page_rows(found: dict[str, list[tuple[float, float, int]]], size: int) -> list[dict[str, Any]]:
    """A page on a machine with nothing else to do takes its CPU; the wait is printed beside it."""
    rows = []
    for name, looks in found.items():
        wait, cpu, weight = (statistics.median(one[at] for one in looks) for at in (0, 1, 2))
        slowest = max(one[0] for one in looks)
        said = f"{name}: first byte, median at {size:,} artifacts (slowest {slowest:.0f}; CPU {cpu:.0f})"
        rows.append(row(said, wait, "ms", f"≤ {TARGET_MS:.0f}", is_met=wait <= TARGET_MS))
        rows.append(
            row(f"{name}: HTML", weight / 1024, "KiB", f"≤ {MAX_KB:.0f}", is_met=weight <= 1024 * MAX_KB)
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("size", type=int, nargs="?", default=10_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="misir-bench-"))
    root.chmod(0o755)
    postgres = EmbeddedPostgres(root)
    postgres.start()
    try:
        spec = build_embedder(Settings(_env_file=None)).spec
        url = postgres.url("postgres")
        migrate(url, app_login="postgres", model=spec)
        with psycopg.connect(url, autocommit=True) as owner:
            space = fill(owner, chosen.size, spec.fingerprint)
            # as of now, so that every figure of the last weeks has something to count
            owner.execute(
                "update misir.artifact set captured_at = captured_at + (now() - '2026-06-15 12:00+00')"
            )
            owner.execute(
                "update misir.signal set occurred_at = occurred_at + (now() - '2026-06-15 12:00+00')"
            )
            owner.execute("vacuum analyze")
            found = owner.execute(
                "select min(subspace_id), min(id) from misir.artifact where space_id = %s", [space]
            ).fetchone()
            topic, item = found or (0, 0)
            ids = {"space": space, "topic": topic, "item": item}
            with serving(url, chosen.size) as base:
                httpx.post(f"{base}/api/v1/insights/generate", timeout=120).raise_for_status()
                addresses = {name: address.format(**ids) for name, address in PAGES.items()}
                rows = page_rows(measure(base, addresses, owner), chosen.size)
    finally:
        postgres.stop()
        shutil.rmtree(root, ignore_errors=True)
    for one in rows:
        sys.stdout.write(
            f"{one['verdict']:>7}  {one['value']:>9} {one['unit']:<4} {one['target']:<6} {one['name']}\n"
        )
    if chosen.json:
        said = {"measured_at": datetime.now(UTC).isoformat(), "rows": rows}
        chosen.json.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
