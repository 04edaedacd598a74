"""The map of a space, drawn again when enough has changed (engine.md §10)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from misir.orient.layout import Layout, lay_out, place_around
from misir.orient.vectors import Floats
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.corrections import SQL as LOG
from misir.spaces.drift import SQL

MAX_TOPICS: Final = 5_000
AT_LEAST_EVERY: Final = timedelta(days=1)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """The places of topics and artifacts, row by row as they were read."""

    layout: Layout
    items: Floats


async def draw_map(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> bool:
    """Place topics and artifacts, when the map is out of date; was it drawn?

        read topics and vectors → lay_out, place_around, on a thread → lock the space, write all places

    Takes lock_spaces_for_update. Of two workers the one that saw the later state of the space is kept.
    """
    async with res.database.as_service(user_id) as tx:
        before = await (await tx.ask(SQL.load_map, space_id=space_id)).fetchone()
        asked = {"space_id": space_id, "model": res.embedder.fingerprint}
        topics = await (await tx.ask(SQL.load_map_topics, asked, limit=MAX_TOPICS)).fetchall()
        if before is None or not is_due(before, topics, now, res):
            return False
        items = await (await tx.ask(SQL.load_map_items, asked, limit=res.config.map_items)).fetchall()
    drawing = await asyncio.to_thread(draw, topics, items, before, res.embedder.dimension)
    async with res.database.as_service(user_id) as tx:
        await tx.ask(LOG.lock_spaces_for_update, space_ids=[space_id])
        return await _keep(tx, space_id, before, (topics, items), drawing, now)


def is_due(before: Row, topics: Sequence[Row], now: datetime, res: Resources) -> bool:
    """PURE: is there a topic without a place or one too many, or enough that is new?

    After 20 entries of the log, or a fiftieth of the space's artifacts if that is more; daily if any.
    """
    if before["seq"] is None:
        return bool(topics)
    if len(topics) != before["topic_count"] or any(topic["map_x"] is None for topic in topics):
        return True
    n_new = before["next_seq"] - 1 - before["seq"]
    n_artifacts = sum(topic["artifact_count"] for topic in topics)
    is_stale = now - before["computed_at"] >= AT_LEAST_EVERY
    enough = max(res.config.map_signals, res.config.map_share * n_artifacts)
    return bool(n_new >= enough or (n_new > 0 and is_stale))


def draw(topics: Sequence[Row], items: Sequence[Row], before: Row, dimension: int) -> Drawing:
    """PURE: the map of the rows as they were read, near the one before."""
    centroids = np.array([topic["centroid"].to_numpy() for topic in topics]).reshape(-1, dimension)
    layout = lay_out(centroids, _places(topics), before["scale"])
    row_of = {topic["id"]: row for row, topic in enumerate(topics)}
    stored = zip(
        before["artifact_ids"] or (), before["artifact_xs"] or (), before["artifact_ys"] or (), strict=True
    )
    was = {artifact_id: (x, y) for artifact_id, x, y in stored}
    vectors = np.array([item["vector"].to_numpy() for item in items], dtype=np.float32)
    places = place_around(
        vectors.reshape(-1, dimension),
        [row_of.get(item["subspace_id"], -1) for item in items],
        centroids,
        layout.places,
        [was.get(item["id"], (np.nan, np.nan)) for item in items],
    )
    return Drawing(layout, places)


def _places(topics: Sequence[Row]) -> Floats:
    """Where they were; NaN for those that were nowhere."""
    rows = [(topic["map_x"], topic["map_y"]) for topic in topics]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


async def _keep(
    tx: Tx,
    space_id: int,
    before: Row,
    rows: tuple[Sequence[Row], Sequence[Row]],
    drawing: Drawing,
    now: datetime,
) -> bool:
    topics, items = rows
    (xs, ys), (item_xs, item_ys) = drawing.layout.places.T.tolist(), drawing.items.T.tolist()
    kept = await tx.ask(
        SQL.keep_map,
        space_id=space_id,
        seq=before["next_seq"] - 1,
        topic_count=len(topics),
        scale=drawing.layout.scale,
        stress=drawing.layout.stress,
        artifact_ids=[item["id"] for item in items],
        artifact_xs=item_xs,
        artifact_ys=item_ys,
        now=now,
    )
    if await kept.fetchone() is None:
        return False
    placed = {"topic_ids": [topic["id"] for topic in topics], "xs": xs, "ys": ys}
    await tx.ask(SQL.place_topics, placed)
    await tx.ask(SQL.place_snapshots, placed)
    return True
