"""What comes in and goes out at /subspaces: topics, their markers, their history and their life."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StrictBool, field_validator, model_validator

from misir.fields import Name, Text, stripped
from misir.spaces.schemas import NewSubspace


class NewTopic(NewSubspace):
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class TopicPatch(BaseModel):
    """What a person says about a topic. Fields left out stay; null clears the description."""

    name: Name | None = None
    description: Annotated[Text, Field(max_length=10_000)] | None = None
    pinned: StrictBool | None = Field(
        None, description="Keep this topic as it is: never dissolve it, never move its pages."
    )
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    @field_validator("description")
    @classmethod
    def _blank_is_missing(cls, value: str | None) -> str | None:
        return stripped(value)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        sent = self.model_fields_set - {"user_id"}
        if not sent:
            raise ValueError("send at least one of name, description, pinned")
        for field in sorted(sent - {"description"}):
            if getattr(self, field) is None:
                raise ValueError(f"{field} must not be null")
        return self


class NewMarker(BaseModel):
    label: Name = Field(examples=["soil life"])
    source: Literal["user_defined", "suggested"] = "user_defined"
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class Marker(BaseModel):
    """A phrase that describes a topic."""

    id: int
    label: str
    weight: float = Field(
        ge=0, le=1, description="1 at a match, 10 % less each week without one, computed now."
    )
    source: Literal["user_defined", "extracted", "suggested"]
    last_matched_at: datetime | None


class LifeEvent(BaseModel):
    """Something that happened to a topic. `cause` says why, `numbers` by how much."""

    id: int
    type: str = Field(examples=["born", "renamed"])
    subspace_id: int | None
    cause: dict[str, Any]
    numbers: dict[str, Any]
    occurred_at: datetime


class LifeEvents(BaseModel):
    events: list[LifeEvent]
    count: int = Field(description="Of all events, on every page.")
    next_cursor: str | None


class Snapshot(BaseModel):
    """A topic at the end of a day on which it changed."""

    day: date
    model: str = Field(description="The embedding model of that day; between two models nothing is compared.")
    artifact_count: int
    signal_count: int
    confidence: float = Field(ge=0, le=1)
    enough_data: bool
    drift_from_first: float | None = Field(
        ge=0, le=2, description="1 - cosine to the first snapshot shown; null: another model made that one."
    )
    angular_speed: float | None = Field(
        ge=0, description="Degrees per day over the 7 days before; null: no snapshot to compare with."
    )


class TriggerArtifact(BaseModel):
    id: int
    title: str | None
    url: str


class Drift(BaseModel):
    """The topic's content changed, beyond the noise of reading different pages of an unchanged topic."""

    id: int
    subspace_id: int
    drift_magnitude: float
    raw_drift: float
    z: float
    notable: bool
    occurred_at: datetime
    trigger_signal_id: int | None
    trigger_artifact: TriggerArtifact | None
    turning_artifact_ids: list[int] = Field(description="The artifacts that turned it most.")


class History(BaseModel):
    subspace_id: int
    snapshots: list[Snapshot] = Field(description="Oldest first; the newest 400 of the asked time.")
    drift_events: list[Drift] = Field(description="Oldest first; the newest 400 of the asked time.")
