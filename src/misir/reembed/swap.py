"""The swap: the new vectors take the place of the old ones, in one transaction (docs/decisions/0037).

Whatever Misir does begins with a read of system_config, so the lock on that table is the door: who is inside
finishes, who comes waits, and finds afterwards that the library is of another model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from misir.errors import unavailable
from misir.plumbing.db import Tx
from misir.plumbing.replica import Connection
from misir.reembed.replay import Folded, Topic, columns_of, fold_space, list_spaces, list_stale
from misir.reembed.texts import SQL, embed_pending, has_more_pending
from misir.resources import Resources

LOCK_WAIT: Final = "2s"
"""How long others may be kept waiting for somebody who does not finish; then it is tried again later."""

MAX_LAST: Final = 8
"""Texts that are embedded while everybody waits: what was captured between the last pass and the lock."""

TRY_AGAIN_S: Final = 1.0
N_TRIES: Final = 100

TAKEN: Final[dict[str, tuple[LiteralString, ...]]] = {
    "embedding": (
        "alter vector type halfvec({d}) using next_vector",
        "alter fraction type double precision using next_fraction",
        "alter model type text using {model}",
        "alter next_vector type halfvec using null",
        "alter next_fraction type double precision using null",
    ),
    "marker": (
        "alter embedding type halfvec({d}) using next_embedding",
        "alter model type text using {model}",
        "alter next_embedding type halfvec using null",
    ),
    "space": (
        "alter intention_embedding type halfvec({d}) using next_intention_embedding",
        "alter intention_model type text using case when next_intention is not null then {model} end",
        "alter next_intention type text using null",
        "alter next_intention_embedding type halfvec using null",
    ),
    "subspace": (
        "alter centroid type vector({d}) using null",
        "alter anchor_centroid type vector({d}) using null",
    ),
}
"""How each table is written anew: its rows are no larger than before, and its keys and grants stay."""


class NotYetError(Exception):
    """Too much was captured meanwhile to be embedded while everybody waits."""


async def swap(owner: Connection, res: Resources, folded: Folded, was: str, now: datetime) -> None:
    """Make `res`'s model the library's. `owner` is a connection of the schema's owner, in no transaction.

        lock everybody out
        embed what came since the last pass (MAX_LAST at most), replay its spaces again
        write the tables anew; topics; the seam; the model

    Takes lock on system_config in access exclusive mode. Raises NotYetError when more than that came, 503
    when somebody else's transaction does not end.
    """
    for _ in range(N_TRIES):
        try:
            async with owner.transaction():
                await _swap(owner, res, folded, was, now)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            await asyncio.sleep(TRY_AGAIN_S)
        else:
            return
    raise unavailable(
        "Everything is prepared, but another program's transaction holds the tables: end it, and run "
        "`misir reembed` again."
    )


async def _swap(owner: Connection, res: Resources, folded: Folded, was: str, now: datetime) -> None:
    await owner.execute("select set_config('lock_timeout', %s, true)", [LOCK_WAIT])
    await owner.execute("lock table misir.system_config in access exclusive mode")
    async with as_service(owner) as tx:
        topics = await _catch_up(tx, res, folded)
        await tx.ask(SQL.drop_textless)
        await tx.ask(SQL.forget_dropped_intentions)
    await _write_anew(owner, res)
    seam = {"was": was, "model": res.embedder.fingerprint, "now": now}
    async with as_service(owner) as tx:
        await tx.ask(SQL.keep_topics, columns_of(topics) | seam)
        await tx.ask(SQL.mark_seam, seam)
        await tx.ask(SQL.ask_for_maps, seam)
        await _keep_model(tx, res)


@asynccontextmanager
async def as_service(owner: Connection) -> AsyncIterator[Tx]:
    """The owner may alter tables, and sees no row of them; the service role is the other way round."""
    await owner.execute("set local role misir_service")
    yield Tx(owner, None)
    await owner.execute("reset role")


async def _catch_up(tx: Tx, res: Resources, folded: Folded) -> list[Topic]:
    """All topics of all spaces as they are now, with everybody locked out."""
    if await has_more_pending(tx, MAX_LAST):
        raise NotYetError

    @asynccontextmanager
    async def this_one() -> AsyncIterator[Tx]:
        yield tx

    touched = await embed_pending(this_one, res.embedder)
    current = {space_id: one for space_id, one in folded.items() if space_id not in touched}
    spaces = await list_spaces(tx)
    for space in list_stale(spaces, current):
        current[space.id] = (space, await fold_space(tx, res, space))
    return [topic for space in spaces for topic in current[space.id][1]]


async def _write_anew(owner: Connection, res: Resources) -> None:
    """The tables with the new vectors in place of the old ones. What hangs on a vector column goes first."""
    await _drop_vector_indexes(owner)
    values: dict[str, Any] = {
        "d": sql.Literal(res.embedder.dimension),
        "model": sql.Literal(res.embedder.fingerprint),
    }
    for table, actions in TAKEN.items():
        changes = sql.SQL(", ").join(sql.SQL(action).format(**values) for action in actions)
        await owner.execute(sql.SQL("alter table misir.{} {}").format(sql.Identifier(table), changes))


async def _drop_vector_indexes(owner: Connection) -> None:
    """`misir migrate` makes them again, after the swap: that takes long, and nobody has to wait for it."""
    found = await owner.execute(SQL.list_vector_indexes)
    for row in await found.fetchall():
        await owner.execute(sql.SQL("drop index misir.{}").format(sql.Identifier(row["relname"])))


async def _keep_model(tx: Tx, res: Resources) -> None:
    """The library is of the new model. A calibration measured for the old one says nothing about it."""
    model = {"fingerprint": res.embedder.fingerprint, "dimension": res.embedder.dimension}
    await tx.ask(SQL.keep_model, key="embedding_model", value=Jsonb(model))
    await tx.ask(SQL.keep_model, key="reembedding", value=Jsonb(model | {"is_swapped": True}))
    await tx.ask(SQL.forget_models, keys=["calibration"])
