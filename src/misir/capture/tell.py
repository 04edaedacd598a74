"""What captures tell those who listen: one event for each page that is new or was read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from misir.capture.chunk import Taken
from misir.capture.page import Page
from misir.plumbing.db import Tx
from misir.webhooks.outbox import emit_all


async def tell(tx: Tx, taken: Sequence[tuple[Page, Taken]]) -> None:
    """Events for what was taken in, new pages first; a repeat says nothing. Two statements at most."""
    await emit_all(tx, "artifact.created", [_told(*one) for one in taken if one[1].result == "new"])
    await emit_all(tx, "artifact.updated", [_told(*one) for one in taken if one[1].result == "known"])


def _told(page: Page, taken: Taken) -> dict[str, Any]:
    captured = taken.captured
    shown = {
        "artifact_id",
        "signal_id",
        "subspace_id",
        "assigned_by",
        "fit",
        "engagement_level",
        "duplicate_of",
    }
    return captured.model_dump(mode="json", include=shown) | {
        "space_id": page.request.space_id,
        "url": page.request.url,
        "title": page.request.title,
        "pending": False,
        "cause": "capture",
    }
