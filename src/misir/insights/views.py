"""Insights and alerts as they are shown, and what a person says about one."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from misir.errors import invalid, not_found
from misir.insights.find import SQL, find_alerts, find_insights, load
from misir.insights.findings import ALERTS, Finding
from misir.insights.rules import judge
from misir.insights.schemas import (
    Alert,
    AlertList,
    AlertSeverity,
    FlatAlert,
    Generated,
    Insight,
    InsightData,
    Snooze,
)
from misir.paging import CAP, decode_moment, encode_moment
from misir.plumbing.db import Tx
from misir.resources import Resources
from misir.spaces.views import SQL as SPACES

SHOWN_AS: Final[dict[str, AlertSeverity]] = {
    "low": "info",
    "medium": "warning",
    "high": "danger",
    "critical": "danger",
}

Row = dict[str, Any]

_ANYTHING: Final = {
    "status": None,
    "space_id": None,
    "insight_ids": None,
    "rules": None,
    **decode_moment(None),
}


async def list_insights(
    res: Resources,
    user_id: uuid.UUID,
    now: datetime,
    *,
    status: str | None = "active",
    space_id: int | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[Insight], str | None]:
    """Newest first, and the cursor of the next page."""
    asked = _ANYTHING | {"now": now, "status": status, "space_id": space_id} | decode_moment(cursor)
    async with res.database.as_user(user_id) as tx:
        rows = await (await tx.ask(SQL.list_insights, asked, limit=limit + 1)).fetchall()
    insights = [_insight(row) for row in rows[:limit]]
    last = insights[-1] if len(rows) > limit else None
    return insights, encode_moment(last.created_at, last.id) if last else None


def _insight(row: Row) -> Insight:
    data = InsightData(**{name: row[name] for name in ("rule", "trigger_value", "artifact_ids")})
    first = row["actions"][0] if row["actions"] else None
    return Insight(**row, insight_data=data, recommended_action=first)


async def generate(res: Resources, user_id: uuid.UUID, now: datetime) -> Generated:
    """Look at everything now; what that raised. A cause that is known already is not raised again."""
    raised = await find_insights(res, user_id, now)
    asked = _ANYTHING | {"now": now, "insight_ids": raised}
    async with res.database.as_user(user_id) as tx:
        rows = await (await tx.ask(SQL.list_insights, asked, limit=CAP)).fetchall()
    return Generated(count=len(rows), generated=[_insight(row) for row in rows])


async def answer(
    res: Resources, user_id: uuid.UUID, insight_id: int, said: Literal["dismissed", "acted"], now: datetime
) -> Insight:
    """Quiet for a week; raised again after it, if its cause still holds. Said twice it changes nothing."""
    until = now + timedelta(days=res.config.insight_quiet_days)
    return await _set_status(res, user_id, insight_id, said, until, now)


async def snooze(
    res: Resources, user_id: uuid.UUID, insight_id: int, asked: Snooze, now: datetime
) -> Insight:
    until = asked.until or now + timedelta(days=asked.days)
    if until <= now:
        raise invalid("until: must be in the future.")
    return await _set_status(res, user_id, insight_id, "snoozed", until, now)


async def note_acted(res: Resources, user_id: uuid.UUID, insight_id: int, now: datetime) -> None:
    """As `answer(…, "acted")`, beside what was done about it; one that is gone by that is no refusal."""
    until = now + timedelta(days=res.config.insight_quiet_days)
    values = {"insight_id": insight_id, "status": "acted", "quiet_until": until, "now": now}
    async with res.database.as_user(user_id) as tx:
        await tx.ask(SQL.set_status, values)


async def reopen(res: Resources, user_id: uuid.UUID, insight_id: int, now: datetime) -> Insight:
    """Take back what a person said of it. What has ended by itself stays ended."""
    shown = _ANYTHING | {"now": now, "insight_ids": [insight_id], "limit": 1}
    async with res.database.as_user(user_id) as tx:
        await tx.ask(SQL.reopen_insight, insight_id=insight_id)
        row = await (await tx.ask(SQL.list_insights, shown)).fetchone()
    if row is None:
        raise not_found("The insight")
    return _insight(row)


async def _set_status(
    res: Resources, user_id: uuid.UUID, insight_id: int, status: str, until: datetime, now: datetime
) -> Insight:
    values = {"insight_id": insight_id, "status": status, "quiet_until": until, "now": now}
    shown = _ANYTHING | {"now": now, "insight_ids": [insight_id], "limit": 1}
    async with res.database.as_user(user_id) as tx:
        await tx.ask(SQL.set_status, values)
        row = await (await tx.ask(SQL.list_insights, shown)).fetchone()
    if row is None:
        raise not_found("The insight")
    return _insight(row)


async def list_alerts(
    res: Resources, user_id: uuid.UUID, space_id: int, now: datetime, as_of: datetime | None = None
) -> AlertList:
    """The rules that hold in a space, now or then; today's without the dismissed. 404 unknown space."""
    await _require_space(res, user_id, space_id)
    if as_of is not None and as_of < now:
        alerts = await _alerts_then(res, user_id, space_id, as_of)
    else:
        alerts = await _alerts_now(res, user_id, space_id, now)
    return AlertList(alerts=alerts, count=len(alerts))


def flat(alerts: AlertList) -> list[FlatAlert]:
    return [FlatAlert.model_validate(alert.model_dump()) for alert in alerts.alerts]


async def _require_space(res: Resources, user_id: uuid.UUID, space_id: int) -> None:
    async with res.database.as_user(user_id) as tx:
        if await (await tx.ask(SPACES.space_exists, space_id=space_id)).fetchone() is None:
            raise not_found("The space")


async def _alerts_now(res: Resources, user_id: uuid.UUID, space_id: int, now: datetime) -> list[Alert]:
    await find_alerts(res, user_id, now, space_id)
    asked = _ANYTHING | {"now": now, "status": "active", "space_id": space_id, "rules": list(ALERTS)}
    async with res.database.as_user(user_id) as tx:
        rows = await (await tx.ask(SQL.list_insights, asked, limit=CAP)).fetchall()
    return [_alert(row) for row in rows]


def _alert(row: Row) -> Alert:
    return Alert(
        id=row["id"],
        type=row["rule"],
        severity=SHOWN_AS[row["severity"]],
        title=row["headline"],
        message=row["description"],
        affected_artifacts=row["artifact_ids"],
        suggested_actions=row["actions"],
        space_id=row["space_id"],
        subspace_id=row["subspace_id"],
        trigger_value=row["trigger_value"],
        evidence=row["evidence"],
        created_at=row["created_at"],
    )


async def _alerts_then(res: Resources, user_id: uuid.UUID, space_id: int, as_of: datetime) -> list[Alert]:
    """As the rules would have said then, of what the log has; nothing is kept of it."""
    async with res.database.as_user(user_id) as tx:
        found = judge(await load(tx, res, as_of, space_id))
        ids = await _ids_of(tx, found)
    return [
        _alert(asdict(one) | {"id": ids.get(one.key), "rule": one.rule.value, "created_at": as_of})
        for one in found
    ]


async def _ids_of(tx: Tx, found: list[Finding]) -> dict[str, int]:
    rows = await tx.ask(SQL.find_keys, keys=[one.key for one in found])
    return {row["dedupe_key"]: row["id"] for row in await rows.fetchall()}
