"""`misir check`: each row is right about good and about bad deployments."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from misir.check import probed
from misir.check.configured import check_environment, check_settings
from misir.check.row import Row
from misir.settings import Settings

GOOD: dict[str, Any] = {
    "MOCK_AUTH": False, "APP_ENV": "production", "RATE_LIMIT_STORAGE": "redis", "REDIS_URL": "redis://127.0.0.1:1/0", "LOG_LEVEL": "WARNING",
    "CORS_ORIGINS": ("https://app.example",), "SUPABASE_URL": "https://abc.supabase.co", "SUPABASE_SERVICE_KEY": "secret-service-key",
    "DATABASE_URL": "postgresql://app@db/misir",
}  # fmt: skip


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **(GOOD | changes))


def failing(rows: list[Row]) -> list[str]:
    return [row.name for row in rows if row.is_ok is not True]


def test_good_settings_pass() -> None:
    assert failing(check_settings(settings())) == []


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"MOCK_AUTH": True}, "mock sign-in is off"),
        ({"APP_ENV": "development"}, "environment is production"),
        ({"RATE_LIMIT_STORAGE": "memory"}, "limits are shared in Redis"),
        ({"RATE_LIMIT_ENABLED": False}, "limits are shared in Redis"),
        ({"LOG_LEVEL": "INFO"}, "the log is quiet"),
        ({"SUPABASE_URL": None}, "a Supabase project is named"),
        ({"SUPABASE_SERVICE_KEY": None}, "the service key is set"),
        ({"DATABASE_URL": None}, "the database is your own"),
        ({"SUPABASE_KEY": "your-anon-key"}, "no value is left from the template"),
        ({"REDIS_URL": "redis://:password@your-redis-host:6379/0"}, "no value is left from the template"),
        *(
            ({"CORS_ORIGINS": ("https://app.example", origin)}, "no browser origin is this machine")
            for origin in (
                "http://localhost:3000",
                "http://127.0.0.1",
                "http://[::1]:5173",
                "http://app.localhost",
                "http://0.0.0.0",
                "*",
            )
        ),
    ],
)
def test_each_row_sees_what_it_is_for(change: dict[str, Any], row: str) -> None:
    found = check_settings(settings(**change))
    assert failing(found) == [row]
    assert all(one.mend for one in found if not one.is_ok)


def test_the_environment_is_compared_by_name_and_no_value_is_shown() -> None:
    file = {"A": "1", "TOKEN": "very-secret"}
    assert check_environment(file, {"A": "1", "TOKEN": "very-secret", "B": "2"}).is_ok
    differs = check_environment(file, {"A": "1", "TOKEN": "other"})
    assert not differs.is_ok
    assert "TOKEN" in differs.mend
    assert "very-secret" not in str(differs)


def test_the_database_rows(
    app_url: str, server_url: Callable[..., str], database: str, owner: psycopg.Connection[Any]
) -> None:
    def rows(url: str, service: str | None = None) -> list[str]:
        return failing(
            asyncio.run(probed.check_database(settings(DATABASE_URL=url, DATABASE_SERVICE_URL=service)))
        )

    service = server_url(database, "misir_worker")
    assert rows(app_url, service) == []
    assert rows(app_url) == ["the service login works"]
    assert rows(app_url, app_url) == ["the service login works"]
    assert rows(server_url(database), service) == ["the app's login is a plain one"]
    owner.execute("alter table misir.artifact no force row level security")
    assert rows(app_url, service) == ["row level security is forced"]
    assert rows("postgresql://nobody@127.0.0.1:1/x") == ["the database answers and is migrated"]


def test_redis_and_the_model() -> None:
    assert asyncio.run(probed.check_redis(settings())).is_ok is False
    assert asyncio.run(probed.check_redis(settings(RATE_LIMIT_STORAGE="memory"))).is_ok is None
    assert asyncio.run(probed.check_model(settings())).is_ok
    missing = asyncio.run(probed.check_model(settings(EMBEDDING_MODEL="nomic-ai/nomic-embed-text-v1.5")))
    assert missing.is_ok is False
    assert "nomic-ai/nomic-embed-text-v1.5" in missing.name


def test_the_burst_sees_limits_hold_and_sees_them_missing(run_app: Callable[..., httpx.Client]) -> None:
    limited = run_app(MOCK_AUTH=False, RATE_LIMIT_ENABLED=True)
    assert asyncio.run(probed.check_burst(settings(), str(limited.base_url))).is_ok
    unlimited = run_app(MOCK_AUTH=False, RATE_LIMIT_ENABLED=False)
    assert asyncio.run(probed.check_burst(settings(), str(unlimited.base_url))).is_ok is False
    assert asyncio.run(probed.check_burst(settings(), "http://127.0.0.1:1")).is_ok is False
    assert asyncio.run(probed.check_burst(settings(), None)).is_ok is None


def test_the_suite_row_knows_the_commit(tmp_path: Path) -> None:
    assert probed.check_suite(tmp_path).is_ok is None
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    assert probed.check_suite(tmp_path).is_ok is False
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "suite-passed").write_text(commit)
    assert probed.check_suite(tmp_path).is_ok


def test_the_command_prints_every_row_and_fails_for_a_bad_deployment(app_url: str) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": app_url, "LOG_LEVEL": "WARNING"}
    program = Path(sys.executable).with_name("misir")

    def check(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "check", *arguments], env=environment, capture_output=True, text=True, check=False
        )

    simple = check("--json")
    assert [row["name"] for row in json.loads(simple.stdout)["rows"] if not row["is_ok"]] == [
        "the service login works"
    ]
    strict = check("--production", "--json")
    document = json.loads(strict.stdout)
    assert (strict.returncode, document["ok"]) == (1, False)
    assert len(document["rows"]) >= 16
    table = check("--production")
    assert "✔" in table.stdout
    assert "✘" in table.stdout
    assert "Set MOCK_AUTH" not in table.stdout
