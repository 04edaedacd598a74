"""What a search in SQL costs beside a dot product in memory, and what it finds. `python benchmarks/search.py [--full] [--json]`

The semantic leg alone, through the product's own statements and row level security, on a PostgreSQL of its own. Vectors
are synthetic: subjects on the sphere with noise around them, each user at home in some subjects and not in others.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import numpy as np
import psycopg
from ground import ME, Row, interleaved, plain_row, postgres, ratio_row, resources, run
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from misir.orient.vectors import to_half
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.search.meaning import ask_meaning, measure_library, read_meaning

N_SUBJECTS, N_HELD = 200, 40
NOISE = 1.2
"""Length of the noise beside a subject's 1: cosines within a subject are about 0.4, as of real texts."""

AT_ONCE = 5_000
BULK = 50_000
"""From so many rows on the index over vectors is made after them."""

EVERYTHING = -10.0
NO_FILTERS: dict[str, Any] = dict.fromkeys(
    ("space_ids", "subspace_id", "source", "domain", "engagement_level", "from_at", "to_at")
)
COLUMNS = "user_id, space_id, url, normalized_url, url_hash, content_hash, title, captured_at"


@contextmanager
def without_vector_index(owner: psycopg.Connection[Any]) -> Iterator[None]:
    """The index over vectors is dropped for the block, and made again from all rows at once."""
    statements = owner.execute(
        "select c.relname, pg_get_indexdef(c.oid) from pg_class c join pg_am m on m.oid = c.relam "
        "where c.relnamespace = 'misir'::regnamespace and m.amname = 'hnsw' and not c.relispartition"
    ).fetchall()
    for name, _ in statements:
        owner.execute(f"drop index misir.{name}".encode())
    yield
    owner.execute("set maintenance_work_mem = '3GB'")
    owner.execute("set max_parallel_maintenance_workers = 1")
    for _, statement in statements:
        owner.execute(statement.replace(" ON ONLY ", " ON ").encode())


class World:
    """Users and their vectors, in PostgreSQL and, of those that are measured, in memory."""

    def __init__(self, owner: psycopg.Connection[Any], res: Resources) -> None:
        self.owner, self.res = owner, res
        self.chance = np.random.default_rng(3)
        subjects = self.chance.normal(0, 1, (N_SUBJECTS, res.embedder.dimension))
        self.subjects = subjects / np.linalg.norm(subjects, axis=1)[:, None]
        self.n_all = 0
        self.rows: dict[uuid.UUID, tuple[np.ndarray, np.ndarray]] = {}

    def around(self, subjects: np.ndarray) -> np.ndarray:
        noise = self.chance.normal(0, 1, (len(subjects), self.subjects.shape[1])) * NOISE
        vectors = self.subjects[subjects] + noise / np.sqrt(self.subjects.shape[1])
        return to_half(vectors / np.linalg.norm(vectors, axis=1)[:, None])

    def add(self, user: uuid.UUID, n: int, *, is_kept: bool = True) -> None:
        """`n` artifacts with their vectors, of the subjects that users hold, written as a library grows.

        What is kept in memory can be compared.
        """
        row = self.owner.execute(
            "insert into misir.space (user_id, name, embedding_count) values (%s, 'bench', %s) returning id",
            [user, n],
        ).fetchone()
        for start in range(0, n, AT_ONCE):
            vectors = self.around(self.chance.integers(0, N_HELD, min(AT_ONCE, n - start)))
            ids = self._write(user, int((row or (0,))[0]), vectors)
            if is_kept:
                known, before = self.rows.get(
                    user, (np.empty(0, np.int64), np.empty((0, vectors.shape[1]), np.float32))
                )
                self.rows[user] = (np.append(known, ids), np.vstack([before, vectors]))
        self.n_all += n

    def grow(self, total: int, own: dict[uuid.UUID, int] | None = None) -> None:
        """Those libraries, and others' until there are so many rows in all; very many are indexed at the end."""

        def add() -> None:
            for user, n in (own or {}).items():
                self.add(user, n)
            while self.n_all < total:
                self.add(uuid.uuid4(), min(1_000, total - self.n_all), is_kept=False)

        if total - self.n_all < BULK:
            add()
        else:
            with without_vector_index(self.owner):
                add()
        self.owner.execute("vacuum analyze misir.embedding, misir.artifact")

    def _write(self, user: uuid.UUID, space_id: int, vectors: np.ndarray) -> list[int]:
        with self.owner.transaction():
            found = self.owner.execute(
                "insert into misir.artifact (user_id, space_id, url, normalized_url, url_hash, content_hash) "
                "select %(user)s, %(space)s, 'u', 'u', uuid_send(gen_random_uuid()), '\\x01' "
                "from generate_series(1, %(n)s) returning id",
                {"user": user, "space": space_id, "n": len(vectors)},
            ).fetchall()
            ids = [row[0] for row in found]
            copy_vectors = "copy misir.embedding (user_id, artifact_id, model, content_hash, vector, fraction) from stdin"
            with self.owner.cursor().copy(f"{copy_vectors} (format binary)".encode()) as copy:
                copy.set_types(["uuid", "int8", "text", "bytea", "halfvec", "float8"])
                for artifact_id, vector in zip(ids, vectors, strict=True):
                    copy.write_row(
                        (user, artifact_id, self.res.embedder.fingerprint, b"\x01", HalfVector(vector), 1.0)
                    )
        return ids

    def query(self, *, is_held: bool) -> np.ndarray:
        first, last = (0, N_HELD) if is_held else (N_HELD, N_SUBJECTS)
        return np.asarray(self.around(np.array([self.chance.integers(first, last)]))[0])

    async def search(self, user: uuid.UUID, query: np.ndarray) -> list[int]:
        async with self.as_user(user) as tx:
            return await self.ask(tx, query)

    def as_user(self, user: uuid.UUID) -> AbstractAsyncContextManager[Tx]:
        return self.res.database.as_user(user, plans="force_generic_plan", reads_only=True)

    async def ask(self, tx: Tx, query: np.ndarray) -> list[int]:
        leg = await ask_meaning(tx, self.res, query, EVERYTHING, NO_FILTERS, await measure_library(tx))
        return [row["artifact_id"] for row in await read_meaning(tx, leg)]

    def dot(self, user: uuid.UUID, query: np.ndarray, k: int) -> list[int]:
        """The bound: numpy on that user's rows in memory."""
        ids, vectors = self.rows[user]
        similarities = vectors @ query
        best = np.argpartition(-similarities, min(k, len(ids) - 1))[:k]
        return [int(ids[one]) for one in best[np.argsort(-similarities[best])]]


async def _measure_user(world: World, user: uuid.UUID, name: str, n: int, target: float | None) -> list[Row]:
    """Time against numpy, and what is found of subjects the user holds and does not hold."""
    queries = [world.query(is_held=number % 2 == 0) for number in range(n)]
    n_rows = min(100, len(world.rows[user][0]))
    found: list[list[int]] = [[] for _ in queries]

    async def ours(number: int) -> None:
        found[number] = await world.search(user, queries[number])

    async def bound(number: int) -> None:
        world.dot(user, queries[number], 100)

    for number in range(3):
        await ours(number)
    async with world.as_user(user) as tx:

        async def statements(number: int) -> None:
            await world.ask(tx, queries[number])

        await statements(0)
        taken = await interleaved(n, ours=ours, statements=statements, bound=bound)
    groups = [slice(at, at + n // 5) for at in range(0, n, n // 5)]
    medians = {key: [float(np.median(values[one])) for one in groups] for key, values in taken.items()}
    rows = [ratio_row(f"search, {name}, against numpy", medians["ours"], medians["bound"], target)]
    what = f"search, {name}, without its transaction's beginning and end, against numpy"
    rows.append(ratio_row(what, medians["statements"], medians["bound"], None))
    rows.append(plain_row(f"search, {name}", float(np.median(taken["ours"])) * 1e3, "ms"))
    is_scanned = len(world.rows[user][0]) <= max(3_000, (75 * world.n_all) ** 0.5)
    for label, parity in (("held", 0), ("not held", 1)):
        pairs = [(found[one][:10], world.dot(user, queries[one], 10)) for one in range(parity, n, 2)]
        recall = float(np.mean([len({*a} & {*b}) / len(b) for a, b in pairs]))
        rows.append(
            plain_row(f"recall@10, {name}, subjects {label}", recall, "share", 0.99 if is_scanned else 0.95)
        )
    fewest = min(len(one) for one in found)
    rows.append(plain_row(f"fewest hits of {n_rows}, {name}", fewest, "rows", n_rows))
    return rows


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:
    """All figures; each row is {name, value, unit, target, verdict}, and low and high of a ratio."""
    totals = [10_000, *([100_000] if is_full else []), *([1_000_000] if is_huge else [])]
    sizes = [100, 1_000, 5_000, *([30_000] if is_full else []), *([100_000] if is_huge else [])]
    n = 60 if is_full else 30
    rows: list[Row] = []
    with postgres() as url, psycopg.connect(url, autocommit=True) as owner:
        register_vector(owner)
        async with resources(url) as res:
            world = World(owner, res)
            started = time.perf_counter()
            world.add(ME, 2_000)
            costs = {}
            libraries = {uuid.uuid4(): size for size in sizes}
            for total in totals:
                world.grow(total, libraries if total == totals[-1] else None)
                measured = await _measure_user(world, ME, f"2,000 rows of {total:,}", n, 5.0)
                costs[total] = measured[2]["value"]
                rows += measured
            name = f"search in 2,000 rows of {totals[-1]:,} against of {totals[0]:,}"
            rows.append(plain_row(name, costs[totals[-1]] / costs[totals[0]], "ratio", 1.3, at_least=False))
            for user, size in libraries.items():
                rows += await _measure_user(world, user, f"library of {size:,}", n, None)
            rows.append(plain_row("filling, all told", time.perf_counter() - started, "s"))
    return rows


if __name__ == "__main__":
    run(measure, "search", (__doc__ or "").partition("\n")[0])
