"""A person declares a topic in a space that is there already, and changes what they said about one."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from misir.errors import conflict, not_found
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import log_correction
from misir.spaces.create import embed_phrases, insert_topics, markers_of
from misir.spaces.schemas import NewSubspace
from misir.spaces.topic_schemas import TopicPatch

CAPTURE = load_statements("misir.capture", "capture.sql")
SQL = load_statements("misir.spaces", "topics_write.sql")
SPACES = load_statements("misir.spaces", "spaces.sql")


async def declare_topic(
    res: Resources, user_id: uuid.UUID, space_id: int, new: NewSubspace, now: datetime
) -> int:
    """The new topic's id.

        is there such a space? embed the markers      no lock, no connection held
        ONE transaction
          lock the space                              lock_space_for_update
          topic with its seed, markers, links, and the `seed` correction that replay needs

    Raises MisirError: 404 unknown space; 409 an archived one, or a name that another topic there has; 503 no
    model or no database.
    """
    async with res.database.as_user(user_id) as tx:
        if await (await tx.ask(SPACES.space_exists, space_id=space_id)).fetchone() is None:
            raise not_found("The space")
    labels, _ = markers_of(new)
    vectors = await embed_phrases(res, labels)
    async with res.database.as_user(user_id) as tx:
        locked = await tx.ask(CAPTURE.lock_space_for_update, space_id=space_id)
        require_open(await locked.fetchone(), "The space")
        await _require_free_name(tx, space_id, new.name)
        (topic_id,) = await insert_topics(tx, res, space_id, [new], vectors, now=now)
        said = {"markers": labels}
        await log_correction(tx, space_id, "seed", artifact_ids=[], subspace_ids=[topic_id], payload=said)
    return topic_id


async def patch_topic(
    res: Resources,
    user_id: uuid.UUID,
    topic_id: int,
    patch: TopicPatch,
    now: datetime,
    *,
    space_id: int | None = None,
) -> None:
    """Change name, description or pin in one transaction; a new name is an event in the topic's life.

    Takes lock_space_of_topic_for_update: a name that is free stays free until the topic has it.

    Raises MisirError: 404 unknown topic, or in another space than `space_id`; 409 an archived space, or a
    name that another topic of the space has.
    """
    async with res.database.as_user(user_id) as tx:
        topic = await lock_topic(tx, topic_id, space_id)
        if patch.name is not None:
            await _require_free_name(tx, topic["space_id"], patch.name, but=topic_id)
        has_description = "description" in patch.model_fields_set
        values = patch.model_dump(include={"name", "description", "pinned"})
        await tx.ask(SQL.patch_subspace, values, topic_id=topic_id, has_description=has_description)
        if patch.name is not None and patch.name != topic["name"]:
            cause = Jsonb({"from": topic["name"], "to": patch.name})
            place = {"topic_id": topic_id, "space_id": topic["space_id"]}
            await tx.ask(SQL.insert_renamed_event, place, cause=cause, now=now)


async def lock_topic(tx: Tx, topic_id: int, space_id: int | None = None) -> dict[str, Any]:
    """Lock the space of a topic, then read the topic as it is now. Takes lock_space_of_topic_for_update."""
    locked = await tx.ask(SQL.lock_space_of_topic_for_update, topic_id=topic_id, space_id=space_id)
    rows = await tx.ask(SQL.load_declared, topic_id=topic_id)
    require_open(await locked.fetchone(), "The subspace")
    topic = await rows.fetchone()
    if topic is None:
        raise not_found("The subspace")
    return topic


def require_open(space: dict[str, Any] | None, what: str) -> None:
    """404 for `what` without its locked space; 409 when that space is archived."""
    if space is None:
        raise not_found(what)
    if space["is_archived"]:
        raise conflict("The space is archived: unarchive it before changing what is in it.")


async def _require_free_name(tx: Tx, space_id: int, name: str, *, but: int | None = None) -> None:
    rows = await tx.ask(SQL.find_namesake, space_id=space_id, name=name, topic_id=but)
    namesake = await rows.fetchone()
    if namesake is not None:
        raise conflict(f"Subspace {namesake['id']} of this space has that name already: choose another.")
