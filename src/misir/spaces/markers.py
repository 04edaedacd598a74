"""The markers of a topic. What a person declares, the topic's seed follows, as if it had always been so."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from misir.errors import conflict, not_found
from misir.orient.config import EngineConfig
from misir.orient.markers import marker_weight
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import log_correction
from misir.spaces.create import MarkerLink, PhraseVectors, embed_phrases, link_markers
from misir.spaces.declare import lock_topic
from misir.spaces.rebuild import rebuild_topics
from misir.spaces.schemas import MAX_MARKERS
from misir.spaces.topic_schemas import Marker, NewMarker
from misir.spaces.topic_views import SQL as READ

SQL = load_statements("misir.spaces", "markers.sql")


async def list_markers(res: Resources, user_id: uuid.UUID, topic_id: int, now: datetime) -> list[Marker]:
    async with res.database.as_user(user_id) as tx:
        found = await tx.ask(READ.topic_exists, topic_id=topic_id)
        rows = await tx.ask(SQL.list_topic_markers, topic_id=topic_id)
        if await found.fetchone() is None:
            raise not_found("The subspace")
        return [_marker(row, res.config, now) for row in await rows.fetchall()]


def _marker(row: dict[str, Any], config: EngineConfig, now: datetime) -> Marker:
    return Marker(**row, weight=marker_weight(row["fresh_at"], now, config))


async def add_marker(
    res: Resources, user_id: uuid.UUID, topic_id: int, new: NewMarker, now: datetime
) -> tuple[Marker, bool]:
    """The topic's marker with this label, and whether it is new there.

        embed the label, unless its space knows it     no lock, no connection held
        ONE transaction
          lock the topic's space                       lock_space_of_topic_for_update
          link; log the correction; learn again from the new seed

    A label that another topic of the space has is linked, not doubled. One the topic has already changes
    nothing, unless the engine had extracted it: then it is declared now.

    Raises MisirError: 404 unknown topic; 409 an archived space, or 50 markers already; 503 no model or no
    database.
    """
    vectors = await _vectors(res, user_id, topic_id, new.label)
    async with res.database.as_user(user_id) as tx:
        topic = await lock_topic(tx, topic_id)
        rows = await tx.ask(SQL.weigh_new_marker, topic_id=topic_id, label=new.label)
        there = await rows.fetchone() or {}
        marker_id, was = there["marker_id"], there["source"]
        if marker_id is None:
            marker_id = await _link(tx, res, topic, there["n_markers"], new, vectors)
        elif was == "extracted" or (was, new.source) == ("suggested", "user_defined"):
            await tx.ask(SQL.declare_marker, topic_id=topic_id, marker_id=marker_id, source=new.source)
        if was in {None, "extracted"}:
            await _teach(tx, res, topic, {"added": [new.label]}, now)
        rows = await tx.ask(SQL.list_topic_markers, topic_id=topic_id)
        row = next(row for row in await rows.fetchall() if row["id"] == marker_id)
    return _marker(row, res.config, now), was is None


async def _vectors(res: Resources, user_id: uuid.UUID, topic_id: int, label: str) -> PhraseVectors:
    asked = {"topic_id": topic_id, "label": label, "model": res.embedder.fingerprint}
    async with res.database.as_user(user_id) as tx:
        row = await (await tx.ask(SQL.find_topic_and_marker, asked)).fetchone()
    if row is None:
        raise not_found("The subspace")
    if row["embedding"] is None:
        return await embed_phrases(res, [label])
    return PhraseVectors({label.lower(): row["embedding"].to_numpy()})


async def _link(
    tx: Tx, res: Resources, topic: dict[str, Any], n_markers: int, new: NewMarker, vectors: PhraseVectors
) -> int:
    if n_markers >= MAX_MARKERS:
        raise conflict(f"This subspace has {n_markers} markers, the most it may have: delete one first.")
    link = MarkerLink(topic["id"], new.label, new.source)
    ids = await link_markers(tx, res, topic["space_id"], [link], vectors)
    return ids[new.label.lower()]


async def _teach(
    tx: Tx, res: Resources, topic: dict[str, Any], said: dict[str, list[str]], now: datetime
) -> None:
    """Log what a person said of its markers; the topic learns again from there. Holds the space's lock."""
    await log_correction(
        tx, topic["space_id"], "marker", artifact_ids=[], subspace_ids=[topic["id"]], payload=said
    )
    await rebuild_topics(tx, res, [topic["id"]], now)


async def remove_marker(
    res: Resources, user_id: uuid.UUID, topic_id: int, marker_id: int, now: datetime
) -> None:
    """Unlink a marker and learn again without it, in one transaction. Takes lock_space_of_topic_for_update.

    Raises MisirError: 404 unknown topic, or none of its markers; 409 an archived space.
    """
    async with res.database.as_user(user_id) as tx:
        topic = await lock_topic(tx, topic_id)
        rows = await tx.ask(SQL.unlink_marker, topic_id=topic_id, marker_id=marker_id)
        row = await rows.fetchone()
        if row is None:
            raise not_found("The marker")
        await _teach(tx, res, topic, {"removed": [row["label"]]}, now)
