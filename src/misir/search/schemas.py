"""A question, and what was found."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from misir.fields import Id, Moment, Share, Text, Whole
from misir.orient.reading import ContentSource, EngagementLevel

Mode = Literal["hybrid", "semantic", "keyword"]
Leg = Literal["meaning", "words", "name"]

MAX_QUERY = 1_000


class SearchRequest(BaseModel):
    """What to look for and where. `threshold` is on the production model's scale (nomic-embed-text-v1.5)."""

    model_config = ConfigDict(populate_by_name=True)

    q: Annotated[Text, Field(min_length=1, max_length=MAX_QUERY)] = Field(
        examples=["how do I read a spreadsheet-like file"]
    )
    space_id: Id | None = None
    space_ids: list[Id] | None = Field(None, max_length=100)
    subspace_id: Id | None = None
    limit: Whole = Field(20, ge=1, le=100)
    cursor: Annotated[Text, Field(max_length=500)] | None = None
    threshold: Share | None = Field(
        None, description="Least cosine of a semantic hit; default: the model's own."
    )
    mode: Mode = "hybrid"
    source: ContentSource | None = None
    domain: Annotated[Text, Field(max_length=253)] | None = None
    engagement_level: EngagementLevel | None = None
    from_at: Moment | None = Field(None, alias="from")
    to_at: Moment | None = Field(None, alias="to")
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    @field_validator("q")
    @classmethod
    def _asks_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank")
        return value.strip()

    @property
    def spaces(self) -> list[int] | None:
        """The spaces to look in; None: all."""
        named = {*(self.space_ids or []), *([self.space_id] if self.space_id is not None else [])}
        return sorted(named) or None


class SearchHit(BaseModel):
    artifact_id: int
    signal_id: int | None
    similarity: float = Field(description="Raw cosine to the query; 0 when there is no vector to compare.")
    matched_by: list[Leg] = Field(description="Which legs found it.")
    score: float = Field(
        description="What the order follows: fused ranks, cosine, or text rank, by mode_used."
    )
    title: str | None
    url: str
    content_preview: str | None
    highlights: list[str] = Field(description="HTML-escaped passages with found words in <mark>.")
    space_id: int
    space_name: str
    subspace_id: int | None
    engagement_level: EngagementLevel
    dwell_time_ms: int
    captured_at: datetime


class SearchAnswer(BaseModel):
    results: list[SearchHit]
    query: str
    count: int
    dimension_used: int
    mode_used: Mode
    notice: str | None = Field(None, description="Why mode_used is not the mode asked for.")
    next_cursor: str | None = None
