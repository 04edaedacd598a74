"""Ten minutes at half load: does memory grow, do files or connections leak? `python benchmarks/soak.py [--minutes 10] [--json]`

`misir serve --local` on a new data directory, its worker beside it. First the client fills a space with 5,000 pages and sends as much as the server takes, for five minutes; then
half of that, evenly: captures, batches, searches, analytics, corrections and deletions. Every few seconds each process says how much memory is
its own, how many files it has open, and how many connections there are. Its own is what no file backs (Pss_Anon): a page of PostgreSQL's buffers
that one connection alone has looked at yet is called private, too, and is none of a connection's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from ground import RESULTS, VOCABULARY, Row, plain_row
from startup import first_answer, served

SAMPLE_EVERY_S = 5.0
WARM_UP = 0.1
"""Of the time, after AT_FULL_S of as many requests as are taken: every connection has met every statement by then."""

AT_FULL_S = 300.0
"""Until then the database's connections still gather plans, one statement after another."""

LOOK_S = 20.0
MOST_MB_PER_MINUTE = 1.0
N_CLIENTS = 12
"""More than the server has connections to its database: all of them have been opened, and used, when the soak begins."""

N_SOCKETS = 20
LIBRARY = 5_000
"""Pages that are there when the soak begins: as many as are looked at together."""

TOPICS = ("rivers and the sea", "the kitchen garden", "clocks and watches", "old railways", "night sky")


@dataclass
class Client:
    """Somebody who reads, searches and looks at figures, and who counts the answers."""

    http: httpx.AsyncClient
    space_id: int = 0
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(20261126))
    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    artifact_ids: list[int] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def prepare(self) -> None:
        topics = [{"name": name} for name in TOPICS]
        answer = await self.ask("POST", "/spaces", json={"name": "Soak", "subspaces": topics})
        self.space_id = answer.json()["id"]

    async def ask(self, method: str, path: str, **sent: Any) -> httpx.Response:
        answer = await self.http.request(method, path, **sent)
        self.statuses[answer.status_code] += 1
        if answer.status_code >= 500:
            self.broken[f"{method} {path}: {answer.json().get('detail', answer.status_code)}"] += 1
        return answer

    async def fill(self) -> None:
        """A library in use: from LIBRARY pages on, looking at it takes no more memory."""
        for _ in range(LIBRARY // 100):
            await self.ask("POST", "/artifacts/batch", json={"artifacts": [self.page() for _ in range(100)]})

    def words(self, n: int) -> str:
        return " ".join(self.chance.choice(VOCABULARY, n))

    def page(self) -> dict[str, Any]:
        number = next(self.numbers)
        topic = TOPICS[number % len(TOPICS)]
        return {
            "space_id": self.space_id, "url": f"https://soak.example/{number}", "title": f"{topic} {self.words(3)}",
            "content": f"{topic} {self.words(45)}", "engagement_level": "engaged",
        }  # fmt: skip

    async def act(self) -> None:
        """One request of the mix: 40 % searches, 30 % captures, 20 % figures and lists, the rest changes."""
        kind = self.chance.random()
        if kind < 0.4:
            await self.ask("GET", "/search", params={"q": self.words(4)})
        elif kind < 0.7:
            answer = await self.ask("POST", "/capture", json=self.page())
            if answer.is_success:
                self.artifact_ids.append(answer.json()["artifact_id"])
        elif kind < 0.9:
            await self.ask("GET", str(self.chance.choice(self.figures())))
        elif kind < 0.93:
            await self.ask("POST", "/artifacts/batch", json={"artifacts": [self.page() for _ in range(10)]})
        else:
            await self.change()

    def figures(self) -> list[str]:
        space = f"/spaces/{self.space_id}"
        return [
            f"{space}/analytics",
            f"{space}/topology",
            "/analytics/global",
            f"{space}/artifacts",
            "/profile",
        ]

    async def change(self) -> None:
        if len(self.artifact_ids) > 50:
            artifact_id = self.artifact_ids.pop(int(self.chance.integers(len(self.artifact_ids))))
            await self.ask("DELETE", f"/artifacts/{artifact_id}")
            if self.chance.random() < 0.5:
                await self.ask("POST", f"/artifacts/{artifact_id}/restore")

    async def as_fast_as_it_goes(self, seconds: float) -> float:
        """Requests a second of N_CLIENTS that never wait."""
        ends, n_done = time.perf_counter() + seconds, 0

        async def one() -> None:
            nonlocal n_done
            while time.perf_counter() < ends:
                await self.act()
                n_done += 1

        await asyncio.gather(*(one() for _ in range(N_CLIENTS)))
        return n_done / seconds

    async def evenly(self, rate: float, seconds: float) -> None:
        """`rate` requests are begun a second; one that would make more than 100 wait is left out."""
        slots, tasks = asyncio.Semaphore(100), set[asyncio.Task[None]]()
        started = time.perf_counter()

        async def one() -> None:
            async with slots:
                await self.act()

        for number in itertools.count():
            due = started + number / rate
            if due > started + seconds:
                break
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            if len(tasks) < 100:
                tasks.add(task := asyncio.create_task(one()))
                task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


@dataclass(frozen=True)
class Sample:
    """All processes below one at a moment. Megabytes; `names` says which process has how many of its own."""

    at_s: float
    own_mb: float
    rss_mb: float
    n_files: int
    n_database_files: int
    n_connections: int
    names: dict[str, float]


def sample(folder: str, started: float) -> Sample:
    own, rss, files, connections, names = 0.0, 0.0, Counter[bool](), 0, Counter[str]()
    for pid in family(folder):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            sizes = {
                line.split()[0]: int(line.split()[1]) / 1024
                for line in rollup.splitlines()[1:]
                if line.endswith("kB")
            }
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            private = sizes["Pss_Anon:"]
            is_postgres = name_of(command) not in {"server", "supervisor"}
            own, rss = own + private, rss + sizes["Rss:"]
            files[is_postgres] += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            is_connection = command.startswith(("postgres: misir_", "postgres: postgres "))
            connections += is_connection
            names[name_of(command)] += private
    return Sample(
        time.perf_counter() - started,
        own,
        rss,
        files[False],
        files[True],
        connections,
        {one: round(mb, 1) for one, mb in names.items()},
    )


def family(folder: str) -> set[int]:
    """The processes that work on this data directory, by their command or environment, and all that these started.

    PostgreSQL and its supervisor belong to no server that could be asked for its children.
    """
    children: dict[int, list[int]] = {}
    found = set[int]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                stat = (entry / "stat").read_text()
                children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
                known_by = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if folder.encode() in known_by:
                    found.add(int(entry.name))
    waiting = list(found)
    while waiting:
        below = [pid for pid in children.get(waiting.pop(), []) if pid not in found]
        found.update(below)
        waiting += below
    return found


def name_of(command: str) -> str:
    if command.startswith("postgres:"):
        return "backends" if "misir_" in command else "postgres helpers"
    if "serve --local" in command:
        return "server"
    return "postmaster" if "postgres" in command.split(" ", maxsplit=1)[0] else "supervisor"


def slope(samples: Sequence[Sample], of: str) -> float:
    """A minute, by least squares."""
    return float(np.polyfit([one.at_s / 60 for one in samples], [getattr(one, of) for one in samples], 1)[0])


async def soak(url: str, folder: str, minutes: float) -> tuple[Client, list[Sample], float]:
    samples = list[Sample]()
    # As many connections as it ever needs, kept: they are files of the server's, too.
    kept = httpx.Limits(max_connections=N_SOCKETS, max_keepalive_connections=N_SOCKETS)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=kept) as http:
        client = Client(http)
        await client.prepare()
        await client.fill()
        await client.as_fast_as_it_goes(AT_FULL_S)
        rate = await client.as_fast_as_it_goes(LOOK_S) / 2
        client.statuses.clear()
        started = time.perf_counter()
        load = asyncio.create_task(client.evenly(rate, minutes * 60))
        while not load.done():
            samples.append(await asyncio.to_thread(sample, folder, started))
            await asyncio.wait([load], timeout=SAMPLE_EVERY_S)
        await load
    return client, samples, rate


def rows_of(client: Client, samples: list[Sample], rate: float, minutes: float) -> list[Row]:
    steady = samples[int(len(samples) * WARM_UP) :]
    first, last = steady[0], steady[-1]
    broken = sum(n for status, n in client.statuses.items() if status >= 500)
    refused = sum(n for status, n in client.statuses.items() if 400 <= status < 500)
    at_most: Any = {"at_least": False}
    memory = "memory of all processes, growth a minute"
    return [
        plain_row("minutes", minutes, "min"),
        plain_row("requests a second (half of what the server takes)", rate, "1/s"),
        plain_row("requests answered", sum(client.statuses.values()), "requests"),
        plain_row("answers 5xx", broken, "answers", 0, **at_most),
        plain_row("answers 4xx", refused, "answers", 0, **at_most),
        plain_row(memory, slope(steady, "own_mb"), "MB/min", MOST_MB_PER_MINUTE, **at_most),
        plain_row("memory after warm-up", first.own_mb, "MB"),
        plain_row("memory at the end", last.own_mb, "MB"),
        plain_row(
            "open files of PostgreSQL (it keeps tables open), most",
            max(one.n_database_files for one in steady),
            "files",
        ),
        plain_row(
            "open files of the server, growth a minute", slope(steady, "n_files"), "1/min", 1, **at_most
        ),
        plain_row("open files of the server, most", max(one.n_files for one in steady), "files"),
        plain_row("connections, growth a minute", slope(steady, "n_connections"), "1/min", 0.5, **at_most),
        plain_row("connections, most", max(one.n_connections for one in steady), "connections"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--json", action="store_true", help="write benchmarks/results/soak.json")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="misir-soak-") as folder,
        served(Path(folder) / "data", 1) as (url, _, started),
    ):
        first_answer(url, started)
        client, samples, rate = asyncio.run(soak(url, folder, asked.minutes))
    rows = rows_of(client, samples, rate, asked.minutes)
    for row in rows:
        goal = "" if row["target"] is None else f"  target {row['target']}: {row['verdict']}"
        sys.stdout.write(f"{row['name']}: {row['value']} {row['unit']}{goal}\n")
    parts = [
        {"minute": round(one.at_s / 60, 1), **one.names} for one in samples[:: max(len(samples) // 20, 1)]
    ]
    for part in parts:
        sys.stdout.write(f"{part}\n")
    for reason, n_answers in client.broken.most_common():
        sys.stdout.write(f"{n_answers} × {reason}\n")
    if asked.json:
        keep(rows, parts, dict(client.broken))


def keep(rows: list[Row], parts: list[dict[str, Any]], broken: dict[str, int]) -> None:
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False, cwd=RESULTS).stdout.strip()  # noqa: S603
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit, "cores": os.cpu_count(),
        "python": platform.python_version(), "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    text = json.dumps(
        {"machine": about, "rows": rows, "own_mb_by_part": parts, "answers_5xx": broken},
        indent=1,
        ensure_ascii=False,
    )
    (RESULTS / "soak.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
