"""What a capture, a search and a page of figures cost while the database grows: `python benchmarks/growth.py [--full|--huge] [--json]`

One user with a thousand pages that have words, visits and topics, among others' libraries of a thousand each: 1,000 artifacts in all,
then 10,000, then 100,000 (--full), then a million (--huge, a quarter of an hour). A capture brings its vector and a search's question is
embedded before, so that the model, which does not grow, is left out. Others' pages are synthetic vectors without words.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from ground import ME, VOCABULARY, Row, interleaved, plain_row, postgres, resources, run
from pgvector.psycopg import register_vector
from search import World

from misir.analytics.views import global_analytics, space_analytics
from misir.capture.batch import capture_batch
from misir.capture.pipeline import capture
from misir.capture.schemas import CaptureRequest
from misir.resources import Resources
from misir.search.find import search
from misir.search.schemas import SearchRequest
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace

N_MINE = 1_000


class Person:
    """The user whose requests are measured."""

    def __init__(self, res: Resources, world: World, space_id: int) -> None:
        self.res, self.world, self.space_id = res, world, space_id
        self.chance = np.random.default_rng(11)
        self.numbers = iter(range(10**9))
        self.questions: list[str] = []

    def words(self, n: int) -> str:
        return " ".join(self.chance.choice(VOCABULARY, n))

    def page(self) -> dict[str, Any]:
        return {
            "space_id": self.space_id, "url": f"https://growth.example/{next(self.numbers)}", "title": self.words(6),
            "content": self.words(150), "engagement_level": "engaged",
            "embedding": self.world.query(is_held=True).tolist(), "embedding_model": self.res.embedder.fingerprint,
        }  # fmt: skip

    async def fill(self) -> None:
        for _ in range(N_MINE // 100):
            await capture_batch(self.res, ME, [self.page() for _ in range(100)], datetime.now(UTC))

    async def ask_before(self, n: int) -> None:
        """The questions' vectors are in the cache when they are asked."""
        self.questions = [self.words(3) for _ in range(n)]
        await self.res.embedder.embed_texts_batch(self.questions, "query")

    async def capture(self, _: int) -> None:
        await capture(self.res, ME, CaptureRequest.model_validate(self.page()), datetime.now(UTC))

    async def search(self, number: int) -> None:
        await search(self.res, ME, SearchRequest(q=self.questions[number]))

    async def space(self, _: int) -> None:
        await space_analytics(self.res, ME, self.space_id, now=datetime.now(UTC))

    async def everything(self, _: int) -> None:
        await global_analytics(self.res, ME, now=datetime.now(UTC))


async def measure_at(person: Person, total: int, n: int) -> list[Row]:
    await person.ask_before(n)
    works: dict[str, Callable[[int], Awaitable[None]]] = {
        "capture": person.capture, "search": person.search, "figures of a space": person.space, "figures of everything": person.everything,
    }  # fmt: skip
    for work in works.values():
        for number in range(3):
            await work(number)
    taken = await interleaved(n, **works)
    return [
        plain_row(f"{name} with {total:,} artifacts", float(np.median(seconds)) * 1e3, "ms") for name, seconds in taken.items()
    ]  # fmt: skip


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:
    """Rows of {name, value, unit, target, verdict}."""
    totals = [1_000, 10_000, *([100_000] if is_full else []), *([1_000_000] if is_huge else [])]
    rows: list[Row] = []
    with postgres() as url, psycopg.connect(url, autocommit=True) as owner:
        register_vector(owner)
        async with resources(url) as res:
            world = World(owner, res)
            topics = [{"name": self_named} for self_named in ("rivers", "clocks", "gardens", "stars")]
            space = await create_space(
                res, ME, NewSpace.model_validate({"name": "G", "subspaces": topics}), datetime.now(UTC)
            )
            person = Person(res, world, space.id)
            await person.fill()
            world.n_all = N_MINE
            for total in totals:
                started = time.perf_counter()
                world.grow(total)
                owner.execute("vacuum analyze misir.signal")
                filling = time.perf_counter() - started
                rows += await measure_at(person, total, 40)
                print(f"{total:,} artifacts: filled in {filling:.0f} s", flush=True)
            for name in ("capture", "search", "figures of a space", "figures of everything"):
                first, last = (
                    next(row["value"] for row in rows if row["name"] == f"{name} with {n:,} artifacts")
                    for n in (totals[0], totals[-1])
                )
                rows.append(
                    plain_row(
                        f"{name}: {totals[-1]:,} artifacts against {totals[0]:,}", last / first, "ratio"
                    )
                )
    return rows


if __name__ == "__main__":
    run(measure, "growth", (__doc__ or "").partition("\n")[0])
