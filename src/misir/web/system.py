"""The process about itself: alive, ready, and what it is."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from misir.deps import Res

router = APIRouter(tags=["system"])

CODENAME = "shiro.exe"
ALGORITHMS = ["OSCL", "WESA", "SDD", "ISS"]


class Health(BaseModel):
    status: Literal["healthy"] = "healthy"


class Dependency(BaseModel):
    status: Literal["ok", "unavailable"]
    detail: str | None = None


class Readiness(BaseModel):
    status: Literal["ready", "not ready"]
    database: Dependency
    embedding_model: Dependency


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
    database = Dependency(status="ok") if is_up else Dependency(status="unavailable", detail=reason)
    model_problem = res.embedder.problem
    model = Dependency(status="ok" if model_problem is None else "unavailable", detail=model_problem)
    is_ready = is_up and model_problem is None
    response.status_code = 200 if is_ready else 503
    return Readiness(status="ready" if is_ready else "not ready", database=database, embedding_model=model)


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
