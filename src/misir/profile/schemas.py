"""What comes in and goes out at /profile and /account."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, Self
from zoneinfo import available_timezones

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    field_validator,
    model_validator,
)

from misir.fields import Text, Whole, storable, stripped

MAX_SETTINGS_BYTES: Final = 32_768
MAX_DEPTH: Final = 8

Claimed = Annotated[str | None, Field(max_length=64, description="Accepted; must be the token's user.")]


@cache
def time_zones() -> frozenset[str]:
    """The names of the IANA database that this machine has; its own time means nothing elsewhere."""
    return (frozenset(available_timezones()) | {"UTC"}) - {"localtime"}


def known_zone(name: str) -> str:
    if name not in time_zones():
        raise ValueError("must be a time zone of the IANA database, such as Europe/Sarajevo")
    return name


Zone = Annotated[str, Field(max_length=64, examples=["Europe/Sarajevo"]), AfterValidator(known_zone)]
Word = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(storable)]


class SettingsChange(BaseModel):
    """Settings to merge in. A null goes back to the default; names unknown to Misir are kept as sent."""

    model_config = ConfigDict(extra="allow")

    theme: Word | None = None
    density: Word | None = None
    notifications_enabled: StrictBool | None = None
    retention_days: Annotated[Whole, Field(ge=1, le=36_500)] | None = None
    retention_enabled: StrictBool | None = None

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        check_settings(self.sent)
        return self

    @property
    def sent(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


def check_settings(settings: dict[str, Any]) -> None:
    """Small, shallow, and of text that PostgreSQL's jsonb can hold; ValueError otherwise."""
    if _depth(settings) > MAX_DEPTH:
        raise ValueError(f"settings may be nested {MAX_DEPTH} deep")
    try:
        text = orjson.dumps(settings)
    except (TypeError, ValueError):
        raise ValueError("settings must be JSON whose numbers fit 64 bits") from None
    if len(text) > MAX_SETTINGS_BYTES:
        raise ValueError(f"settings may be {MAX_SETTINGS_BYTES:,} bytes large")
    if b"\\u0000" in text:
        raise ValueError("settings must not contain NUL characters")


def _depth(value: Any, level: int = 0) -> int:
    """How deep objects and arrays nest; stops counting once it is too deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if level > MAX_DEPTH:
        return level
    return max((_depth(one, level + 1) for one in inner), default=level)


class Settings(BaseModel):
    """A person's settings. `retention_days` acts only when `retention_enabled` is true."""

    model_config = ConfigDict(extra="allow")

    theme: str = "system"
    density: str = "comfortable"
    notifications_enabled: bool = True
    retention_days: int = 365
    retention_enabled: bool = False


class Profile(BaseModel):
    id: uuid.UUID
    display_name: str | None
    avatar_url: str | None
    timezone: str
    onboarding_completed: bool
    onboarded_at: datetime | None
    settings: Settings
    created_at: datetime
    updated_at: datetime


class ProfilePatch(BaseModel):
    settings: SettingsChange
    user_id: Claimed = None


class MetadataPatch(BaseModel):
    """Fields left out stay; null clears a name or a picture."""

    display_name: Annotated[Text, Field(max_length=200)] | None = None
    avatar_url: Annotated[Text, Field(max_length=2_048)] | None = Field(
        None, examples=["https://example.org/me.png"]
    )
    timezone: Zone | None = None
    user_id: Claimed = None

    @field_validator("display_name")
    @classmethod
    def _blank_is_missing(cls, value: str | None) -> str | None:
        return stripped(value)

    @field_validator("avatar_url")
    @classmethod
    def _is_on_the_web(cls, value: str | None) -> str | None:
        value = stripped(value)
        if value is not None and not value.lower().startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return value

    @model_validator(mode="after")
    def _zone_stays(self) -> Self:
        if "timezone" in self.model_fields_set and self.timezone is None:
            raise ValueError("timezone must not be null")
        return self


class Onboarding(MetadataPatch):
    """What a person may say on the way in; only the first time counts."""

    settings: SettingsChange | None = None


class AccountDeleted(BaseModel):
    deleted: bool = True
    spaces: int = Field(description="How many spaces went, with everything in them.")
    message: str
    remains: list[str] = Field(description="What deleting does not reach, and who can.")
