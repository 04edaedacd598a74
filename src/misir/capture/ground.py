"""What decisions rest on: the space is locked, and read for all pages of a chunk in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pgvector import HalfVector

from misir.capture.decide import TopicMarker
from misir.capture.page import Ready
from misir.capture.values import Row, band_values
from misir.errors import conflict, not_found
from misir.orient.vectors import Vector
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.topic import Topic, read_topic

SQL = load_statements("misir.capture", "capture.sql")


@dataclass(slots=True)
class Ground:
    """A space under its lock, as far as the pages of one chunk concern it. Lists have an entry for each page.

    next_seq: the place in the log that is next. rows: the known pages by url_hash. embedding_ids: of texts
    that have a vector already, by (artifact, content hash). same_events: the signal this very event made
    before. duplicates: the page whose text is all but the same. ids: reserved for what may be written. pool:
    vectors (k, D) of the pages that are in no topic; None for a single page, which asks the database instead.
    """

    space_id: int
    next_seq: int
    auto_subspaces: bool
    rows: dict[bytes, Row]
    embedding_ids: dict[tuple[int, bytes], int]
    same_events: list[int | None]
    near_marker_ids: list[frozenset[int]]
    duplicates: list[int | None]
    ids: list[Row]
    topics: list[Topic]
    markers: list[TopicMarker]
    sessions: set[int]
    named_topics: dict[int, Row]
    pool: Vector | None


def require_open(space: Row | None) -> Row:
    """404 and 409, for a capture and for everything else that writes into a space."""
    if space is None:
        raise not_found("The space")
    if space["is_archived"]:
        raise conflict("The space is archived and takes no captures: unarchive it, or capture into another.")
    return space


async def load_ground(tx: Tx, res: Resources, items: Sequence[Ready]) -> Ground:
    """Lock the pages' space, and read. Takes lock_space_for_update. 404 unknown space, 409 archived."""
    wanted = _wanted(res, items)
    locked = await tx.ask(SQL.lock_space_for_update, wanted)
    artifacts = await tx.ask(SQL.load_artifacts, wanted)
    same = await tx.ask(SQL.find_same_events, wanted)
    reserved = await tx.ask(SQL.reserve_ids, wanted)
    topics = await tx.ask(TOPICS.load_topics, wanted)
    markers = await tx.ask(SQL.load_markers, wanted)
    near_markers = await tx.ask(SQL.find_near_markers, wanted)
    near_texts = await tx.ask(SQL.find_near_duplicates, wanted)
    sessions = await _ask_if(tx, SQL.list_sessions, wanted, "session_ids")
    named = await _ask_if(tx, SQL.list_named_topics, wanted, "topic_ids")
    pool = await tx.ask(SQL.load_pool, wanted) if len(items) > 1 else None
    space = require_open(await locked.fetchone())
    rows, embedding_ids = _known(await artifacts.fetchall())
    near = [set[int]() for _ in items]
    same_events, ids = _by_number(await same.fetchall(), len(items)), await reserved.fetchall()
    read = [read_topic(row, res.embedder.dimension) for row in await topics.fetchall()]
    links = [TopicMarker(**row) for row in await markers.fetchall()]
    for row in await near_markers.fetchall():
        near[row["n"] - 1].add(row["id"])
    return Ground(
        space_id=wanted["space_id"],
        next_seq=space["next_seq"],
        auto_subspaces=space["auto_subspaces"],
        rows=rows,
        embedding_ids=embedding_ids,
        same_events=same_events,
        near_marker_ids=[frozenset(one) for one in near],
        duplicates=_by_number(await near_texts.fetchall(), len(items)),
        ids=ids,
        topics=read,
        markers=links,
        sessions={row["id"] for row in await sessions.fetchall()} if sessions else set(),
        named_topics={row["id"]: row for row in await named.fetchall()} if named else {},
        pool=None if pool is None else _matrix(await pool.fetchall(), res.embedder.dimension),
    )


def _wanted(res: Resources, items: Sequence[Ready]) -> dict[str, Any]:
    """Everything the statements ask by: one value for all pages, or an array with one for each."""
    pages, readings = [item.page for item in items], [item.reading for item in items]
    bands = [band_values(reading) for reading in readings]
    asked = [page.request for page in pages]
    return {
        "space_id": asked[0].space_id,
        "now": pages[0].now,
        "model": res.embedder.fingerprint,
        "n": len(items),
        "url_hashes": [page.url_hash for page in pages],
        "content_hashes": [reading.content_hash for reading in readings],
        "event_hashes": [page.event_hash for page in pages],
        "own_times": [page.has_own_time for page in pages],
        "vectors": [HalfVector(reading.vector) for reading in readings],
        "novelty": res.embedder.calibration.novelty,
        "max_distance": 1 - res.config.duplicate_similarity,
        "pool_size": res.config.birth_pool,
        "session_ids": sorted({one.session_id for one in asked if one.session_id is not None}),
        "topic_ids": sorted({one.subspace_id for one in asked if one.subspace_id is not None}),
        **{f"{name}s": [one[name] for one in bands] for name in bands[0]},
    }


async def _ask_if(tx: Tx, statement: bytes, wanted: dict[str, Any], name: str) -> Any:
    """Most chunks name no session and no topic."""
    return await tx.ask(statement, wanted) if wanted[name] else None


def _known(found: Sequence[Row]) -> tuple[dict[bytes, Row], dict[tuple[int, bytes], int]]:
    rows = {row["url_hash"]: row for row in found}
    embedding_ids = {
        (row["id"], row["embedded_hash"]): row["embedding_id"]
        for row in found
        if row["embedding_id"] is not None
    }
    return rows, embedding_ids


def _by_number(found: Sequence[Row], n: int) -> list[int | None]:
    ids = {row["n"]: row["id"] for row in found}
    return [ids.get(number) for number in range(1, n + 1)]


def _matrix(rows: Sequence[Row], dimension: int) -> Vector:
    vectors = [row["vector"].to_numpy() for row in rows]
    return np.array(vectors, dtype=np.float32).reshape(-1, dimension)
