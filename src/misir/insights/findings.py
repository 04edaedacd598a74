"""What a rule sees and what it says: rows in, findings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from misir.orient.config import EngineConfig

Row = Mapping[str, Any]


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Rule(StrEnum):
    LOW_MARGIN = "low_margin"
    HIGH_DRIFT = "high_drift"
    VELOCITY_DROP = "velocity_drop"
    CONFIDENCE_DROP = "confidence_drop"
    STAGNATION = "stagnation"
    BURST = "burst"
    INTENTION_GAP = "intention_gap"
    ECHO = "echo"
    NEVER_READ = "never_read"
    MERGE = "merge_proposal"
    SPLIT = "split_proposal"


CATEGORY: Final = {
    Rule.LOW_MARGIN: "placement",
    Rule.CONFIDENCE_DROP: "placement",
    Rule.HIGH_DRIFT: "change",
    Rule.BURST: "attention",
    Rule.VELOCITY_DROP: "attention",
    Rule.STAGNATION: "attention",
    Rule.INTENTION_GAP: "attention",
    Rule.NEVER_READ: "attention",
    Rule.ECHO: "sources",
    Rule.MERGE: "structure",
    Rule.SPLIT: "structure",
}
PROPOSALS: Final = (Rule.MERGE, Rule.SPLIT)
ALERTS: Final = tuple(rule for rule in Rule if rule not in PROPOSALS)


@dataclass(frozen=True, slots=True)
class Action:
    """What a person can do, and the request that does it."""

    label: str
    action: str
    target: str
    method: str = "GET"
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule saw. The same cause has the same `key`, whenever it is looked at."""

    rule: Rule
    key: str
    space_id: int
    severity: Severity
    headline: str
    description: str
    trigger_value: float
    artifact_ids: tuple[int, ...]
    evidence: dict[str, Any]
    actions: tuple[Action, ...]
    subspace_id: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As the statement keep_findings reads it."""
        said = asdict(self)
        return said | {"dedupe_key": said.pop("key"), "category": CATEGORY[self.rule]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The rows of evidence.sql about one space or many, as of `now`."""

    now: datetime
    scenes: Sequence[Row]
    items: Sequence[Row] = ()
    day_counts: Sequence[Row] = ()
    drifts: Sequence[Row] = ()
    confidences: Sequence[Row] = ()
    never_read: Sequence[Row] = ()
    topics: Sequence[Row] = ()
    readings: Sequence[Row] = ()
    novelty: float = 0.0
    config: EngineConfig = field(default_factory=EngineConfig)

    def items_of(self, space_id: int) -> list[Row]:
        """Newest first."""
        return [item for item in self.items if item["space_id"] == space_id]

    def topics_of(self, space_id: int) -> list[Row]:
        return [topic for topic in self.topics if topic["space_id"] == space_id]
