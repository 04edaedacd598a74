from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pgvector.psycopg.vector import VectorDumper

from misir.resources import Resources


def test_a_connection_leaves_nothing_behind(in_process: Callable[..., Any]) -> None:
    """psycopg remembers each class that was registered with it, for ever: none is made for a connection."""

    async def count(res: Resources) -> list[int]:
        counts = []
        for _ in range(3):
            async with res.database.as_service() as tx:
                row = await (
                    await tx.ask(b"select '[1,2]'::vector as v, 'engaged'::misir.engagement_level as e")
                ).fetchone()
            assert row is not None
            assert (row["v"].to_list(), row["e"]) == ([1, 2], "engaged")
            counts.append(len(VectorDumper.__subclasses__()))
        return counts

    assert len(set(in_process(count))) == 1
