"""What the library shows of an artifact, and what a person may correct."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, StrictBool, field_validator, model_validator

from misir.capture.schemas import MAX_CONTENT, MAX_TITLE
from misir.fields import Id, Text
from misir.orient.config import EngineConfig
from misir.orient.reading import ContentSource, EngagementLevel, parse_level
from misir.spaces.schemas import TopicChange

MAX_BULK: Final = 500
WORDS_PER_MINUTE = EngineConfig().words_per_minute


class ArtifactItem(BaseModel):
    """One artifact in a list. `margin` carries fit, which existing clients grade at 0.3 and 0.5."""

    id: int
    user_id: uuid.UUID
    space_id: int
    subspace_id: int | None
    url: str
    domain: str | None
    title: str | None
    engagement_level: EngagementLevel
    content_source: ContentSource
    word_count: int
    reading_time_min: float = Field(description="At 200 words a minute.")
    reading_depth: float | None
    scroll_depth: float
    dwell_time_ms: int
    margin: float = Field(ge=0, le=1, description="The same number as fit.")
    fit: float = Field(ge=0, le=1)
    raw_margin: float | None
    duplicate_of: int | None
    captured_at: datetime
    created_at: datetime
    updated_at: datetime

    @model_validator(mode="before")
    @classmethod
    def _from_row(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        fit = row.get("fit") or 0.0
        minutes = round(row["word_count"] / WORDS_PER_MINUTE, 1)
        return {**row, "fit": fit, "margin": fit, "reading_time_min": minutes}


class ArtifactPage(BaseModel):
    items: list[ArtifactItem]
    next_cursor: str | None


class SpaceArtifacts(BaseModel):
    artifacts: list[ArtifactItem]
    count: int
    page: int
    page_size: int


class SimilarArtifact(BaseModel):
    id: int
    space_id: int
    subspace_id: int | None
    url: str
    title: str | None
    similarity: float


class SignalItem(BaseModel):
    """One entry of the log about this artifact, with the numbers of its decision."""

    id: int
    seq: int
    type: str
    magnitude: float
    engagement_level: EngagementLevel
    subspace_id: int | None
    base_weight: float
    taught_weight: float
    updates_centroid: bool
    similarity: float | None
    raw_margin: float | None
    probability: float | None
    fit: float | None
    assigned_by: str | None
    matched_marker_ids: list[int]
    occurred_at: datetime
    created_at: datetime


class MarkerItem(BaseModel):
    id: int
    label: str


class ArtifactDetail(ArtifactItem):
    content: str | None
    assigned_by: str | None
    pinned: bool
    similarity: float | None
    probability: float | None
    embedded_fraction: float
    pending: bool = Field(False, description="A visit waits for the embedding model, and is placed then.")
    pending_error: str | None = Field(None, description="Why a visit that waited could not be placed.")
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="What the page says of itself (author, published, language), and `tags` from an import.",
    )
    effective_weight: float = Field(ge=0, description="Engagement x relevance x freshness, now.")
    markers: list[MarkerItem]
    signals: list[SignalItem]
    similar: list[SimilarArtifact]


class ArtifactPatch(BaseModel):
    """A correction. Fields left out stay; null clears a title or a text, or leaves the topic."""

    title: Annotated[Text, Field(max_length=MAX_TITLE)] | None = None
    content: Annotated[Text, Field(max_length=MAX_CONTENT)] | None = None
    engagement_level: EngagementLevel | None = Field(None, description="Upwards only.")
    reading_depth: Annotated[float, Field(ge=0, le=1.5, allow_inf_nan=False)] | None = None
    space_id: Id | None = None
    subspace_id: Id | None = None
    pinned: StrictBool | None = Field(
        None, description="True: keep it where it is, as my choice. False: the engine may move it again."
    )
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    @field_validator("engagement_level", mode="before")
    @classmethod
    def _level(cls, value: Any) -> Any:
        return parse_level(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set - {"user_id"}:
            raise ValueError("send at least one field to change")
        if "space_id" in self.model_fields_set and self.space_id is None:
            raise ValueError("space_id must not be null: every artifact is in a space")
        if self.pinned is not None and self.model_fields_set & {"space_id", "subspace_id"}:
            raise ValueError("pinned keeps it where it is: send it without space_id and subspace_id")
        if "pinned" in self.model_fields_set and self.pinned is None:
            raise ValueError("pinned must not be null")
        return self

    @property
    def is_text_change(self) -> bool:
        return bool(self.model_fields_set & {"title", "content"})

    @property
    def is_move(self) -> bool:
        return bool(self.model_fields_set & {"space_id", "subspace_id", "pinned"})


class ArtifactChanged(ArtifactItem):
    message: str
    assigned_by: str | None
    pinned: bool
    correction_id: int | None = Field(
        None, description="Of the move, for POST /corrections/{id}/undo; null: nothing moved."
    )
    topics: list[TopicChange] = Field([], description="What the move did to each topic it touched.")


class Message(BaseModel):
    message: str


class ArtifactTrashed(Message):
    topics: list[TopicChange] = Field(description="What it did to each topic it touched.")


class Bulk(BaseModel):
    """One correction of up to 500 artifacts: all of it or nothing."""

    action: Literal["move", "assign", "delete", "restore"]
    artifact_ids: list[Id] = Field(min_length=1, max_length=MAX_BULK)
    space_id: Id | None = Field(None, description="Where `move` puts them.")
    subspace_id: Id | None = Field(
        None,
        description="Where `assign` puts them, null: in no topic; with `move`, where in the other space.",
    )
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if (self.action == "move") != (self.space_id is not None):
            raise ValueError("space_id is what move needs, and only move")
        has_topic = "subspace_id" in self.model_fields_set
        if self.action == "assign" and not has_topic:
            raise ValueError("assign needs subspace_id; null takes them out of their topics")
        if self.action in {"delete", "restore"} and has_topic:
            raise ValueError("subspace_id is for move and assign")
        return self


class BulkDone(BaseModel):
    action: str
    count: int = Field(description="How many artifacts changed.")
    changed_ids: list[int]
    unchanged_ids: list[int] = Field(description="They were as wished already.")
    correction_ids: list[int] = Field(
        description="One for each space they were in, for POST /corrections/{id}/undo."
    )
    topics: list[TopicChange] = Field(description="What it did to each topic it touched.")
    message: str
