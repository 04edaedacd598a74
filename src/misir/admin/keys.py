"""A purge of signing keys reaches every process of the deployment, by way of the database they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from misir.admin.gate import SQL
from misir.errors import MisirError
from misir.plumbing.beside import beside
from misir.resources import Resources

LOOK_EVERY_S: Final = 5.0
NEVER: Final = object()


async def purge_keys(res: Resources) -> None:
    """Forget signing keys and verified tokens: here at once, elsewhere within LOOK_EVERY_S."""
    res.verifier.purge()
    async with res.database.as_service() as tx:
        await tx.ask(SQL.note_purge)


@asynccontextmanager
async def following_purges(res: Resources) -> AsyncIterator[None]:
    """Purges of other processes are followed until the block ends. A local user has no keys."""
    if res.settings.MOCK_AUTH:
        yield
        return
    seen = await _look(res, NEVER)
    async with beside(_follow(res, seen), "follow purges of keys"):
        yield


async def _follow(res: Resources, seen: object) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        seen = await _look(res, seen)


async def _look(res: Resources, seen: object) -> object:
    """The last purge; another than was seen is followed."""
    try:
        async with res.database.as_nobody() as tx:
            last = await (await tx.ask(SQL.read_purge)).fetchone()
    except (MisirError, psycopg.OperationalError):  # no database right now: it comes back
        return seen
    if last != seen:
        res.verifier.purge()
    return last
