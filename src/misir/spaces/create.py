"""Declaring a space: its topics, their markers and the prior those make, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg.types.json import Jsonb

from misir.orient.centroid import seed
from misir.orient.vectors import Vector
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.receipt import NO_RECEIPT, Receipt
from misir.resources import Resources
from misir.spaces.schemas import NewSpace, NewSubspace, Space
from misir.spaces.views import read_space
from misir.webhooks.outbox import emit

SQL = load_statements("misir.spaces", "spaces.sql")

PALETTE: Final = (
    "#2f6f8f", "#b4573a", "#5b7f3a", "#7a5aa6", "#b08a2e", "#3a7d74", "#a64d79", "#4a5fa5",
    "#8a6d4b", "#5f7480",
)  # fmt: skip
"""Colours a space may be drawn in: of even weight, distinct on light and on dark ground."""


@dataclass(frozen=True, slots=True)
class PhraseVectors:
    """The vector of every phrase of a declaration, by the phrase in lower case."""

    by_phrase: dict[str, Vector]

    def of(self, phrase: str) -> Vector:
        return self.by_phrase[phrase.lower()]


class MarkerLink(NamedTuple):
    """A topic's claim on a marker: what it is called, and who says so."""

    topic_id: int
    label: str
    source: str


DECLARED: Final = {"name", "description", "depth", "prerequisites", "suggested_study_order"}
"""What a topic's row takes from its declaration as it is."""


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


async def create_space(
    res: Resources, user_id: uuid.UUID, new: NewSpace, now: datetime, receipt: Receipt = NO_RECEIPT
) -> Space:
    """The new space, as it is listed.

        embed every marker and the intention    one batch, no connection held
        ONE transaction: space, topics with their seeds, markers, links, the log's first entries; who listens
        is told, the answer kept

    Raises MisirError 503 without a model or a database.
    """
    phrases = [label for subspace in new.subspaces for label in markers_of(subspace)[0]]
    vectors = await embed_phrases(res, [*phrases, *([new.intention] if new.intention else [])])
    async with res.database.as_user(user_id) as tx:
        await receipt.open(tx)
        space_id = await _insert_space(tx, res, new, vectors)
        if new.subspaces:
            topic_ids = await insert_topics(tx, res, space_id, new.subspaces, vectors, now=now)
            await _log_seeds(tx, space_id, topic_ids, new.subspaces)
        space = await read_space(tx, space_id, now)
        await emit(tx, "space.created", {"space_id": space_id, "name": new.name})
        await receipt.close(tx, 201, space)
    return space


async def embed_phrases(res: Resources, phrases: Iterable[str]) -> PhraseVectors:
    """Each phrase once, in one batch. No connection may be held meanwhile."""
    wanted = distinct(phrases)
    made = await res.embedder.embed_texts_batch(wanted, "document") if wanted else []
    return PhraseVectors({phrase.lower(): one.vector for phrase, one in zip(wanted, made, strict=True)})


async def _insert_space(tx: Tx, res: Resources, new: NewSpace, vectors: PhraseVectors) -> int:
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


async def insert_topics(
    tx: Tx,
    res: Resources,
    space_id: int,
    subspaces: Sequence[NewSubspace],
    vectors: PhraseVectors,
    *,
    now: datetime,
) -> list[int]:
    """The ids of the new topics, each with its seed and linked to its markers. The caller logs the seeds."""
    cursors = []
    for subspace in subspaces:  # pipelined: sent together, answered together
        state = seed([vectors.of(label) for label in markers_of(subspace)[0]], res.config)
        declared = subspace.model_dump(include=DECLARED)
        learned = {"centroid": PgVector(state.m), "weight_sum": state.weight_sum, "now": now}
        model = res.embedder.fingerprint
        cursors.append(await tx.ask(SQL.insert_subspace, declared, **learned, space_id=space_id, model=model))
    topic_ids = [int((await cursor.fetchone() or {})["id"]) for cursor in cursors]
    links = [
        MarkerLink(topic_id, label, source)
        for topic_id, subspace in zip(topic_ids, subspaces, strict=True)
        for labels, source in [markers_of(subspace)]
        for label in labels
    ]
    await link_markers(tx, res, space_id, links, vectors)
    return topic_ids


async def link_markers(
    tx: Tx, res: Resources, space_id: int, links: Sequence[MarkerLink], vectors: PhraseVectors
) -> dict[str, int]:
    """Every marker once per space, linked to each topic that names it; ids by label in lower case."""
    labels = distinct(link.label for link in links)
    embeddings = [HalfVector(vectors.of(label)) for label in labels]
    space = {"space_id": space_id, "model": res.embedder.fingerprint}
    rows = await tx.ask(SQL.upsert_markers, space, labels=labels, embeddings=embeddings)
    ids = {row["label"].lower(): int(row["id"]) for row in await rows.fetchall()}
    await tx.ask(
        SQL.link_markers,
        space,
        subspace_ids=[link.topic_id for link in links],
        marker_ids=[ids[link.label.lower()] for link in links],
        sources=[link.source for link in links],
    )
    return ids


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
