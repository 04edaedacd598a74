"""A person corrects the library: edits, moves, deletes, restores. Corrections teach the topics they touch."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgvector import HalfVector

from misir.capture.page import count_words, hash_content
from misir.embed.text import Embedding, document_text
from misir.errors import conflict, invalid, not_found, unavailable
from misir.fields import stripped
from misir.library.moving import choose_places, move_artifacts, set_deleted, told
from misir.library.schemas import ArtifactChanged, ArtifactPatch
from misir.library.views import SQL
from misir.orient.assign import AssignedBy
from misir.orient.reading import EngagementLevel
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import Logged, Move, correct, lock_spaces
from misir.spaces.schemas import TopicChange
from misir.spaces.shifts import changes_of
from misir.webhooks.outbox import emit

CAPTURE = load_statements("misir.capture", "capture.sql")

MAX_RACES = 5
"""How often a correction starts again because the artifact changed between reading and locking."""


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
            moved = await _move(tx, res, artifact, patch, now) if patch.is_move else None
            row = await (await tx.ask(SQL.get_artifact, artifact_id=artifact_id)).fetchone()
            await emit(tx, "artifact.updated", told(row or {}, cause="correction"))
        res.wake_worker()
        done = {"correction_id": moved and moved.id, "topics": changes_of([moved] if moved else [])}
        return ArtifactChanged.model_validate({**(row or {}), "message": "Saved.", **done})
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
        fits = await choose_places(tx, res, space_id, [artifact["id"]], topic_id, is_named=True)
        await tx.ask(SQL.store_fit, fits[artifact["id"]], artifact_id=artifact["id"])


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
) -> Logged | None:
    """Place the artifact where the person said. None where nothing had to move."""
    if patch.pinned is not None:
        return await _pin(tx, res, artifact, now, is_pinned=patch.pinned)
    to_space, is_named = patch.space_id or artifact["space_id"], "subspace_id" in patch.model_fields_set
    if to_space == artifact["space_id"] and not is_named:
        return None
    (logged,) = await move_artifacts(tx, res, [artifact], to_space, patch.subspace_id, now, is_named=is_named)
    return logged


async def _pin(
    tx: Tx, res: Resources, artifact: dict[str, Any], now: datetime, *, is_pinned: bool
) -> Logged | None:
    """Keep the artifact where it is, as a person's choice; or leave it to the engine again."""
    if artifact["pinned"] == is_pinned:
        return None
    at, engines = artifact["subspace_id"], AssignedBy.ENGINE if artifact["subspace_id"] else None
    by = AssignedBy.USER if is_pinned else engines
    move = Move(artifact["id"], at, at, by, teaches=True if is_pinned else None)
    return await correct(tx, res, artifact["space_id"], "move", [move], now)


async def delete_artifact(
    res: Resources, user_id: uuid.UUID, artifact_id: int, now: datetime
) -> list[TopicChange]:
    """Into the trash; its topic forgets it. 404 when it is there already."""
    before = await _find(res, user_id, artifact_id)
    async with res.database.as_user(user_id) as tx:
        artifact = await _lock(tx, artifact_id, [before["space_id"]])
        if artifact["is_deleted"] or artifact["space_id"] != before["space_id"]:
            raise not_found("The artifact")
        logged = await set_deleted(tx, res, artifact["space_id"], [artifact], now, is_deleted=True)
    return changes_of([logged])


async def restore_artifact(res: Resources, user_id: uuid.UUID, artifact_id: int, now: datetime) -> None:
    """Out of the trash; its topic learns it again. Restoring what is live changes nothing."""
    async with res.database.as_user(user_id) as tx:
        before = await (await tx.ask(SQL.find_artifact, artifact_id=artifact_id)).fetchone()
        if before is None:
            raise not_found("The artifact")
        artifact = await _lock(tx, artifact_id, [before["space_id"]])
        if artifact["is_deleted"]:
            await set_deleted(tx, res, artifact["space_id"], [artifact], now, is_deleted=False)


async def revive_artifact(tx: Tx, res: Resources, artifact_id: int, now: datetime) -> None:
    """A capture brings a trashed page back, inside its own transaction and lock_space_for_update."""
    artifact = await (await tx.ask(SQL.load_artifact_for_update, artifact_id=artifact_id)).fetchone()
    if artifact is not None and artifact["is_deleted"]:
        await set_deleted(tx, res, artifact["space_id"], [artifact], now, is_deleted=False)
