"""Every route, every kind of caller, own, foreign and absent ids: nobody reaches another's data.

The routes come from the OpenAPI document; one that is not in REQUESTS below fails the first test.
"""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import psycopg
import pytest

from misir.app import create_app
from misir.settings import Settings

ME = "7d3c1f5e-0d53-4d5b-9d57-2d5a8a6f4c11"
OTHER = "11111111-2222-4333-8444-555555555555"
SERVICE_KEY = "service-role-key-of-the-project"
ABSENT = 987_654_321


@dataclass(frozen=True)
class Sent:
    """A request that succeeds when its ids are the caller's own. `{space}` stands for an id of that kind."""

    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    needs: str = "read"
    file: bytes | None = None
    """Sent as a form with this file, and the body as its fields."""


PAGE = {"space_id": "{space}", "url": "https://new.example/page", "title": "sea"}
PLACED = PAGE | {"subspace_id": "{topic}", "session_id": "{session}", "matched_marker_ids": ["{marker}"]}
REQUESTS: dict[str, list[Sent]] = {
    "GET /api/v1/capture": [Sent("/capture")],
    "POST /api/v1/capture": [Sent("/capture", body=PLACED, needs="write")],
    "POST /api/v1/artifacts/capture": [Sent("/artifacts/capture", body=PLACED, needs="write")],
    "POST /api/v1/artifacts": [Sent("/artifacts", body=PLACED, needs="write")],
    "POST /api/v1/artifacts/batch": [
        Sent("/artifacts/batch", body={"artifacts": [PAGE | {"space_id": "{space?}"}]}, needs="write")
    ],
    "POST /api/v1/artifacts/ingest": [
        Sent("/artifacts/ingest", body={"space_id": "{space}"}, needs="write", file=b"# sea")
    ],
    "GET /api/v1/export": [
        Sent("/export", {"space_id": "{space}"}),
        Sent("/export", {"format": "bookmarks"}),
    ],
    "GET /api/v1/imports": [Sent("/imports")],
    "POST /api/v1/imports": [
        Sent("/imports", body={"space_id": "{space}"}, needs="write", file=b"https://new.example/ sea"),
        Sent(
            "/imports",
            body={"space_id": "{space}", "dry_run": "true"},
            needs="write",
            file=b"https://a.example/",
        ),
    ],
    "GET /api/v1/imports/{import_id}": [Sent("/imports/{import}")],
    "POST /api/v1/imports/{import_id}/undo": [Sent("/imports/{import}/undo", needs="write")],
    "GET /api/v1/spaces": [Sent("/spaces")],
    "POST /api/v1/spaces": [
        Sent("/spaces", body={"name": "New", "subspaces": [{"name": "T", "markers": ["sea"]}]}, needs="write")
    ],
    "GET /api/v1/spaces/{space_id}": [Sent("/spaces/{space}")],
    "PATCH /api/v1/spaces/{space_id}": [
        Sent("/spaces/{space}", body={"name": "Renamed", "intention": "sea"}, needs="write")
    ],
    "DELETE /api/v1/spaces/{space_id}": [
        Sent("/spaces/{space}", needs="write"),
        Sent("/spaces/{space}", {"purge": "true"}, needs="write"),
    ],
    "POST /api/v1/spaces/{space_id}/restore": [Sent("/spaces/{space}/restore", needs="write")],
    "GET /api/v1/spaces/{space_id}/timeline": [Sent("/spaces/{space}/timeline")],
    "GET /api/v1/spaces/{space_id}/subspaces": [Sent("/spaces/{space}/subspaces", {"include": "centroid"})],
    "POST /api/v1/spaces/{space_id}/subspaces": [
        Sent("/spaces/{space}/subspaces", body={"name": "New", "markers": ["sea", "new"]}, needs="write")
    ],
    "GET /api/v1/spaces/{space_id}/subspaces/{subspace_id}": [Sent("/spaces/{space}/subspaces/{topic}")],
    "PATCH /api/v1/spaces/{space_id}/subspaces/{subspace_id}": [
        Sent("/spaces/{space}/subspaces/{topic}", body={"name": "Ocean"}, needs="write")
    ],
    "GET /api/v1/spaces/{space_id}/events": [Sent("/spaces/{space}/events")],
    "GET /api/v1/subspaces/{subspace_id}": [Sent("/subspaces/{topic}", {"include": "centroid"})],
    "PATCH /api/v1/subspaces/{subspace_id}": [
        Sent("/subspaces/{topic}", body={"name": "Ocean", "pinned": True}, needs="write")
    ],
    "DELETE /api/v1/subspaces/{subspace_id}": [Sent("/subspaces/{topic}", needs="write")],
    "POST /api/v1/subspaces/{subspace_id}/merge": [
        Sent("/subspaces/{topic}/merge", body={"into": "{other}"}, needs="write")
    ],
    "POST /api/v1/subspaces/{subspace_id}/split": [
        Sent("/subspaces/{topic}/split", body={"artifact_ids": ["{artifact}"]}, needs="write")
    ],
    "POST /api/v1/subspaces/{subspace_id}/retire": [Sent("/subspaces/{topic}/retire", needs="write")],
    "GET /api/v1/spaces/{space_id}/corrections": [Sent("/spaces/{space}/corrections")],
    "POST /api/v1/corrections/{correction_id}/undo": [Sent("/corrections/{correction}/undo", needs="write")],
    "GET /api/v1/subspaces/{subspace_id}/markers": [Sent("/subspaces/{topic}/markers")],
    "POST /api/v1/subspaces/{subspace_id}/markers": [
        Sent("/subspaces/{topic}/markers", body={"label": "new"}, needs="write")
    ],
    "DELETE /api/v1/subspaces/{subspace_id}/markers/{marker_id}": [
        Sent("/subspaces/{topic}/markers/{marker}", needs="write")
    ],
    "GET /api/v1/subspaces/{subspace_id}/history": [Sent("/subspaces/{topic}/history")],
    "GET /api/v1/subspaces/{subspace_id}/events": [Sent("/subspaces/{topic}/events")],
    "GET /api/v1/sessions": [Sent("/sessions")],
    "POST /api/v1/sessions": [Sent("/sessions", body={"external_id": "x"}, needs="write")],
    "GET /api/v1/sessions/{session_id}": [Sent("/sessions/{session}")],
    "PATCH /api/v1/sessions/{session_id}": [
        Sent("/sessions/{session}", body={"totals": {"pages": 3}}, needs="write")
    ],
    "GET /api/v1/spaces/{space_id}/artifacts": [
        Sent("/spaces/{space}/artifacts", {"subspace_id": "{topic?}"})
    ],
    "GET /api/v1/artifacts": [Sent("/artifacts")],
    "GET /api/v1/artifacts/{artifact_id}": [Sent("/artifacts/{artifact}")],
    "GET /api/v1/artifacts/{artifact_id}/explain": [Sent("/artifacts/{artifact}/explain")],
    "GET /api/v1/artifacts/{artifact_id}/similar": [Sent("/artifacts/{artifact}/similar")],
    "PATCH /api/v1/artifacts/{artifact_id}": [
        Sent("/artifacts/{artifact}", body={"title": "sea again"}, needs="write"),
        Sent("/artifacts/{artifact}", body={"subspace_id": "{topic}"}, needs="write"),
        Sent("/artifacts/{artifact}", body={"space_id": "{space}"}, needs="write"),
    ],
    "POST /api/v1/artifacts/bulk": [
        Sent(
            "/artifacts/bulk",
            body={"action": "assign", "artifact_ids": ["{artifact}"], "subspace_id": "{topic}"},
            needs="write",
        ),
        Sent(
            "/artifacts/bulk",
            body={"action": "move", "artifact_ids": ["{artifact}"], "space_id": "{space}"},
            needs="write",
        ),
        Sent("/artifacts/bulk", body={"action": "delete", "artifact_ids": ["{artifact}"]}, needs="write"),
    ],
    "DELETE /api/v1/artifacts/{artifact_id}": [Sent("/artifacts/{artifact}", needs="write")],
    "POST /api/v1/artifacts/{artifact_id}/restore": [Sent("/artifacts/{artifact}/restore", needs="write")],
    "GET /api/v1/diagnostics": [Sent("/diagnostics")],
    "GET /api/v1/analytics/global": [Sent("/analytics/global")],
    "GET /api/v1/spaces/{space_id}/analytics": [Sent("/spaces/{space}/analytics")],
    "GET /api/v1/spaces/{space_id}/analytics/focus": [Sent("/spaces/{space}/analytics/focus")],
    "GET /api/v1/spaces/{space_id}/analytics/drift": [Sent("/spaces/{space}/analytics/drift")],
    "GET /api/v1/spaces/{space_id}/analytics/velocity": [Sent("/spaces/{space}/analytics/velocity")],
    "GET /api/v1/spaces/{space_id}/analytics/confidence": [Sent("/spaces/{space}/analytics/confidence")],
    "GET /api/v1/spaces/{space_id}/topology": [Sent("/spaces/{space}/topology", {"artifacts": "true"})],
    "GET /api/v1/spaces/{space_id}/analytics/margin_distribution": [
        Sent("/spaces/{space}/analytics/margin_distribution")
    ],
    "GET /api/v1/search": [Sent("/search", {"q": "sea", "space_id": "{space}", "subspace_id": "{topic?}"})],
    "POST /api/v1/search": [Sent("/search", body={"q": "sea", "space_ids": ["{space}"]})],
    "GET /api/v1/webhooks": [Sent("/webhooks")],
    "POST /api/v1/webhooks": [Sent("/webhooks", body={"url": "https://new.example/"}, needs="write")],
    "GET /api/v1/webhooks/{webhook_id}": [Sent("/webhooks/{webhook}")],
    "PATCH /api/v1/webhooks/{webhook_id}": [
        Sent("/webhooks/{webhook}", body={"description": "mine"}, needs="write")
    ],
    "DELETE /api/v1/webhooks/{webhook_id}": [Sent("/webhooks/{webhook}", needs="write")],
    "POST /api/v1/webhooks/{webhook_id}/rotate": [Sent("/webhooks/{webhook}/rotate", needs="write")],
    "POST /api/v1/webhooks/{webhook_id}/test": [Sent("/webhooks/{webhook}/test", needs="write")],
    "GET /api/v1/webhooks/{webhook_id}/deliveries": [Sent("/webhooks/{webhook}/deliveries")],
    "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": [
        Sent("/webhooks/{webhook}/deliveries/{delivery}/redeliver", needs="write")
    ],
    "GET /api/v1/spaces/{space_id}/alerts": [Sent("/spaces/{space}/alerts")],
    "GET /api/v1/spaces/{space_id}/analytics/alerts": [Sent("/spaces/{space}/analytics/alerts")],
    "GET /api/v1/insights": [Sent("/insights", {"space_id": "{space?}"})],
    "POST /api/v1/insights/generate": [Sent("/insights/generate", needs="write")],
    "POST /api/v1/insights/{insight_id}/dismiss": [Sent("/insights/{insight}/dismiss", needs="write")],
    "POST /api/v1/insights/{insight_id}/act": [Sent("/insights/{insight}/act", needs="write")],
    "POST /api/v1/insights/{insight_id}/reopen": [Sent("/insights/{insight}/reopen", needs="write")],
    "POST /api/v1/insights/{insight_id}/snooze": [
        Sent("/insights/{insight}/snooze", body={"days": 2}, needs="write")
    ],
    "GET /api/v1/profile": [Sent("/profile")],
    "PATCH /api/v1/profile": [Sent("/profile", body={"settings": {"theme": "dark"}}, needs="write")],
    "PATCH /api/v1/profile/metadata": [Sent("/profile/metadata", body={"timezone": "UTC"}, needs="write")],
    "POST /api/v1/profile/onboard": [Sent("/profile/onboard", body={"display_name": "A"}, needs="write")],
    "DELETE /api/v1/account": [Sent("/account", {"confirm": ME}, needs="admin")],
    "GET /api/v1/api-keys": [Sent("/api-keys", needs="admin")],
    "POST /api/v1/api-keys": [Sent("/api-keys", body={"name": "k"}, needs="admin")],
    "DELETE /api/v1/api-keys/{key_id}": [Sent("/api-keys/{key}", needs="admin")],
}
CASES = [
    pytest.param(operation, sent, id=f"{operation} {number}")
    for operation, all_sent in REQUESTS.items()
    for number, sent in enumerate(all_sent)
]
HOLE = re.compile(r"\{(\w+\??)\}")


def operations() -> set[str]:
    paths = create_app(Settings(_env_file=None)).openapi()["paths"]
    return {
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method in methods
        if path.startswith("/api/v1/") and not path.startswith("/api/v1/admin/")
    }


def test_every_route_is_in_the_matrix() -> None:
    assert operations() == set(REQUESTS)


@dataclass
class World:
    """Two users with a whole library each, and the app between them."""

    client: httpx.Client
    owner: psycopg.Connection[Any]
    project: Any
    ids: dict[str, dict[str, int]]
    keys: dict[str, str]

    def send(
        self, operation: str, sent: Sent, ids: dict[str, int], headers: dict[str, str]
    ) -> httpx.Response:
        method = operation.partition(" ")[0]
        body: dict[str, Any] = {"json": fill(sent.body, ids)} if sent.body is not None else {}
        if sent.file is not None:
            body = {"data": body["json"], "files": {"file": ("a.txt", sent.file)}}
        return self.client.request(
            method, f"/api/v1{fill(sent.path, ids)}", params=fill(sent.query, ids), headers=headers, **body
        )

    def belongings(self, user: str) -> str:
        """Everything a user has, as text: to see that nothing of it changed."""
        tables = (
            "space",
            "subspace",
            "marker",
            "subspace_marker",
            "subspace_event",
            "session",
            "artifact",
            "embedding",
            "signal",
            "correction",
            "correction_move",
            "job",
            "webhook_endpoint",
            "webhook_event",
            "webhook_delivery",
            "idempotency_key",
            "pending_capture",
            "insight",
            "import_run",
            "import_file",
            "import_item",
            "import_ref",
        )
        return str(
            [
                self.owner.execute(
                    f"select t::text from misir.{t} t where user_id = %s order by 1".encode(), [user]
                ).fetchall()
                for t in tables
            ]
        )


def fill(value: Any, ids: dict[str, int]) -> Any:
    """Holes replaced by ids; a hole that is the whole string becomes a number."""
    if isinstance(value, dict):
        return {name: fill(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [fill(one, ids) for one in value]
    if not isinstance(value, str):
        return value
    whole = HOLE.fullmatch(value)
    return ids[whole[1].rstrip("?")] if whole else HOLE.sub(lambda m: str(ids[m[1].rstrip("?")]), value)


def holes(sent: Sent) -> list[str]:
    return sorted(set(HOLE.findall(str([sent.path, sent.query, sent.body]))))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def furnished(
    server_url: Callable[..., str], module_project: Any, fakes: Any, running_app: Callable[..., Any]
) -> Iterator[tuple[str, dict[str, dict[str, int]], dict[str, str]]]:
    """A database with two whole libraries, made over HTTP once; each test gets a copy of it. Ids and keys."""
    name = f"furnished_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name} template misir_template strategy file_copy".encode())
    token = module_project.token
    app = running_app(
        server_url(name, "misir_login"), fakes.embedder_of(sea=fakes.direction(1)), **of(module_project)
    )
    with app as client, psycopg.connect(server_url(name), autocommit=True) as owner:
        ids = {user: furnish(client, owner, bearer(token(sub=user)), user) for user in (OTHER, ME)}
        keys = {
            scope: client.post(
                "/api/v1/api-keys", json={"name": scope, "scopes": [scope]}, headers=bearer(token())
            ).json()["key"]
            for scope in ("read", "write", "admin")
        }
    yield name, ids, keys
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())


def of(project: Any) -> dict[str, Any]:
    return {
        "MOCK_AUTH": False,
        "SUPABASE_URL": project.url,
        "SUPABASE_SERVICE_KEY": SERVICE_KEY,
        "MISIR_SECRET_KEY": "s" * 32,
    }


@pytest.fixture
def world(
    furnished: tuple[str, dict[str, dict[str, int]], dict[str, str]],
    server_url: Callable[..., str],
    project: Any,
    fakes: Any,
    running_app: Callable[..., Any],
) -> Iterator[World]:
    """A copy of both libraries, and an app in front of it."""
    template, ids, keys = furnished
    name = f"world_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"create database {name} template {template} strategy file_copy".encode())
    app = running_app(
        server_url(name, "misir_login"), fakes.embedder_of(sea=fakes.direction(1)), **of(project)
    )
    with app as client, psycopg.connect(server_url(name), autocommit=True) as owner:
        yield World(client, owner, project, ids, keys)
    with psycopg.connect(server_url("postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)".encode())


def furnish(
    client: httpx.Client, owner: psycopg.Connection[Any], headers: dict[str, str], user: str
) -> dict[str, int]:
    space = client.post(
        "/api/v1/spaces",
        json={"name": "S", "subspaces": [{"name": "Sea", "markers": ["sea"]}]},
        headers=headers,
    ).json()["id"]
    topic = client.get(f"/api/v1/spaces/{space}/subspaces", headers=headers).json()[0]["id"]
    page = {"space_id": space, "url": "https://old.example/", "title": "sea", "content": f"secret of {user}"}
    artifact = client.post("/api/v1/capture", json=page, headers=headers).json()["artifact_id"]
    for number in (2, 3):
        more = page | {"url": f"https://old.example/{number}"}
        client.post("/api/v1/capture", json=more, headers=headers)
    other = client.post(
        f"/api/v1/spaces/{space}/subspaces", json={"name": "Shore", "markers": ["shore"]}, headers=headers
    ).json()["id"]
    moved = client.patch(
        f"/api/v1/artifacts/{artifact + 1}", json={"subspace_id": other}, headers=headers
    ).json()["correction_id"]
    key = client.post("/api/v1/api-keys", json={"name": "spare"}, headers=headers).json()["id"]
    hook = client.post("/api/v1/webhooks", json={"url": "https://hooks.example/"}, headers=headers).json()[
        "id"
    ]
    delivery = client.post(f"/api/v1/webhooks/{hook}/test", headers=headers).json()["id"]
    session = owner.execute(
        "insert into misir.session (user_id, external_id) values (%s, 'x') returning id", [user]
    ).fetchone()
    imported = client.post(
        "/api/v1/imports",
        data={"space_id": space},
        files={"file": ("a.txt", b"https://a.example/")},
        headers=headers,
    ).json()["id"]
    marker = owner.execute("select id from misir.marker where user_id = %s", [user]).fetchone()
    insight = owner.execute(
        "insert into misir.insight (user_id, space_id, rule, dedupe_key, category, headline, description, severity) "
        "values (%s, %s, 'echo', 'k', 'sources', 'H', 'D', 'low') returning id",
        [user, space],
    ).fetchone()
    assert session is not None
    assert marker is not None
    assert insight is not None
    return {
        "insight": insight[0],
        "space": space,
        "topic": topic,
        "other": other,
        "correction": moved,
        "artifact": artifact,
        "key": key,
        "webhook": hook,
        "delivery": delivery,
        "import": imported,
        "session": session[0],
        "marker": marker[0],
    }


def what_it_says(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name not in {"instance", "request_id"}}


@pytest.mark.parametrize(("operation", "sent"), CASES)
def test_foreign_looks_like_absent_and_is_left_alone(world: World, operation: str, sent: Sent) -> None:
    mine, theirs = world.ids[ME], world.ids[OTHER]
    headers = bearer(world.project.token())
    before = world.belongings(OTHER)
    for hole in holes(sent):
        kind = hole.rstrip("?")
        foreign = world.send(operation, sent, mine | {kind: theirs[kind]}, headers)
        absent = world.send(operation, sent, mine | {kind: ABSENT}, headers)
        assert foreign.status_code == absent.status_code, hole
        assert f"secret of {OTHER}" not in foreign.text
        if hole.endswith("?"):  # a filter: what it names is not looked up, it only narrows
            assert foreign.status_code == 200
            assert "secret" not in foreign.text
        else:
            assert foreign.status_code == 404, (hole, foreign.text)
            assert what_it_says(foreign) == what_it_says(absent)
    assert world.send(operation, sent, mine, headers).is_success
    assert world.belongings(OTHER) == before


@pytest.mark.parametrize(("operation", "sent"), CASES)
def test_every_kind_of_caller_gets_what_is_theirs(world: World, operation: str, sent: Sent) -> None:
    mine, token = world.ids[ME], world.project.token
    refused = {
        "no token": {},
        "expired": bearer(token(exp=1)),
        "anonymous sign-in": bearer(token(is_anonymous=True)),
        "service key": bearer(SERVICE_KEY),
        "service role": bearer(token(role="service_role")),
        "unknown API key": bearer("misir_00000000_" + "A" * 43),
    }
    before = world.belongings(ME), world.belongings(OTHER)
    for caller, headers in refused.items():
        assert world.send(operation, sent, mine, headers).status_code == 401, caller
    ranks = ("read", "write", "admin")
    for scope in ranks[: ranks.index(sent.needs)]:
        assert world.send(operation, sent, mine, bearer(world.keys[scope])).status_code == 403, scope
    stranger = world.send(operation, sent, mine, bearer(token(sub=OTHER)))
    assert f"secret of {ME}" not in stranger.text
    assert (world.belongings(ME), world.belongings(OTHER)) == before or not holes(sent)
    assert world.send(operation, sent, mine, bearer(world.keys["admin"])).is_success


def test_no_body_and_no_query_may_name_another_user(world: World) -> None:
    """Every route. Repeating who one is, in whatever case, changes nothing."""
    headers, mine = bearer(world.project.token()), world.ids[ME]
    before = world.belongings(ME), world.belongings(OTHER)
    cases = [(operation, sent) for operation, all_sent in REQUESTS.items() for sent in all_sent]
    for operation, sent in cases:
        asked = replace(sent, query=sent.query | {"user_id": OTHER})
        assert world.send(operation, asked, mine, headers).status_code == 403, operation
        if sent.body is not None:
            claimed = replace(sent, body=sent.body | {"user_id": OTHER})
            assert world.send(operation, claimed, mine, headers).status_code == 403, operation
    assert (world.belongings(ME), world.belongings(OTHER)) == before
    for operation, sent in cases:
        if sent.body is not None:
            claimed = replace(sent, body=sent.body | {"user_id": ME.upper()})
            # What an earlier request of this loop did may be in the way of a later one: that is no refusal.
            assert world.send(operation, claimed, mine, headers).status_code in {200, 201, 202, 404, 409}, (
                operation
            )


# ---- the database behind it ---------------------------------------------------------------------------


OWN = "(user_id = ( SELECT auth.uid() AS uid))"


def loose_policies(conn: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Policies that are not the one sentence, and tables where the owner would be exempt."""
    rows = conn.execute(
        "select tablename, policyname, cmd, qual, with_check from pg_policies where schemaname = 'misir'"
    ).fetchall()
    expected = {"SELECT": (OWN, None), "INSERT": (None, OWN), "UPDATE": (OWN, OWN), "DELETE": (OWN, None)}
    return [(table, name) for table, name, verb, using, check in rows if (using, check) != expected.get(verb)]


def policies(conn: psycopg.Connection[Any]) -> list[tuple[str, str, str]]:
    return conn.execute(
        "select tablename, policyname, cmd from pg_policies where schemaname = 'misir' order by 1, 2"
    ).fetchall()


@pytest.fixture
def two_rows(server_url: Callable[..., str], database: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection to a database where ME has a row in the tables people write."""
    with psycopg.connect(server_url(database), autocommit=True) as conn:
        conn.execute("insert into misir.space (user_id, name) values (%s, 'S')", [ME])
        conn.execute(
            "insert into misir.subspace (user_id, space_id, name) select user_id, id, 'T' from misir.space"
        )
        conn.execute(
            "insert into misir.artifact (user_id, space_id, url, normalized_url, url_hash, content_hash) "
            "select user_id, id, 'u', 'u', '\\x00', '\\x00' from misir.space"
        )
        # Who changed a page of somebody else's would be stopped by the rights on its sum, too: a fence behind the fence.
        conn.execute("alter table misir.artifact disable trigger forget_sums_of_changed")
        conn.execute("insert into misir.session (user_id, external_id) values (%s, 'x')", [ME])
        conn.execute("insert into misir.profile (user_id) values (%s)", [ME])
        conn.execute(
            "insert into misir.api_key (user_id, name, prefix, key_hash, scopes) values (%s, 'k', 'p', '\\x00', '{read}')",
            [ME],
        )
        yield conn


def leaks(app_url: str, table: str, verb: str) -> bool:
    """Can OTHER do this to ME's row, as the app would?"""
    statements = {
        "SELECT": f"select 1 from misir.{table} where user_id = %(me)s",
        "UPDATE": f"update misir.{table} set user_id = user_id where user_id = %(me)s",
        "DELETE": f"delete from misir.{table} where user_id = %(me)s",
        "INSERT": f"insert into misir.{table} (user_id) values (%(me)s)",
    }
    with psycopg.connect(app_url) as conn:
        conn.execute(
            "select set_config('role', 'misir_app', true), set_config('request.jwt.claims', %s, true)",
            [f'{{"sub": "{OTHER}"}}'],
        )
        try:
            return conn.execute(statements[verb].encode(), {"me": ME}).rowcount > 0
        except psycopg.errors.InsufficientPrivilege:
            return False
        except psycopg.errors.IntegrityError:
            return True  # the policy let it pass; only another column's constraint did not
        finally:
            conn.rollback()


def test_loosening_any_one_policy_is_noticed(two_rows: psycopg.Connection[Any], app_url: str) -> None:
    """Each policy is loosened in turn: the catalogue check must see it, and where there is a row to reach, the
    row must be reachable, or the policy would be guarding nothing.
    """
    assert loose_policies(two_rows) == []
    with_rows = {"space", "artifact", "session", "profile", "api_key"}
    all_policies = policies(two_rows)
    assert len(all_policies) >= 60
    for table, name, verb in all_policies:
        clause = {"INSERT": "with check (true)", "UPDATE": "using (true) with check (true)"}.get(
            verb, "using (true)"
        )
        two_rows.execute(f"alter policy {name} on misir.{table} {clause}".encode())
        assert loose_policies(two_rows) == [(table, name)]
        if table in with_rows and name.startswith("own_") and name != "own_select_by_data_api":
            # A row is only found to be changed by those who may see it, so the reading policy opens with it.
            with opened(two_rows, table, needed=verb in {"UPDATE", "DELETE"}):
                assert leaks(app_url, table, verb), (table, verb)
        own = "user_id = (select auth.uid())"
        tight = {"INSERT": f"with check ({own})", "UPDATE": f"using ({own}) with check ({own})"}.get(
            verb, f"using ({own})"
        )
        two_rows.execute(f"alter policy {name} on misir.{table} {tight}".encode())
    assert loose_policies(two_rows) == []


@contextmanager
def opened(conn: psycopg.Connection[Any], table: str, *, needed: bool) -> Iterator[None]:
    """Everybody may read the table meanwhile."""
    if needed:
        conn.execute(f"alter policy own_select on misir.{table} using (true)".encode())
    yield
    if needed:
        conn.execute(
            f"alter policy own_select on misir.{table} using (user_id = (select auth.uid()))".encode()
        )


def test_a_thousand_requests_of_fifty_users_over_two_connections_mix_nothing(
    run_app: Callable[..., httpx.Client], project: Any, fakes: Any
) -> None:
    """Some are cut off in the middle. Whatever a connection did before, the next user sees only their own."""
    embedder = fakes.embedder_of(sea=fakes.direction(1))
    client = run_app(MOCK_AUTH=False, SUPABASE_URL=project.url, DB_POOL_SIZE=2, embedder=embedder)
    users = [str(uuid.UUID(int=number, version=4)) for number in range(50)]
    tokens = {user: bearer(project.token(sub=user)) for user in users}
    for user in users:
        assert (
            client.post("/api/v1/spaces", json={"name": f"space of {user}"}, headers=tokens[user]).status_code
            == 201
        )
    chance = random.Random(7)  # noqa: S311 - a seed, not a secret
    answers = asyncio.run(
        storm(str(client.base_url), [chance.choice(users) for _ in range(1000)], tokens, chance)
    )
    answered = [one for one in answers if one is not None]
    assert len(answered) >= 600
    for user, status, text in answered:
        assert status in {200, 503}
        if status == 200:
            assert set(re.findall(r"space of ([0-9a-f-]{36})", text)) == {user}
    assert sum(status == 200 for _, status, _ in answered) >= 500


async def storm(
    base_url: str, callers: list[str], tokens: dict[str, dict[str, str]], chance: random.Random
) -> list[tuple[str, int, str] | None]:
    limit = asyncio.Semaphore(16)

    async def one(
        http: httpx.AsyncClient, user: str, cut_after_s: float | None
    ) -> tuple[str, int, str] | None:
        async with limit:
            try:
                async with asyncio.timeout(cut_after_s):
                    answer = await http.get("/api/v1/spaces", headers=tokens[user])
            except TimeoutError:
                return None
        return user, answer.status_code, answer.text

    async with httpx.AsyncClient(base_url=base_url, timeout=30, trust_env=False) as http:
        cuts = [chance.uniform(0.001, 0.01) if chance.random() < 0.2 else None for _ in callers]
        return await asyncio.gather(*(one(http, user, cut) for user, cut in zip(callers, cuts, strict=True)))
