"""Starting needs nothing; data routes say what is missing, and work once it is there."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from misir.app import app_from_environment, create_app
from misir.embed.models import MINILM
from misir.errors import MisirError
from misir.plumbing.migrate import migrate
from misir.settings import Settings, load_settings, parse_list

CONTRACT = [
    "PROJECT_NAME", "VERSION", "LOG_LEVEL", "SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_SERVICE_KEY", "MOCK_AUTH", "MOCK_USER_ID",
    "RATE_LIMIT_STORAGE", "REDIS_URL", "RATE_LIMIT_ENABLED", "CORS_ORIGINS", "EMBEDDING_MODEL", "DATABASE_URL", "MISIR_DATA_DIR",
]  # fmt: skip


def eventually(condition: Callable[[], bool], within_s: float = 15) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def unmigrated(server_url: Callable[..., str]) -> Iterator[str]:
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute("drop database if exists unmigrated with (force)")
        conn.execute("create database unmigrated")
    yield "unmigrated"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute("drop database unmigrated with (force)")


def test_a_database_that_is_not_there_is_503_and_the_process_is_alive(
    run_app: Callable[..., httpx.Client],
) -> None:
    client = run_app(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert client.get("/health").status_code == 200
    answer = client.get("/api/v1/spaces")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "cannot be reached" in answer.json()["detail"]
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["database"]["status"]) == (503, "unavailable")


def test_data_routes_name_the_command_until_it_has_run(
    run_app: Callable[..., httpx.Client], server_url: Callable[..., str], unmigrated: str
) -> None:
    client = run_app(DATABASE_URL=server_url(unmigrated, "misir_login"))
    assert "misir migrate" in client.get("/api/v1/spaces").json()["detail"]
    migrate(server_url(unmigrated), app_login="misir_login", service_login="misir_worker", model=MINILM)
    assert eventually(lambda: client.get("/api/v1/spaces").status_code == 200)
    assert client.get("/health/ready").status_code == 200


def test_a_database_of_a_newer_step_is_asked_to_migrate(
    run_app: Callable[..., httpx.Client], owner: psycopg.Connection[Any]
) -> None:
    owner.execute("delete from misir._yoyo_migration where migration_id like '%keyword_hits'")
    assert "lacks 1 migration" in run_app().get("/api/v1/spaces").json()["detail"]


def test_another_model_on_existing_data_is_refused_with_the_way_out(
    run_app: Callable[..., httpx.Client], owner: psycopg.Connection[Any]
) -> None:
    owner.execute(
        "update misir.system_config set value = jsonb_set(value, '{fingerprint}', '\"onnx/nomic-ai/nomic-embed-text-v1.5@768#w8\"') "
        "where key = 'embedding_model'"
    )
    answer = run_app().get("/api/v1/spaces")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/model-mismatch")
    assert "EMBEDDING_MODEL=nomic-ai/nomic-embed-text-v1.5 " in answer.json()["detail"]


def test_a_lost_connection_is_503_and_the_next_request_works(
    api: httpx.Client, owner: psycopg.Connection[Any], database: str
) -> None:
    assert api.get("/api/v1/spaces").status_code == 200
    owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename = 'misir_login'",
        [database],
    )
    statuses = [api.get("/api/v1/spaces").status_code for _ in range(12)]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


def test_a_pool_without_a_free_connection_is_503_in_time(
    run_app: Callable[..., httpx.Client], owner: psycopg.Connection[Any]
) -> None:
    client = run_app(DB_POOL_SIZE=1)
    space = client.post("/api/v1/spaces", json={"name": "S"}).json()["id"]
    page = {"space_id": space, "url": "https://a.example", "title": "held up"}
    with owner.transaction():
        owner.execute("select 1 from misir.space for update")
        url = str(client.base_url).rstrip("/") + "/api/v1/capture"
        waiting = threading.Thread(target=lambda: httpx.post(url, json=page, timeout=30))
        waiting.start()
        time.sleep(0.5)
        started = time.monotonic()
        answer = client.get("/api/v1/spaces")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert time.monotonic() - started < 10
    waiting.join()
    assert client.get("/api/v1/spaces").status_code == 200


def test_importing_and_creating_open_nothing() -> None:
    app = create_app(Settings(_env_file=None, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"))
    assert not hasattr(app.state, "resources")


@pytest.mark.parametrize("name", CONTRACT)
def test_the_names_of_the_contract_are_settings(name: str) -> None:
    assert name in Settings.model_fields


def test_a_server_sets_what_it_is_made_of_aside_from_the_search_for_garbage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("misir.app.configure_logging", lambda *_: None)
    gc.unfreeze()
    try:
        app_from_environment()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_the_safe_side_is_the_default() -> None:
    settings = Settings(_env_file=None)
    assert not settings.MOCK_AUTH
    assert settings.RATE_LIMIT_ENABLED
    assert "http://localhost:3000" in settings.CORS_ORIGINS


@pytest.mark.parametrize("given", ['["https://a.example","https://b.example"]', "[https://a.example,https://b.example]",
                                   "https://a.example,https://b.example", " https://a.example , https://b.example "])  # fmt: skip
def test_lists_survive_what_shells_do_to_them(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CORS_ORIGINS", given)
    assert Settings(_env_file=None).CORS_ORIGINS == ("https://a.example", "https://b.example")
    assert parse_list(given) == ("https://a.example", "https://b.example")


def test_an_empty_value_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCK_USER_ID", "")
    monkeypatch.setenv("DATABASE_URL", "")
    settings = Settings(_env_file=None)
    assert (settings.MOCK_USER_ID, settings.DATABASE_URL) == ("test-user-123", None)
    assert str(settings.mock_user_id) == "33cc9b49-6bcc-5c03-b4b6-a609bfaff8f5"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MOCK_AUTH", "perhaps"),
        ("LOG_LEVEL", "LOUD"),
        ("RATE_LIMIT_STORAGE", "paper"),
        ("DB_POOL_SIZE", "none"),
    ],
)
def test_a_wrong_variable_is_one_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(MisirError, match=name) as refused:
        load_settings(_env_file=None)
    assert "\n" not in refused.value.detail
