"""Does a capture cost more when there have been more of them? `python benchmarks/captures.py [N]`

Captures N pages (10,000) into one space of 200 topics, through the product's own pipeline on a PostgreSQL of its own, and
compares the last thousand with the first. The vectors come with the captures, so that no model is timed.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from misir.capture.pipeline import capture
from misir.capture.schemas import CaptureRequest
from misir.embed.embedder import build_embedder
from misir.plumbing.embedded_postgres import EmbeddedPostgres
from misir.plumbing.migrate import migrate
from misir.resources import Resources, build_resources
from misir.settings import Settings
from misir.spaces.create import create_space
from misir.spaces.declare import declare_topic
from misir.spaces.schemas import NewSpace
from misir.spaces.topic_schemas import NewTopic
from misir.spaces.views import list_subspaces

ME = uuid.UUID("6d697369-7200-5000-8000-000000000001")
N_TOPICS = 200
TARGET = 1.2
WORDS = [
    "tide",
    "reef",
    "kelp",
    "anchor",
    "mast",
    "hull",
    "oar",
    "sail",
    "crew",
    "chart",
    "buoy",
    "cove",
    "surf",
    "dune",
    "gale",
    "knot",
    "deck",
    "keel",
    "bow",
    "stern",
]


def cpu_s() -> float:
    """Of this process; PostgreSQL's backends are others."""
    return time.process_time()


async def furnish(res: Resources) -> tuple[int, np.ndarray]:
    """A space of 200 topics, and their centroids."""
    now = datetime.now(UTC)
    space = (await create_space(res, ME, NewSpace(name="Bench", auto_subspaces=False), now)).id
    for number in range(N_TOPICS):
        name = f"{WORDS[number % 20]} {WORDS[number // 20]} {number}"
        await declare_topic(res, ME, space, NewTopic(name=name, markers=[name]), now)
    topics = await list_subspaces(res.database, ME, space, with_centroid=True)
    return space, np.array([topic.centroid for topic in topics], dtype=np.float32)


def page(
    space: int, number: int, centroids: np.ndarray, chance: np.random.Generator, model: str
) -> CaptureRequest:
    """A page of fifty words, near one of the topics."""
    noise = chance.normal(0, 1, centroids.shape[1])
    vector = centroids[number % N_TOPICS] + 0.6 * noise / np.linalg.norm(noise)
    return CaptureRequest.model_validate(
        {
            "space_id": space,
            "url": f"https://bench.example/{number}",
            "title": f"Page {number}",
            "content": " ".join(chance.choice(WORDS, 50)),
            "engagement_level": "engaged",
            "embedding": vector.tolist(),
            "embedding_model": model,
        }
    )


async def measure(res: Resources, n_pages: int) -> list[tuple[float, float]]:
    """(seconds, CPU seconds of this process) of each capture."""
    space, centroids = await furnish(res)
    chance = np.random.default_rng(1)
    found = []
    for number in range(n_pages):
        request = page(space, number, centroids, chance, res.embedder.fingerprint)
        wall, cpu = time.perf_counter(), cpu_s()
        await capture(res, ME, request, datetime.now(UTC))
        found.append((time.perf_counter() - wall, cpu_s() - cpu))
        if (number + 1) % 1000 == 0:
            sys.stdout.write(f"{number + 1:>7,}  {describe(found[-1000:])}\n")
            sys.stdout.flush()
    return found


def describe(some: list[tuple[float, float]]) -> str:
    wall, cpu = (statistics.median(column) * 1e3 for column in zip(*some, strict=True))
    return f"median {wall:.2f} ms a capture, {cpu:.2f} ms of them CPU of Misir"


def ratio(found: list[tuple[float, float]], column: int) -> float:
    first, last = ([one[column] for one in some] for some in (found[:1000], found[-1000:]))
    return statistics.median(last) / statistics.median(first)


async def run(url: str, n_pages: int) -> None:
    settings: Any = Settings(
        _env_file=None, MOCK_AUTH=True, DATABASE_URL=url, JOBS="off", RATE_LIMIT_ENABLED=False
    )
    res = build_resources(settings)
    await res.start()
    found = await measure(res, n_pages)
    await res.close()
    wall, cpu = ratio(found, 0), ratio(found, 1)
    sys.stdout.write(
        f"the last thousand against the first: {wall:.2f} of the time, {cpu:.2f} of the CPU (target {TARGET})\n"
    )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"peak memory of Misir: {peak_mb:.0f} MB\n")


def main() -> None:
    n_pages = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    root = Path(tempfile.mkdtemp(prefix="misir-bench-"))
    root.chmod(0o755)
    postgres = EmbeddedPostgres(root)  # as it runs for people: durable, and vacuumed
    postgres.start()
    try:
        spec = build_embedder(Settings(_env_file=None)).spec
        migrate(postgres.url("postgres"), app_login="postgres", model=spec)
        asyncio.run(run(postgres.url("postgres"), n_pages))
    finally:
        postgres.stop()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
