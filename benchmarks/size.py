"""What an artifact weighs in the database: `python benchmarks/size.py [--full] [--json]`

Pages of 200 words (1,200 characters) with their vectors, captured in batches into a space with ten topics; then bytes of each table, with its
indexes, over the number of artifacts. Text is made of syllables, which compresses less well than prose: a high estimate.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import psycopg
from batch import Bench
from ground import ME, Row, plain_row, postgres, resources, run

from misir.spaces.create import create_space
from misir.spaces.schemas import NewSpace, NewSubspace

TABLES = ("artifact", "embedding", "signal", "job", "subspace", "subspace_snapshot", "subspace_event")


def sizes(owner: psycopg.Connection[object], table: str) -> tuple[int, int]:
    """Bytes of a table and of its indexes, its parts included."""
    row = owner.execute(
        "select sum(pg_table_size(relid)), sum(pg_indexes_size(relid)) "
        "from (select relid from pg_partition_tree(%s) union select %s::regclass) parts",
        [f"misir.{table}"] * 2,
    ).fetchone()
    assert isinstance(row, tuple)
    return int(row[0] or 0), int(row[1] or 0)


async def measure(*, is_full: bool = False, is_huge: bool = False) -> list[Row]:
    """Rows of {name, value, unit, target, verdict}."""
    n_artifacts = 100_000 if is_huge else 10_000 if is_full else 2_000
    with postgres() as url, psycopg.connect(url, autocommit=True) as owner:
        async with resources(url) as res:
            topics = [NewSubspace(name=f"Topic {n}") for n in range(10)]
            new = NewSpace(name="bench", auto_subspaces=False, subspaces=topics)
            space = await create_space(res, ME, new, datetime.now(UTC))
            bench = Bench(res, owner, space.id)
            bench.chance = np.random.default_rng(3)
            for start in range(0, n_artifacts, 500):
                await bench.batch(
                    [bench.page(200, has_vector=True) for _ in range(start, min(start + 500, n_artifacts))]
                )
        owner.execute("vacuum analyze")
        found = {table: sizes(owner, table) for table in TABLES}
    rows = [
        plain_row(f"{table}, {part}", size / n_artifacts, "bytes an artifact")
        for table, both in found.items()
        for part, size in zip(("rows and long values", "indexes"), both, strict=True)
        if size / n_artifacts >= 1
    ]
    total = sum(sum(both) for both in found.values()) / n_artifacts
    return [*rows, plain_row(f"everything, {n_artifacts:,} artifacts", total, "bytes an artifact")]


if __name__ == "__main__":
    run(measure, "size", (__doc__ or "").partition("\n")[0])
