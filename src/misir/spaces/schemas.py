"""What comes in and goes out at /spaces."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StrictBool, field_validator, model_validator

from misir.fields import Id, Name, Text, Whole, stripped
from misir.orient.reading import EngagementLevel

MAX_SUBSPACES = 50
MAX_MARKERS = 50


class NewSubspace(BaseModel):
    """A topic declared with its space. Without markers its own name is its marker."""

    name: Name
    description: Annotated[Text, Field(max_length=10_000)] | None = None
    markers: list[Name] = Field(
        default_factory=list, max_length=MAX_MARKERS, examples=[["json", "csv files"]]
    )
    depth: Whole | None = Field(None, ge=0, le=1000)
    prerequisites: list[Name] = Field(default_factory=list, max_length=MAX_SUBSPACES)
    suggested_study_order: Whole | None = Field(None, ge=0, le=1000)

    @field_validator("description")
    @classmethod
    def _blank_is_missing(cls, value: str | None) -> str | None:
        return stripped(value)


class NewSpace(BaseModel):
    name: Name = Field(examples=["Python"])
    description: Annotated[Text, Field(max_length=10_000)] | None = None
    intention: Annotated[Text, Field(max_length=10_000)] | None = Field(
        None, examples=["Write a small web server"]
    )
    auto_subspaces: StrictBool = True
    subspaces: list[NewSubspace] = Field(default_factory=list, max_length=MAX_SUBSPACES)
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    @field_validator("intention", "description")
    @classmethod
    def _blank_is_missing(cls, value: str | None) -> str | None:
        return stripped(value)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [subspace.name.strip().lower() for subspace in self.subspaces]
        if len(set(names)) < len(names):
            raise ValueError("two subspaces have the same name")
        return self


class SpacePatch(BaseModel):
    """What a person says about a space. Fields left out stay; null clears description and intention."""

    name: Name | None = None
    description: Annotated[Text, Field(max_length=10_000)] | None = None
    intention: Annotated[Text, Field(max_length=10_000)] | None = None
    auto_subspaces: StrictBool | None = None
    color: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")] | None = Field(None, examples=["#2f6f8f"])
    archived: StrictBool | None = Field(
        None, description="True: read-only, and listed only with ?archived=true. False: open again."
    )
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    @field_validator("intention", "description")
    @classmethod
    def _blank_is_missing(cls, value: str | None) -> str | None:
        return stripped(value)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        sent = self.model_fields_set - {"user_id"}
        if not sent:
            raise ValueError("send at least one field to change")
        for field in sorted(sent - {"description", "intention"}):
            if getattr(self, field) is None:
                raise ValueError(f"{field} must not be null")
        return self

    @property
    def is_more_than_archiving(self) -> bool:
        return bool(self.model_fields_set - {"user_id", "archived"})


class Deleted(BaseModel):
    deleted: Literal[True] = True
    message: str


class TimelineItem(BaseModel):
    id: int
    title: str | None
    url: str
    domain: str | None
    created_at: datetime
    engagement_level: EngagementLevel
    subspace_id: int | None


class Timeline(BaseModel):
    """What came into a space, oldest first."""

    artifacts: list[TimelineItem]
    count: int = Field(description="Of all, on every page.")
    next_cursor: str | None = None


class Subspace(BaseModel):
    id: int
    space_id: int
    user_id: uuid.UUID
    name: str
    description: str | None
    artifact_count: int
    confidence: float = Field(ge=0, le=1)
    enough_data: bool
    learning_rate: float
    markers: list[str]
    state: Literal["active", "dormant", "retired"]
    pinned: bool = Field(description="Kept as it is: never dissolved, and its pages are not moved.")
    centroid_updated_at: datetime | None
    last_activity_at: datetime | None
    created_at: datetime
    updated_at: datetime
    centroid: list[float] | None = Field(None, description="Only with include=centroid.")


class Space(BaseModel):
    id: int
    user_id: uuid.UUID
    name: str
    description: str | None
    intention: str | None
    auto_subspaces: bool
    color: str
    artifact_count: int
    subspace_count: int
    confidence: float | None = Field(
        description="Mean confidence of its topics by size; null: not enough data."
    )
    recent_drift: float | None = Field(
        description="Largest drift of the last 7 days; null when there was none."
    )
    avg_fit: float | None
    velocity: int = Field(description="Items per week, over the last 7 days.")
    last_activity_at: datetime | None
    archived: bool
    deleted_at: datetime | None = Field(description="In the trash since; null: it is not.")
    created_at: datetime
    updated_at: datetime


class SpaceList(BaseModel):
    spaces: list[Space]
    count: int
    next_cursor: str | None = None


class MergeInto(BaseModel):
    into: Id = Field(description="The topic that stays, and keeps its id.")
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class SplitOff(BaseModel):
    """What leaves a topic to be one of its own; without `artifact_ids` the smaller half by meaning."""

    artifact_ids: list[Id] | None = Field(None, min_length=1, max_length=20_000)
    name: Name | None = Field(None, description="Of the new topic; without it, words of its titles.")
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class Standing(BaseModel):
    """How sure a topic is of itself, and on how many artifacts that rests."""

    confidence: float = Field(ge=0, le=1)
    artifact_count: int
    enough_data: bool


class TopicChange(BaseModel):
    """What a correction did to one of the topics it touched."""

    subspace_id: int
    name: str
    before: Standing
    after: Standing


class Reshaped(BaseModel):
    """What became of a topic, and the correction that POST /corrections/{id}/undo takes back."""

    correction_id: int
    subspace_id: int = Field(description="The topic to look at now.")
    artifact_count: int = Field(description="How many artifacts moved.")
    message: str
    topics: list[TopicChange] = Field(description="What it did to each topic it touched.")


class Undone(BaseModel):
    correction_id: int = Field(description="Of the undo itself.")
    undone: int
    kind: str
    message: str
    topics: list[TopicChange] = Field(description="What it did to each topic it touched.")


class Correction(BaseModel):
    """An entry of a space's log that was not a capture. `undone_by`: the correction that took it back."""

    id: int
    seq: int
    kind: str
    actor: str
    artifact_ids: list[int]
    subspace_ids: list[int]
    moved_count: int
    payload: dict[str, Any]
    undoes: int | None
    undone_by: int | None
    created_at: datetime


class CorrectionList(BaseModel):
    corrections: list[Correction]
    next_cursor: str | None
