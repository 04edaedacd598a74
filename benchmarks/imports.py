"""How much memory and time it takes to read large files, and how fast they come in.

python benchmarks/imports.py                   30,000 bookmarks and 50,000 history rows, read by the confined child
python benchmarks/imports.py --whole [--json]  the same files through the API into a library, by a worker that is killed once a file

The whole import has vectors by word instead of the real model (tests/fakes.py), which would add some 5 ms of CPU a title: what is
measured is the importer and the database. The worker's memory is its peak (VmHWM), without a model in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from ground import ME, RESULTS, Row, plain_row, postgres, resources

from misir.imports.start import on_disk, start_import
from misir.resources import Resources
from misir.spaces.create import create_space
from misir.spaces.replay import check_space
from misir.spaces.schemas import NewSpace

MOST_MB = 300
FAKES = Path(__file__).parents[1] / "tests" / "fakes.py"
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
    res = build_resources(settings, embedder=fakes.embedder_of())
    await res.start()
    while await work_once(res, datetime.now(UTC), IMPORTING):
        pass
    await res.close()

asyncio.run(main())
"""
"""A worker that does imports until none is left."""


def bookmarks(file: Path, n: int) -> None:
    with file.open("w") as out:
        out.write("<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<DL><p>\n")
        for i in range(n):
            out.write(
                f'<DT><A HREF="https://h{i % 500}.example/{i}" ADD_DATE="{1_600_000_000 + i}">Page {i} of a long list</A>\n'
            )
        out.write("</DL>")


def history(file: Path, n: int) -> None:
    conn = sqlite3.connect(file)
    conn.execute("create table urls (id integer primary key, url, title, last_visit_time, hidden)")
    conn.execute("create table visits (id integer primary key, url)")
    rows = (
        (i, f"https://h{i % 900}.example/{i}", f"Page {i}", 13_344_473_600_000_000 + i, 0) for i in range(n)
    )
    conn.executemany("insert into urls values (?, ?, ?, ?, ?)", rows)
    conn.commit()
    conn.close()


def read_only() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for make, n in FILES:
            file = Path(folder) / make.__name__
            make(file, n)
            began = time.monotonic()
            command = [sys.executable, "-m", "misir.imports.read", str(file), "?", "0"]
            lines = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()  # noqa: S603
            peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            sys.stdout.write(
                f"{make.__name__}: {len(lines) - 2:,} entries, {time.monotonic() - began:.1f} s, {peak_mb:.0f} MB\n"
            )
            assert len(lines) - 2 == n
            assert peak_mb <= MOST_MB


class Bench:
    """One library, and a worker at a time that works on it."""

    def __init__(self, url: str, res: Resources) -> None:
        self.owner = psycopg.connect(url, autocommit=True)
        self.logins = [url.replace("//postgres@", f"//{login}@") for login in ("misir_login", "misir_worker")]
        self.res = res
        self.worker: subprocess.Popen[bytes] | None = None
        self.peak_mb = 0.0

    def start(self) -> None:
        self.worker = subprocess.Popen([sys.executable, "-c", WORKER, *self.logins, str(FAKES)])  # noqa: S603 - ours

    def kill(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()
        self.owner.execute(
            "update misir.job set leased_until = now() - interval '1 second' where lease is not null"
        )

    def one(self, query: str, *values: Any) -> Any:
        return (self.owner.execute(query.encode(), values).fetchone() or (None,))[0]

    def watch(self, until: Callable[[], bool]) -> None:
        assert self.worker is not None
        while self.worker.poll() is None and not until():
            with suppress(FileNotFoundError, ProcessLookupError):
                status = Path(f"/proc/{self.worker.pid}/status").read_text()
                found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
                self.peak_mb = max(self.peak_mb, int(found[1]) / 1024 if found else 0)
            time.sleep(0.2)

    async def take_in(self, file: Path) -> int:
        """The file's import, from the upload on; killed when a third is in."""
        space = await create_space(self.res, ME, NewSpace(name=file.name), datetime.now(UTC))
        with file.open("rb") as opened:
            async with on_disk(opened, file.name) as upload:
                run = await start_import(
                    self.res, ME, upload, datetime.now(UTC), space_id=space.id, wanted=None, is_fetching=False
                )
        self.start()
        position = "select position from misir.import_run where id = %s"
        await asyncio.to_thread(self.watch, lambda: self.one(position, run.id) > 10_000)
        self.kill()
        self.start()
        await asyncio.to_thread(self.watch, lambda: False)
        return space.id


async def measure(work: Callable[[Bench], Awaitable[list[Row]]]) -> list[Row]:
    with postgres() as url:
        async with resources(url) as res:
            return await work(Bench(url, res))


async def whole(bench: Bench) -> list[Row]:
    rows = list[Row]()
    with tempfile.TemporaryDirectory() as folder:
        for make, n in FILES:
            file = Path(folder) / make.__name__
            make(file, n)
            began, bench.peak_mb = time.monotonic(), 0.0
            space_id = await bench.take_in(file)
            seconds, what = time.monotonic() - began, f"{make.__name__} of {n:,} entries, killed once"
            for table in ("artifact", "signal"):
                found = bench.one(f"select count(*) from misir.{table} where space_id = %s", space_id)  # noqa: S608
                rows.append(
                    plain_row(f"{what}: {table}s lost or doubled", abs(found - n), "rows", 0, at_least=False)
                )
            differences = (await check_space(bench.res, ME, space_id)).differences
            rows += [
                plain_row(f"{what}: differences from the log", len(differences), "rows", 0, at_least=False),
                plain_row(f"{what}: from upload to done", seconds, "s"),
                plain_row(f"{what}: entries a second", n / seconds, "1/s"),
                plain_row(f"{what}: peak memory of the worker", bench.peak_mb, "MB", MOST_MB, at_least=False),
            ]
    return rows


FILES = ((bookmarks, 30_000), (history, 50_000))


def keep(rows: list[Row]) -> None:
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False, cwd=RESULTS).stdout.strip()  # noqa: S603
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit, "cores": os.cpu_count(),
        "python": platform.python_version(), "load": round(os.getloadavg()[0], 1), "model": "none: vectors by word",
    }  # fmt: skip
    text = json.dumps({"machine": about, "rows": rows}, indent=1, ensure_ascii=False)
    (RESULTS / "imports.json").write_text(text + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--whole", action="store_true", help="into a library, by a worker that is killed")
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/imports.json")
    asked = parser.parse_args()
    if not asked.whole:
        read_only()
        return
    rows = asyncio.run(measure(whole))
    for row in rows:
        goal = "" if row["target"] is None else f"  target {row['target']}: {row['verdict']}"
        sys.stdout.write(f"{row['name']}: {row['value']} {row['unit']}{goal}\n")
    if asked.json:
        keep(rows)


if __name__ == "__main__":
    main()
