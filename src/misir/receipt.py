"""What else has to be true in the very transaction in which a request is done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pydantic import BaseModel
from starlette.responses import Response

from misir.plumbing.db import Tx


class Receipt:
    """Opened first and closed last in the transaction that does the work. This one asks for nothing.

    kept: the answer as it was kept, to be sent in just these bytes; None where nothing was kept.
    """

    kept: Response | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The whole request, before there is a transaction."""
        yield

    async def open(self, tx: Tx) -> None:
        """May refuse, and then nothing is done."""

    async def open_alone(self) -> None:
        """In a transaction of its own, where the work takes more than one."""

    async def close_alone(self, status: int, answer: BaseModel) -> None:
        """After the last of them."""

    async def close(self, tx: Tx, status: int, answer: BaseModel) -> None:
        """Write down what became of it."""


NO_RECEIPT: Final = Receipt()
