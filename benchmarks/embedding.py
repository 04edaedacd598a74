"""How fast are texts embedded, and who waits? `python benchmarks/embedding.py [--full] [--write]`

Ways of embedding the same real documents take turns, in an order that is turned round each time; what is compared
is the ratio within a round, given as the median with the least and the most. Times of one machine mean little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from baseline.sentences import open_encoder

from misir.demo import read_documents
from misir.embed.backends import Backend, open_backend
from misir.embed.embedder import Embedder
from misir.embed.models import resolve_model
from misir.embed.text import MAX_WINDOWS, document_text
from misir.settings import Settings

RESULTS = Path(__file__).with_name("results") / "embedding.json"
BATCH = 32
WIDEST = 2.0
"""A ratio whose most is more than so many times its least says nothing."""

Row = dict[str, Any]


class Lap:
    """Wall and CPU seconds a text."""

    def __init__(self, wall: float, cpu: float, n: int) -> None:
        self.wall, self.cpu = wall / n, cpu / n


class Noted:
    """The batcher's counts: how long each run took."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, float]] = []

    def count_run(self, n_windows: int, seconds: float) -> None:
        self.runs.append((n_windows, seconds))

    def count_joined(self, n: int) -> None:
        """Not asked here."""

    def count_dropped(self, reason: str) -> None:
        """Not asked here."""

    def set_queue_tokens(self, tokens: int) -> None:
        """Not asked here."""


class Bench:
    def __init__(self, n_texts: int, n_bulk: int, folder: Path) -> None:
        self.settings = Settings(_env_file=None, MISIR_DATA_DIR=folder)
        fast = self.settings.model_copy(update={"EMBEDDING_BUILD": "fast"})
        self.spec, self.fast_spec = resolve_model(self.settings), resolve_model(fast)
        self.backend: Backend[Any] = open_backend(self.spec, self.settings)
        self.fast_backend: Backend[Any] = open_backend(self.fast_spec, fast)
        self.encode = open_encoder()
        self.noted = Noted()
        documents = [document_text(one["title"], one["content"]) for one in read_documents()]
        chance = np.random.default_rng(20261126)
        # Of mixed length: a line, a paragraph, a page, as people read; unique, so that no cache helps.
        lengths = chance.choice([80, 300, 900, 2_500], size=n_texts + n_bulk, p=[0.3, 0.3, 0.3, 0.1])
        picked = chance.integers(0, len(documents), n_texts + n_bulk)
        made = [
            f"{i}. {documents[p][:length]}"
            for i, (p, length) in enumerate(zip(picked, lengths.tolist(), strict=True))
        ]
        self.texts, self.bulk = made[:n_texts], made[n_texts:]

    def embedder(self, backend: Backend[Any] | None = None) -> Embedder:
        spec = self.fast_spec if backend is self.fast_backend else self.spec
        opened = backend or self.backend
        return Embedder(spec, lambda: opened, cache_limit=0, wait_s=600, counts=self.noted)

    # ---- ways of embedding all texts ----

    def bound(self) -> None:
        """Two workers, one text a run: the raw engine."""
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(self.run_alone, self.texts))

    def run_alone(self, text: str) -> None:
        for window in self.backend.split(text, "", MAX_WINDOWS)[0]:
            self.backend.run([window])

    def naive(self) -> None:
        """32 at a time, as they come, padded to the longest; a text's first window only, as libraries do."""
        windows = [self.backend.split(text, "", 1)[0][0] for text in self.texts]
        for start in range(0, len(windows), BATCH):
            self.backend.run(windows[start : start + BATCH])

    def ours(self, backend: Backend[Any] | None = None) -> None:
        asyncio.run(embed_all(self.embedder(backend), self.texts))

    def fast(self) -> None:
        self.ours(self.fast_backend)


async def embed_all(embedder: Embedder, texts: Sequence[str]) -> None:
    """As the web server does; the backend stays open for the next round."""
    await embedder.embed_texts_batch(texts)


def take_turns(ways: dict[str, Callable[[], Any]], n_texts: int, rounds: int) -> dict[str, list[Lap]]:
    laps: dict[str, list[Lap]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        order = list(ways) if number % 2 else list(ways)[::-1]
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            ways[name]()
            lap = Lap(time.perf_counter() - wall, time.process_time() - cpu, n_texts)
            if number:  # the first round warms up
                laps[name].append(lap)
    return laps


def ratio_row(name: str, ratios: Sequence[float], target: float, *, at_most: bool = False) -> Row:
    """The median of `ratios`, with the least and the most, and whether it is what is wanted."""
    value, least, most = statistics.median(ratios), min(ratios), max(ratios)
    is_met = value <= target if at_most else value >= target
    verdict = "no result: the spread is too wide" if most > WIDEST * least else "met" if is_met else "missed"
    sign = "≤" if at_most else "≥"
    return {
        "name": name,
        "value": round(value, 3),
        "unit": "×",
        "spread": [round(least, 3), round(most, 3)],
        "target": f"{sign} {target}",
        "verdict": verdict,
    }


def plain_row(name: str, value: float, unit: str) -> Row:
    return {"name": name, "value": round(value, 3), "unit": unit, "target": None, "verdict": "printed"}


def throughput(bench: Bench, rounds: int) -> list[Row]:
    ways: dict[str, Callable[[], Any]] = {
        "two workers, one text a run (the bound)": bench.bound,
        "ours": bench.ours,
        "naive batches of 32": bench.naive,
        "ours, fast build": bench.fast,
    }
    bound, ours, naive, fast = ways
    encode = bench.encode
    if encode is not None:
        ways["sentence-transformers' encode"] = lambda: encode(list(bench.texts))
    laps = take_turns(ways, len(bench.texts), rounds)
    rows = []
    for name, found in laps.items():
        rows.append(
            plain_row(f"{name}: texts a second", statistics.median(1 / lap.wall for lap in found), "1/s")
        )
        rows.append(plain_row(f"{name}: CPU a text", 1e3 * statistics.median(lap.cpu for lap in found), "ms"))

    def ratios(theirs: str, mine: str, what: str) -> list[float]:
        return [getattr(a, what) / getattr(b, what) for a, b in zip(laps[theirs], laps[mine], strict=True)]

    rows.append(ratio_row("throughput against the bound", ratios(bound, ours, "wall"), 0.9))
    rows.append(ratio_row("CPU of naive batches of 32 against ours", ratios(naive, ours, "cpu"), 3.5))
    if encode is not None:
        theirs = list(ways)[-1]
        rows.append(ratio_row(f"CPU of {theirs} against ours", ratios(theirs, ours, "cpu"), 2.0))
        rows.append(ratio_row(f"CPU of {theirs} against the fast build", ratios(theirs, fast, "cpu"), 3.5))
    rows.append(ratio_row("CPU of ours against the fast build", ratios(ours, fast, "cpu"), 1.9))
    return rows


async def lone_query(bench: Bench, n: int) -> list[Row]:
    """One question at a time, each asked of everybody: the same text, since a word more is a token more."""
    embedder, fast = bench.embedder(), bench.embedder(bench.fast_backend)
    encode = bench.encode

    async def bound(question: str) -> None:
        bench.run_alone(question)

    async def ours(question: str) -> None:
        await embedder.embed_text(question, "query")

    async def ours_fast(question: str) -> None:
        await fast.embed_text(question, "query")

    async def theirs(question: str) -> None:
        assert encode is not None
        encode(question)

    ways = {"bound": bound, "ours": ours, "fast": ours_fast} | ({"theirs": theirs} if encode else {})
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(-5, 2 * n):
        for name, way in list(ways.items())[:: -1 if i % 2 else 1]:
            started = time.perf_counter()
            await way(f"how do I wait for task number {i // 2}")
            if i >= 0:
                taken[name].append(time.perf_counter() - started)
    fifth = len(taken["ours"]) // 5
    groups = [slice(at, at + fifth) for at in range(0, fifth * 5, fifth)]

    def ratios(one: str, other: str) -> list[float]:
        return [statistics.median(taken[one][at]) / statistics.median(taken[other][at]) for at in groups]

    rows = [
        plain_row("lone query", 1e3 * statistics.median(taken["ours"]), "ms"),
        ratio_row("lone query against the bound", ratios("ours", "bound"), 1.2, at_most=True),
    ]
    if encode is not None:
        rows.append(
            ratio_row("lone query: sentence-transformers' encode over ours", ratios("theirs", "ours"), 2.0)
        )
        name = "lone query: sentence-transformers' encode over the fast build"
        rows.append(ratio_row(name, ratios("theirs", "fast"), 4.0))
    return rows


async def under_load(bench: Bench) -> list[Row]:
    """Queries, and the event loop's lag, while a batch is embedded."""
    embedder = bench.embedder()
    await embedder.embed_text("warm")
    bench.noted.runs.clear()
    lags: list[float] = []
    waits: list[float] = []
    batch = asyncio.create_task(embedder.embed_texts_batch(bench.bulk))

    async def tick() -> None:
        while not batch.done():
            due = time.perf_counter() + 0.002
            await asyncio.sleep(0.002)
            lags.append(time.perf_counter() - due)

    async def query() -> None:
        while not batch.done():
            started = time.perf_counter()
            await embedder.embed_text(f"question number {len(waits)}", "query")
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.03)

    await asyncio.gather(tick(), query(), batch)
    longest = max(seconds for _, seconds in bench.noted.runs)
    p95 = float(np.quantile(waits, 0.95))
    return [
        plain_row(f"longest run of a batch of {len(bench.bulk)}", 1e3 * longest, "ms"),
        {
            "name": f"query p95 while a batch of {len(bench.bulk)} runs",
            "value": round(1e3 * p95, 1),
            "unit": "ms",
            "target": f"≤ {1e3 * longest + 20:.1f} (the longest run + 20 ms)",
            "verdict": "met" if p95 <= longest + 0.02 else "missed",
        },
        plain_row(
            f"event loop's lag, p99, while a batch of {len(bench.bulk)} runs",
            1e3 * float(np.quantile(lags, 0.99)),
            "ms",
        ),
    ]


def measure(*, full: bool = False) -> dict[str, Any]:
    """Every figure of this benchmark: `rows` of name, value, unit, target, verdict; ratios with a spread."""
    n_texts, rounds, n_bulk, n_queries = (256, 5, 500, 100) if full else (64, 3, 160, 40)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(n_texts, n_bulk, Path(folder))
        rows = throughput(bench, rounds)
        rows += asyncio.run(lone_query(bench, n_queries))
        rows += asyncio.run(under_load(bench))
    return {
        "benchmark": "embedding",
        "form": "full" if full else "short",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": {
            "python": platform.python_version(),
            "onnxruntime": onnxruntime.__version__,
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "texts": n_texts,
            "rounds": rounds,
        },
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="256 texts, 5 rounds, a batch of 500")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULTS.name}")
    arguments = parser.parse_args()
    result = measure(full=arguments.full)
    for row in result["rows"]:
        spread = f" ({row['spread'][0]} to {row['spread'][1]})" if "spread" in row else ""
        target = f"; wanted {row['target']}: {row['verdict']}" if row["target"] else ""
        sys.stdout.write(f"{row['name']}: {row['value']} {row['unit']}{spread}{target}\n")
    if arguments.write:
        RESULTS.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
