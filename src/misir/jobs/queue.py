"""Leaving work for after the answer, in the transaction that causes it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements

SQL = load_statements("misir.jobs", "jobs.sql")

REFLECT: Final = "reflect"
"""Look at a space again: drift, sleep, consolidation, names (spaces/reflect.py)."""


async def enqueue(tx: Tx, space_id: int, run_at: datetime) -> None:
    """The space wants to be looked at, from `run_at` on. Many captures make one job."""
    await tx.ask(SQL.enqueue, space_id=space_id, kind=REFLECT, now=run_at)
