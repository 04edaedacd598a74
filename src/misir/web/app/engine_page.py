"""Settings, the engine: the rules and their numbers; and what somebody has to know who looks for a fault."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from misir.analytics.diagnostics import diagnose
from misir.deps import Now, Res
from misir.errors import not_found
from misir.fields import PathId
from misir.insights.findings import CATEGORY
from misir.resources import Resources
from misir.web.app.forms import read_form
from misir.web.app.rules import rules_in_words
from misir.web.app.session import Visitor
from misir.web.app.shell import SQL, PageRoute, go, show
from misir.web.system import get_ready

router = APIRouter(prefix="/app", include_in_schema=False, route_class=PageRoute)

N_FAILED: Final = 50
JOBS: Final = {
    "reflect": "Looking at a space again",
    "embed": "Placing what waited for the model",
    "deliver": "Telling a webhook",
    "retain": "Trashing what is too old",
}
"""A person's kinds of job, in words."""


@router.get("/settings/rules")
async def get_rules(request: Request, me: Visitor, res: Res) -> Response:
    """Every rule with the numbers it judges by, and how often it holds now."""
    async with res.database.as_user(me) as tx:
        rows = await (await tx.ask(SQL.count_active_insights)).fetchall()
    values = {
        "rules": rules_in_words(res.config),
        "holding": {row["rule"]: row["insights"] for row in rows},
        "categories": CATEGORY,
        "engine": asdict(res.config),
        "tab": "rules",
    }
    return await show(request, me, "app/rules.html", values, page="settings")


@router.get("/settings/diagnostics")
async def get_diagnostics(request: Request, me: Visitor, res: Res) -> Response:
    values = {
        **await _found(res, me),
        "failed": await _failed(res, me),
        "jobs": JOBS,
        "calibration": asdict(res.embedder.calibration),
        "user_id": me,
        "tab": "diagnostics",
    }
    return await show(request, me, "app/diagnostics.html", values, page="settings")


@router.get("/settings/diagnostics.json")
async def get_diagnostics_file(me: Visitor, res: Res, now: Now) -> Response:
    """The same as a file to send along with a report: numbers and versions, nobody's texts."""
    found = await _found(res, me)
    said = {
        "made_at": now.isoformat(),
        **found["diagnostics"].model_dump(mode="json"),
        "readiness": found["readiness"].model_dump(mode="json"),
        "calibration": asdict(res.embedder.calibration),
        "engine": asdict(res.config),
        "failed_jobs": [
            {name: row[name] for name in ("kind", "attempts", "last_error")} for row in await _failed(res, me)
        ],
    }
    name = f"misir-diagnostics-{now:%Y-%m-%d}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return JSONResponse(said, headers=headers)


@router.post("/settings/jobs/{job_id}/retry")
async def post_retry(request: Request, me: Visitor, res: Res, now: Now, job_id: PathId) -> Response:
    """A job that failed, at once instead of later."""
    await read_form(request)
    async with res.database.as_user(me) as tx:
        if await (await tx.ask(SQL.retry_own_job, job_id=job_id, now=now)).fetchone() is None:
            raise not_found("This job")
    res.wake_worker()
    return go(request, "/app/settings/diagnostics", "It is tried again now.")


async def _found(res: Resources, me: uuid.UUID) -> dict[str, Any]:
    return {"diagnostics": await diagnose(res, me), "readiness": await get_ready(res, Response())}


async def _failed(res: Resources, me: uuid.UUID) -> list[dict[str, Any]]:
    async with res.database.as_user(me) as tx:
        return await (await tx.ask(SQL.list_failed_jobs, limit=N_FAILED)).fetchall()
