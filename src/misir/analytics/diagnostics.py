"""How much there is, and what it runs on."""

from __future__ import annotations

import platform
import uuid
from typing import Final

from pydantic import BaseModel, Field

from misir.plumbing.sqlfile import load_statements
from misir.resources import Resources

SQL = load_statements("misir.analytics", "diagnostics.sql")

BYTES_PER_COMPONENT: Final = 2
"""Vectors are stored in half precision."""


class Counts(BaseModel):
    spaces: int
    subspaces: int
    artifacts: int
    trashed_artifacts: int
    embeddings: int
    signals: int
    corrections: int
    failing_jobs: int = Field(description="Spaces whose last look by the worker failed.")


class Sizes(BaseModel):
    vector_bytes: int = Field(description="Of your own vectors, without their index entries.")
    database_bytes: int = Field(description="Of the whole database, everybody's.")


class ModelInUse(BaseModel):
    fingerprint: str
    dimension: int
    config_version: int = Field(description="Of the numbers that the engine decides by.")


class Versions(BaseModel):
    misir: str
    python: str
    postgresql: str
    pgvector: str | None


class Diagnostics(BaseModel):
    counts: Counts
    sizes: Sizes
    model: ModelInUse
    versions: Versions


async def diagnose(res: Resources, user_id: uuid.UUID) -> Diagnostics:
    """One statement."""
    async with res.database.as_user(user_id) as tx:
        row = await (await tx.ask(SQL.count_everything)).fetchone() or {}
    dimension = res.embedder.dimension
    return Diagnostics(
        counts=Counts(**row),
        sizes=Sizes(
            vector_bytes=row["embeddings"] * dimension * BYTES_PER_COMPONENT,
            database_bytes=row["database_bytes"],
        ),
        model=ModelInUse(
            fingerprint=res.embedder.fingerprint, dimension=dimension, config_version=res.config.version
        ),
        versions=Versions(misir=res.settings.VERSION, python=platform.python_version(), **row),
    )
