"""Topics nobody reads in fall asleep; a capture wakes them (engine.md §5)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from misir.orient.pace import falls_asleep, usual_interval
from misir.resources import Resources
from misir.spaces.corrections import SQL as LOG
from misir.spaces.drift import SQL
from misir.spaces.reshape import note


async def put_to_sleep(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> int:
    """Every topic that has been silent for long, by its own habit, sleeps now; how many that were.

    Takes lock_spaces_for_update, where there is anything to write.
    """
    before = now - timedelta(days=res.config.sleep_min_days)
    async with res.database.as_service(user_id) as tx:
        rows = await (await tx.ask(SQL.list_silent, space_id=space_id, before=before)).fetchall()
        tired = [
            (row, interval)
            for row in rows
            for interval in [usual_interval(row["times"])]
            if falls_asleep(row["last_activity_at"], interval, now, res.config)
        ]
        if tired:
            await tx.ask(LOG.lock_spaces_for_update, space_ids=[space_id])
        for row, interval in tired:
            last = row["last_activity_at"]
            slept = await tx.ask(SQL.fall_asleep, topic_id=row["id"], last_activity_at=last)
            if await slept.fetchone() is not None:
                cause = {"last_activity_at": last.isoformat()}
                numbers = {"silent_days": (now - last).days, "usual_interval_days": interval}
                await note(tx, space_id, row["id"], "dormant", cause=cause, numbers=numbers, at=now)
    return len(tired)
