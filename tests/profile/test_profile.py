"""A profile from its first reading to the end of the account."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest


@pytest.fixture(scope="module")
def shared(
    server_url: Callable[..., str], running_app: Callable[..., Any], fakes: Any
) -> Iterator[tuple[httpx.Client, psycopg.Connection[Any]]]:
    """One app on one database for all tests here: each begins without a profile."""
    name = f"profiles_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name} template misir_template strategy file_copy".encode())
    embedder = fakes.embedder_of(sea=fakes.direction(1))
    app = running_app(server_url(name, "misir_login"), embedder, MISIR_SECRET_KEY="k" * 44)
    with app as client, psycopg.connect(server_url(name), autocommit=True) as owner:
        yield client, owner
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def owner(shared: tuple[httpx.Client, psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
    return shared[1]


@pytest.fixture
def api(shared: tuple[httpx.Client, psycopg.Connection[Any]]) -> httpx.Client:
    client, owner = shared
    owner.execute("delete from misir.profile")
    return client


def patch(api: httpx.Client, *, expect: int = 200, **settings: Any) -> dict[str, Any]:
    answer = api.patch("/api/v1/profile", json={"settings": settings})
    assert answer.status_code == expect, answer.text
    return dict(answer.json())


def test_the_first_reading_makes_it_once(api: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: api.get("/api/v1/profile"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert owner.execute("select count(*) from misir.profile").fetchone() == (1,)
    first = answers[0].json()
    assert set(first) == {
        "id", "display_name", "avatar_url", "timezone", "onboarding_completed", "onboarded_at", "settings",
        "created_at", "updated_at",
    }  # fmt: skip
    assert (first["timezone"], first["onboarding_completed"]) == ("UTC", False)
    assert first["settings"] == {
        "theme": "system", "density": "comfortable", "notifications_enabled": True, "retention_days": 365,
        "retention_enabled": False,
    }  # fmt: skip


def test_settings_merge_deeply(api: httpx.Client) -> None:
    patch(api, theme="dark", panels={"left": {"width": 3}, "right": True})
    merged = patch(api, panels={"left": {"open": False}, "right": None})["settings"]
    assert merged["theme"] == "dark"
    assert merged["panels"] == {"left": {"width": 3, "open": False}}
    assert patch(api, theme=None)["settings"]["theme"] == "system"


def test_settings_merged_at_once_are_all_kept(api: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: patch(api, grid={f"k{number}": number}), range(16)))
    assert api.get("/api/v1/profile").json()["settings"]["grid"] == {f"k{n}": n for n in range(16)}


def test_what_cannot_be_a_setting_is_refused(api: httpx.Client) -> None:
    deep: Any = 1
    for _ in range(12):
        deep = {"a": deep}
    for bad in (
        {"retention_days": 0}, {"retention_days": True}, {"notifications_enabled": "yes"}, {"theme": ""},
        {"x": deep}, {"x": "y" * 40_000}, {"x": "\x00"}, {"x": 2**70},
    ):  # fmt: skip
        patch(api, expect=422, **bad)
    patch(api, x="y" * 20_000)
    patch(api, expect=422, z="y" * 20_000)  # together they are too large
    assert "z" not in api.get("/api/v1/profile").json()["settings"]


def test_name_picture_and_time_zone(api: httpx.Client) -> None:
    url = "/api/v1/profile/metadata"
    said = {"display_name": " Ada ", "avatar_url": "https://e.example/a.png", "timezone": "Asia/Kathmandu"}
    changed = api.patch(url, json=said).json()
    assert (changed["display_name"], changed["avatar_url"], changed["timezone"]) == (
        "Ada",
        "https://e.example/a.png",
        "Asia/Kathmandu",
    )
    cleared = api.patch(url, json={"avatar_url": None}).json()
    assert (cleared["avatar_url"], cleared["display_name"]) == (None, "Ada")
    for bad in (
        {"timezone": "Mars/Olympus"},
        {"timezone": "../UTC"},
        {"timezone": "localtime"},
        {"timezone": None},
        {"avatar_url": "javascript:x"},
    ):
        assert api.patch(url, json=bad).status_code == 422, bad
    assert api.get("/api/v1/profile").json()["timezone"] == "Asia/Kathmandu"


def test_the_first_onboarding_wins(api: httpx.Client) -> None:
    first = api.post(
        "/api/v1/profile/onboard", json={"display_name": "Ada", "settings": {"theme": "dark"}}
    ).json()
    assert (first["onboarding_completed"], first["display_name"], first["settings"]["theme"]) == (
        True,
        "Ada",
        "dark",
    )
    assert api.post("/api/v1/profile/onboard", json={"display_name": "Eve"}).json() == first
    assert api.post("/api/v1/profile/onboard").json() == first


def count_rows(owner: psycopg.Connection[Any]) -> dict[str, dict[str, int]]:
    """By table with a user_id: how many rows each user has."""
    tables = owner.execute(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' "
        "where c.relnamespace = 'misir'::regnamespace and c.relkind = 'r' order by 1"
    ).fetchall()
    return {
        table: dict(
            owner.execute(f"select user_id::text, count(*) from misir.{table} group by 1".encode()).fetchall()
        )
        for (table,) in tables
    }


def test_an_account_ends_with_every_row_and_no_other(
    api: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    me = api.get("/api/v1/profile").json()["id"]
    topics = [{"name": "Sea", "markers": ["sea"]}]
    space = api.post("/api/v1/spaces", json={"name": "S", "subspaces": topics}).json()["id"]
    for number in range(3):
        page = {"space_id": space, "url": f"https://x.example/{number}", "title": f"sea {number}"}
        artifact = api.post("/api/v1/capture", json=page).json()["artifact_id"]
    api.patch(f"/api/v1/artifacts/{artifact}", json={"subspace_id": None})
    api.delete(f"/api/v1/spaces/{space}")  # in the trash is not gone
    api.post("/api/v1/sessions", json={"external_id": "x"})
    api.post("/api/v1/api-keys", json={"name": "k"})
    assert api.post("/api/v1/webhooks", json={"url": "https://hook.example/"}).status_code == 201
    api.patch(f"/api/v1/artifacts/{artifact}", json={"title": "sea, told"})
    owner.execute("insert into misir.job (user_id, kind) values (%s, 'retain')", [me])
    other = "11111111-2222-4333-8444-555555555555"
    owner.execute("insert into misir.space (user_id, name) values (%s, 'theirs')", [other])
    for user in (me, other):
        owner.execute(
            "insert into misir.idempotency_key (user_id, route, key, request_hash, status, body) "
            "values (%s, 'r', 'k', '', 200, '')",
            [user],
        )
    for wrong in (None, "", other, "yes"):
        params = {} if wrong is None else {"confirm": wrong}
        assert api.delete("/api/v1/account", params=params).status_code == 422
    assert sum(counts.get(me, 0) for counts in count_rows(owner).values()) > 10
    gone = api.delete("/api/v1/account", params={"confirm": me.upper()}).json()
    assert (gone["deleted"], gone["spaces"]) == (True, 1)
    assert any("identity provider" in line for line in gone["remains"])
    left = count_rows(owner)
    assert {table: counts for table, counts in left.items() if me in counts} == {}
    assert (left["space"], left["idempotency_key"]) == ({other: 1}, {other: 1})
    again = api.delete("/api/v1/account", params={"confirm": me}).json()
    assert (again["deleted"], again["spaces"]) == (True, 0)


def test_every_table_of_a_user_ends_with_the_account(owner: psycopg.Connection[Any]) -> None:
    """By the catalogue: a table is emptied by name, or goes with a row that is."""
    named = {
        "space",
        "session",
        "idempotency_key",
        "webhook_endpoint",
        "webhook_event",
        "job",
        "api_key",
        "profile",
    }
    edges = owner.execute(
        "select k.conrelid::regclass::text, k.confrelid::regclass::text from pg_constraint k "
        "where k.contype = 'f' and k.confdeltype = 'c' and k.connamespace = 'misir'::regnamespace"
    ).fetchall()
    reached, grown = set(named), True
    while grown:
        more = {a.removeprefix("misir.") for a, b in edges if b.removeprefix("misir.") in reached}
        grown = not more <= reached
        reached |= more
    assert set(count_rows(owner)) <= reached
