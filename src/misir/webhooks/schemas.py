"""What a person says of an endpoint, and what they are told of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, StrictBool, model_validator

from misir.fields import Text, Whole
from misir.webhooks.outbox import EventType

MAX_URL = 2048
Url = Annotated[Text, Field(min_length=1, max_length=MAX_URL)]
Description = Annotated[Text, Field(max_length=500)]
Events = Annotated[list[EventType], Field(max_length=50)]
State = Literal["pending", "delivered", "failed"]


class NewEndpoint(BaseModel):
    """Where to send events, and which: none named means all there are and will be."""

    url: Url = Field(examples=["https://example.org/misir-events"])
    events: Events = Field(default_factory=list, examples=[["artifact.created", "subspace.born"]])
    description: Description | None = None
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class EndpointPatch(BaseModel):
    """Fields left out stay. `enabled: true` also ends a disabling by failures."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: StrictBool | None = None
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set - {"user_id"}:
            raise ValueError("send at least one field to change")
        return self


class Rotation(BaseModel):
    overlap_hours: Annotated[Whole, Field(ge=0, le=168)] = Field(
        24, description="How long deliveries are signed with the old secret, too."
    )
    user_id: str | None = Field(None, max_length=64, description="Accepted; must be the token's user.")


class Endpoint(BaseModel):
    id: int
    url: str
    description: str | None
    events: list[str] = Field(description="Empty: all.")
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: Literal["user", "gone", "failing"] | None = Field(
        description="gone: it answered 410. failing: nothing it was sent arrived for 5 days."
    )
    failing_since: datetime | None = Field(description="Its last delivery failed; none arrived since then.")
    pending_count: int = Field(description="Deliveries that are still to be made.")
    old_secret_until: datetime | None = Field(description="Until then deliveries carry both signatures.")
    created_at: datetime
    updated_at: datetime


class EndpointWithSecret(Endpoint):
    secret: str = Field(description="Signs what is sent. Shown this once.")


class EndpointList(BaseModel):
    webhooks: list[Endpoint]
    count: int
    next_cursor: str | None


class Attempt(BaseModel):
    number: int
    status: int | None = Field(description="What the receiver answered; null: nothing.")
    error: str | None
    duration_ms: int
    attempted_at: datetime


class Delivery(BaseModel):
    """One event on its way to one endpoint, with every try."""

    id: int
    event_id: str = Field(description="The webhook-id header: the same on every try.")
    type: str
    state: State
    attempt_count: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime
    attempts: list[Attempt]


class DeliveryList(BaseModel):
    deliveries: list[Delivery]
    next_cursor: str | None
