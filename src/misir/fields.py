"""Field types shared by the request and answer models: what the database can hold, and nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

MAX_ID = 2**63 - 1
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def storable(text: str) -> str:
    """PostgreSQL's text is UTF-8 without NUL: no half of a surrogate pair either."""
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    return text


def not_a_flag(value: Any) -> Any:
    """A query string says "7", a body 7; true is neither."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueError into a 422
    return value


def named(text: str) -> str:
    """A name without white space around it; one of nothing else is none."""
    if not text.strip():
        raise ValueError("must contain a visible character")
    return storable(text.strip())


def written_time(value: Any) -> Any:
    """RFC 3339 only: a number could mean seconds or milliseconds."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and _DATE.match(value)):
        raise ValueError("must be a time such as 2026-01-31T12:00:00Z")
    return value


def stripped(text: str | None) -> str | None:
    """Blank is missing: None instead of spaces."""
    return (text or "").strip() or None


def within_era(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("must lie between the years 1970 and 9999")
    return moment.astimezone(UTC)


Whole = Annotated[int, BeforeValidator(not_a_flag)]
Id = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(not_a_flag)]
PathId = Annotated[int, Path(ge=1, le=MAX_ID)]
Text = Annotated[str, AfterValidator(storable)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(named)]
Moment = Annotated[AwareDatetime, AfterValidator(within_era), BeforeValidator(written_time)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(not_a_flag)]
