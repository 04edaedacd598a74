"""Reading the library."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from misir.errors import not_found
from misir.library.schemas import (
    ArtifactDetail,
    ArtifactItem,
    ArtifactPage,
    MarkerItem,
    SignalItem,
    SimilarArtifact,
    SpaceArtifacts,
)
from misir.orient.assign import calibrated
from misir.orient.reading import DecayRate, EngagementLevel
from misir.orient.weight import effective_weight
from misir.paging import decode_moment, encode_moment
from misir.plumbing.db import Database
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.views import SQL as SPACES

SQL = load_statements("misir.library", "library.sql")

N_SIMILAR = 5
"""How many similar artifacts an artifact's own page shows."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which artifacts of a space, in which order; None is no restriction."""

    subspace_id: int | None = None
    levels: list[str] | None = None
    min_fit: float | None = None
    max_fit: float | None = None
    source: str | None = None
    domain: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    q: str | None = None
    sort: str = "recent"


async def list_artifacts(
    database: Database,
    user_id: uuid.UUID,
    *,
    limit: int = 50,
    cursor: str | None = None,
    updated_since: datetime | None = None,
) -> ArtifactPage:
    """Newest first; `cursor` continues where a page ended."""
    wanted = {**decode_moment(cursor), "updated_since": updated_since}
    async with database.as_user(user_id) as tx:
        rows = await tx.ask(SQL.list_artifacts, wanted, limit=limit + 1)
        items = [ArtifactItem.model_validate(row) for row in await rows.fetchall()]
    last = items[limit - 1] if len(items) > limit else None
    next_cursor = encode_moment(last.captured_at, last.id) if last else None
    return ArtifactPage(items=items[:limit], next_cursor=next_cursor)


async def list_space_artifacts(
    database: Database,
    user_id: uuid.UUID,
    space_id: int,
    filters: Filters,
    *,
    page: int = 1,
    page_size: int = 50,
) -> SpaceArtifacts:
    wanted = {"space_id": space_id, **asdict(filters), "limit": page_size, "offset": (page - 1) * page_size}
    async with database.as_user(user_id) as tx:
        found = await tx.ask(SPACES.space_exists, space_id=space_id)
        cursor = await tx.ask(SQL.list_space_artifacts, wanted)
        if await found.fetchone() is None:
            raise not_found("The space")
        rows = await cursor.fetchall()
        count = rows[0]["n_matching"] if rows else 0
        if not rows and page > 1:
            first = await (await tx.ask(SQL.list_space_artifacts, wanted, limit=1, offset=0)).fetchone()
            count = first["n_matching"] if first is not None else 0
    items = [ArtifactItem.model_validate(row) for row in rows]
    return SpaceArtifacts(artifacts=items, count=count, page=page, page_size=page_size)


async def get_artifact(res: Resources, user_id: uuid.UUID, artifact_id: int, now: datetime) -> ArtifactDetail:
    wanted = {"artifact_id": artifact_id, "model": res.embedder.fingerprint, "limit": N_SIMILAR}
    async with res.database.as_user(user_id) as tx:
        artifact = await tx.ask(SQL.get_artifact, wanted)
        signals = await tx.ask(SQL.list_signals, wanted)
        markers = await tx.ask(SQL.list_matched_markers, wanted)
        similar = await tx.ask(SQL.list_similar, wanted)
        row = await artifact.fetchone()
        if row is None:
            raise not_found("The artifact")
        return ArtifactDetail.model_validate(
            {
                **row,
                "effective_weight": _weight_now(res, row, now),
                "signals": [SignalItem(**signal) for signal in await signals.fetchall()],
                "markers": [MarkerItem(**marker) for marker in await markers.fetchall()],
                "similar": [SimilarArtifact(**other) for other in await similar.fetchall()],
            }
        )


def _weight_now(res: Resources, row: dict[str, Any], now: datetime) -> float:
    calibration = res.embedder.calibration
    similarity = row["similarity"]
    relevance = (
        0.0
        if similarity is None
        else float(calibrated(np.float64(similarity), calibration.mu, calibration.tau))
    )
    return effective_weight(
        EngagementLevel(row["engagement_level"]),
        relevance,
        DecayRate(row["decay_rate"]),
        res.config,
        occurred_at=row["captured_at"],
        now=now,
    )


async def list_similar(
    res: Resources, user_id: uuid.UUID, artifact_id: int, *, limit: int = 10
) -> list[SimilarArtifact]:
    wanted = {"artifact_id": artifact_id, "model": res.embedder.fingerprint, "limit": limit}
    async with res.database.as_user(user_id) as tx:
        found = await tx.ask(SQL.get_artifact, wanted)
        similar = await tx.ask(SQL.list_similar, wanted)
        if await found.fetchone() is None:
            raise not_found("The artifact")
        return [SimilarArtifact(**other) for other in await similar.fetchall()]
