"""Who may read /metrics and the dashboard."""

from __future__ import annotations

import base64
from collections.abc import Callable

import httpx
import pytest

PATHS = ("/metrics", "/dashboard", "/dashboard/api")
TOKEN = "a-token-of-twenty-ch"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


@pytest.fixture
def statuses(run_app: Callable[..., httpx.Client]) -> Callable[..., set[int]]:
    """The statuses of the three addresses for a request with these headers."""
    made: dict[str, httpx.Client] = {}

    def ask(headers: dict[str, str], **settings: object) -> set[int]:
        key = str(settings)
        if key not in made:
            made[key] = run_app(MOCK_AUTH=False, **settings)
        return {made[key].get(path, headers=headers).status_code for path in PATHS}

    return ask


def test_with_a_token_only_the_token_counts(
    run_app: Callable[..., httpx.Client], statuses: Callable[..., set[int]]
) -> None:
    for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)):
        assert statuses({"Authorization": right}, METRICS_TOKEN=TOKEN) == {200}
        assert statuses({"Authorization": right, "X-Forwarded-For": "203.0.113.9"}, METRICS_TOKEN=TOKEN) == {
            200
        }
    wrongs = ["", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", f"Token {TOKEN}", basic("wrong"), "Basic %%", "Basic 4pi6", f"Basic {TOKEN}", "Bearer \u00e9".encode("latin-1")]  # fmt: skip
    for wrong in wrongs:
        assert statuses({"Authorization": wrong}, METRICS_TOKEN=TOKEN) == {401}, wrong
    assert statuses({}, METRICS_TOKEN=TOKEN) == {401}
    answer = run_app(METRICS_TOKEN=TOKEN).get("/metrics")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header",
    [{}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}, {"X-Forwarded-Proto": "https"}],
)  # fmt: skip
def test_without_one_this_machine_but_no_proxy_on_it(
    header: dict[str, str], statuses: Callable[..., set[int]]
) -> None:
    assert statuses(header) == ({403} if header else {200})


def test_allowed_networks(statuses: Callable[..., set[int]]) -> None:
    here, far = {"X-Forwarded-For": "10.1.2.3"}, {"X-Forwarded-For": "203.0.113.9"}
    trusted = {"METRICS_ALLOW": "10.0.0.0/8", "TRUSTED_PROXIES": "127.0.0.1"}
    assert statuses(here, **trusted) == {200}
    assert statuses(far, **trusted) == {403}
    assert statuses({"X-Forwarded-For": "10.1.2.3, 203.0.113.9"}, **trusted) == {403}
    assert statuses(here, METRICS_ALLOW="10.0.0.0/8") == {403}
    assert statuses(here, METRICS_ALLOW="10.0.0.0/8,127.0.0.0/8") == {403}
    assert statuses({}, METRICS_ALLOW="10.0.0.0/8") == {200}


def test_a_refusal_says_what_to_do(run_app: Callable[..., httpx.Client]) -> None:
    answer = run_app().get("/metrics", headers={"X-Real-IP": "10.0.0.1"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert "METRICS_TOKEN" in answer.json()["detail"]
