"""What a client may send when somebody reads a page, and what it gets back."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    StrictBool,
    field_validator,
    model_validator,
)

from misir.fields import Id, Moment, Text
from misir.orient.assign import AssignedBy
from misir.orient.reading import ContentSource, EngagementLevel, parse_level, parse_source
from misir.orient.urls import MAX_URL_LENGTH, normalise_url
from misir.orient.vectors import Vector, is_degenerate

MAX_TITLE = 2_000
MAX_CONTENT = 1_000_000
MAX_DIMENSION = 16_000
MAX_BATCH = 500
MAX_COMPONENT = 1e9
"""Larger numbers are no embedding, and their squares would overflow."""

MAX_MS = 366 * 24 * 3_600_000
MAX_WORDS = 10_000_000
CLOCK_SKEW = timedelta(minutes=5)

RANGES: dict[str, float] = {
    "reading_depth": 1.5,
    "scroll_depth": 1.0,
    "dwell_time_ms": MAX_MS,
    "active_time_ms": MAX_MS,
    "word_count": MAX_WORDS,
    "signal_magnitude": 1.0,
}
"""Largest value of each measurement; more is clamped: an offline queue would retry a refusal for ever."""

WHOLE = ("dwell_time_ms", "active_time_ms", "word_count")

Measure = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


def _read_vector(value: Any) -> Any:
    """A list of numbers, or base64 of little-endian float32."""
    if not isinstance(value, str):
        return value
    try:
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").tolist()
    except (binascii.Error, ValueError):
        raise ValueError("must be a list of numbers or base64 of float32 numbers") from None


Components = Annotated[
    list[Annotated[float, Field(ge=-MAX_COMPONENT, le=MAX_COMPONENT, allow_inf_nan=False)]],
    BeforeValidator(_read_vector),
    Field(min_length=1, max_length=MAX_DIMENSION),
]


class CaptureRequest(BaseModel):
    """One visit to one page. A measurement out of range is clamped and named in `adjusted`, never refused."""

    space_id: Id
    url: Annotated[Text, Field(min_length=1, max_length=MAX_URL_LENGTH)] = Field(
        examples=["https://docs.python.org/3/library/csv.html"]
    )
    title: Text | None = Field(None, description="Cut after 2,000 characters.", examples=["The csv module"])
    content: Annotated[Text, Field(max_length=MAX_CONTENT)] | None = Field(
        None, description="The page's plain text."
    )
    reading_depth: Measure | None = Field(None, description="0..1.5; computed by the server as well.")
    scroll_depth: Measure = Field(0.0, description="0..1")
    dwell_time_ms: Measure = 0
    active_time_ms: Measure | None = Field(
        None, description="Visible, focused and not idle; preferred over dwell."
    )
    word_count: Measure | None = Field(None, description="Counted in the content when missing.")
    engagement_level: EngagementLevel | None = Field(
        None, description="Derived from time and scroll when missing."
    )
    content_source: ContentSource = ContentSource.WEB
    embedding: Components | None = Field(None, description="List or base64 float32; needs embedding_model.")
    embedding_model: Annotated[Text, Field(max_length=300)] | None = None
    subspace_id: Id | None = None
    session_id: Id | None = None
    matched_marker_ids: list[Id] = Field(default_factory=list, max_length=50)
    signal_type: Literal["semantic", "temporal", "behavioral", "structural"] = "semantic"
    signal_magnitude: Measure = 1.0
    captured_at: Moment | None = Field(
        None, description="When it was read; at most 5 minutes ahead of our clock."
    )
    margin: Any = Field(None, description="Ignored: the server computes it.")
    updates_centroid: StrictBool = True
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    _adjusted: list[str] = PrivateAttr(default_factory=list)

    @property
    def adjusted(self) -> list[str]:
        """Names of the fields that were clamped, rounded or cut."""
        return self._adjusted

    @property
    def vector(self) -> Vector | None:
        return None if self.embedding is None else np.asarray(self.embedding, dtype=np.float32)

    @field_validator("engagement_level", mode="before")
    @classmethod
    def _level(cls, value: Any) -> Any:
        return parse_level(value) if isinstance(value, str) else value

    @field_validator("content_source", mode="before")
    @classmethod
    def _source(cls, value: Any) -> Any:
        return parse_source(value) if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        normalise_url(value)
        return value

    @field_validator("captured_at")
    @classmethod
    def _not_in_the_future(cls, value: datetime | None) -> datetime | None:
        if value is not None and value > datetime.now(UTC) + CLOCK_SKEW:
            raise ValueError("must not lie more than 5 minutes in the future")
        return value

    @model_validator(mode="after")
    def _has_something_to_read(self) -> Self:
        self.title = (self.title or "").strip() or None
        self.content = self.content if (self.content or "").strip() else None
        if self.title is None and self.content is None and self.embedding is None:
            raise ValueError("send at least one of title, content and embedding")
        if self.vector is not None and is_degenerate(self.vector):
            raise ValueError("embedding must not be all zeros")
        return self

    @model_validator(mode="after")
    def _fit_into_range(self) -> Self:
        if self.title is not None and len(self.title) > MAX_TITLE:
            self.title = self.title[:MAX_TITLE]
            self._adjusted.append("title")
        for name, largest in RANGES.items():
            value = getattr(self, name)
            if value is None:
                continue
            fitted = min(value, largest)
            fitted = round(fitted) if name in WHOLE else fitted
            if fitted != value:
                self._adjusted.append(name)
            setattr(self, name, fitted)
        return self


class Captured(BaseModel):
    """What became of a capture: where the page was placed, how sure that is, and whether it was new."""

    artifact_id: int
    signal_id: int | None
    is_new: bool
    message: str
    subspace_id: int | None
    assigned_by: AssignedBy | None
    raw_margin: float | None = Field(
        description="d2 - d1: how much nearer this topic is than the next; null: fewer than two."
    )
    fit: float = Field(
        ge=0, le=1, description="Lead of the topic over the next likeliest; 0 when unassigned."
    )
    probability: float = Field(ge=0, le=1, description="Of the topic, or of `none` when unassigned.")
    engagement_level: EngagementLevel
    reading_depth: float | None
    embedding_used: bool = Field(description="Was the vector the client sent used?")
    embedded_fraction: float = Field(ge=0, le=1, description="Share of the text the vector read.")
    pending: bool = False
    duplicate_of: int | None
    adjusted: list[str] = Field(description="Fields that were clamped, rounded or cut.")


class BatchRequest(BaseModel):
    """1 to 500 captures; each is checked for itself, so that one wrong item fails alone."""

    artifacts: list[Any] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        validation_alias=AliasChoices("artifacts", "items"),
        description="Captures, as POST /artifacts/capture takes them. `items` is understood, too.",
    )
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class BatchItem(Captured):
    index: int = Field(description="Its place in the request.")


class BatchFailure(BaseModel):
    index: int
    url: str | None
    error: str
    status: int = Field(description="What it would have been answered alone.")


class BatchAnswer(BaseModel):
    successful: list[BatchItem]
    failed: list[BatchFailure]
    count: int = Field(description="How many succeeded.")


class RecentCapture(BaseModel):
    id: int
    space_id: int
    url: str
    title: str | None
    captured_at: datetime


class LimitLeft(BaseModel):
    limit: int = Field(description="A minute.")
    remaining: int
    reset_s: int = Field(description="Seconds until used ones begin to come back.")


class CaptureGuide(BaseModel):
    """What GET /capture answers: that the token works, and what may be sent."""

    user_id: str
    dimension: int
    embedding_model: str
    fields: dict[str, str]
    sizes: dict[str, int]
    content_sources: list[str]
    engagement_levels: list[str]
    limits: dict[str, LimitLeft]
    latest: list[RecentCapture]
    pending: int = Field(description="Captures that wait for the embedding model; 5,000 may.")
