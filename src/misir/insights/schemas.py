"""What comes in and goes out at /insights and in the alerts of a space."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from misir.fields import Moment, Whole
from misir.insights.findings import Severity

Status = Literal["active", "dismissed", "acted", "snoozed", "expired"]
AlertSeverity = Literal["info", "warning", "danger"]


class SuggestedAction(BaseModel):
    """A request that a client can send as it is: `method` on `target`, with `body` where there is one."""

    label: str
    action: str = Field(examples=["merge"])
    target: str = Field(examples=["/api/v1/subspaces/7/merge"])
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    body: dict[str, Any] | None = None


class InsightData(BaseModel):
    """The numbers behind it. `artifact_ids` names 50 at most of what `evidence.sample_size` counts."""

    rule: str
    trigger_value: float | None
    artifact_ids: list[int]


class Insight(BaseModel):
    id: int
    user_id: uuid.UUID
    space_id: int
    subspace_id: int | None
    headline: str
    description: str
    category: str = Field(examples=["attention"])
    insight_data: InsightData
    evidence: dict[str, Any] = Field(
        description="Effect, threshold, sample size, dates, and what the rule adds."
    )
    recommended_action: SuggestedAction | None
    actions: list[SuggestedAction]
    severity: Severity
    status: Status
    created_at: datetime
    updated_at: datetime
    dismissed_at: datetime | None
    acted_at: datetime | None
    quiet_until: datetime | None = Field(
        description="Dismissed, acted on or snoozed until then; raised again if its cause still holds."
    )


class Generated(BaseModel):
    count: int = Field(description="How many insights were raised just now.")
    generated: list[Insight]


class Snooze(BaseModel):
    """Until when, or for how many days; a week where nothing is said."""

    until: Moment | None = None
    days: Annotated[Whole, Field(ge=1, le=365)] = 7
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class FlatAlert(BaseModel):
    type: str
    title: str
    message: str
    severity: AlertSeverity
    trigger_value: float | None


class Alert(BaseModel):
    """A rule that holds. Its id is that of the insight it is kept as; null where it is not, in the past."""

    id: int | None
    type: str
    severity: AlertSeverity
    title: str
    message: str
    affected_artifacts: list[int]
    suggested_actions: list[SuggestedAction]
    space_id: int
    subspace_id: int | None
    trigger_value: float | None
    evidence: dict[str, Any]
    created_at: datetime


class AlertList(BaseModel):
    alerts: list[Alert]
    count: int
