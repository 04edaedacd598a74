"""Misir over HTTP beside the founding document's pipeline: `python benchmarks/serving.py [--full] [--json]`

Three real servers on one PostgreSQL take turns: ours (one worker, signed tokens, limits, metrics), and the document's pipeline
(`baseline/`) with one shared HTTP client and with a client for each statement. Clients run in this process, texts and questions are unique.
The document's pipeline encodes with sentence-transformers where the extra `peers` is installed, else with our engine, one text a call.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import numpy as np
import psycopg
from baseline.data_api import SCHEMA
from ground import VOCABULARY, Row, interleaved, plain_row, postgres, ratio_row, run

HERE = Path(__file__).parent
SECRET = "a-secret-of-this-benchmark-and-of-nobody-else"  # noqa: S105
SUPABASE = "https://benchmark.supabase.co"
TOPICS = ("rivers and the sea", "the kitchen garden", "clocks and watches", "old railways", "night sky")
N_CLIENTS = 8


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def server(app: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """A uvicorn of its own; its address. Ended with the block."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        app,
        "--port",
        str(port),
        "--log-level",
        "warning",
        "--no-access-log",
    ]
    env = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **environment}
    if (
        app != "main:app"
    ):  # ours says itself how many threads its arithmetic takes; the others get all there are
        env.pop("OMP_NUM_THREADS", None)
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - ours
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise TimeoutError(url)


class Side:
    """One of the three servers, and how it is spoken to."""

    def __init__(self, name: str, url: str, chance: np.random.Generator) -> None:
        self.name, self.chance = name, chance
        self.is_ours = name == "ours"
        headers = {"Authorization": f"Bearer {mint()}"} if self.is_ours else {}
        limits = httpx.Limits(max_keepalive_connections=64)
        self.client = httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits)
        self.numbers = itertools.count()
        self.space_id = 0

    async def prepare(self) -> None:
        if self.is_ours:
            topics = [{"name": name} for name in TOPICS]
            answer = await self.client.post("/api/v1/spaces", json={"name": "Bench", "subspaces": topics})
            self.space_id = answer.raise_for_status().json()["id"]

    def words(self, n: int) -> str:
        return " ".join(self.chance.choice(VOCABULARY, n))

    def page(self, n_words: int) -> dict[str, Any]:
        url = f"https://bench.example/{self.name}/{next(self.numbers)}"
        page: dict[str, Any] = {"url": url, "title": self.words(5), "content": self.words(n_words - 5)}
        return page | ({"space_id": self.space_id, "engagement_level": "engaged"} if self.is_ours else {})

    async def capture(self, n_words: int) -> None:
        path = "/api/v1/capture" if self.is_ours else "/capture"
        (await self.client.post(path, json=self.page(n_words))).raise_for_status()

    async def batch(self, n_items: int, n_words: int) -> None:
        await self.send([self.page(n_words) for _ in range(n_items)])

    async def send(self, pages: list[dict[str, Any]]) -> None:
        """In one request."""
        if self.is_ours:
            answer = await self.client.post("/api/v1/artifacts/batch", json={"artifacts": pages})
            assert answer.raise_for_status().json()["count"] == len(pages)
        else:
            (await self.client.post("/batch", json=pages)).raise_for_status()

    async def search(self) -> None:
        path = "/api/v1/search" if self.is_ours else "/search"
        (await self.client.get(path, params={"q": self.words(6)})).raise_for_status()


def mint() -> str:
    now = int(time.time())
    claims = {
        "iss": f"{SUPABASE}/auth/v1", "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 7200,
        "sub": "7d3c1f5e-0d53-4d5b-9d57-2d5a8a6f4c11",
    }  # fmt: skip
    return jwt.encode(claims, SECRET, "HS256")


@contextmanager
def sides(url: str) -> Iterator[list[Side]]:
    with psycopg.connect(url, autocommit=True) as owner, ExitStack() as stack:
        owner.execute(SCHEMA)
        for number in range(len(TOPICS)):
            vector = np.random.default_rng(number).normal(0, 1, 384)
            owner.execute(
                "insert into document.topic values (%s, %s::vector)", [number, str(vector.tolist())]
            )
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        ours = {
            "DATABASE_URL": url.replace("//postgres@", "//misir_login@"), "SUPABASE_URL": SUPABASE,
            "SUPABASE_JWT_SECRET": SECRET, "MOCK_AUTH": "False", "JOBS": "off", "MISIR_DATA_DIR": folder,
            **{f"RATE_LIMIT_{name}": "1000000" for name in ("CAPTURE", "BATCH", "BATCH_ITEMS", "SEARCH", "DEFAULT")},
        }  # fmt: skip
        api = stack.enter_context(server("data_api:app", HERE / "baseline", {"DOCUMENT_DATABASE_URL": url}))
        chance = np.random.default_rng(20261126)
        found = [Side("ours", stack.enter_context(server("main:app", HERE.parent, ours)), chance)]
        for name in ("shared", "request"):
            env = {"DATA_API": api, "CLIENT": name}
            found.append(Side(name, stack.enter_context(server("baseline.document:app", HERE, env)), chance))
        yield found


async def one_client(
    them: list[Side],
    what: str,
    rounds: int,
    work: Callable[[Side], Awaitable[Any]],
    targets: dict[str, float],
) -> list[Row]:
    """Ours against each mode of the document, one request at a time; a ratio is theirs over ours."""

    def bound(side: Side) -> Callable[[int], Awaitable[Any]]:
        async def go(_: int) -> None:
            await work(side)

        return go

    for side in them:
        await work(side)
    found = await interleaved(rounds, **{side.name: bound(side) for side in them})
    size = max(rounds // 5, 1)
    parts = [slice(at, at + size) for at in range(0, size * 5, size)]
    medians = {
        name: [statistics.median(all_[one]) for one in parts if all_[one]] for name, all_ in found.items()
    }
    rows = [plain_row(f"{what}, ours", statistics.median(found["ours"]) * 1e3, "ms")]
    for name, target in targets.items():
        label = "a client each statement" if name == "request" else "one shared client"
        row = ratio_row(f"{what}: the document's ({label}) over ours", medians[name], medians["ours"], None)
        rows.append(row | {"target": f"≥ {target}", "verdict": "met" if row["value"] >= target else "missed"})
    return rows


async def mixed(side: Side, seconds: float) -> dict[str, Any]:
    """30 % captures, 70 % searches by eight clients; latencies, and those of /health meanwhile."""
    captures: list[float] = []
    searches: list[float] = []
    health: list[float] = []
    errors = 0
    ends = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal errors
        chance = np.random.default_rng(number)
        while time.perf_counter() < ends:
            is_capture = chance.random() < 0.3
            started = time.perf_counter()
            try:
                await (side.capture(50) if is_capture else side.search())
            except httpx.HTTPError:
                errors += 1
                continue
            (captures if is_capture else searches).append(time.perf_counter() - started)

    async def watch() -> None:
        while time.perf_counter() < ends:
            started = time.perf_counter()
            await side.client.get("/health")
            health.append(time.perf_counter() - started)
            await asyncio.sleep(0.05)

    await asyncio.gather(watch(), *(client(number) for number in range(N_CLIENTS)))
    return {
        "rate": (len(captures) + len(searches)) / seconds, "errors": errors,
        "p50": float(np.quantile(searches, 0.5)), "p99": float(np.quantile(searches, 0.99)),
        "health_p99": float(np.quantile(health, 0.99)),
    }  # fmt: skip


async def measure_mixed(them: list[Side], rounds: int, seconds: float) -> list[Row]:
    found: dict[str, list[dict[str, Any]]] = {side.name: [] for side in them}
    for number in range(rounds):
        for side in them[:: -1 if number % 2 else 1]:
            found[side.name].append(await mixed(side, seconds))
    ours = found["ours"]
    rates = {name: [one["rate"] for one in all_] for name, all_ in found.items()}
    what = f"30 % captures, 70 % searches, {N_CLIENTS} clients"
    rows = [plain_row(f"{what}: requests a second, ours", statistics.median(rates["ours"]), "1/s")]
    for name, target in (("request", 13), ("shared", 2.3)):
        row = ratio_row(f"{what}: ours over the document's ({name})", rates["ours"], rates[name], None)
        rows.append(row | {"target": f"≥ {target}", "verdict": "met" if row["value"] >= target else "missed"})
    tail = statistics.median(one["p99"] / one["p50"] for one in ours)
    health = statistics.median(one["health_p99"] for one in ours)
    return [
        *rows,
        plain_row("search p99 over p50 meanwhile", tail, "ratio", 3, at_least=False),
        plain_row("/health p99 meanwhile", health * 1e3, "ms", 20, at_least=False),
        plain_row("errors meanwhile", sum(one["errors"] for one in ours), "requests", 0, at_least=False),
    ]


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    rounds = 60 if is_full else 20
    with postgres() as url, sides(url) as them:
        for side in them:
            await side.prepare()
        rows = await one_client(
            them, "capture of 50 words", rounds, lambda s: s.capture(50), {"request": 10, "shared": 1.6}
        )
        rows += await one_client(
            them, "capture of 200 words", rounds, lambda s: s.capture(200), {"request": 5, "shared": 1.2}
        )
        rows += await one_client(
            them, "search, unique question", rounds, lambda s: s.search(), {"request": 11, "shared": 2}
        )
        n = 10 if is_full else 3
        rows += await one_client(
            them, "batch of 100 × 50 words", n, lambda s: s.batch(100, 50), {"request": 13, "shared": 3.2}
        )
        rows += await one_client(
            them, "batch of 100 × 12 words", n, lambda s: s.batch(100, 12), {"request": 25, "shared": 4}
        )
        rows += await measure_mixed(them, 5 if is_full else 3, 8 if is_full else 4)
        for side in them:
            await side.client.aclose()
    return rows


if __name__ == "__main__":
    run(measure, "serving", (__doc__ or "").partition("\n")[0])
