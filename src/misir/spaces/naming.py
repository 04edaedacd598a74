"""Topics the engine founded get better names as they grow, and markers that tell them apart (§5)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pgvector import HalfVector

from misir.errors import MisirError
from misir.orient.naming import count_terms, rank_terms, topic_name
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.corrections import SQL as LOG
from misir.spaces.create import SQL as SPACES
from misir.spaces.drift import SQL
from misir.spaces.reshape import note

N_DOCUMENTS: Final = 50
N_CHARACTERS: Final = 600
N_MARKERS: Final = 5


@dataclass(frozen=True, slots=True)
class Naming:
    """A topic's new name, its old one, and the keywords it stands on, best first."""

    topic_id: int
    name: str
    was: str
    labels: list[str]


async def name_topics(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> int:
    """Name what the engine founded and what has doubled since; how many topics that were.

        read texts → c-TF-IDF, on a thread → embed the keywords → lock the space, write name and markers

    Takes lock_spaces_for_update. Without the model the names wait.
    """
    async with res.database.as_service(user_id) as tx:
        due = await tx.ask(SQL.list_unnamed, space_id=space_id, min_artifacts=res.config.min_artifacts)
        topic_ids = [row["id"] for row in await due.fetchall()]
        if not topic_ids or res.embedder.problem is not None:
            return 0
        rows = await tx.ask(
            SQL.load_documents, space_id=space_id, n_documents=N_DOCUMENTS, n_characters=N_CHARACTERS
        )
        documents, names = _by_topic(await rows.fetchall())
    namings = await asyncio.to_thread(choose_names, documents, names, topic_ids)
    try:
        labels = sorted({label for naming in namings for label in naming.labels})
        made = await res.embedder.embed_texts_batch(labels, "document") if labels else []
    except MisirError:  # the model went away in between: the next look at the space names them
        return 0
    vectors = {label: HalfVector(one.vector) for label, one in zip(labels, made, strict=True)}
    async with res.database.as_service(user_id) as tx:
        await tx.ask(LOG.lock_spaces_for_update, space_ids=[space_id])
        for naming in namings:
            await _write(tx, res, space_id, naming, vectors, now)
    return len(namings)


def _by_topic(rows: Sequence[dict[str, Any]]) -> tuple[dict[int, list[str]], dict[int, str]]:
    documents: dict[int, list[str]] = {}
    for row in rows:
        documents.setdefault(row["topic_id"], [])
        if row["text"]:
            documents[row["topic_id"]].append(row["text"])
    return documents, {row["topic_id"]: row["name"] for row in rows}


def choose_names(
    documents: Mapping[int, Sequence[str]], names: Mapping[int, str], topic_ids: Sequence[int]
) -> list[Naming]:
    """PURE: a name for each of the topics that no other topic has, from what only its texts say."""
    counts, taken, chosen = count_terms(documents), dict(names), list[Naming]()
    for topic_id in topic_ids:
        found = rank_terms(counts, topic_id, N_MARKERS)
        others = [name for other, name in taken.items() if other != topic_id]
        name = topic_name(found, others) if found else taken[topic_id]
        chosen.append(Naming(topic_id, name, taken[topic_id], [term for term, _ in found]))
        taken[topic_id] = name
    return chosen


async def _write(
    tx: Tx, res: Resources, space_id: int, naming: Naming, vectors: Mapping[str, HalfVector], now: datetime
) -> None:
    renamed = await tx.ask(SQL.rename_topic, topic_id=naming.topic_id, name=naming.name)
    if await renamed.fetchone() is None:
        return
    if naming.name != naming.was:
        cause = {"from": naming.was, "to": naming.name, "by": "engine"}
        numbers = {"keywords": naming.labels}
        await note(tx, space_id, naming.topic_id, "renamed", cause=cause, numbers=numbers, at=now)
    lowered = [label.lower() for label in naming.labels]
    await tx.ask(SQL.drop_extracted, topic_id=naming.topic_id, labels=lowered)
    space = {"space_id": space_id, "model": res.embedder.fingerprint}
    embeddings = [vectors[label] for label in naming.labels]
    rows = await tx.ask(SPACES.upsert_markers, space, labels=naming.labels, embeddings=embeddings)
    ids = [row["id"] for row in await rows.fetchall()]
    await tx.ask(
        SPACES.link_markers,
        space,
        subspace_ids=[naming.topic_id] * len(ids),
        marker_ids=ids,
        sources=["extracted"] * len(ids),
    )
