"""What captures and batches cost beside the embedding and the bare rows. `python benchmarks/batch.py [--full] [--json]`

Through the product's own pipeline, in this process, on a PostgreSQL of its own; no HTTP.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from ground import ME, VOCABULARY, Row, interleaved, plain_row, postgres, ratio_row, resources, run
from pgvector import HalfVector

from misir.capture.batch import capture_batch
from misir.capture.pipeline import capture
from misir.capture.schemas import CaptureRequest
from misir.resources import Resources
from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace

N_ITEMS = 100
TABLES = ("artifact", "embedding", "signal")


class Bench:
    """A space with topics, and pages that were never seen before."""

    def __init__(self, res: Resources, owner: psycopg.Connection[Any], space_id: int) -> None:
        self.res, self.owner, self.space_id = res, owner, space_id
        self.chance = np.random.default_rng(1)
        self.n_pages = 0

    def text(self, n_words: int) -> str:
        return " ".join(self.chance.choice(VOCABULARY, n_words))

    def page(self, n_words: int, *, has_vector: bool = False) -> dict[str, Any]:
        self.n_pages += 1
        page: dict[str, Any] = {
            "space_id": self.space_id,
            "url": f"https://bench.example/{self.n_pages}",
            "title": self.text(5),
            "content": self.text(n_words - 5),
            "engagement_level": "engaged",
        }
        if has_vector:
            vector = self.chance.normal(0, 1, self.res.embedder.dimension).tolist()
            page |= {"embedding": vector, "embedding_model": self.res.embedder.fingerprint}
        return page

    async def batch(self, pages: list[dict[str, Any]]) -> None:
        answer = await capture_batch(self.res, ME, pages, datetime.now(UTC))
        assert answer.count == len(pages), answer.failed[:1]

    async def embed(self, texts: list[str]) -> None:
        """The bound: one text a run, on the embedder's two threads."""

        async def one_by_one(some: list[str]) -> None:
            for text in some:
                await self.res.embedder.embed_text(text)

        await asyncio.gather(one_by_one(texts[::2]), one_by_one(texts[1::2]))


async def _measure_batches(bench: Bench, rounds: int) -> list[Row]:
    rows = []
    for n_words, target in ((50, 1.3), (12, 2.0)):
        pages = [[bench.page(n_words) for _ in range(N_ITEMS)] for _ in range(rounds + 1)]
        texts = [[bench.text(n_words) for _ in range(N_ITEMS)] for _ in range(rounds + 1)]

        async def ours(number: int, pages: Any = pages) -> None:
            await bench.batch(pages[number])

        async def bound(number: int, texts: Any = texts) -> None:
            await bench.embed(texts[number])

        await ours(-1)
        found = await interleaved(rounds, ours=ours, bound=bound)
        name = f"batch of {N_ITEMS} × {n_words} words against embedding them on two workers"
        rows.append(ratio_row(name, found["ours"], found["bound"], target))
    return rows


async def _measure_vectors(bench: Bench, rounds: int) -> list[Row]:
    """Against COPY of the rows that the batch leaves into the tables they came from."""
    pages = [[bench.page(50, has_vector=True) for _ in range(N_ITEMS)] for _ in range(rounds + 2)]
    for warm in (-1, -2):
        await bench.batch(pages[warm])
    ours, bare = [], []
    for number in range(rounds):
        before = bench.owner.execute("select max(id) from misir.artifact").fetchone()
        started = time.perf_counter()
        await bench.batch(pages[number])
        ours.append(time.perf_counter() - started)
        bare.append(_copy_again(bench.owner, int((before or [0])[0])))
    name = f"batch of {N_ITEMS} with vectors supplied against COPY of its rows"
    return [ratio_row(name, ours, bare, 3.0)]


def _copy_again(owner: psycopg.Connection[Any], after_id: int) -> float:
    """Seconds it takes to COPY the artifacts after an id, with all that hangs on them, back to where they were."""
    saved = []
    for table in TABLES:
        found = owner.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped "
            "and attgenerated = ''",
            [f"misir.{table}"],
        ).fetchall()
        columns = ", ".join(row[0] for row in found)
        key = "id" if table == "artifact" else "artifact_id"
        query = (  # names of ours, and an id of the database's
            f"copy (select {columns} from misir.{table} where {key} > {after_id}) to stdout (format binary)"  # noqa: S608
        )
        with owner.cursor().copy(query.encode()) as copy:
            saved.append(
                (f"copy misir.{table} ({columns}) from stdin (format binary)", b"".join(map(bytes, copy)))
            )
    owner.execute("delete from misir.artifact where id > %s", [after_id])
    started = time.perf_counter()
    with owner.transaction():
        for statement, data in saved:
            with owner.cursor().copy(statement.encode()) as copy:
                copy.write(data)
    return time.perf_counter() - started


BARE_ARTIFACT = (
    b"insert into misir.artifact (user_id, space_id, url, normalized_url, url_hash, content_hash, title, content) "
    b"values (%(user_id)s, %(space)s, %(url)s, %(url)s, sha256(%(url)s::text::bytea), sha256(%(url)s::text::bytea), "
    b"%(title)s, %(content)s) returning id"
)
BARE_EMBEDDING = (
    b"insert into misir.embedding (user_id, artifact_id, model, content_hash, vector, fraction) values (%(user_id)s, "
    b"%(artifact)s, 'bare', sha256(%(url)s::text::bytea), %(vector)s, 1)"
)
BARE_SIGNAL = (
    b"insert into misir.signal (user_id, space_id, artifact_id, seq, event_hash, payload_hash, engagement_level, "
    b"base_weight, config_version, occurred_at) values (%(user_id)s, %(space)s, %(artifact)s, %(artifact)s, "
    b"sha256(%(url)s::text::bytea), sha256(%(url)s::text::bytea), 'engaged', 1, 1, now())"
)


async def _measure_single(bench: Bench, bare_space: int, n_each: int) -> list[Row]:
    """One client: a capture against the embedding of its text and the three bare rows it leaves."""
    rows = []
    for n_words, target in ((50, 1.2), (200, 1.15)):
        pages = [bench.page(n_words) for _ in range(n_each)]
        others = [bench.page(n_words) for _ in range(n_each)]

        async def ours(number: int, pages: Any = pages) -> None:
            await capture(bench.res, ME, CaptureRequest.model_validate(pages[number]), datetime.now(UTC))

        async def bound(number: int, others: Any = others) -> None:
            page = others[number]
            made = await bench.res.embedder.embed_text(f"{page['title']}\n\n{page['content']}")
            values = {"space": bare_space, **{key: page[key] for key in ("url", "title", "content")}}
            async with bench.res.database.as_user(ME) as tx:
                row = await (await tx.ask(BARE_ARTIFACT, values)).fetchone()
                more = {"artifact": (row or {})["id"], "vector": HalfVector(made.vector)}
                await tx.ask(BARE_EMBEDDING, values, **more)
                await tx.ask(BARE_SIGNAL, values, **more)

        found = await interleaved(n_each, ours=ours, bound=bound)
        groups = [slice(at, at + n_each // 5) for at in range(0, n_each, n_each // 5)]
        medians = {name: [statistics.median(all_[one]) for one in groups] for name, all_ in found.items()}
        name = f"capture of {n_words} words, one client, against embedding and bare rows"
        rows.append(ratio_row(name, medians["ours"], medians["bound"], target))
    return rows


async def _measure_growth(bench: Bench, sizes: list[int]) -> list[Row]:
    """A capture with its vector, when a space holds more and more; vectors are synthetic."""
    rows, costs = [], {}
    for size in sizes:
        while bench.n_pages < size:
            n = min(500, size - bench.n_pages)
            await bench.batch([bench.page(20, has_vector=True) for _ in range(n)])
        taken = []
        for _ in range(60):
            request = CaptureRequest.model_validate(bench.page(20, has_vector=True))
            started = time.perf_counter()
            await capture(bench.res, ME, request, datetime.now(UTC))
            taken.append(time.perf_counter() - started)
        costs[size] = statistics.median(taken)
        rows.append(plain_row(f"capture into a space with {size:,} artifacts", costs[size] * 1e3, "ms"))
    first, last = min(sizes), max(sizes)
    name = f"capture with {last:,} artifacts against {first:,}"
    return [*rows, plain_row(name, costs[last] / costs[first], "ratio", 1.5, at_least=False)]


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:
    """All figures; each row is {name, value, unit, target, verdict}, and low and high of a ratio."""
    rounds = 11 if is_full else 5
    sizes = [1_000, 10_000, *([100_000] if is_full else []), *([1_000_000] if is_huge else [])]
    with postgres() as url, psycopg.connect(url, autocommit=True) as owner:
        async with resources(url) as res:
            spaces = [
                (await create_space(res, ME, NewSpace(name=name, auto_subspaces=False), datetime.now(UTC))).id
                for name in ("bench", "bare", "growth")
            ]
            bench = Bench(res, owner, spaces[0])
            rows = await _measure_batches(bench, rounds)
            rows += await _measure_vectors(bench, rounds)
            rows += await _measure_single(bench, spaces[1], 100 if is_full else 40)
            rows += await _measure_growth(Bench(res, owner, spaces[2]), sizes)
    return rows


if __name__ == "__main__":
    run(measure, "batch", (__doc__ or "").partition("\n")[0])
