"""A second server to read from, which may lag, and may be away: then the first one answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

Connection = psycopg.AsyncConnection[DictRow]

log = logging.getLogger(__name__)

WAIT_S: Final = 0.25
"""Longest a reader waits for a connection before it asks the first server."""

REST_S: Final = 5.0
"""How long nobody asks a replica that did not answer."""


class Replica:
    """The pool of DATABASE_REPLICA_URL. `lend` gives a connection, or None where it cannot now."""

    def __init__(
        self, pool: AsyncConnectionPool[Connection], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._rests_until = float("-inf")

    async def open(self) -> None:
        """Connects in the background: a replica that is away keeps nobody from starting."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    async def lend(self, stack: AsyncExitStack) -> Connection | None:
        """A connection until the stack ends."""
        if self._clock() < self._rests_until:
            return None
        try:
            return await stack.enter_async_context(self._pool.connection(WAIT_S))
        except (PoolTimeout, psycopg.OperationalError):
            self._rests_until = self._clock() + REST_S
            log.warning("the read replica does not answer: reading from the primary for %.0f s", REST_S)
            return None
