"""Field types shared by the request and answer models: what the database can hold, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

MAX_ID = 2**63 - 1
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def storable(text: str) -> str:
    """PostgreSQL's text has no NUL."""
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def not_a_flag(value: Any) -> Any:
    """A query string says "7", a body 7; true is neither."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns ValueError into a 422
    return value


def stripped(text: str | None) -> str | None:
    """Blank is missing: None instead of spaces."""
    return (text or "").strip() or None


def within_era(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("must lie between the years 1970 and 9999")
    return moment.astimezone(UTC)


Id = Annotated[int, BeforeValidator(not_a_flag), Field(ge=1, le=MAX_ID)]
PathId = Annotated[int, Path(ge=1, le=MAX_ID)]
QueryId = Annotated[int, Query(ge=1, le=MAX_ID)]
Text = Annotated[str, AfterValidator(storable)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)
]
Moment = Annotated[AwareDatetime, AfterValidator(within_era)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
