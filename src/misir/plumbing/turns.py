"""Turns: who writes into the same place waits here, in line, and not with a database connection in hand.

The database's own lock decides between processes; this keeps one process from spending its whole pool on
waiting for it, so that other users' requests still find a connection. And who computes for long lets
others in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from misir.errors import unavailable

WAIT_S: Final = 15.0
"""Longest a request stands in line."""

N_AT_ONCE: Final = 8
"""Items of a long loop until everybody else has a turn: 4 ms where one takes half a millisecond."""

T = TypeVar("T")


async def breathing(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, with a turn for the rest of the process after every few."""
    for number, item in enumerate(items, 1):
        yield item
        if number % N_AT_ONCE == 0:
            await asyncio.sleep(0)


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
