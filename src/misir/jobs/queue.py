"""Leaving work for after the answer, in the transaction that causes it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements

SQL = load_statements("misir.jobs", "jobs.sql")

REFLECT: Final = "reflect"
"""Look at a space again: drift, sleep, consolidation, names (spaces/reflect.py)."""

EMBED: Final = "embed"
"""Place the captures of a space that came while the model was away (capture/pending.py)."""

DELIVER: Final = "deliver"
"""Tell one endpoint what happened (webhooks/deliver.py). Left by `emit`, together with the event."""

RETAIN: Final = "retain"
"""Trash what a user does not want to keep any longer (jobs/retention.py)."""

SWEEP: Final = "sweep"
"""Forget, for everybody, what is kept for a time only (jobs/retention.py). One row, made by the migration."""

IMPORT: Final = "import"
"""Take in the files of a user (imports/work.py), one after the other."""

DEPLOYMENT: Final = uuid.UUID(int=0)
"""Whose jobs are the deployment's own: no user has this id."""


async def enqueue(tx: Tx, space_id: int | None, run_at: datetime, *, kind: str = REFLECT) -> None:
    """The space, or without one the user, wants this done from `run_at` on. Many causes make one job."""
    await tx.ask(SQL.enqueue, space_id=space_id, kind=kind, now=run_at)
