"""PURE: the lines of an export, checked, and which of their fields name rows of other lines.

A file may have been changed, or made by hand: nothing of it is believed that is not checked here or by the
database, and a line never says whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from misir.fields import Id, Moment, Name, Text
from misir.orient.assign import AssignedBy
from misir.orient.reading import ContentSource, EngagementLevel

Number = Annotated[float, Field(allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Place = Annotated[int, Field(ge=0, le=2**62)]
Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Hash = Annotated[str, Field(pattern=r"^\\x[0-9a-f]{0,128}$")]
Vector = Annotated[str, Field(max_length=1_000_000, pattern=r"^\[[-+0-9.eE,]+\]$")]
Json = dict[str, Any]
Ids = list[Id]


class Line(BaseModel):
    """A row of a table, by the names of its columns."""

    model_config = ConfigDict(extra="ignore")


class Space(Line):
    id: Id
    name: Name
    description: Text | None = None
    intention: Text | None = None
    intention_embedding: Vector | None = None
    intention_model: Text | None = None
    auto_subspaces: bool = True
    color: str = Field("#4f6d7a", pattern=r"^#[0-9a-f]{6}$")
    next_seq: Place = 1
    judged_seq: Place = 0
    consolidated_seq: Place = 0
    consolidated_at: Moment | None = None
    archived_at: Moment | None = None
    deleted_at: Moment | None = None
    created_at: Moment


class Session(Line):
    id: Id
    external_id: Text
    started_at: Moment
    ended_at: Moment | None = None
    totals: Json = Field(default_factory=dict)
    created_at: Moment


class Subspace(Line):
    id: Id
    space_id: Id
    name: Name
    description: Text | None = None
    model: Text | None = None
    learning_rate: float = Field(0.1, gt=0, le=1)
    anchor_centroid: Vector | None = None
    anchor_at: Moment | None = None
    anchor_count: Count = 0
    anchor_seq: Place = 0
    state: str = Field("active", pattern="^(active|dormant|retired)$")
    pinned: bool = False
    depth: Int32 | None = None
    prerequisites: list[Text] = Field(default_factory=list)
    suggested_study_order: Int32 | None = None
    map_x: Number | None = None
    map_y: Number | None = None
    named_by: AssignedBy = AssignedBy.USER
    named_count: Count = 0
    last_activity_at: Moment | None = None
    deleted_at: Moment | None = None
    created_at: Moment


class MarkerTopic(Line):
    subspace_id: Id
    weight: Part = 1.0
    source: str = Field("user_defined", pattern="^(user_defined|extracted|suggested)$")
    last_matched_at: Moment | None = None


class Marker(Line):
    id: Id
    space_id: Id
    label: Name
    model: Text
    embedding: Vector
    weight: Part = 1.0
    created_at: Moment
    topics: list[MarkerTopic] = Field(default_factory=list)


class Artifact(Line):
    id: Id
    space_id: Id
    subspace_id: Id | None = None
    url: Text
    normalized_url: Text
    url_hash: Hash
    domain: Text | None = None
    title: Text | None = None
    content: Text | None = None
    content_hash: Hash
    word_count: Count = 0
    content_source: ContentSource = ContentSource.WEB
    engagement_level: EngagementLevel
    dwell_time_ms: Place = 0
    active_time_ms: Place | None = None
    scroll_depth: Part = 0.0
    reading_depth: float | None = Field(None, ge=0, le=1.5)
    reading_depth_client: float | None = Field(None, ge=0, le=1.5)
    decay_rate: str = Field("high", pattern="^(high|medium|low)$")
    assigned_by: AssignedBy | None = None
    pinned: bool = False
    similarity: Number | None = None
    raw_margin: Number | None = None
    probability: Part | None = None
    fit: Part | None = None
    taught_weight: float = Field(0.0, ge=0, allow_inf_nan=False)
    embedded_fraction: Part = 1.0
    duplicate_of: Id | None = None
    metadata: Json = Field(default_factory=dict)
    captured_at: Moment
    first_read_at: Moment | None = None
    learned_seq: Place = 0
    band_1: Int32 | None = None
    band_2: Int32 | None = None
    band_3: Int32 | None = None
    band_4: Int32 | None = None
    deleted_at: Moment | None = None
    created_at: Moment


class Embedding(Line):
    id: Id
    artifact_id: Id
    model: Text
    content_hash: Hash
    vector: Annotated[str, Field(max_length=50_000, pattern=r"^[A-Za-z0-9+/]+=*$")]
    fraction: Part
    created_at: Moment


class Signal(Line):
    id: Id
    space_id: Id | None = None
    artifact_id: Id
    subspace_id: Id | None = None
    embedding_id: Id | None = None
    session_id: Id | None = None
    seq: Place
    event_hash: Hash
    payload_hash: Hash
    type: str = Field("semantic", pattern="^(semantic|temporal|behavioral|structural)$")
    magnitude: Part = 1.0
    engagement_level: EngagementLevel
    base_weight: float = Field(ge=0, le=1_000, allow_inf_nan=False)
    taught_weight: float = Field(0.0, ge=0, le=1_000, allow_inf_nan=False)
    updates_centroid: bool = False
    similarity: Number | None = None
    raw_margin: Number | None = None
    probability: Number | None = None
    fit: Number | None = None
    assigned_by: AssignedBy | None = None
    matched_marker_ids: Ids = Field(default_factory=list)
    config_version: Int32 = 1
    occurred_at: Moment
    client_teaches: bool = True
    none_probability: Part | None = None
    candidates: list[Json] = Field(default_factory=list)
    candidate_count: Count = 0
    withheld: list[Text] = Field(default_factory=list)
    dwell_time_ms: Place | None = None
    active_time_ms: Place | None = None
    created_at: Moment


class CorrectionMove(Line):
    artifact_id: Id
    space_id: Id
    seq: Place
    from_subspace_id: Id | None = None
    to_subspace_id: Id | None = None
    assigned_by: AssignedBy | None = None
    teaches: bool | None = None


class Correction(Line):
    id: Id
    space_id: Id
    seq: Place
    correction: Text
    actor: str = Field(pattern="^(engine|user|admin)$")
    artifact_ids: Ids = Field(default_factory=list)
    subspace_ids: Ids = Field(default_factory=list)
    payload: Json = Field(default_factory=dict)
    undoes: Id | None = None
    created_at: Moment
    moves: list[CorrectionMove] = Field(default_factory=list)


class SubspaceEvent(Line):
    id: Id
    space_id: Id
    subspace_id: Id | None = None
    type: Text
    cause: Json = Field(default_factory=dict)
    numbers: Json = Field(default_factory=dict)
    occurred_at: Moment
    created_at: Moment


class DriftEvent(Line):
    id: Id
    subspace_id: Id
    trigger_signal_id: Id | None = None
    magnitude: Number
    raw_drift: Number
    z: Number
    notable: bool
    model: Text
    previous_mean: Vector
    new_mean: Vector
    turning_artifact_ids: Ids = Field(default_factory=list)
    occurred_at: Moment
    created_at: Moment


class Day(Line):
    day: date
    model: Text
    centroid: Vector
    artifact_count: Count
    signal_count: Count
    confidence: Part
    map_x: Number | None = None
    map_y: Number | None = None


class Snapshots(Line):
    id: Id
    days: list[Day]


LINES: Final[dict[str, type[Line]]] = {
    "space": Space,
    "session": Session,
    "subspace": Subspace,
    "marker": Marker,
    "artifact": Artifact,
    "embedding": Embedding,
    "signal": Signal,
    "correction": Correction,
    "subspace_event": SubspaceEvent,
    "drift_event": DriftEvent,
    "snapshots": Snapshots,
}

# ---- what names what -----------------------------------------------------------------------------

NAMES: Final = {
    **dict.fromkeys(
        ("artifact_id", "artifact_ids", "duplicate_of", "founders", "turning_artifact_ids"), "artifact"
    ),
    **dict.fromkeys(("subspace_id", "subspace_ids", "from_subspace_id", "to_subspace_id"), "subspace"),
    **dict.fromkeys(("from", "to", "into", "new", "dissolved", "born"), "subspace"),
    **dict.fromkeys(("space_id", "from_space", "to_space"), "space"),
    **dict.fromkeys(("signal_id", "trigger_signal_id"), "signal"),
    **dict.fromkeys(("matched_marker_ids", "markers"), "marker"),
    **dict.fromkeys(("correction_id", "undoes"), "correction"),
    "embedding_id": "embedding",
    "session_id": "session",
    "drift_event_id": "drift_event",
    "returns_to": "drift_event",
}
"""Keys whose whole numbers are ids, in columns and inside of JSON alike; a text under one of them is none."""

Ref = tuple[str, int]


def refs_of(row: Any, key: str = "") -> Iterator[Ref]:
    """Every row of another line that this one names.

    >>> sorted(refs_of({"space_id": 3, "payload": {"from": 7, "markers": [1, 2]}, "name": "x"}))
    [('marker', 1), ('marker', 2), ('space', 3), ('subspace', 7)]
    """
    if isinstance(row, Mapping):
        for name, value in row.items():
            yield from refs_of(_ids_in(value) if name == "numbers" else value, name)
    elif isinstance(row, list):
        for value in row:
            yield from refs_of(value, key)
    elif _is_id(row) and key in NAMES:
        yield NAMES[key], row


def renamed(row: Any, new_id_of: Callable[[Ref], int | None], key: str = "") -> Any:
    """The row, naming what the named rows have become; what did not come in is None, or left out of a list.

    >>> renamed({"subspace_id": 7, "payload": {"markers": [1, 2], "to": "Sea"}}, {("subspace", 7): 70}.get)
    {'subspace_id': 70, 'payload': {'markers': [], 'to': 'Sea'}}
    """
    if isinstance(row, Mapping):
        return {
            name: value | renamed(_ids_in(value), new_id_of)
            if name == "numbers"
            else renamed(value, new_id_of, name)
            for name, value in row.items()
        }
    if isinstance(row, list):
        made = [renamed(value, new_id_of, key) for value in row]
        return [new for new, old in zip(made, row, strict=True) if new is not None or old is None]
    return new_id_of((NAMES[key], row)) if _is_id(row) and key in NAMES else row


def _ids_in(numbers: Mapping[str, Any]) -> Json:
    """The numbers of an event are counts, but for one."""
    return {name: value for name, value in numbers.items() if name == "returns_to"}


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
