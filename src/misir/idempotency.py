"""Idempotency-Key: a request that is sent again gets the answer it got, and does nothing.

    stand in line with whoever sends the same key to this process      no connection held
    is there an answer? then that is it                                one read
    ONE transaction: claim the key, do the work, keep the answer       a second process waits at the claim

A batch is many transactions. It claims its key in the first and keeps its answer in the last.
What dies in between leaves a claim without an answer, and the repeat does the rest: every item is known by
its event. Two processes may then work on it at once; the first answer is kept, and both give it.

Only what succeeded is kept: a refusal changed nothing, so the request may be tried again under its key.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Annotated, Final

import orjson
from fastapi import Depends, Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from misir.deps import Me, Now, Res
from misir.errors import Answered, invalid, unavailable
from misir.fields import storable
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.receipt import NO_RECEIPT, Receipt
from misir.resources import Resources

SQL = load_statements("misir", "idempotency.sql")

KEPT_FOR: Final = timedelta(hours=24)
MAX_KEY: Final = 255


class KeyedReceipt(Receipt):
    """The receipt of a request that carries a key."""

    def __init__(
        self, res: Resources, user_id: uuid.UUID, route: str, key: str, request_hash: bytes, now: datetime
    ) -> None:
        self._res = res
        self._user_id = user_id
        self._request_hash = request_hash
        self._named = {"route": route, "key": key, "expired_before": now - KEPT_FOR}
        self._claim = {"request_hash": request_hash, "now": now}

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The work is done inside. Raises Answered instead when it was done before; 422 for another body."""
        line = hashlib.sha256(f"{self._user_id}:{self._named['route']}:{self._named['key']}".encode())
        async with self._res.key_turns.of(int.from_bytes(line.digest()[:8])):
            async with self._res.database.as_user(self._user_id) as tx:
                await self._raise_if_answered(tx)
            yield

    async def open(self, tx: Tx) -> None:
        claimed = await tx.ask(SQL.claim_key, self._named | self._claim)
        if await claimed.fetchone() is not None:
            return
        await self._raise_if_answered(tx)
        raise unavailable("This Idempotency-Key has just run out: send the request again.", retry_after_s=1)

    async def open_alone(self) -> None:
        async with self._res.database.as_user(self._user_id) as tx:
            await self.open(tx)

    async def close_alone(self, status: int, answer: BaseModel) -> None:
        async with self._res.database.as_user(self._user_id) as tx:
            await self.close(tx, status, answer)

    async def close(self, tx: Tx, status: int, answer: BaseModel) -> None:
        body = answer.model_dump_json(by_alias=True).encode()
        kept = await tx.ask(SQL.keep_answer, self._named, status=status, body=body)
        if await kept.fetchone() is None:
            await self._raise_if_answered(tx)
        self.kept = Response(body, status, media_type="application/json")

    async def _raise_if_answered(self, tx: Tx) -> None:
        row = await (await tx.ask(SQL.find_key, self._named)).fetchone()
        if row is None:
            return
        if row["request_hash"] != self._request_hash:
            raise invalid("Idempotency-Key: was used with another body: take a new key for a new request.")
        if row["status"]:
            raise Answered(row["status"], row["body"])


async def given_receipt(
    request: Request,
    me: Me,
    res: Res,
    now: Now,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=MAX_KEY,
            description="Sent again with the same body within 24 hours, the request is answered as before "
            "and does nothing; the answer then carries `Idempotency-Replayed: true`.",
        ),
    ] = None,
) -> Receipt:
    key = (idempotency_key or "").strip()
    if not key:
        return NO_RECEIPT
    try:
        storable(key)
    except ValueError as problem:
        raise invalid(f"Idempotency-Key: {problem}") from None
    route = f"{request.method} {request.scope['route'].path}"
    return KeyedReceipt(res, me, route, key, hash_body(await request.body()), now)


def hash_body(body: bytes) -> bytes:
    """SHA-256 of what the JSON says: the order of its keys and its white space say nothing.

    >>> hash_body(b'{"a": 1, "b": [2]}') == hash_body(b'{"b":[2],"a":1}')
    True
    """
    with suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):  # no plain JSON is compared as it is
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(body).digest()


Once = Annotated[Receipt, Depends(given_receipt)]
