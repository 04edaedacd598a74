"""Turns: who writes into the same place waits here, in line, and not with a database connection in hand.

The database's own lock decides between processes; this keeps one process from spending its whole pool on
waiting for it, so that other users' requests still find a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from misir.errors import unavailable

WAIT_S: Final = 15.0
"""Longest a request stands in line."""


class Turns:
    """One line for each key, first come first served; a line that nobody stands in is forgotten."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, key: int) -> AsyncIterator[None]:
        """The block runs when everybody before has left it. Raises MisirError 503 after `wait_s`."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        try:
            async with asyncio.timeout(self._wait_s):
                await lock.acquire()
        except TimeoutError:
            raise unavailable(
                "Too much is being written into this space: try again in a moment.", retry_after_s=2
            ) from None
        try:
            yield
        finally:
            lock.release()
