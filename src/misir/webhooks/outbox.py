"""The outbox: what happened, written down in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

from psycopg.types.json import Jsonb

from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements

SQL = load_statements("misir.webhooks", "webhooks.sql")

EventType = Literal[
    "artifact.created",
    "artifact.updated",
    "artifact.deleted",
    "artifact.restored",
    "space.created",
    "space.updated",
    "space.deleted",
    "subspace.born",
    "subspace.drifted",
    "subspace.merged",
    "subspace.split",
    "subspace.dormant",
    "subspace.returned",
    "insight.created",
]
TEST: Final = "webhook.test"
"""Sent on demand, to one endpoint."""

EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)


async def emit(tx: Tx, type_: EventType, data: dict[str, Any]) -> None:
    """Tell the user's endpoints, once and only if `tx` commits. One statement, no answer waited for.

    Call it as the last thing of the transaction: it locks the jobs of the endpoints that listen. `data` is
    what receivers get: ids and numbers a consumer can act on, never a page's text. Beside an insert, say:

        await emit(tx, "insight.created", {"insight_id": 7, "space_id": 2, "rule": "drift"})
    """
    await emit_all(tx, type_, [data])


async def emit_all(tx: Tx, type_: EventType, datas: Sequence[dict[str, Any]]) -> None:
    """Several events of one type, in this order; still one statement."""
    if datas:
        await tx.ask(SQL.emit, type=type_, datas=[Jsonb(data) for data in datas])
