"""What comes in and goes out at /sessions."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from misir.fields import Moment, Name, Text, not_a_flag

MAX_TOTALS = 50

Key = Annotated[Text, Field(min_length=1, max_length=100)]
Count = Annotated[int, Field(ge=-(2**53), le=2**53), BeforeValidator(not_a_flag)]
Measure = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(not_a_flag)]
Total = Count | Measure | Annotated[Text, Field(max_length=200)]


class NewSession(BaseModel):
    external_id: Name = Field(
        description="The client's own name for this sitting.", examples=["tab-7f3a-2026-11-25"]
    )
    started_at: Moment | None = Field(None, description="Default: now.")
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class SessionPatch(BaseModel):
    """Fields left out stay. A null ended_at opens the session again; totals replace those that were there."""

    ended_at: Moment | None = Field(None, description="Not before started_at.")
    totals: dict[Key, Total] | None = Field(
        None, max_length=MAX_TOTALS, examples=[{"pages": 12, "active_minutes": 34.5}]
    )
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        sent = self.model_fields_set - {"user_id"}
        if not sent:
            raise ValueError("send at least one of ended_at, totals")
        if "totals" in sent and self.totals is None:
            raise ValueError("totals must not be null: send {} to clear them")
        return self


class Session(BaseModel):
    id: int
    user_id: uuid.UUID
    external_id: str
    started_at: datetime
    ended_at: datetime | None
    totals: dict[str, int | float | str]
    created_at: datetime
    updated_at: datetime


class SessionList(BaseModel):
    sessions: list[Session]
    count: int = Field(description="Of all sessions, on every page.")
    next_cursor: str | None
