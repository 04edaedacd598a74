"""Every setting of Misir, from the environment or `.env`, in one frozen object.

The names of the production contract (PROJECT_NAME … EMBEDDING_MODEL) are fixed; docs/settings.md lists
them all and a test keeps that list complete.
"""

from __future__ import annotations

import json
import uuid
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from misir.errors import MisirError

LOCAL_USERS = uuid.UUID("6d697369-7200-5000-8000-6c6f63616c75")
"""Namespace of uuid5 for MOCK_USER_ID values that are not UUIDs themselves."""

LOCALHOST_ORIGINS = tuple(
    f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 5173)
)


class Settings(BaseSettings):
    """The process's configuration. Environment wins over `.env`; an empty value means unset."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    PROJECT_NAME: str = Field(
        "Misir Orientation Engine", description="Name shown by `GET /` and the API page."
    )
    VERSION: str = Field("1.0.0", description="Version shown by `GET /`.")
    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Least severe level that is logged."
    )
    SUPABASE_URL: str | None = Field(None, description="Base URL of the Supabase project that signs tokens.")
    SUPABASE_KEY: str | None = Field(None, description="The project's anon key.")
    SUPABASE_JWT_SECRET: str | None = Field(
        None, min_length=32, description="Only for projects that still sign with HS256: their JWT secret."
    )
    SUPABASE_AUTH_REMOTE: bool = Field(
        False, description="Only for HS256 projects without the secret here: ask Supabase about each token."
    )
    ALLOW_ANONYMOUS_USERS: bool = Field(False, description="True accepts Supabase's anonymous sign-ins.")
    SUPABASE_SERVICE_KEY: str | None = Field(
        None, description="The project's service-role key (admin routes)."
    )
    MOCK_AUTH: bool = Field(False, description="True: everyone is MOCK_USER_ID. Local use only.")
    MOCK_USER_ID: str = Field(
        "test-user-123", description="The local user while MOCK_AUTH=True; not a UUID: uuid5 of the string."
    )
    MOCK_AUTH_ALLOW_REMOTE: bool = Field(
        False, description="True lets MOCK_AUTH=True answer other machines, without any sign-in."
    )
    APP_ENV: Literal["development", "production"] = Field(
        "development", description="production refuses to start with MOCK_AUTH=True."
    )
    RATE_LIMIT_STORAGE: Literal["memory", "redis"] = Field("memory", description="Where limits are counted.")
    REDIS_URL: str = Field("redis://localhost:6379", description="Redis for RATE_LIMIT_STORAGE=redis.")
    RATE_LIMIT_ENABLED: bool = Field(True, description="False switches limits off.")
    RATE_LIMIT_WORKERS: int = Field(
        1,
        ge=1,
        validation_alias=AliasChoices("RATE_LIMIT_WORKERS", "WEB_CONCURRENCY"),
        description="Workers that share a limit while no Redis counts for all of them; else WEB_CONCURRENCY.",
    )
    RATE_LIMIT_DEFAULT: int = Field(50, ge=1, description="Per minute, user and route without another limit.")
    RATE_LIMIT_CAPTURE: int = Field(100, ge=1, description="Captures per minute and user.")
    RATE_LIMIT_BATCH: int = Field(20, ge=1, description="Batches per minute and user.")
    RATE_LIMIT_BATCH_ITEMS: int = Field(10_000, ge=1, description="Items in batches per minute and user.")
    RATE_LIMIT_SEARCH: int = Field(20, ge=1, description="Searches per minute and user.")
    RATE_LIMIT_SUGGESTIONS: int = Field(240, ge=1, description="Search suggestions per minute and user.")
    RATE_LIMIT_GLOBAL_ANALYTICS: int = Field(10, ge=1, description="Global analytics per minute and user.")
    RATE_LIMIT_SPACE_ANALYTICS: int = Field(
        20, ge=1, description="Analytics per minute, user, route and space."
    )
    RATE_LIMIT_TOPOLOGY: int = Field(30, ge=1, description="Maps per minute and user.")
    RATE_LIMIT_INSIGHTS: int = Field(20, ge=1, description="Insight requests per minute, user and route.")
    RATE_LIMIT_INSIGHTS_GENERATE: int = Field(5, ge=1, description="Insight generations per minute and user.")
    RATE_LIMIT_PAGES: int = Field(
        600, ge=1, description="Pages and static files per minute and user, else address."
    )
    RATE_LIMIT_UNAUTHENTICATED: int = Field(
        60, ge=1, description="Requests without a verified user, per minute and address."
    )
    TRUSTED_PROXIES: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Networks of proxies whose X-Forwarded-For is believed: JSON list or comma-separated."
    )
    CORS_ORIGINS: Annotated[tuple[str, ...], NoDecode] = Field(
        LOCALHOST_ORIGINS, description="Allowed browser origins: JSON list or comma-separated."
    )
    CORS_EXTENSION_IDS: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Browser-extension ids allowed as origins: JSON list or comma-separated."
    )
    EMBEDDING_MODEL: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="Model name, local directory, or http(s)://host/v1#model of an OpenAI-compatible server.",
    )
    EMBEDDING_API_KEY: str | None = Field(
        None, description="Bearer key of that embedding server, if it wants one."
    )
    EMBEDDING_BUILD: Literal["standard", "fast"] = Field(
        "standard", description="fast: all-MiniLM-L6-v2 made faster at the first start; other vectors."
    )
    EMBEDDER: Literal["auto", "in-process", "shared"] = Field(
        "auto", description="Who holds the model: this process, or one process for all; auto: by workers."
    )
    EMBEDDING_THREADS: int | None = Field(
        None, ge=1, le=64, description="Texts computed at a time; unset: one for each core, 2 to 8."
    )
    EMBEDDING_WAIT_S: float = Field(
        30.0, gt=0, le=600, description="Seconds a text may wait for others before it is refused with 503."
    )
    DATABASE_URL: str | None = Field(
        None, description="PostgreSQL of the app's plain login role; unset: the embedded server."
    )
    DATABASE_REPLICA_URL: str | None = Field(
        None, description="Read replica for searches, with the same login; away, the primary answers."
    )
    DATABASE_SERVICE_URL: str | None = Field(None, description="Login of workers and admin routes.")
    DATABASE_MIGRATE_URL: str | None = Field(
        None, description="Login that owns the schema, for `misir migrate`."
    )
    MISIR_DATA_DIR: Path = Field(
        Path(".misir"), description="Where the embedded database and local state live."
    )
    DB_PREPARE: bool = Field(
        True, description="False behind a transaction pooler such as Supabase's port 6543."
    )
    DB_POOL_SIZE: int = Field(8, ge=1, le=200, description="Connections a worker may hold.")
    JOBS: Literal["on", "off"] = Field(
        "on", description="off: this process leaves jobs to `misir worker` or to other processes."
    )
    MISIR_SECRET_KEY: str | None = Field(
        None, min_length=32, description="Seals stored secrets (webhooks); every process needs the same."
    )
    OUTBOUND_ALLOW: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Networks of your own that webhooks may be sent to, which are refused otherwise."
    )
    METRICS_TOKEN: str | None = Field(
        None, min_length=16, description="Opens /metrics and /dashboard, as Bearer or as Basic password."
    )
    METRICS_ALLOW: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Without METRICS_TOKEN: networks that may read /metrics and /dashboard."
    )
    LOG_FORMAT: Literal["json", "text"] | None = Field(
        None, description="Form of the log; unset: text on a terminal, json elsewhere."
    )

    @field_validator(
        "CORS_ORIGINS",
        "CORS_EXTENSION_IDS",
        "TRUSTED_PROXIES",
        "METRICS_ALLOW",
        "OUTBOUND_ALLOW",
        mode="before",
    )
    @classmethod
    def _list(cls, value: Any) -> Any:
        return parse_list(value) if isinstance(value, str) else value

    @field_validator("REDIS_URL")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if (
            parts.scheme not in {"redis", "rediss", "unix"} or parts.port == 0
        ):  # a port that is no number raises
            raise ValueError("it must be a redis://, rediss:// or unix:// address")
        return value

    @field_validator("LOG_LEVEL", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @property
    def data_dir(self) -> Path:
        return self.MISIR_DATA_DIR.expanduser().absolute()

    @property
    def mock_user_id(self) -> uuid.UUID:
        try:
            return uuid.UUID(self.MOCK_USER_ID)
        except ValueError:
            return uuid.uuid5(LOCAL_USERS, self.MOCK_USER_ID)


def parse_list(text: str) -> tuple[str, ...]:
    """`["a","b"]`, `[a,b]` (JSON whose quotes a shell ate) and `a,b` all mean ("a", "b").

    >>> parse_list('["https://a.example","https://b.example"]') == parse_list('[https://a.example,https://b.example]')
    True
    >>> parse_list("https://a.example, https://b.example")
    ('https://a.example', 'https://b.example')
    """
    text = text.strip()
    if text.startswith("["):
        try:
            return tuple(str(item) for item in json.loads(text))
        except json.JSONDecodeError:
            text = text.removeprefix("[").removesuffix("]")
    return tuple(item.strip().strip("\"'") for item in text.split(",") if item.strip())


def load_settings(**overrides: Any) -> Settings:
    """Settings, or one sentence that names the wrong variable and what it may be."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise MisirError(500, "settings", f"The setting {name} is wrong: {first['msg']}.") from None
