"""Declaring a space: its topics, their markers and the prior those make, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg.types.json import Jsonb

from misir.orient.centroid import seed
from misir.orient.vectors import Vector
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.schemas import NewSpace, NewSubspace

SQL = load_statements("misir.spaces", "spaces.sql")

PALETTE: Final = (
    "#2f6f8f", "#b4573a", "#5b7f3a", "#7a5aa6", "#b08a2e", "#3a7d74", "#a64d79", "#4a5fa5",
    "#8a6d4b", "#5f7480",
)  # fmt: skip
"""Colours a space may be drawn in: of even weight, distinct on light and on dark ground."""


@dataclass(frozen=True, slots=True)
class _Vectors:
    """The vector of every phrase of the space, by the phrase in lower case."""

    by_phrase: dict[str, Vector]

    def of(self, phrase: str) -> Vector:
        return self.by_phrase[phrase.lower()]


def distinct(labels: Iterable[str]) -> list[str]:
    """Each label once, case aside, in the spelling that came first.

    >>> distinct(["Coral", "reef", "coral"])
    ['Coral', 'reef']
    """
    seen: dict[str, str] = {}
    for label in labels:
        seen.setdefault(label.lower(), label)
    return list(seen.values())


def markers_of(subspace: NewSubspace) -> tuple[list[str], str]:
    """The topic's own markers and their source; without any its name stands in."""
    labels = distinct(subspace.markers)
    return (labels, "user_defined") if labels else ([subspace.name], "suggested")


async def create_space(res: Resources, user_id: uuid.UUID, new: NewSpace, now: datetime) -> int:
    """The new space's id.

        embed every marker and the intention    one batch, no connection held
        ONE transaction: space, topics with their seeds, markers, links, the log's first entries

    Raises MisirError 503 without a model or a database.
    """
    vectors = await _embed_phrases(res, new)
    async with res.database.as_user(user_id) as tx:
        space_id = await _insert_space(tx, res, new, vectors)
        if new.subspaces:
            topic_ids = await _insert_topics(tx, res, space_id, new, vectors, now=now)
            await _insert_markers(
                tx, res, space_id, dict(zip(topic_ids, new.subspaces, strict=True)), vectors
            )
            await _log_seeds(tx, space_id, topic_ids, new.subspaces)
    return space_id


async def _embed_phrases(res: Resources, new: NewSpace) -> _Vectors:
    phrases = {label.lower(): label for subspace in new.subspaces for label in markers_of(subspace)[0]}
    if new.intention is not None:
        phrases.setdefault(new.intention.lower(), new.intention)
    made = await res.embedder.embed_texts_batch(list(phrases.values()), "document") if phrases else []
    return _Vectors({phrase: one.vector for phrase, one in zip(phrases, made, strict=True)})


async def _insert_space(tx: Tx, res: Resources, new: NewSpace, vectors: _Vectors) -> int:
    rows = await tx.ask(
        SQL.insert_space,
        name=new.name,
        description=new.description,
        intention=new.intention,
        model=None if new.intention is None else res.embedder.fingerprint,
        intention_embedding=None if new.intention is None else HalfVector(vectors.of(new.intention)),
        auto_subspaces=new.auto_subspaces,
        color=PALETTE[sum(new.name.encode()) % len(PALETTE)],
    )
    return int((await rows.fetchone() or {})["id"])


async def _insert_topics(
    tx: Tx, res: Resources, space_id: int, new: NewSpace, vectors: _Vectors, *, now: datetime
) -> list[int]:
    cursors = []
    for subspace in new.subspaces:  # pipelined: sent together, answered together
        state = seed([vectors.of(label) for label in markers_of(subspace)[0]], res.config)
        declared = subspace.model_dump(exclude={"markers"})
        learned = {"centroid": PgVector(state.m), "weight_sum": state.weight_sum, "now": now}
        model = res.embedder.fingerprint
        cursors.append(await tx.ask(SQL.insert_subspace, declared, **learned, space_id=space_id, model=model))
    return [int((await cursor.fetchone() or {})["id"]) for cursor in cursors]


async def _insert_markers(
    tx: Tx, res: Resources, space_id: int, topics: dict[int, NewSubspace], vectors: _Vectors
) -> None:
    """Every marker once per space, linked to each topic that names it."""
    links = [
        (topic_id, label, source)
        for topic_id, subspace in topics.items()
        for labels, source in [markers_of(subspace)]
        for label in labels
    ]
    labels = distinct(label for _, label, _ in links)
    embeddings = [HalfVector(vectors.of(label)) for label in labels]
    space = {"space_id": space_id, "model": res.embedder.fingerprint}
    rows = await tx.ask(SQL.upsert_markers, space, labels=labels, embeddings=embeddings)
    ids = {row["label"].lower(): row["id"] for row in await rows.fetchall()}
    await tx.ask(
        SQL.link_markers,
        space,
        subspace_ids=[topic_id for topic_id, _, _ in links],
        marker_ids=[ids[label.lower()] for _, label, _ in links],
        sources=[source for _, _, source in links],
    )


async def _log_seeds(
    tx: Tx, space_id: int, topic_ids: Sequence[int], subspaces: Sequence[NewSubspace]
) -> None:
    """The log's first entries: the topics' seeds, which replay needs to begin as the space began."""
    await tx.ask(
        SQL.insert_seed_corrections,
        space_id=space_id,
        seqs=list(range(1, len(topic_ids) + 1)),
        subspace_ids=list(topic_ids),
        payloads=[Jsonb({"markers": markers_of(subspace)[0]}) for subspace in subspaces],
    )
    await tx.ask(SQL.advance_seq, space_id=space_id, n_taken=len(topic_ids))
