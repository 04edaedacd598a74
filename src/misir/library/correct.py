"""A person corrects the library: edits, moves, deletes, restores. Corrections teach the topics they touch."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from pgvector import HalfVector

from misir.capture.page import count_words, hash_content
from misir.embed.text import Embedding, document_text
from misir.errors import conflict, invalid, not_found, unavailable
from misir.fields import stripped
from misir.library.schemas import ArtifactChanged, ArtifactPatch
from misir.library.views import SQL
from misir.orient.assign import AssignedBy, assign, marker_boosts
from misir.orient.reading import EngagementLevel
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import SQL as LOG
from misir.spaces.corrections import (
    Move,
    correct,
    list_touched,
    lock_spaces,
    log_correction,
    place,
    require_open_topic,
)
from misir.spaces.rebuild import SQL as TOPICS
from misir.spaces.rebuild import rebuild_topics
from misir.spaces.topic import read_topic
from misir.webhooks.outbox import EventType, emit

CAPTURE = load_statements("misir.capture", "capture.sql")

MAX_RACES = 5
"""How often a correction starts again because the artifact changed between reading and locking."""

_NO_NUMBERS = dict.fromkeys(("similarity", "raw_margin", "probability", "fit"))


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

    Raises MisirError: 404 unknown artifact, space or topic; 409 a level that would fall, an archived space,
    an address the other space holds already; 422 a text that would be empty; 503 no model or no database.
    """
    for _ in range(MAX_RACES):
        before = await _find(res, user_id, artifact_id)
        text = await _edited_text(res, before, patch) if patch.is_text_change else None
        async with res.database.as_user(user_id) as tx:
            artifact = await _lock(tx, artifact_id, [before["space_id"], patch.space_id])
            if _differs(before, artifact):
                continue
            if text is not None:
                await _write_text(tx, res, artifact, text)
            await _raise_engagement(tx, artifact, patch)
            correction_id = await _move(tx, res, artifact, patch, now) if patch.is_move else None
            row = await (await tx.ask(SQL.get_artifact, artifact_id=artifact_id)).fetchone()
            await emit(tx, "artifact.updated", told(row or {}, cause="correction"))
        res.wake_worker()
        return ArtifactChanged.model_validate(
            {**(row or {}), "message": "Saved.", "correction_id": correction_id}
        )
    raise unavailable("This artifact is being changed by others at this moment: try again.", retry_after_s=1)


async def _find(res: Resources, user_id: uuid.UUID, artifact_id: int) -> dict[str, Any]:
    async with res.database.as_user(user_id) as tx:
        row = await (await tx.ask(SQL.find_artifact, artifact_id=artifact_id)).fetchone()
    if row is None or row["is_deleted"]:
        raise not_found("The artifact")
    return row


async def _edited_text(res: Resources, before: dict[str, Any], patch: ArtifactPatch) -> _Text:
    sent = patch.model_fields_set
    title = stripped(patch.title) if "title" in sent else before["title"]
    content = (patch.content if stripped(patch.content) else None) if "content" in sent else before["content"]
    text = document_text(title, content)
    if not text.strip():
        raise invalid("An artifact needs a title or a text: send the one you keep, or delete the artifact.")
    made = await res.embedder.embed_text(text, "document")
    return _Text(title, content, hash_content(text, None), made)


async def _lock(tx: Tx, artifact_id: int, space_ids: Sequence[int | None]) -> dict[str, Any]:
    """Lock the spaces (in id order), then read the artifact as it is now. Takes lock_spaces_for_update."""
    await lock_spaces(tx, space_ids)
    rows = await tx.ask(SQL.load_artifact_for_update, artifact_id=artifact_id)
    artifact = await rows.fetchone()
    if artifact is None:
        raise not_found("The artifact")
    return artifact


def _differs(before: dict[str, Any], artifact: dict[str, Any]) -> bool:
    """Did somebody change what this correction was built on, between reading and locking?"""
    if artifact["is_deleted"]:
        raise not_found("The artifact")
    return any(before[name] != artifact[name] for name in ("space_id", "title", "content"))


async def _write_text(tx: Tx, res: Resources, artifact: dict[str, Any], text: _Text) -> None:
    values = {
        "artifact_id": artifact["id"],
        "content_hash": text.content_hash,
        "embedded_fraction": text.made.fraction,
        "model": res.embedder.fingerprint,
    }
    n_words = count_words(text.content)
    await tx.ask(SQL.patch_artifact, values, title=text.title, content=text.content, word_count=n_words)
    await tx.ask(CAPTURE.insert_embedding, values, vector=HalfVector(text.made.vector))
    space_id, topic_id = artifact["space_id"], artifact["subspace_id"]
    if topic_id is not None:  # it stays where it is, and fits there better or worse than before
        fits = await _place(tx, res, artifact["id"], space_id, topic_id, is_named=True)
        await tx.ask(SQL.store_fit, fits, artifact_id=artifact["id"])


async def _raise_engagement(tx: Tx, artifact: dict[str, Any], patch: ArtifactPatch) -> None:
    current, wanted = EngagementLevel(artifact["engagement_level"]), patch.engagement_level
    if wanted is not None and wanted.rank < current.rank:
        raise conflict(f"engagement_level only rises: it is {current} already and cannot become {wanted}.")
    depth = patch.reading_depth
    await tx.ask(
        SQL.raise_engagement, artifact_id=artifact["id"], engagement_level=wanted, reading_depth=depth
    )


async def _move(
    tx: Tx, res: Resources, artifact: dict[str, Any], patch: ArtifactPatch, now: datetime
) -> int | None:
    """Place the artifact where the person said; its topics learn again as if it had always been there.

    The correction's id; None where nothing had to move.
    """
    from_space, from_topic = artifact["space_id"], artifact["subspace_id"]
    to_space, is_named = patch.space_id or from_space, "subspace_id" in patch.model_fields_set
    if to_space == from_space and not is_named:
        return None
    if patch.subspace_id is not None:
        await require_open_topic(tx, to_space, patch.subspace_id)
    if to_space != from_space:
        await _make_room(tx, to_space, artifact["url_hash"])
    placed = await _place(tx, res, artifact["id"], to_space, patch.subspace_id, is_named=is_named)
    move = Move(
        artifact["id"], from_topic, placed["subspace_id"], placed["assigned_by"], teaches=placed["teaches"]
    )
    if to_space == from_space:
        return (await correct(tx, res, to_space, "move", [move], now)).id
    return await _move_out(tx, res, from_space, to_space, move, now)


async def _move_out(tx: Tx, res: Resources, from_space: int, to_space: int, move: Move, now: datetime) -> int:
    """Into another space. Both logs tell it; in the new one the page counts from its arrival."""
    touched = await list_touched(tx, [move.artifact_id])
    payload = {"from_space": from_space, "to_space": to_space}
    for space_id, topic_id in ((from_space, move.from_id), (to_space, move.to_id)):
        arrival = await log_correction(
            tx,
            space_id,
            "move",
            artifact_ids=[move.artifact_id],
            subspace_ids=[topic_id],
            payload=payload,
            moves=[move],
        )
    await tx.ask(LOG.rehouse_artifacts, artifact_ids=[move.artifact_id], space_id=to_space, seq=arrival.seq)
    await place(tx, res, to_space, [move], touched, now)
    return arrival.id


async def _make_room(tx: Tx, space_id: int, url_hash: bytes) -> None:
    """An address is in a space once: a live one stops the move, a trashed one makes way."""
    same = await (await tx.ask(SQL.find_same_page, space_id=space_id, url_hash=url_hash)).fetchone()
    if same is None:
        return
    if not same["is_deleted"]:
        raise conflict(f"The other space holds this address already, as artifact {same['id']}.")
    await tx.ask(SQL.purge_artifact, artifact_id=same["id"])


async def _place(
    tx: Tx, res: Resources, artifact_id: int, space_id: int, topic_id: int | None, *, is_named: bool
) -> dict[str, Any]:
    """The topic a person named, or, where they named none, the engine's; and how well the page fits.

    Measured before the topic learns of the page. `is_named` with a `topic_id` of None means: in no topic.
    """
    rows = await tx.ask(TOPICS.load_topics, space_id=space_id)
    current = await tx.ask(SQL.current_vector, artifact_id=artifact_id, model=res.embedder.fingerprint)
    topics = [read_topic(row, res.embedder.dimension) for row in await rows.fetchall()]
    row = await current.fetchone()
    index = next((index for index, topic in enumerate(topics) if topic.id == topic_id), None)
    if row is None or not topics or (is_named and index is None):
        by = AssignedBy.USER if is_named else None
        return {**_NO_NUMBERS, "subspace_id": topic_id, "assigned_by": by, "teaches": is_named}
    lit = await _lit_topics(tx, res, space_id, row["vector"])
    placed = assign(
        row["vector"].to_numpy(),
        np.stack([topic.state.m for topic in topics]),
        marker_boosts([topic.id in lit for topic in topics], res.embedder.calibration.mu, res.config),
        res.embedder.calibration,
        res.config,
        forced=index,
        by=AssignedBy.ENGINE if index is None else AssignedBy.USER,
    )
    return {
        "subspace_id": None if placed.index is None else topics[placed.index].id,
        "assigned_by": placed.assigned_by,
        "teaches": placed.updates_centroid,
        "similarity": placed.similarity,
        "raw_margin": placed.margin,
        "probability": placed.probability,
        "fit": placed.fit,
    }


async def _lit_topics(tx: Tx, res: Resources, space_id: int, vector: HalfVector) -> set[int]:
    """Topics one of whose markers means what the page means."""
    rows = await tx.ask(CAPTURE.load_markers, space_id=space_id, vector=vector)
    novelty = res.embedder.calibration.novelty
    return {row["topic_id"] for row in await rows.fetchall() if row["similarity"] >= novelty}


async def delete_artifact(res: Resources, user_id: uuid.UUID, artifact_id: int, now: datetime) -> None:
    """Into the trash; its topic forgets it. 404 when it is there already."""
    before = await _find(res, user_id, artifact_id)
    async with res.database.as_user(user_id) as tx:
        artifact = await _lock(tx, artifact_id, [before["space_id"]])
        if artifact["is_deleted"] or artifact["space_id"] != before["space_id"]:
            raise not_found("The artifact")
        await _set_deleted(tx, res, artifact, now, is_deleted=True)


async def restore_artifact(res: Resources, user_id: uuid.UUID, artifact_id: int, now: datetime) -> None:
    """Out of the trash; its topic learns it again. Restoring what is live changes nothing."""
    async with res.database.as_user(user_id) as tx:
        before = await (await tx.ask(SQL.find_artifact, artifact_id=artifact_id)).fetchone()
        if before is None:
            raise not_found("The artifact")
        artifact = await _lock(tx, artifact_id, [before["space_id"]])
        if artifact["is_deleted"]:
            await _set_deleted(tx, res, artifact, now, is_deleted=False)


async def revive_artifact(tx: Tx, res: Resources, artifact_id: int, now: datetime) -> None:
    """A capture brings a trashed page back, inside its own transaction and lock_space_for_update."""
    artifact = await (await tx.ask(SQL.load_artifact_for_update, artifact_id=artifact_id)).fetchone()
    if artifact is not None and artifact["is_deleted"]:
        await _set_deleted(tx, res, artifact, now, is_deleted=False)


async def _set_deleted(
    tx: Tx, res: Resources, artifact: dict[str, Any], now: datetime, *, is_deleted: bool
) -> None:
    """Trash or untrash, log it, and let the topics learn again. Holds the space's lock."""
    touched = await list_touched(tx, [artifact["id"]])
    if is_deleted:
        await tx.ask(SQL.trash_artifact, artifact_id=artifact["id"], now=now)
    else:
        await tx.ask(SQL.untrash_artifact, artifact_id=artifact["id"])
    touched |= await list_touched(tx, [artifact["id"]])
    kind: Literal["delete", "restore"] = "delete" if is_deleted else "restore"
    await log_correction(
        tx, artifact["space_id"], kind, artifact_ids=[artifact["id"]], subspace_ids=sorted(touched)
    )
    await rebuild_topics(tx, res, touched, now)
    event: EventType = "artifact.deleted" if is_deleted else "artifact.restored"
    await emit(tx, event, told(artifact, cause="correction"))


def told(artifact: dict[str, Any], *, cause: str) -> dict[str, Any]:
    """What leaves the house of an artifact's row: where it is, never its text."""
    shown = ("space_id", "subspace_id", "url", "title", "engagement_level")
    return {"artifact_id": artifact["id"], "cause": cause} | {one: artifact[one] for one in shown}
