"""A person corrects the library: edits, moves, deletes, restores. Corrections teach the topics they touch."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from pgvector import HalfVector

from misir.capture.page import count_words
from misir.embed.embedder import Embedding
from misir.embed.text import document_text
from misir.errors import conflict, invalid, not_found, unavailable
from misir.library.schemas import ArtifactChanged, ArtifactPatch
from misir.library.views import SQL
from misir.orient.assign import AssignedBy, assign
from misir.orient.reading import EngagementLevel
from misir.plumbing.db import Connection
from misir.resources import Resources
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import log_correction, rebuild_topics
from misir.spaces.topic import read_topic

MAX_RACES = 5


@dataclass(frozen=True, slots=True)
class _Text:
    """An edited text with its vector."""

    title: str | None
    content: str | None
    content_hash: bytes
    made: Embedding


async def patch_artifact(
    res: Resources, user_id: uuid.UUID, artifact_id: int, patch: ArtifactPatch, now: datetime
) -> ArtifactChanged:
    """Apply a person's corrections in one transaction.

        read what is there; embed the text where it changes    no lock, no connection held
        ONE transaction
          lock the space, or both spaces in id order           lock_spaces_for_update
          text, engagement, place; rebuild the touched topics

    Raises MisirError: 404 unknown artifact, space or topic; 409 a level that would fall, an archived space, an
    address the other space holds already; 422 a text that would be empty; 503 no model or no database.
    """
    for _ in range(MAX_RACES):
        before = await _find(res, user_id, artifact_id)
        text = await _edited_text(res, before, patch) if patch.is_text_change else None
        async with res.database.as_user(user_id) as conn:
            artifact = await _lock(conn, user_id, artifact_id, [before["space_id"], patch.space_id])
            if _differs(before, artifact):
                continue
            await _apply(conn, res, user_id, artifact, patch, text, now)
            row = await (await conn.execute(SQL.get_artifact, _key(user_id, artifact_id))).fetchone()
        return ArtifactChanged.model_validate({**(row or {}), "message": "Saved."})
    raise unavailable("This artifact is being changed by others at this moment: try again.", retry_after_s=1)


def _key(user_id: uuid.UUID, artifact_id: int) -> dict[str, Any]:
    return {"user_id": user_id, "artifact_id": artifact_id}


async def _find(res: Resources, user_id: uuid.UUID, artifact_id: int) -> dict[str, Any]:
    async with res.database.as_user(user_id) as conn:
        row = await (await conn.execute(SQL.find_artifact, _key(user_id, artifact_id))).fetchone()
    if row is None or row["is_deleted"]:
        raise not_found("The artifact")
    return row


async def _edited_text(res: Resources, before: dict[str, Any], patch: ArtifactPatch) -> _Text:
    sent = patch.model_fields_set
    title = ((patch.title or "").strip() or None) if "title" in sent else before["title"]
    content = (patch.content or None) if "content" in sent else before["content"]
    text = document_text(title, content)
    if not text.strip():
        raise invalid("An artifact needs a title or a text: send the one you keep, or delete the artifact.")
    made = await res.embedder.embed_text(text, "document")
    return _Text(title, content, hashlib.sha256(text.encode()).digest(), made)


async def _lock(
    conn: Connection, user_id: uuid.UUID, artifact_id: int, space_ids: Sequence[int | None]
) -> dict[str, Any]:
    """Lock the spaces (in id order), then read the artifact as it is now. Takes lock_spaces_for_update."""
    wanted = sorted({space_id for space_id in space_ids if space_id is not None})
    spaces = await conn.execute(SQL.lock_spaces_for_update, {"user_id": user_id, "space_ids": wanted})
    rows = await conn.execute(SQL.load_artifact_for_update, _key(user_id, artifact_id))
    locked = await spaces.fetchall()
    artifact = await rows.fetchone()
    if len(locked) < len(wanted):
        raise not_found("The space")
    if any(space["is_archived"] for space in locked):
        raise conflict("The space is archived: unarchive it before changing what is in it.")
    if artifact is None:
        raise not_found("The artifact")
    return artifact


def _differs(before: dict[str, Any], artifact: dict[str, Any]) -> bool:
    """Did somebody change what this correction was built on, between reading and locking?"""
    if artifact["is_deleted"]:
        raise not_found("The artifact")
    return any(before[name] != artifact[name] for name in ("space_id", "title", "content"))


async def _apply(
    conn: Connection,
    res: Resources,
    user_id: uuid.UUID,
    artifact: dict[str, Any],
    patch: ArtifactPatch,
    text: _Text | None,
    now: datetime,
) -> None:
    key = _key(user_id, artifact["id"])
    if text is not None:
        values = {
            **key,
            "title": text.title,
            "content": text.content,
            "content_hash": text.content_hash,
            "word_count": count_words(text.content),
            "embedded_fraction": text.made.fraction,
            "vector": HalfVector(text.made.vector),
            "model": res.embedder.fingerprint,
        }
        await conn.execute(SQL.patch_artifact, values)
        await conn.execute(SQL.insert_embedding, values)
    if patch.engagement_level is not None:
        _require_rise(EngagementLevel(artifact["engagement_level"]), patch.engagement_level)
    engagement = {"engagement_level": patch.engagement_level, "reading_depth": patch.reading_depth}
    await conn.execute(SQL.raise_engagement, {**key, **engagement})
    if patch.is_move:
        await _move(conn, res, user_id, artifact, patch, now)


def _require_rise(current: EngagementLevel, wanted: EngagementLevel) -> None:
    if wanted.rank < current.rank:
        raise conflict(f"engagement_level only rises: it is {current} already and cannot become {wanted}.")


async def _move(
    conn: Connection,
    res: Resources,
    user_id: uuid.UUID,
    artifact: dict[str, Any],
    patch: ArtifactPatch,
    now: datetime,
) -> None:
    """Place the artifact where the person said; both topics learn again as if it had always been there."""
    from_space, from_topic = artifact["space_id"], artifact["subspace_id"]
    to_space, to_topic = patch.space_id or from_space, patch.subspace_id
    key = _key(user_id, artifact["id"])
    if to_space != from_space:
        await _make_room(conn, user_id, to_space, artifact)
    numbers = await _numbers(conn, res, user_id, artifact["id"], to_space, to_topic)
    await conn.execute(SQL.place_artifact, {**key, "space_id": to_space, "subspace_id": to_topic, **numbers})
    payload = {"from": from_topic, "to": to_topic, "from_space": from_space, "to_space": to_space}
    for space_id in dict.fromkeys((from_space, to_space)):  # the space it arrives in has the last word
        await log_correction(
            conn,
            user_id,
            space_id,
            "move",
            artifact_ids=[artifact["id"]],
            subspace_ids=[from_topic, to_topic],
            payload=payload,
        )
    touched = [topic_id for topic_id in (from_topic, to_topic) if topic_id is not None]
    await rebuild_topics(conn, res, user_id, touched, now)


async def _make_room(conn: Connection, user_id: uuid.UUID, space_id: int, artifact: dict[str, Any]) -> None:
    """An address is in a space once: a live one stops the move, a trashed one makes way."""
    wanted = {"user_id": user_id, "space_id": space_id, "url_hash": artifact["url_hash"]}
    same = await (await conn.execute(SQL.find_same_page, wanted)).fetchone()
    if same is None:
        return
    if not same["is_deleted"]:
        raise conflict(f"The other space holds this address already, as artifact {same['id']}.")
    await conn.execute(SQL.purge_artifact, _key(user_id, same["id"]))


async def _numbers(
    conn: Connection,
    res: Resources,
    user_id: uuid.UUID,
    artifact_id: int,
    space_id: int,
    topic_id: int | None,
) -> dict[str, float | None]:
    """How well the page fits the topic a person chose, measured before the topic learns of it."""
    nothing: dict[str, float | None] = dict.fromkeys(("similarity", "raw_margin", "probability", "fit"))
    if topic_id is None:
        return nothing
    wanted = {
        "user_id": user_id,
        "space_id": space_id,
        "artifact_id": artifact_id,
        "model": res.embedder.fingerprint,
    }
    rows = await conn.execute(TOPICS.load_topics, wanted)
    current = await conn.execute(SQL.current_vector, wanted)
    topics = [read_topic(row, res.embedder.dimension) for row in await rows.fetchall()]
    row = await current.fetchone()
    chosen = next((index for index, topic in enumerate(topics) if topic.id == topic_id), None)
    if chosen is None:
        raise not_found("The subspace")
    if row is None:
        return nothing
    x, centroids = row["vector"].to_numpy().astype(np.float32), np.stack([topic.state.m for topic in topics])
    no_boosts = np.zeros(len(topics))
    placed = assign(
        x, centroids, no_boosts, res.embedder.calibration, res.config, forced=chosen, by=AssignedBy.USER
    )
    return {
        "similarity": placed.similarity,
        "raw_margin": placed.margin,
        "probability": placed.probability,
        "fit": placed.fit,
    }


async def delete_artifact(res: Resources, user_id: uuid.UUID, artifact_id: int, now: datetime) -> None:
    """Into the trash; its topic forgets it. 404 when it is there already."""
    before = await _find(res, user_id, artifact_id)
    async with res.database.as_user(user_id) as conn:
        artifact = await _lock(conn, user_id, artifact_id, [before["space_id"]])
        if artifact["is_deleted"] or artifact["space_id"] != before["space_id"]:
            raise not_found("The artifact")
        await _set_deleted(conn, res, user_id, artifact, now, is_deleted=True)


async def restore_artifact(res: Resources, user_id: uuid.UUID, artifact_id: int, now: datetime) -> None:
    """Out of the trash; its topic learns it again. Restoring what is live changes nothing."""
    async with res.database.as_user(user_id) as conn:
        before = await (await conn.execute(SQL.find_artifact, _key(user_id, artifact_id))).fetchone()
        if before is None:
            raise not_found("The artifact")
        artifact = await _lock(conn, user_id, artifact_id, [before["space_id"]])
        if artifact["is_deleted"]:
            await _set_deleted(conn, res, user_id, artifact, now, is_deleted=False)


async def _set_deleted(
    conn: Connection,
    res: Resources,
    user_id: uuid.UUID,
    artifact: dict[str, Any],
    now: datetime,
    *,
    is_deleted: bool,
) -> None:
    """Trash or untrash, log it, and let the topic learn again. Holds lock_spaces_for_update."""
    statement = SQL.trash_artifact if is_deleted else SQL.untrash_artifact
    await conn.execute(statement, {**_key(user_id, artifact["id"]), "now": now})
    await log_correction(
        conn,
        user_id,
        artifact["space_id"],
        "delete" if is_deleted else "restore",
        artifact_ids=[artifact["id"]],
        subspace_ids=[artifact["subspace_id"]],
    )
    if artifact["subspace_id"] is not None:
        await rebuild_topics(conn, res, user_id, [artifact["subspace_id"]], now)


async def revive_artifact(
    conn: Connection, res: Resources, user_id: uuid.UUID, artifact_id: int, now: datetime
) -> None:
    """A capture brings a trashed page back, inside the capture's own transaction and lock."""
    rows = await conn.execute(SQL.load_artifact_for_update, _key(user_id, artifact_id))
    artifact = await rows.fetchone()
    if artifact is not None and artifact["is_deleted"]:
        await _set_deleted(conn, res, user_id, artifact, now, is_deleted=False)
