"""An import whose worker is killed, again and again: nothing is lost, nothing is there twice, all of it is counted.

MISIR_IMPORT_ROWS makes it longer (2000, 30000); 400 rows and one kill otherwise.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from misir.jobs.worker import work_on
from misir.resources import Resources

ROWS = int(os.environ.get("MISIR_IMPORT_ROWS", "400"))
KILLS = 1 if ROWS < 2000 else 3
BAD = {7: "ftp://old.example/", 201: "chrome://history", 300: "https://bad.example:99999/"}

WORKER = """
import asyncio, importlib.util, sys
from datetime import UTC, datetime
from misir.jobs.kinds import IMPORTING
from misir.jobs.worker import work_once
from misir.resources import build_resources
from misir.settings import Settings

spec = importlib.util.spec_from_file_location("fakes", sys.argv[3])
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)

async def main():
    settings = Settings(_env_file=None, MOCK_AUTH=True, DATABASE_URL=sys.argv[1], DATABASE_SERVICE_URL=sys.argv[2])
    embedder = fakes.embedder_of(sea=fakes.direction(1), wood=fakes.direction(0, 1))
    res = build_resources(settings, embedder=embedder)
    await res.start()
    while await work_once(res, datetime.now(UTC), IMPORTING):
        pass
    await res.close()

asyncio.run(main())
"""


def address(number: int) -> str:
    return BAD.get(number, f"https://h{number % 90}.example/{number}")


def rows() -> bytes:
    lines = (f"{address(n)}\t{'sea' if n % 2 else 'wood'} {n}" for n in range(1, ROWS + 1))
    return "\n".join(lines).encode()


def count(owner: psycopg.Connection[Any], what: str) -> int:
    row = owner.execute(f"select count(*) from misir.{what}".encode()).fetchone()
    return int(row[0]) if row else 0


def test_a_killed_import_goes_on_and_loses_and_doubles_nothing(
    shelf: Any, server_url: Any, database: str, owner: psycopg.Connection[Any]
) -> None:
    import_id = shelf.send(rows(), "urls.txt")["id"]
    fakes = Path(__file__).parents[1] / "fakes.py"
    urls = (server_url(database, "misir_login"), server_url(database, "misir_worker"))
    for kill in range(1, KILLS + 1):
        worker = subprocess.Popen([sys.executable, "-c", WORKER, *urls, str(fakes)])
        deadline = time.monotonic() + 60
        # In the middle of a batch: some of its rows are in, and it is not counted yet.
        while count(owner, "artifact") < kill * ROWS // (KILLS + 2) + 15:
            assert worker.poll() is None, "the worker ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert 0 < shelf.run(import_id)["position"] < ROWS
        # The lease of the dead worker runs out.
        owner.execute("update misir.job set leased_until = now() - interval '1 second' where kind = 'import'")
    shelf.work()
    run = shelf.run(import_id)
    assert (run["state"], run["position"], run["total"]) == ("done", ROWS, ROWS)
    assert (run["new_count"], run["known_count"], run["skipped_count"], run["failed_count"]) == (
        ROWS - 3,
        0,
        2,
        1,
    )
    assert [(one["position"], one["outcome"], one["url"]) for one in run["refused"]] == [
        (7, "skipped", BAD[7]), (201, "skipped", BAD[201]), (300, "failed", BAD[300])
    ]  # fmt: skip
    assert count(owner, "artifact") == count(owner, "signal") == ROWS - 3
    assert count(owner, "import_file") == 0
    assert shelf.differences() == []


def test_a_worker_that_is_asked_to_stop_leaves_its_import_to_the_next_at_once(
    shelf: Any, owner: psycopg.Connection[Any]
) -> None:
    import_id = shelf.send(rows(), "urls.txt")["id"]

    async def stop_in_the_middle(res: Resources) -> None:
        working = asyncio.create_task(work_on(res))
        while count(owner, "artifact") == 0:  # noqa: ASYNC110 - only the database tells
            await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.wait([working], timeout=30)
        assert working.cancelled()

    shelf.in_process(stop_in_the_middle, embedder=shelf.embedder)
    assert shelf.run(import_id)["state"] == "running"
    leased = owner.execute("select lease, leased_until, attempts from misir.job where kind = 'import'")
    assert leased.fetchall() == [(None, None, 0)]
    shelf.work()
    assert shelf.run(import_id)["state"] == "done"
    assert count(owner, "artifact") == ROWS - 3
