"""Drift, decided signal by signal in the order of the log (engine.md §6)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import numpy as np
from pgvector import Vector as PgVector

from misir.orient.config import EngineConfig
from misir.orient.drift import Drift, detect_drift, drift_band, find_return, is_notable, shuffle_seed
from misir.orient.vectors import Vector
from misir.plumbing.db import Tx
from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources
from misir.spaces.corrections import SQL as LOG
from misir.spaces.reshape import note

SQL = load_statements("misir.spaces", "reflect.sql")

N_AT_ONCE: Final = 500
"""Entries of the log that are judged in one go."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What a topic was taught since its anchor, one entry per artifact, in log order; vectors (n, D)."""

    topic_id: int
    artifact_ids: Sequence[int]
    positions: Sequence[int]
    vectors: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A drift, the position in the log that brought it about, and the one that is the anchor now."""

    topic_id: int
    drift: Drift
    position: int
    anchor: int
    n_since_anchor: int
    turning: list[int]


async def judge_drift(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> int:
    """Judge every signal the log has gained by now; how many drifts there were.

        read windows → detect_drift, on a thread → lock the space, write events and anchors

    Takes lock_spaces_for_update. Where a second worker judged the same meanwhile, this one writes nothing.
    What comes while it judges is for the next time: who reads without a pause would keep it for ever.
    """
    n_found, last = 0, None
    while True:
        async with res.database.as_service(user_id) as tx:
            space = await (await tx.ask(SQL.load_progress, space_id=space_id)).fetchone()
            last = space["next_seq"] - 1 if space is not None and last is None else last
            if space is None or last is None or space["judged_seq"] >= last:
                return n_found
            upto = min(last, space["judged_seq"] + N_AT_ONCE)
            windows = await _load_windows(tx, res, space_id, space["judged_seq"], upto)
        found = await asyncio.to_thread(find_drifts, windows, space["judged_seq"], res.config)
        async with res.database.as_service(user_id) as tx:
            await tx.ask(LOG.lock_spaces_for_update, space_ids=[space_id])
            moved = await tx.ask(SQL.advance_judged, space_id=space_id, was=space["judged_seq"], upto=upto)
            if await moved.fetchone() is None:
                return n_found
            await _write(tx, res, space_id, found, now)
        n_found += len(found)


async def _load_windows(tx: Tx, res: Resources, space_id: int, judged_seq: int, upto: int) -> list[Window]:
    config = res.config
    rows = await tx.ask(
        SQL.load_windows,
        space_id=space_id,
        judged_seq=judged_seq,
        upto=upto,
        model=res.embedder.fingerprint,
        limit=config.drift_recent + config.drift_reference + N_AT_ONCE,
    )
    return [
        _window(topic_id, list(group))
        for topic_id, group in groupby(await rows.fetchall(), lambda row: int(row["topic_id"]))
    ]


def _window(topic_id: int, rows: Sequence[dict[str, Any]]) -> Window:
    return Window(
        topic_id=topic_id,
        artifact_ids=[row["artifact_id"] for row in rows],
        positions=[row["learned_seq"] for row in rows],
        vectors=np.stack([row["vector"].to_numpy() for row in rows]).astype(np.float32),
    )


def find_drifts(windows: Sequence[Window], judged_seq: int, config: EngineConfig) -> list[Found]:
    """PURE: the drifts of every window's entries after `judged_seq`, in log order."""
    found = [one for window in windows for one in _find_in(window, judged_seq, config)]
    return sorted(found, key=lambda one: one.position)


def _find_in(window: Window, judged_seq: int, config: EngineConfig) -> list[Found]:
    found, start = list[Found](), 0
    for end, position in enumerate(window.positions, 1):
        if position <= judged_seq:
            continue
        drift = detect_drift(window.vectors[start:end], shuffle_seed(config.version, position), config)
        if drift is None:
            continue
        rows, n_since = [start + row for row in drift.turning], end - start
        start += drift.anchor_row
        turning = [window.artifact_ids[row] for row in rows]
        found.append(Found(window.topic_id, drift, position, window.positions[start], n_since, turning))
    return found


async def _write(tx: Tx, res: Resources, space_id: int, found: Sequence[Found], now: datetime) -> None:
    """Events, and the anchors they move. Notable is what is large for this person, by what came before."""
    if not found:
        return
    past = [row["magnitude"] for row in await (await tx.ask(SQL.list_magnitudes)).fetchall()]
    for one in found:
        drift = one.drift
        notable = is_notable(drift.magnitude, past, res.config)
        past.append(drift.magnitude)
        returns_to = await _find_return(tx, res, one)
        rows = await tx.ask(
            SQL.insert_drift_event,
            space_id=space_id,
            topic_id=one.topic_id,
            position=one.position,
            magnitude=drift.magnitude,
            raw_drift=drift.raw,
            z=drift.z,
            notable=notable,
            model=res.embedder.fingerprint,
            previous_mean=PgVector(drift.previous_mean),
            new_mean=PgVector(drift.new_mean),
            turning=one.turning,
            now=now,
        )
        event = await rows.fetchone() or {}
        cause = {
            "drift_event_id": event["id"],
            "signal_id": event["trigger_signal_id"],
            "artifact_ids": one.turning,
        }
        numbers = {
            "magnitude": drift.magnitude,
            "raw_drift": drift.raw,
            "z": drift.z,
            "band": drift_band(drift.magnitude, res.config),
            "notable": notable,
            "returns_to": returns_to,
        }
        at = event["occurred_at"]
        await note(tx, space_id, one.topic_id, "drifted", cause=cause, numbers=numbers, at=at)
        await tx.ask(
            SQL.move_anchor,
            topic_id=one.topic_id,
            anchor=PgVector(drift.previous_mean),
            anchor_seq=one.anchor,
            anchor_count=one.n_since_anchor,
            occurred_at=event["occurred_at"],
        )


async def _find_return(tx: Tx, res: Resources, found: Found) -> int | None:
    """The earlier drift whose old content the topic has come back to, if it has."""
    asked = {"topic_id": found.topic_id, "model": res.embedder.fingerprint}
    rows = await (await tx.ask(SQL.list_left_contents, asked)).fetchall()
    if not rows:
        return None
    means = np.stack([row["previous_mean"].to_numpy() for row in rows])
    index = find_return(found.drift, means, res.config)
    return None if index is None else int(rows[index]["id"])
