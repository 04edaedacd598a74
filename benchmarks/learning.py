"""A hundred signals into one centroid: `python benchmarks/learning.py [--full] [--json]`

Ours is a batch of a hundred captures that bring their vectors, all into one topic: log, centroid, explanation. Beside it
the rows that it leaves (artifact, vector, signal) inserted plainly into the same tables, a statement a row in one transaction, and the trigger of the founding
document's schema, which averages all of a topic's signals again for each new one, with as many earlier signals. Titles differ, as pages do.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from baseline.data_api import SCHEMA
from batch import BARE_ARTIFACT, BARE_EMBEDDING, BARE_SIGNAL
from ground import ME, VOCABULARY, Row, interleaved, plain_row, postgres, ratio_row, resources, run
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from misir.capture.batch import capture_batch
from misir.resources import Resources
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace, NewSubspace

N = 100
EARLIER = 2_000
TRIGGER = (
    b"insert into document.signal (artifact_id, topic_id, embedding, weight) values (%s, 1, %s::vector, 1)"
)


class Bench:
    """One space of ours with one topic, and the document's tables, beside each other."""

    def __init__(self, res: Resources, owner: psycopg.Connection[Any], space_id: int, bare_id: int) -> None:
        self.res, self.owner, self.space_id, self.bare_id = res, owner, space_id, bare_id
        self.chance = np.random.default_rng(5)
        self.centre = self.chance.normal(0, 1, res.embedder.dimension)
        self.numbers = itertools.count()

    def title(self) -> str:
        return " ".join(self.chance.choice(VOCABULARY, 8))

    def vectors(self) -> list[np.ndarray[Any, Any]]:
        return [self.centre + self.chance.normal(0, 0.5, self.centre.size) for _ in range(N)]

    async def ours(self, _: int) -> None:
        pages = [
            {
                "space_id": self.space_id, "url": f"https://bench.example/{next(self.numbers)}", "title": self.title(),
                "embedding": vector.tolist(), "embedding_model": self.res.embedder.fingerprint,
                "engagement_level": "engaged",
            }
            for vector in self.vectors()
        ]  # fmt: skip
        answer = await capture_batch(self.res, ME, pages, datetime.now(UTC))
        assert answer.count == N, answer.failed[:1]

    async def plain(self, _: int) -> None:
        common = {"user_id": ME, "space": self.bare_id, "content": None}
        rows = [(vector, next(self.numbers), self.title()) for vector in self.vectors()]
        with self.owner.transaction():
            for vector, number, title in rows:
                page = {**common, "url": f"https://plain.example/{number}", "title": title}
                made = self.owner.execute(BARE_ARTIFACT, page).fetchone()
                told = {**page, "artifact": (made or (0,))[0], "vector": HalfVector(vector)}
                self.owner.execute(BARE_EMBEDDING, told)
                self.owner.execute(BARE_SIGNAL, told)

    async def trigger(self, _: int) -> None:
        rows = [(str(vector.tolist()), next(self.numbers)) for vector in self.vectors()]
        for vector, number in rows:  # a request, a commit
            self.owner.execute(TRIGGER, [number, vector])


async def compare(rounds: int, works: dict[str, Callable[[int], Awaitable[None]]]) -> dict[str, list[float]]:
    for work in works.values():
        await work(-1)
    return await interleaved(rounds, **works)


def at_least(row: Row, target: float) -> Row:
    return row | {"target": f"≥ {target}", "verdict": "met" if row["value"] >= target else "missed"}


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:  # noqa: ARG001 - one size
    """Rows of {name, value, unit, target, verdict}."""
    rounds = 9 if is_full else 5
    with postgres() as url, psycopg.connect(url, autocommit=True) as owner:
        owner.execute(SCHEMA)
        register_vector(owner)
        async with resources(url) as res:
            new = NewSpace(name="bench", auto_subspaces=False, subspaces=[NewSubspace(name="One topic")])
            space = await create_space(res, ME, new, datetime.now(UTC))
            bare = await create_space(res, ME, NewSpace(name="bare"), datetime.now(UTC))
            bench = Bench(res, owner, space.id, bare.id)
            owner.execute("insert into document.topic values (1, %s::vector)", [str(bench.centre.tolist())])
            found = await compare(
                rounds, {"ours": bench.ours, "plain": bench.plain, "trigger": bench.trigger}
            )
            rows = [
                plain_row(f"{N} signals into one centroid", min(found["ours"]) * 1e3, "ms"),
                ratio_row(
                    f"{N} signals against plain inserts of their rows", found["ours"], found["plain"], 2.0
                ),
                at_least(
                    ratio_row(
                        f"the trigger design against {N} signals", found["trigger"], found["ours"], None
                    ),
                    5,
                ),
            ]
            started = time.perf_counter()
            while time.perf_counter() - started < 120 and _signals(owner) < EARLIER:
                await bench.trigger(0)
                await bench.ours(0)
            found = await compare(rounds, {"ours": bench.ours, "trigger": bench.trigger})
            name = f"the trigger design with {_signals(owner):,} earlier signals against {N} signals"
            return [*rows, at_least(ratio_row(name, found["trigger"], found["ours"], None), 15)]


def _signals(owner: psycopg.Connection[Any]) -> int:
    return int((owner.execute("select count(*) from document.signal").fetchone() or [0])[0])


if __name__ == "__main__":
    run(measure, "learning", (__doc__ or "").partition("\n")[0])
