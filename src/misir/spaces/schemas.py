"""What comes in and goes out at /spaces."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, StrictBool, field_validator, model_validator

from misir.fields import Name, Text, Whole, stripped

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
    created_at: datetime
    updated_at: datetime


class SpaceList(BaseModel):
    spaces: list[Space]
    count: int
    next_cursor: str | None = None
