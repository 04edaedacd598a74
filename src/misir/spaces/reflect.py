"""What the worker does for a space after its captures are answered: looks at what they add up to.

    drift (spaces/drift.py) → consolidation (consolidation.py) → names (naming.py) → sleep (sleep.py)
    → map (map.py) → insights (insights/find.py) → sums (analytics/sums.py) → turns (analytics/turns.py)

Each part reads without a lock, computes off the event loop, and writes in one transaction under the space's
lock, after looking whether what it was built on still holds. Each is safe to repeat and to be killed in.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final

from misir.analytics.sums import keep_sums
from misir.analytics.turns import keep_turns
from misir.insights.find import reflect_on_insights
from misir.resources import Resources
from misir.spaces.consolidation import consolidate_space
from misir.spaces.drift import SQL, judge_drift
from misir.spaces.map import draw_map
from misir.spaces.naming import name_topics
from misir.spaces.sleep import put_to_sleep

NEXT: Final = timedelta(days=1)
"""A space nobody reads in is looked at once a day: topics fall asleep by time passing."""


async def reflect(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> datetime:
    """Look at the space; the answer is when to look again, unless something happens before.

    One that is archived, or in the trash, is left as it is; an archived one is still summed up.
    """
    async with res.database.as_service(user_id) as tx:
        space = await (await tx.ask(SQL.load_standing, space_id=space_id)).fetchone()
    if space is None or space["deleted_at"] is not None:
        return now + NEXT
    if space["archived_at"] is None:
        await _think_about(res, user_id, space_id, now)
    await keep_sums(res, user_id, space_id, now)
    await keep_turns(res, user_id, space_id, now)
    return now + NEXT


async def _think_about(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> None:
    await judge_drift(res, user_id, space_id, now)
    await consolidate_space(res, user_id, space_id, now)
    await name_topics(res, user_id, space_id, now)
    await put_to_sleep(res, user_id, space_id, now)
    await draw_map(res, user_id, space_id, now)
    await reflect_on_insights(res, user_id, space_id, now)
