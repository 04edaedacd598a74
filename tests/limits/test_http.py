"""Limits as a client meets them: header fields, refusals, and who is counted with whom."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

ISSUER = "http://127.0.0.1:9"
SECRET = "a secret that is long enough for HS256"
Run = Callable[..., httpx.Client]


@pytest.fixture
def app(run_app: Run) -> Run:
    def start(**settings: Any) -> httpx.Client:
        return run_app(**{"RATE_LIMIT_ENABLED": True, **settings})

    return start


@pytest.fixture
def signed(app: Run) -> Run:
    """An app with real tokens."""

    def start(**settings: Any) -> httpx.Client:
        return app(MOCK_AUTH=False, SUPABASE_URL=ISSUER, SUPABASE_JWT_SECRET=SECRET, **settings)

    return start


def bearer(user: uuid.UUID) -> dict[str, str]:
    now = int(time.time())
    claims = {"iss": f"{ISSUER}/auth/v1", "aud": "authenticated", "role": "authenticated", "sub": str(user),
              "iat": now, "exp": now + 600}  # fmt: skip
    return {"Authorization": "Bearer " + jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "k"})}


def statuses(client: httpx.Client, path: str, n: int, **options: Any) -> list[int]:
    return [client.get(path, **options).status_code for _ in range(n)]


def test_every_answer_says_what_is_left_and_a_refusal_when_to_come_back(app: Run) -> None:
    client = app(RATE_LIMIT_DEFAULT=3)
    for left in (2, 1, 0):
        answer = client.get("/api/v1/spaces", headers={"Origin": "http://localhost:3000"})
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60'
        assert answer.headers["ratelimit"] in {f'"default";r={left};t=60', f'"default";r={left};t=59'}
    refused = client.get("/api/v1/spaces", headers={"Origin": "http://localhost:3000"})
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert 55 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["retry-after"] in refused.json()["detail"]
    assert refused.headers["ratelimit"].startswith('"default";r=0;t=')
    assert refused.headers["ratelimit-policy"] == '"default";q=3;w=60'
    assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert refused.headers["x-request-id"] == refused.json()["request_id"]
    assert client.get("/problems/too-many-requests").status_code == 200


def test_errors_carry_the_fields_too_and_templates_have_buckets_of_their_own(app: Run) -> None:
    client = app(RATE_LIMIT_DEFAULT=2)
    answers = [client.get(f"/api/v1/spaces/{i}") for i in (7, 8, 9)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert answers[0].headers["ratelimit"].startswith('"default";r=1;')
    assert client.get("/api/v1/spaces").status_code == 200
    assert client.get("/api/v1/spaces/").headers["ratelimit"].startswith('"default";r=0;')


def test_users_do_not_share(signed: Run) -> None:
    client = signed(RATE_LIMIT_DEFAULT=2)
    one, other = bearer(uuid.uuid4()), bearer(uuid.uuid4())
    assert statuses(client, "/api/v1/spaces", 3, headers=one) == [200, 200, 429]
    assert statuses(client, "/api/v1/spaces", 2, headers=other) == [200, 200]


def test_a_flood_of_401_is_limited_and_a_verified_user_on_the_same_address_is_not(signed: Run) -> None:
    client = signed()
    forged = {"Authorization": bearer(uuid.uuid4())["Authorization"][:-4] + "AAAA"}
    assert statuses(client, "/api/v1/spaces", 60, headers=forged) == [401] * 60
    refused = client.get("/api/v1/spaces", headers=forged)
    assert refused.status_code == 429
    assert refused.headers["ratelimit-policy"] == '"unauthenticated";q=60;w=60'
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert "bearer" not in refused.text
    assert statuses(client, "/api/v1/spaces", 20) == [429] * 20
    assert statuses(client, "/api/v1/spaces", 50, headers=bearer(uuid.uuid4())) == [200] * 50
    assert client.get("/health").status_code == 200


def test_a_refused_flood_is_not_even_verified(signed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed(RATE_LIMIT_UNAUTHENTICATED=1)
    forged = {"Authorization": "Bearer a.b.c"}
    assert statuses(client, "/api/v1/spaces", 2, headers=forged) == [401, 429]

    async def no_work(*_: object) -> None:
        raise AssertionError("this was to be refused before")

    monkeypatch.setattr("misir.plumbing.auth.SupabaseTokens.verify", no_work)
    assert statuses(client, "/api/v1/spaces", 5, headers=forged) == [429] * 5


def test_a_flood_of_404_and_405_is_limited_and_the_users_routes_are_not(app: Run) -> None:
    client = app()
    assert statuses(client, "/api/v1/nothing", 30) == [404] * 30
    assert [client.put("/api/v1/spaces").status_code for _ in range(30)] == [405] * 30
    assert statuses(client, "/nothing", 5) == [429] * 5
    assert client.get("/api/v1/spaces").status_code == 200
    assert client.get("/docs").status_code == 200


def test_free_paths_and_preflights_are_never_counted(app: Run) -> None:
    client = app(RATE_LIMIT_PAGES=1, RATE_LIMIT_UNAUTHENTICATED=1, RATE_LIMIT_DEFAULT=1)
    for path in ("/", "/health", "/health/ready"):
        answers = [client.get(path) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {200}
        assert not any("ratelimit" in answer.headers for answer in answers)
    ask = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
    assert {client.options("/api/v1/spaces", headers=ask).status_code for _ in range(5)} == {200}
    assert client.get("/api/v1/spaces").status_code == 200


def test_pages_have_a_bucket_of_their_own(app: Run) -> None:
    client = app(RATE_LIMIT_PAGES=3)
    answers = [client.get("/docs") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"pages";q=3;w=60'
    assert client.get("/docs").status_code == 429
    assert client.get("/api/v1/openapi.json").headers["ratelimit-policy"] == '"unauthenticated";q=60;w=60'


@pytest.mark.parametrize("forwarded", ["{}.{}.3.4", "1.2.3.4:{}{}", "9.9.{}.{}, 6.6.6.6"])
def test_a_spoofed_address_has_no_effect(signed: Run, forwarded: str) -> None:
    client = signed(RATE_LIMIT_UNAUTHENTICATED=5)
    spoofed = [{"X-Forwarded-For": forwarded.format(i, i), "X-Real-IP": f"5.5.5.{i}"} for i in range(1, 9)]
    answers = [client.get("/api/v1/spaces", headers=headers).status_code for headers in spoofed]
    assert answers == [401] * 5 + [429] * 3


def test_behind_a_trusted_proxy_each_client_counts_apart(signed: Run) -> None:
    client = signed(RATE_LIMIT_UNAUTHENTICATED=2, TRUSTED_PROXIES="127.0.0.0/8")
    for address in ("198.51.100.1", "198.51.100.2", "2001:db8::1"):
        spoofed = [{"X-Forwarded-For": f"6.6.6.{i}, {address}"} for i in range(3)]
        answers = [client.get("/api/v1/spaces", headers=headers).status_code for headers in spoofed]
        assert answers == [401, 401, 429]


def test_the_guide_shows_what_is_left_without_spending_it(app: Run) -> None:
    client = app()
    for _ in range(2):
        limits = client.get("/api/v1/capture").json()["limits"]
        assert limits["POST /api/v1/capture"] == {"limit": 100, "remaining": 100, "reset_s": 0}
    client.post("/api/v1/capture", json={})
    limits = client.get("/api/v1/capture").json()["limits"]
    assert limits["POST /api/v1/capture"]["remaining"] == 99
    assert limits["POST /api/v1/artifacts"]["remaining"] == 100


def test_switched_off_there_is_no_trace_of_limits(app: Run) -> None:
    client = app(RATE_LIMIT_ENABLED=False, RATE_LIMIT_DEFAULT=1, RATE_LIMIT_UNAUTHENTICATED=1)
    assert statuses(client, "/api/v1/spaces", 3) == [200] * 3
    assert statuses(client, "/nothing", 3) == [404] * 3
    assert "ratelimit" not in client.get("/api/v1/spaces").headers
    assert client.get("/api/v1/capture").json()["limits"] == {}
