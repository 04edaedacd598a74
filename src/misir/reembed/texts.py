"""The vectors to come, beside those in use: every stored text, marker and intention, a few at a time.

What is kept stays kept: whoever ends this, whoever starts it again goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

from pgvector import HalfVector
from psycopg.types.json import Jsonb

from misir.embed.embedder import Embedder
from misir.embed.models import ModelSpec
from misir.embed.text import Embedding, document_text
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements

SQL = load_statements("misir.reembed", "reembed.sql")

N_AT_ONCE: Final = 32
"""Texts that are read, embedded and kept together: no more than these are done again after a kill."""

OpenTx = Callable[[], AbstractAsyncContextManager[Tx]]
OnStep = Callable[[int], None]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to embed, and how much of it is done; `without_text` can never be."""

    texts: int
    texts_done: int
    without_text: int
    markers: int
    markers_done: int
    intentions: int
    intentions_done: int

    @property
    def total(self) -> int:
        return self.texts + self.markers + self.intentions

    @property
    def done(self) -> int:
        return self.texts_done + self.markers_done + self.intentions_done


@dataclass(frozen=True, slots=True)
class Source:
    """Something with a text: how to list what has no new vector yet, and how to keep one."""

    pending: bytes
    keep: bytes


SOURCES: Final = (
    Source(SQL.list_texts, SQL.keep_texts),
    Source(SQL.list_markers, SQL.keep_markers),
    Source(SQL.list_intentions, SQL.keep_intentions),
)


async def count_work(tx: Tx) -> Work:
    return Work(**(await (await tx.ask(SQL.count_work)).fetchone() or {}))


async def begin(tx: Tx, spec: ModelSpec) -> None:
    """From now on the library is on its way to `spec`; what was prepared for another model is dropped."""
    models = {row["key"]: row["value"] for row in await (await tx.ask(SQL.read_models)).fetchall()}
    target = {"fingerprint": spec.fingerprint, "dimension": spec.dimension}
    if models.get("reembedding") != target:
        await forget(tx)
        await tx.ask(SQL.keep_model, key="reembedding", value=Jsonb(target))


async def forget(tx: Tx) -> None:
    """Nothing is prepared any more, and the library stays where it is."""
    for statement in (SQL.forget_texts, SQL.forget_markers, SQL.forget_intentions):
        await tx.ask(statement)
    await tx.ask(SQL.forget_models, keys=["reembedding"])


async def embed_pending(open_tx: OpenTx, embedder: Embedder, on_step: OnStep = lambda _: None) -> set[int]:
    """Embed what has no new vector yet; the spaces in which there was something.

    read a few → embed, no connection held → keep them
    """
    touched = set[int]()
    for source in SOURCES:
        after_id = 0
        while rows := await _list(open_tx, source, after_id, N_AT_ONCE):
            made = await _embed(embedder, rows)
            async with open_tx() as tx:
                await tx.ask(source.keep, _columns(rows, made))
            touched |= {row["space_id"] for row in rows}
            after_id = rows[-1]["id"]
            on_step(len(rows))
    return touched


async def has_more_pending(tx: Tx, n: int) -> bool:
    """Is there more without a new vector than `n` texts, markers and intentions each?"""
    counts = [
        len(await (await tx.ask(source.pending, after_id=0, limit=n + 1)).fetchall()) for source in SOURCES
    ]
    return max(counts) > n


async def sample_pending(open_tx: OpenTx, n: int) -> list[str]:
    """Some texts that have no new vector yet, to see how long one takes."""
    rows = await _list(open_tx, SOURCES[0], 0, n)
    return [text for text in map(_text, rows) if text]


async def _list(open_tx: OpenTx, source: Source, after_id: int, limit: int) -> list[Row]:
    async with open_tx() as tx:
        return await (await tx.ask(source.pending, after_id=after_id, limit=limit)).fetchall()


def _text(row: Row) -> str:
    return document_text(row["title"], row["content"])


async def _embed(embedder: Embedder, rows: Sequence[Row]) -> list[Embedding | None]:
    texts = [_text(row) for row in rows]
    made = iter(await embedder.embed_texts_batch([text for text in texts if text]))
    return [next(made) if text else None for text in texts]


def _columns(rows: Sequence[Row], made: Sequence[Embedding | None]) -> Row:
    return {
        "ids": [row["id"] for row in rows],
        "vectors": [None if one is None else HalfVector(one.vector) for one in made],
        "fractions": [0.0 if one is None else one.fraction for one in made],
        "texts": [row["title"] for row in rows],
    }
