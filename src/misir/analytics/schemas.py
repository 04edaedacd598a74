"""What the analytics answer. A figure comes with how much it rests on.

What comes in thousands is a plain dataclass: it is made in a fiftieth of the time of a model, its values are
typed already, and its JSON and its schema are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from misir.orient.pace import Trend
from misir.orient.reading import ContentSource, EngagementLevel
from misir.spaces.topic_schemas import Drift

Band = Literal["low", "medium", "high"]
Health = Literal["healthy", "drifting", "sparse"]


class TopicRef(BaseModel):
    subspace_id: int
    name: str


# ---- all spaces -------------------------------------------------------------------------------------------


class Overview(BaseModel):
    total_artifacts: int
    active_spaces: int = Field(description="Spaces that are not archived.")
    overall_focus: float = Field(
        ge=0, le=1, description="Mean confidence of the topics, each by the weight of its artifacts."
    )
    system_health: Health = Field(description="From overall_focus; sparse while nothing can be said.")
    enough_data: bool = Field(
        description="False: no topic has three artifacts yet, and the focus is no finding."
    )
    focus_sample: int = Field(description="Artifacts that overall_focus rests on.")


class SpaceTime(BaseModel):
    space_id: int
    space_name: str
    space_color: str
    minutes: float
    percentage: float = Field(ge=0, le=100)
    estimated: bool = Field(description="Some of it comes from the words of visits that nobody timed.")
    estimated_minutes: float
    visit_count: int


class DayCount(BaseModel):
    date: date
    count: int = Field(description="Distinct artifacts read on that day.")


class LooseItem(BaseModel):
    """An artifact that fits badly, or nowhere. `margin` carries fit, as in every list."""

    id: int
    title: str = Field(description="Or the address, where there is no title.")
    space_id: int
    space_name: str
    subspace_id: int | None
    margin: float = Field(ge=0, le=1)
    fit: float = Field(ge=0, le=1)
    created_at: datetime


class SpacePace(BaseModel):
    space_id: int
    space_name: str
    count: int = Field(description="Distinct artifacts read in the last 7 days.")
    count_before: int = Field(description="In the 7 days before those.")
    trend: Trend = Field(description="Flat until the two differ by more than chance would make them.")


class SpaceIntention(BaseModel):
    """What is read in a space against what it is for."""

    space_id: int
    space_name: str
    attention: float = Field(
        ge=0, le=1, description="The space's share of all attention of the last 30 days."
    )
    similarity: float | None = Field(
        ge=0,
        le=1,
        description="How near that reading is to the intention, 0 as unrelated texts; null: not enough data.",
    )
    sample_size: int = Field(description="Artifacts in topics, read in the last 30 days.")
    nearest: TopicRef | None = Field(description="The topic that is nearest to the intention.")
    most_read: TopicRef | None = Field(description="The topic that got most of the attention.")


class GlobalAnalytics(BaseModel):
    overview: Overview
    time_allocation: list[SpaceTime] = Field(description="Of the last 90 days, most first.")
    activity_heatmap: list[DayCount] = Field(description="90 days in the person's time zone, oldest first.")
    weak_items: list[LooseItem]
    pace_by_space: list[SpacePace]
    unplaced_items: list[LooseItem] = Field(description="The newest that are in no topic.")
    unplaced_count: int
    intentions: list[SpaceIntention] = Field(description="Of the spaces that have an intention.")
    timezone: str
    as_of: datetime


# ---- one space --------------------------------------------------------------------------------------------


class TopicHealth(BaseModel):
    subspace_id: int
    name: str
    artifact_count: int
    confidence: float = Field(ge=0, le=1)
    enough_data: bool
    attention: float = Field(
        ge=0, le=1, description="Its share of the space's attention of the last 30 days."
    )
    intention_similarity: float | None = Field(
        ge=0, le=1, description="How near the topic is to the space's intention; null: no intention."
    )


class Coverage(BaseModel):
    known: list[TopicRef] = Field(description="At least moderate confidence, from enough artifacts.")
    starting: list[TopicRef] = Field(description="Some reading, and not enough to know them.")
    gaps: list[TopicRef] = Field(description="Declared, and nothing was read.")


class InfluentialRead(BaseModel):
    id: int
    title: str
    url: str
    subspace_id: int
    subspace_name: str
    engagement_level: EngagementLevel
    weight: float = Field(description="Its effective weight: level, relevance and age.")
    taught_share: float | None = Field(
        ge=0, le=1, description="How much of all the topic was taught came from it."
    )
    captured_at: datetime


class DomainCount(BaseModel):
    domain: str
    count: int


class SpaceAnalytics(BaseModel):
    space_id: int
    total_artifacts: int
    engagement_distribution: dict[EngagementLevel, int]
    source_distribution: dict[ContentSource, int]
    top_domains: list[DomainCount]
    activity_level: Literal["High", "Medium", "Low"] = Field(description="From the last 30 days.")
    recent_artifact_count: int = Field(description="Distinct artifacts read in the last 30 days.")
    focus: float | None = Field(
        ge=0, le=1, description="As overall_focus, of this space; null: not enough data."
    )
    clarity: float | None = Field(
        ge=0, le=1, description="Mean fit of the artifacts in topics; null: not enough data."
    )
    clarity_sample: int
    unplaced_count: int
    subspace_health: list[TopicHealth]
    coverage: Coverage
    influential_reads: list[InfluentialRead]
    intention: SpaceIntention | None
    as_of: datetime


class MarginBin(BaseModel):
    start: float
    end: float
    count: int


class MarginDistribution(BaseModel):
    """Of the artifacts that are in a topic, by fit."""

    distribution: dict[Literal["weak", "moderate", "strong"], int]
    total: int
    histogram: list[MarginBin] = Field(description="Ten bins; the last one holds 1 too.")
    unplaced_count: int
    enough_data: bool


class FocusWeek(BaseModel):
    week: date = Field(description="Its Monday.")
    focus: float | None = Field(
        ge=0, le=1, description="Mean confidence of the topics by size, at its end; null: not enough data."
    )
    focus_sample: int
    clarity: float | None = Field(
        ge=0, le=1, description="Mean fit of what was placed in it; null: nothing was."
    )
    clarity_sample: int
    artifact_count: int = Field(description="Distinct artifacts read in it.")


class FocusHistory(BaseModel):
    space_id: int
    weeks: list[FocusWeek] = Field(description="26 weeks, oldest first.")
    timezone: str
    as_of: datetime


# ---- the series -------------------------------------------------------------------------------------------


class DriftPoint(Drift):
    subspace_name: str


@dataclass(slots=True)
class VelocityPoint:
    """A topic in a day, a week or a month."""

    subspace_id: int
    subspace_name: str
    velocity: Annotated[float, Field(ge=0, description="Items per week.")]
    artifact_count: int
    angular_speed: Annotated[
        float | None,
        Field(ge=0, description="Degrees per day the topic turned; null: nothing to compare with."),
    ]
    measured_at: Annotated[datetime, Field(description="The end of what was measured.")]


@dataclass(slots=True)
class ConfidencePoint:
    """A topic on a day on which it changed."""

    subspace_id: int
    subspace_name: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    artifact_count: int
    enough_data: bool
    computed_at: Annotated[datetime, Field(description="The day on which the topic changed to this.")]


# ---- the map ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Node:
    """A topic on the map of its space."""

    subspace_id: int
    name: str
    artifact_count: int
    confidence: Annotated[float, Field(ge=0, le=1)]
    x: Annotated[float, Field(ge=-1, le=1)]
    y: Annotated[float, Field(ge=-1, le=1)]
    is_placed: Annotated[
        bool,
        Field(
            description="False: too new for the map, or without content; it is drawn in the middle meanwhile."
        ),
    ]
    updated_at: datetime
    last_active_at: datetime | None
    recent_artifact_count: Annotated[int, Field(description="Distinct artifacts read in the 7 days before.")]
    activity_band: Band


class Frame(BaseModel):
    timestamp: datetime
    nodes: list[Node]


@dataclass(slots=True)
class Place:
    """A single artifact, around its topic."""

    artifact_id: int
    subspace_id: int | None
    title: str
    engagement_level: EngagementLevel
    x: Annotated[float, Field(ge=-1, le=1)]
    y: Annotated[float, Field(ge=-1, le=1)]


class TopologyMetadata(BaseModel):
    last_updated: datetime | None = Field(description="When the map was drawn; null: not yet.")
    sampling_window_start: datetime
    sampling_window_end: datetime
    stress: float | None = Field(description="What the plane could not keep of the distances, 0..1.")


class Topology(BaseModel):
    nodes: list[Node]
    history: list[Frame] = Field(description="Oldest first; the last one is `nodes`.")
    artifacts: list[Place] | None = Field(description="Only with artifacts=true.")
    metadata: TopologyMetadata
