"""Every refusal is problem+json, carries the request id and CORS, and gives nothing away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

ORIGIN = "http://localhost:3000"
SECRET = "the submitted text nobody else may read"


def assert_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = dict(answer.json())
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    assert isinstance(problem["detail"], str)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert answer.headers.get("access-control-allow-origin") == ORIGIN
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    return problem


@pytest.fixture
def client(api: httpx.Client) -> httpx.Client:
    api.headers["Origin"] = ORIGIN
    return api


def test_unknown_paths_and_methods(client: httpx.Client) -> None:
    assert_problem(client.get("/nowhere"), 404, "not-found")
    assert_problem(client.get("/api/v1/nowhere"), 404, "not-found")
    answer = client.put("/api/v1/spaces")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


def test_absent_objects_and_impossible_ids(client: httpx.Client) -> None:
    assert_problem(client.get("/api/v1/artifacts/1"), 404, "not-found")
    for impossible in ("0", "-1", str(2**63), "1e3", "x"):
        assert_problem(client.get(f"/api/v1/artifacts/{impossible}"), 422, "validation-error")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"name": NaN}', b'{"name": "\\ud800"}', b"[" * 100_000, b'{"a":' * 5000],
)  # fmt: skip
def test_bodies_that_are_no_json_of_ours(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/api/v1/spaces", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_validation_error_names_the_field_and_echoes_nothing(client: httpx.Client) -> None:
    body = {
        "space_id": 1,
        "url": "https://a.example",
        "title": SECRET,
        "content": SECRET,
        "scroll_depth": SECRET,
    }
    problem = assert_problem(client.post("/api/v1/capture", json=body), 422, "validation-error")
    assert [error["loc"] for error in problem["errors"]] == [["body", "scroll_depth"]]


def test_too_large_with_and_without_a_length(client: httpx.Client) -> None:
    announced = client.post("/api/v1/capture", content=b"x" * (8 * 1024 * 1024 + 1))
    assert_problem(announced, 413, "too-large")

    def chunks() -> Any:
        for _ in range(9 * 16):
            yield b" " * 65536

    try:
        unannounced = client.post(
            "/api/v1/capture", content=chunks(), headers={"Content-Type": "application/json"}
        )
    except httpx.WriteError:  # the server answered and hung up before we had sent it all
        return
    assert_problem(unannounced, 413, "too-large")


def test_a_mistake_of_ours_is_500_and_tells_nothing(run_app: Callable[..., httpx.Client], fakes: Any) -> None:
    broken = fakes.embedder_of()
    # A mistake nobody foresaw
    broken._engine._backend.ready().run = lambda windows: windows.no_such_thing
    client = run_app(embedder=broken)
    client.headers["Origin"] = ORIGIN
    space = client.post("/api/v1/spaces", json={"name": "S"}).json()["id"]
    page = {"space_id": space, "url": "https://a.example", "title": SECRET}
    problem = assert_problem(client.post("/api/v1/capture", json=page), 500, "internal-error")
    assert "no_such_thing" not in str(problem)


def test_a_request_id_is_taken_over_when_it_is_sane(client: httpx.Client) -> None:
    assert client.get("/health", headers={"X-Request-ID": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for odd in ("a b", "x" * 65, "<script>"):
        assert client.get("/health", headers={"X-Request-ID": odd}).headers["x-request-id"] != odd


def test_preflight_is_answered_without_a_user(run_app: Callable[..., httpx.Client]) -> None:
    client = run_app(MOCK_AUTH=False)
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = client.options("/api/v1/spaces", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-max-age"] == "600"
    other = client.options("/api/v1/spaces", headers=asked | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_extensions_may_be_allowed_by_id(run_app: Callable[..., httpx.Client]) -> None:
    client = run_app(CORS_EXTENSION_IDS="abcdefgh")
    answer = client.get("/health", headers={"Origin": "chrome-extension://abcdefgh"})
    assert answer.headers["access-control-allow-origin"] == "chrome-extension://abcdefgh"


def test_without_mock_auth_everything_is_401_or_503(run_app: Callable[..., httpx.Client]) -> None:
    client = run_app(MOCK_AUTH=False)
    client.headers["Origin"] = ORIGIN
    refused = client.get("/api/v1/capture")
    assert_problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"
    for odd in ("Bearer", "Bearer x", "Basic dTpw", "Bearer a.b.c d"):
        assert client.get("/api/v1/capture", headers={"Authorization": odd}).json() | {
            "request_id": ""
        } == refused.json() | {"request_id": ""}
    no_provider = client.get(
        "/api/v1/capture", headers={"Authorization": "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}
    )
    assert_problem(no_provider, 503, "unavailable")


def test_every_data_route_asks_who_is_calling(run_app: Callable[..., httpx.Client]) -> None:
    client = run_app(MOCK_AUTH=False)
    routes = [
        (method, path)
        for path, methods in client.get("/api/v1/openapi.json").json()["paths"].items()
        if path.startswith("/api/v1")
        for method in methods
    ]
    assert len(routes) >= 15
    for method, path in routes:
        answer = client.request(method.upper(), path.replace("{space_id}", "1").replace("{artifact_id}", "1"))
        assert answer.status_code == 401, (method, path)
