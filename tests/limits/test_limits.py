import uuid

import pytest

from misir.limits import bucket_of, policy_of
from misir.settings import Settings

ME = uuid.UUID(int=1)
SETTINGS = Settings(_env_file=None)


@pytest.mark.parametrize(
    ("method", "path", "name", "limit"),
    [
        ("POST", "/capture", "capture", 100),
        ("POST", "/artifacts", "capture", 100),
        ("POST", "/artifacts/capture", "capture", 100),
        ("GET", "/capture", "default", 50),
        ("GET", "/artifacts", "default", 50),
        ("POST", "/artifacts/batch", "batch", 20),
        ("GET", "/search", "search", 20),
        ("POST", "/search", "search", 20),
        ("GET", "/search/suggestions", "suggestions", 240),
        ("GET", "/analytics/global", "global-analytics", 10),
        ("GET", "/spaces/{space_id}/analytics", "space-analytics", 20),
        ("GET", "/spaces/{id}/analytics/margin_distribution", "space-analytics", 20),
        ("GET", "/spaces/{id}/topology", "topology", 30),
        ("GET", "/spaces/{id}/alerts", "default", 50),
        ("GET", "/insights", "insights", 20),
        ("POST", "/insights/{id}/dismiss", "insights", 20),
        ("POST", "/insights/generate", "insights-generate", 5),
        ("DELETE", "/artifacts/{artifact_id}", "default", 50),
    ],
)
def test_every_route_has_the_limit_of_the_contract(method: str, path: str, name: str, limit: int) -> None:
    policy, _ = bucket_of(SETTINGS, ME, method, "/api/v1" + path, {})
    assert (policy.name, policy.limit) == (name, limit)


@pytest.mark.parametrize(
    ("name", "limit"), [("pages", 600), ("unauthenticated", 60), ("batch-items", 10_000)]
)
def test_the_other_limits(name: str, limit: int) -> None:
    assert policy_of(SETTINGS, name).limit == limit


def key(method: str, path: str, *ids: str, user: uuid.UUID = ME) -> str:
    return bucket_of(
        SETTINGS, user, method, "/api/v1" + path, dict(zip(["space_id", "x"], ids, strict=False))
    ).key


def test_one_bucket_per_user_method_and_template() -> None:
    assert key("GET", "/artifacts/{artifact_id}", "1") == key("GET", "/artifacts/{artifact_id}", "2")
    assert key("POST", "/capture") != key("POST", "/artifacts")
    assert key("GET", "/search") != key("POST", "/search")
    assert key("GET", "/search") != key("GET", "/search", user=uuid.UUID(int=2))


def test_alerts_and_space_analytics_count_each_space_whatever_its_id_is_written_like() -> None:
    for path in ("/spaces/{space_id}/alerts", "/spaces/{space_id}/analytics/drift"):
        assert key("GET", path, "7") != key("GET", path, "8")
        assert key("GET", path, "7") == key("GET", path, "007") == key("GET", path, "+7")
        assert key("GET", path, "x") == key("GET", path, "y")
    assert key("GET", "/spaces/{space_id}/topology", "7") == key("GET", "/spaces/{space_id}/topology", "8")


def test_any_limit_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_CAPTURE", "7")
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32")
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    settings = Settings(_env_file=None)
    assert bucket_of(settings, ME, "POST", "/api/v1/capture", {}).policy.limit == 7
    assert [str(one) for one in settings.TRUSTED_PROXIES] == ["10.0.0.0/8", "2001:db8::/32"]
    assert settings.RATE_LIMIT_WORKERS == 4
    monkeypatch.setenv("RATE_LIMIT_WORKERS", "2")
    assert Settings(_env_file=None).RATE_LIMIT_WORKERS == 2
