"""Errors as pages: for browsers, outside the API, whatever went wrong; with the status and headers they would have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from misir.app import create_app
from misir.settings import Settings

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
Html = Callable[..., httpx.Response]


@pytest.mark.parametrize(
    "path", ["/nothing", "/problems/nonsense", "/app/spaces/999999", "/app/no/such/page"]
)
def test_nothing_there_is_a_page_for_a_browser(library: str, html: Html, path: str) -> None:
    page = html(library + path)
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "There is nothing here" in page.text


def test_programs_and_the_api_get_json_as_ever(library: str, html: Html) -> None:
    program = httpx.get(library + "/nothing")
    assert program.headers["content-type"] == "application/problem+json"
    assert program.headers["vary"].split(", ")[0] == "Accept"
    for path in ("/api/v1/nothing", "/api/v1/spaces/999999"):
        assert html(library + path).json()["status"] == 404


def test_a_wrong_method_is_said_with_what_is_allowed(library: str) -> None:
    refused = httpx.post(library + "/docs", headers=HTML)
    assert refused.status_code == 405
    assert "GET" in refused.headers["allow"]
    assert "This cannot be done here" in refused.text


def test_a_database_that_is_away_is_a_page_with_the_time_to_come_back(down: str, html: Html) -> None:
    page = html(down + "/app")
    assert page.status_code == 503
    assert page.headers["retry-after"]
    assert "Something is not there right now" in page.text


def test_what_nobody_foresaw_is_a_page_with_the_number_to_look_for() -> None:
    settings = Settings(_env_file=None, MOCK_AUTH=True, RATE_LIMIT_ENABLED=False)
    app = create_app(settings)

    async def fail(_: Request) -> Response:
        raise RuntimeError("a secret reason")

    async def look() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://misir.test"
        ) as client:
            return await client.get("/broken", headers={**HTML, "X-Request-ID": "looked-for"})

    app.router.add_route("/broken", fail)
    app.state.resources = SimpleNamespace(settings=settings)
    page = asyncio.run(look())
    assert page.status_code == 500
    assert "Something went wrong here" in page.text
    assert "looked-for" in page.text
    assert "a secret reason" not in page.text
