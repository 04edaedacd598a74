"""The process about itself: alive, ready, and what it is."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from misir.deps import Res
from misir.resources import Resources

router = APIRouter(tags=["system"])

CODENAME = "shiro.exe"
OVERDUE_S = 300.0
"""A due job that has waited for longer means that nobody does it, or too few do."""

ALGORITHMS = ["OSCL", "WESA", "SDD", "ISS"]


class Health(BaseModel):
    status: Literal["healthy"] = "healthy"


class Dependency(BaseModel):
    status: Literal["ok", "degraded", "unavailable", "not used"]
    detail: str | None = None


class Readiness(BaseModel):
    status: Literal["ready", "not ready"]
    database: Dependency
    migrations: Dependency
    embedding_model: Dependency
    queue: Dependency = Field(description="degraded: work has waited for minutes; that is still ready.")
    redis: Dependency = Field(description="degraded: limits are counted per worker; that is still ready.")


@router.get("/health")
async def get_health() -> Health:
    """The process is alive. Asks nothing of anybody."""
    return Health()


@router.get("/health/ready", responses={503: {"model": Readiness}})
async def get_ready(res: Res, response: Response) -> Readiness:
    """Can it do its work? 503 names what is missing. Without the model it still answers from keywords."""
    is_up = await res.database.is_alive()
    problem = res.database.problem
    reason = problem.detail if problem is not None else "The database does not answer."
    is_migrated = is_up or (problem is not None and problem.slug == "model-mismatch")
    model = res.embedder.problem
    is_ready = is_up and model is None
    response.status_code = 200 if is_ready else 503
    return Readiness(
        status="ready" if is_ready else "not ready",
        database=_dependency(None if is_up else reason),
        migrations=_dependency(None if is_migrated else reason),
        embedding_model=_dependency(model),
        queue=_queue(res),
        redis=_redis(res),
    )


def _dependency(problem: str | None) -> Dependency:
    return Dependency(status="ok" if problem is None else "unavailable", detail=problem)


def _queue(res: Resources) -> Dependency:
    """As this process's own worker last saw it."""
    if res.queue_age_s is None:
        return Dependency(status="not used", detail="This process does no jobs.")
    if res.queue_age_s < OVERDUE_S:
        return Dependency(status="ok")
    return Dependency(
        status="degraded", detail=f"The oldest due job has waited for {res.queue_age_s / 60:.0f} minutes."
    )


def _redis(res: Resources) -> Dependency:
    if res.limiter is None or res.limiter.storage == "memory":
        return Dependency(status="not used")
    if res.limiter.storage == "redis":
        return Dependency(status="ok")
    return Dependency(status="degraded", detail="Redis does not answer: limits are counted per worker.")


def describe(name: str, version: str) -> dict[str, Any]:
    """What `GET /` answers to a program."""
    return {
        "name": name,
        "version": version,
        "codename": CODENAME,
        "status": "online",
        "architecture": "FastAPI on PostgreSQL with pgvector; embeddings in process",
        "algorithms": ALGORITHMS,
        "docs": "/docs",
    }
