"""Declaring a space: its topics, their markers and the prior those make, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg.types.json import Jsonb

from misir.orient.centroid import seed
from misir.orient.vectors import Vector
from misir.plumbing.db import Connection
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.schemas import NewSpace, NewSubspace

SQL = load_statements("misir.spaces", "spaces.sql")

PALETTE: Final = (
    "#2f6f8f", "#b4573a", "#5b7f3a", "#7a5aa6", "#b08a2e", "#3a7d74", "#a64d79", "#4a5fa5", "#8a6d4b", "#5f7480",
)  # fmt: skip
"""Colours a space may be drawn in: distinct in light and dark, told apart by people with colour blindness."""


@dataclass(frozen=True, slots=True)
class _Embedded:
    """Vectors of every phrase of the space, by phrase in lower case."""

    by_phrase: dict[str, Vector]

    def of(self, phrase: str) -> Vector:
        return self.by_phrase[phrase.lower()]


def markers_of(subspace: NewSubspace) -> tuple[list[str], str]:
    """The topic's own markers and where they are from; without any its name stands in."""
    labels = list({label.lower(): label for label in map(str.strip, subspace.markers) if label}.values())
    return (labels, "user_defined") if labels else ([subspace.name], "suggested")


async def create_space(res: Resources, user_id: uuid.UUID, new: NewSpace, now: datetime) -> int:
    """The new space's id.

        embed every marker and the intention    one batch, no connection held
        ONE transaction: space, topics with their seeds, markers, links, the log's first entries

    Raises MisirError 503 without a model or a database.
    """
    vectors = await _embed_phrases(res, new)
    async with res.database.as_user(user_id) as conn:
        space_id = await _insert_space(conn, user_id, new, vectors)
        if new.subspaces:
            subspace_ids = await _insert_subspaces(conn, res, user_id, space_id, new, vectors, now)
            await _insert_markers(conn, res, user_id, space_id, new, vectors, subspace_ids)
            await _log_seeds(conn, user_id, space_id, new, subspace_ids)
    return space_id


async def _embed_phrases(res: Resources, new: NewSpace) -> _Embedded:
    phrases = {label.lower(): label for subspace in new.subspaces for label in markers_of(subspace)[0]}
    if new.intention and new.intention.strip():
        phrases.setdefault(new.intention.lower(), new.intention)
    made = await res.embedder.embed_texts_batch(list(phrases.values()), "document") if phrases else []
    return _Embedded({phrase: one.vector for phrase, one in zip(phrases, made, strict=True)})


async def _insert_space(conn: Connection, user_id: uuid.UUID, new: NewSpace, vectors: _Embedded) -> int:
    has_intention = bool(new.intention and new.intention.strip())
    rows = await conn.execute(
        SQL.insert_space,
        {
            "user_id": user_id,
            "name": new.name,
            "description": new.description,
            "intention": new.intention,
            "intention_embedding": HalfVector(vectors.of(new.intention or "")) if has_intention else None,
            "auto_subspaces": new.auto_subspaces,
            "color": PALETTE[sum(new.name.encode()) % len(PALETTE)],
        },
    )
    return int((await rows.fetchone() or {})["id"])


async def _insert_subspaces(
    conn: Connection,
    res: Resources,
    user_id: uuid.UUID,
    space_id: int,
    new: NewSpace,
    vectors: _Embedded,
    now: datetime,
) -> list[int]:
    cursors = []
    for subspace in new.subspaces:  # pipelined: sent together, answered together
        state = seed([vectors.of(label) for label in markers_of(subspace)[0]], res.config)
        cursors.append(
            await conn.execute(
                SQL.insert_subspace,
                {
                    "user_id": user_id,
                    "space_id": space_id,
                    "name": subspace.name,
                    "description": subspace.description,
                    "model": res.embedder.fingerprint,
                    "centroid": PgVector(state.m),
                    "weight_sum": state.weight_sum,
                    "depth": subspace.depth,
                    "prerequisites": subspace.prerequisites,
                    "suggested_study_order": subspace.suggested_study_order,
                    "now": now,
                },
            )
        )
    return [int((await cursor.fetchone() or {})["id"]) for cursor in cursors]


async def _insert_markers(
    conn: Connection,
    res: Resources,
    user_id: uuid.UUID,
    space_id: int,
    new: NewSpace,
    vectors: _Embedded,
    subspace_ids: Sequence[int],
) -> None:
    links = [
        (subspace_id, label, source)
        for subspace_id, subspace in zip(subspace_ids, new.subspaces, strict=True)
        for labels, source in [markers_of(subspace)]
        for label in labels
    ]
    labels = list({label.lower(): label for _, label, _ in links}.values())
    space: dict[str, Any] = {"user_id": user_id, "space_id": space_id, "model": res.embedder.fingerprint}
    embeddings = [HalfVector(vectors.of(label)) for label in labels]
    rows = await conn.execute(SQL.upsert_markers, {**space, "labels": labels, "embeddings": embeddings})
    ids = {row["label"].lower(): row["id"] for row in await rows.fetchall()}
    await conn.execute(
        SQL.link_markers,
        {
            **space,
            "subspace_ids": [subspace_id for subspace_id, _, _ in links],
            "marker_ids": [ids[label.lower()] for _, label, _ in links],
            "sources": [source for _, _, source in links],
        },
    )


async def _log_seeds(
    conn: Connection, user_id: uuid.UUID, space_id: int, new: NewSpace, subspace_ids: Sequence[int]
) -> None:
    """seq 1, 2, …: the topics' seeds, which replay needs to begin as the space began."""
    space = {"user_id": user_id, "space_id": space_id}
    payloads = [Jsonb({"markers": markers_of(subspace)[0]}) for subspace in new.subspaces]
    seqs = list(range(1, len(subspace_ids) + 1))
    await conn.execute(
        SQL.insert_seed_corrections,
        {**space, "seqs": seqs, "subspace_ids": list(subspace_ids), "payloads": payloads},
    )
    await conn.execute(SQL.advance_seq, {**space, "n_taken": len(subspace_ids)})
