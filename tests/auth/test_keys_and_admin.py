"""Personal API keys, and administrators."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from misir.admin import keys

ME = "7d3c1f5e-0d53-4d5b-9d57-2d5a8a6f4c11"
OTHER = "11111111-2222-4333-8444-555555555555"
SERVICE_KEY = "service-role-key-of-the-project"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def signed_in(guarded: httpx.Client, project: Any) -> httpx.Client:
    guarded.headers.update(bearer(project.token()))
    return guarded


def make_key(client: httpx.Client, *scopes: str) -> dict[str, Any]:
    answer = client.post("/api/v1/api-keys", json={"name": "script", "scopes": list(scopes)})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_key_is_shown_once_and_only_its_hash_is_kept(
    signed_in: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    made = make_key(signed_in, "read", "write")
    secret = made["key"].rpartition("_")[2]
    listed = signed_in.get("/api/v1/api-keys")
    assert secret not in listed.text
    assert listed.json()["keys"][0]["prefix"] == made["key"][: len(made["prefix"])]
    rows = owner.execute("select k::text from misir.api_key k").fetchall()
    assert secret not in str(rows)


def test_a_key_is_its_owner_as_far_as_its_scopes_go(signed_in: httpx.Client) -> None:
    space = signed_in.post("/api/v1/spaces", json={"name": "S"}).json()["id"]
    page = {"space_id": space, "url": "https://a.example", "title": "t"}
    allowed = {"read": (200, 403, 403), "write": (200, 201, 403), "admin": (200, 200, 200)}
    for scope, (reading, writing, managing) in allowed.items():
        key = bearer(make_key(signed_in, scope)["key"])
        assert signed_in.get("/api/v1/spaces", headers=key).status_code == reading
        assert signed_in.get("/api/v1/capture", headers=key).json()["user_id"] == ME
        assert signed_in.post("/api/v1/search", json={"q": "x"}, headers=key).status_code == reading
        assert signed_in.post("/api/v1/capture", json=page, headers=key).status_code == writing, scope
        assert signed_in.get("/api/v1/api-keys", headers=key).status_code == managing


def test_a_key_says_when_it_was_used_and_can_be_revoked(signed_in: httpx.Client, project: Any) -> None:
    made = make_key(signed_in, "read")
    assert signed_in.get("/api/v1/spaces", headers=bearer(made["key"])).status_code == 200
    assert signed_in.get("/api/v1/api-keys").json()["keys"][0]["last_used_at"]
    stranger = bearer(project.token(sub=OTHER))
    assert signed_in.delete(f"/api/v1/api-keys/{made['id']}", headers=stranger).status_code == 404
    assert signed_in.delete(f"/api/v1/api-keys/{made['id']}").status_code == 200
    assert signed_in.delete(f"/api/v1/api-keys/{made['id']}").status_code == 404
    assert signed_in.get("/api/v1/spaces", headers=bearer(made["key"])).status_code == 401


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}, {}]
)
def test_a_key_needs_a_name_and_known_scopes(signed_in: httpx.Client, wrong: dict[str, Any]) -> None:
    assert signed_in.post("/api/v1/api-keys", json=wrong).status_code == 422


# ---- administrators ---------------------------------------------------------------------------------


@pytest.fixture
def governed(
    run_app: Callable[..., httpx.Client], project: Any, server_url: Callable[..., str], database: str
) -> httpx.Client:
    """A deployment with a service key and a service login; OTHER has one artifact."""
    client = run_app(
        MOCK_AUTH=False,
        SUPABASE_URL=project.url,
        SUPABASE_SERVICE_KEY=SERVICE_KEY,
        DATABASE_SERVICE_URL=server_url(database, "misir_worker"),
    )
    as_other = bearer(project.token(sub=OTHER))
    space = client.post("/api/v1/spaces", json={"name": "S"}, headers=as_other).json()["id"]
    page = {"space_id": space, "url": "https://a.example", "title": "a page of somebody else's"}
    assert client.post("/api/v1/capture", json=page, headers=as_other).status_code == 201
    return client


def admins(project: Any) -> dict[str, dict[str, str]]:
    return {
        "service": bearer(SERVICE_KEY),
        ME: bearer(project.token(app_metadata={"role": "admin"})),
    }


def test_administrators_act_on_others_and_leave_a_trace(
    governed: httpx.Client, project: Any, owner: psycopg.Connection[Any]
) -> None:
    path = f"/api/v1/admin/users/{OTHER}/artifacts"
    for actor, headers in admins(project).items():
        assert [
            u["user_id"] for u in governed.get("/api/v1/admin/users", headers=headers).json()["users"]
        ] == [OTHER]
        item = governed.get(path, headers=headers).json()["items"][0]
        assert item["user_id"] == OTHER
        one = f"{path}/{item['id']}"
        assert governed.get(one, headers=headers).status_code == 200
        assert (
            governed.patch(one, json={"title": f"by {actor}"}, headers=headers).json()["title"]
            == f"by {actor}"
        )
        assert governed.get(f"{path}/999", headers=headers).status_code == 404
    assert governed.delete(one, headers=headers).status_code == 200
    assert governed.post("/api/v1/admin/jwks/purge", headers=headers).status_code == 200
    rows = owner.execute(
        "select actor, action, target_user_id, target from misir.admin_audit where action like 'PATCH%' order by id"
    ).fetchall()
    assert rows == [
        (
            actor,
            "PATCH /admin/users/{user_id}/artifacts/{artifact_id}",
            uuid.UUID(OTHER),
            str(item["id"]),
        )
        for actor in admins(project)
    ]
    assert owner.execute("select count(*) from misir.admin_audit").fetchone() == (12,)


def test_a_purge_of_keys_reaches_every_process(
    governed: httpx.Client,
    run_app: Callable[..., httpx.Client],
    project: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A revoked key is believed where it was seen, until an administrator of another process says otherwise."""
    monkeypatch.setattr(keys, "LOOK_EVERY_S", 0.05)
    elsewhere = run_app(MOCK_AUTH=False, SUPABASE_URL=project.url)
    headers = bearer(project.token())
    assert elsewhere.get("/api/v1/spaces", headers=headers).status_code == 200
    project.drop_key("ec-1")
    assert elsewhere.get("/api/v1/spaces", headers=headers).status_code == 200
    assert governed.post("/api/v1/admin/jwks/purge", headers=bearer(SERVICE_KEY)).status_code == 200
    deadline = time.monotonic() + 5
    while elsewhere.get("/api/v1/spaces", headers=headers).status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_path_that_makes_no_sense_is_422_for_administrators_too(governed: httpx.Client) -> None:
    for path in ("/users/nobody/artifacts", f"/users/{OTHER}/artifacts/x", "/users/%00/artifacts/%00"):
        assert governed.get(f"/api/v1/admin{path}", headers=bearer(SERVICE_KEY)).status_code == 422


def test_nobody_else_is_an_administrator(
    governed: httpx.Client, project: Any, owner: psycopg.Connection[Any]
) -> None:
    admin_key = make_key_for(governed, project)
    strangers = {
        403: [
            bearer(project.token()),
            bearer(project.token(user_metadata={"role": "admin"})),
            bearer(project.token(app_metadata={"role": "Admin"})),
            bearer(project.token(app_metadata=["admin"])),
            bearer(admin_key),
        ],
        401: [
            {},
            bearer(SERVICE_KEY[:-1]),
            bearer(SERVICE_KEY + "x"),
            bearer(project.token(app_metadata={"role": "admin"}, exp=1)),
        ],
    }
    paths = ["/users", f"/users/{OTHER}/artifacts", f"/users/{OTHER}/artifacts/1"]
    for status, callers in strangers.items():
        for headers in callers:
            assert {governed.get(f"/api/v1/admin{path}", headers=headers).status_code for path in paths} == {
                status
            }
            assert (
                governed.delete(f"/api/v1/admin/users/{OTHER}/artifacts/1", headers=headers).status_code
                == status
            )
            assert governed.post("/api/v1/admin/jwks/purge", headers=headers).status_code == status
    assert owner.execute("select count(*) from misir.admin_audit").fetchone() == (0,)


def make_key_for(client: httpx.Client, project: Any) -> str:
    body = {"name": "k", "scopes": ["admin"]}
    return str(client.post("/api/v1/api-keys", json=body, headers=bearer(project.token())).json()["key"])


def test_the_service_key_is_worth_nothing_elsewhere(governed: httpx.Client) -> None:
    for path in ("/spaces", "/capture", "/artifacts", "/api-keys"):
        assert governed.get(f"/api/v1{path}", headers=bearer(SERVICE_KEY)).status_code == 401


def test_without_an_audit_there_is_no_act(governed: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    owner.execute("alter table misir.admin_audit add constraint full_disk check (id < 0) not valid")
    answer = governed.delete(f"/api/v1/admin/users/{OTHER}/artifacts/1", headers=bearer(SERVICE_KEY))
    assert answer.status_code == 500
    assert owner.execute("select count(*) from misir.artifact where deleted_at is null").fetchone() == (1,)


def test_without_a_service_login_administration_says_so(guarded: httpx.Client, project: Any) -> None:
    answer = guarded.get("/api/v1/admin/users", headers=bearer(project.token(app_metadata={"role": "admin"})))
    assert answer.status_code == 503
    assert "DATABASE_SERVICE_URL" in answer.json()["detail"]
