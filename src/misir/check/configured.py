"""PURE: what the settings alone can tell."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from misir.check.row import Row, failed, passed, verdict
from misir.settings import Settings

PLACEHOLDERS = ("your-", "password@your", ":password@")
QUIET_LEVELS = ("WARNING", "ERROR", "CRITICAL")
SECRETS = ("KEY", "SECRET", "URL", "TOKEN")


def check_settings(settings: Settings) -> list[Row]:
    """The rows of the pre-deployment checklist that need nothing but the settings."""
    return [
        verdict(
            "mock sign-in is off",
            not settings.MOCK_AUTH,
            f"MOCK_AUTH={settings.MOCK_AUTH}",
            "Set MOCK_AUTH=False.",
        ),
        verdict(
            "environment is production",
            settings.APP_ENV == "production",
            f"APP_ENV={settings.APP_ENV}",
            "Set APP_ENV=production: it refuses a mock user at every start.",
        ),
        verdict(
            "limits are shared in Redis",
            settings.RATE_LIMIT_ENABLED and settings.RATE_LIMIT_STORAGE == "redis",
            f"limits {'on' if settings.RATE_LIMIT_ENABLED else 'off'}, storage {settings.RATE_LIMIT_STORAGE}",
            "Set RATE_LIMIT_STORAGE=redis and REDIS_URL: in memory every worker counts alone.",
        ),
        _check_origins(settings),
        verdict(
            "the log is quiet",
            settings.LOG_LEVEL in QUIET_LEVELS,
            f"LOG_LEVEL={settings.LOG_LEVEL}",
            "Set LOG_LEVEL=WARNING or ERROR.",
        ),
        verdict(
            "a Supabase project is named",
            settings.SUPABASE_URL is not None,
            f"SUPABASE_URL={settings.SUPABASE_URL or 'is not set'}",
            "Set SUPABASE_URL to your project's address.",
        ),
        verdict(
            "the service key is set",
            bool(settings.SUPABASE_SERVICE_KEY),
            "SUPABASE_SERVICE_KEY is set"
            if settings.SUPABASE_SERVICE_KEY
            else "SUPABASE_SERVICE_KEY is not set",
            "Set SUPABASE_SERVICE_KEY: administration needs it.",
        ),
        verdict(
            "the database is your own",
            settings.DATABASE_URL is not None,
            "DATABASE_URL is set"
            if settings.DATABASE_URL
            else "DATABASE_URL is not set: the embedded server is used",
            "Set DATABASE_URL to a PostgreSQL that is backed up.",
        ),
        _check_placeholders(settings),
    ]


def _check_origins(settings: Settings) -> Row:
    name, origins = "no browser origin is this machine", settings.CORS_ORIGINS
    local = [origin for origin in origins if is_local_origin(origin)]
    if local or "*" in origins:
        return failed(
            name, f"CORS_ORIGINS has {', '.join(local) or '*'}", "Name your own https origins only."
        )
    return passed(name, f"CORS_ORIGINS has {len(origins)} origin(s), none of them local")


def is_local_origin(origin: str) -> bool:
    """Localhost by any of its names and addresses.

    >>> [is_local_origin(o) for o in ("http://localhost:3000", "http://[::1]:80", "https://a.example")]
    [True, True, False]
    """
    host = (urlsplit(origin).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _check_placeholders(settings: Settings) -> Row:
    left = [
        name
        for name, value in settings
        if isinstance(value, str) and any(placeholder in value for placeholder in PLACEHOLDERS)
    ]
    mend = f"Put your own values in: {', '.join(left)}."
    return verdict("no value is left from the template", not left, f"{len(left)} placeholder(s)", mend)


def check_environment(file: Mapping[str, str | None], environment: Mapping[str, str]) -> Row:
    """Is the process's environment what the file says? Names only: values may be secrets."""
    differ = sorted(name for name, value in file.items() if environment.get(name) != value)
    mend = f"Load the file before the server starts; these differ: {', '.join(differ)}."
    found = f"{len(file) - len(differ)} of {len(file)} variables are as in the file"
    return verdict("the environment equals the file", not differ, found, mend)
