"""Sessions: begun once however often they are sent, ended, counted, and named by captures."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

T0, T1, T2 = "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"


@pytest.fixture
def api(run_app: Any, fakes: Any) -> httpx.Client:
    client: httpx.Client = run_app(embedder=fakes.embedder_of(sea=fakes.direction(1)))
    return client


def begin(api: httpx.Client, external_id: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/sessions", json={"external_id": external_id, **more})
    assert answer.status_code in {200, 201}, answer.text
    return {"status": answer.status_code, **answer.json()}


def change(api: httpx.Client, session: dict[str, Any], **body: Any) -> httpx.Response:
    return api.patch(f"/api/v1/sessions/{session['id']}", json=body)


def test_a_session_begins_and_is_found_again(api: httpx.Client) -> None:
    session = begin(api, " tab-7 ", started_at="2026-03-01T11:00:00+01:00")
    assert session.pop("status") == 201
    assert (session["external_id"], session["started_at"]) == ("tab-7", T0)
    assert (session["ended_at"], session["totals"]) == (None, {})
    assert api.get(f"/api/v1/sessions/{session['id']}").json() == session
    assert api.get("/api/v1/sessions/999").status_code == 404


def test_a_session_begins_now_unless_it_says_when(api: httpx.Client) -> None:
    began = datetime.fromisoformat(begin(api, "tab")["started_at"])
    assert abs(datetime.now(UTC) - began) < timedelta(minutes=1)


def test_the_same_session_again_is_the_first_one_with_the_earlier_start(api: httpx.Client) -> None:
    first = begin(api, "tab", started_at=T1)
    assert change(api, first, ended_at=T2, totals={"pages": 3}).status_code == 200
    later = begin(api, "tab", started_at=T2)
    assert (later["status"], later["id"], later["started_at"]) == (200, first["id"], T1)
    earlier = begin(api, "tab", started_at=T0)
    assert (earlier["status"], earlier["id"], earlier["started_at"]) == (200, first["id"], T0)
    assert begin(api, "tab")["started_at"] == T0
    assert (earlier["ended_at"], earlier["totals"]) == (T2, {"pages": 3})
    assert api.get("/api/v1/sessions").json()["count"] == 1


def test_sixteen_that_begin_one_session_begin_it_once(api: httpx.Client) -> None:
    def send(hour: int) -> httpx.Response:
        body = {"external_id": "tab", "started_at": f"2026-03-01T{hour:02}:00:00Z"}
        with httpx.Client(base_url=api.base_url, timeout=30, trust_env=False) as client:
            return client.post("/api/v1/sessions", json=body)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(16)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 15}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert api.get("/api/v1/sessions").json()["sessions"][0]["started_at"] == "2026-03-01T00:00:00Z"


def test_a_session_ends_and_says_what_it_came_to(api: httpx.Client) -> None:
    session = begin(api, "tab", started_at=T1)
    totals = {"pages": 12, "active_minutes": 34.5, "browser": "firefox", "offset": -3}
    assert change(api, session, totals=totals).json()["ended_at"] is None
    ended = change(api, session, ended_at=T2).json()
    assert (ended["ended_at"], ended["totals"]) == (T2, totals)
    assert change(api, session, totals={}).json()["totals"] == {}
    assert change(api, session, ended_at=None).json()["ended_at"] is None
    assert change(api, session, ended_at=T1).json()["ended_at"] == T1


def test_a_session_does_not_end_before_it_began(api: httpx.Client) -> None:
    session = begin(api, "tab", started_at=T1)
    answer = change(api, session, ended_at=T0, totals={"pages": 1})
    assert answer.status_code == 422
    assert "started_at" in answer.json()["detail"]
    assert api.get(f"/api/v1/sessions/{session['id']}").json()["totals"] == {}
    assert api.patch("/api/v1/sessions/999", json={"ended_at": T0}).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"user_id": ""},
        {"totals": None},
        {"totals": []},
        {"totals": {"a": True}},
        {"totals": {"a": None}},
        {"totals": {"a": [1]}},
        {"totals": {"a": {"b": 1}}},
        {"totals": {"a": "x" * 201}},
        {"totals": {"a": "\x00"}},
        {"totals": {"": 1}},
        {"totals": {"k" * 101: 1}},
        {"totals": {"\x00": 1}},
        {"totals": {str(number): number for number in range(51)}},
        {"ended_at": "noon"},
        {"ended_at": 1_772_000_000},
    ],
)
def test_a_change_that_makes_no_sense_is_422(api: httpx.Client, wrong: dict[str, Any]) -> None:
    session = begin(api, "tab", started_at=T1)
    assert change(api, session, **wrong).status_code == 422


@pytest.mark.parametrize("number", ["1e400", "NaN", "-Infinity", "9" * 400])
def test_numbers_that_are_none_are_422(api: httpx.Client, number: str) -> None:
    session = begin(api, "tab")
    answer = api.patch(
        f"/api/v1/sessions/{session['id']}",
        content=f'{{"totals": {{"a": {number}}}}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422


def test_fifty_totals_and_large_numbers_are_kept(api: httpx.Client) -> None:
    session = begin(api, "tab")
    totals = {f"key {number}": number for number in range(47)} | {"big": 2**53, "bigger": 1e300, "word": "5"}
    assert change(api, session, totals=totals).json()["totals"] == totals


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"external_id": ""},
        {"external_id": "x" * 201},
        {"external_id": 7},
        {"external_id": "t", "started_at": "x"},
    ],
)
def test_a_session_that_makes_no_sense_is_422(api: httpx.Client, wrong: dict[str, Any]) -> None:
    assert api.post("/api/v1/sessions", json=wrong).status_code == 422
    assert api.get("/api/v1/sessions").json()["count"] == 0


def test_sessions_are_listed_newest_first_in_pages(api: httpx.Client) -> None:
    starts = [T1, T0, T2, T1, "9998-12-31T23:59:59.123457Z"]
    ids = [begin(api, f"tab {number}", started_at=at)["id"] for number, at in enumerate(starts)]
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get("/api/v1/sessions", params={"limit": 2, "cursor": cursor}).json()
        assert page["count"] == 5
        seen += [one["id"] for one in page["sessions"]]
        cursor = page["next_cursor"]
    assert seen == [ids[number] for number in (4, 2, 3, 0, 1)]
    assert api.get("/api/v1/sessions", params={"limit": 101}).status_code == 422


def test_sessions_can_be_narrowed_to_those_that_changed(
    api: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    old, new = begin(api, "old"), begin(api, "new")
    owner.execute("alter table misir.session disable trigger touch")
    owner.execute("update misir.session set updated_at = '2020-01-01Z' where id = %s", [old["id"]])
    owner.execute("alter table misir.session enable trigger touch")
    page = api.get("/api/v1/sessions", params={"updated_since": "2021-01-01T00:00:00Z"}).json()
    assert ([one["id"] for one in page["sessions"]], page["count"]) == ([new["id"]], 1)


def test_a_capture_names_its_session(api: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    session = begin(api, "tab")["id"]
    space = api.post("/api/v1/spaces", json={"name": "S"}).json()["id"]
    page = {"space_id": space, "url": "https://a.example/", "title": "sea", "session_id": session}
    assert api.post("/api/v1/capture", json=page).status_code == 201
    assert owner.execute("select session_id from misir.signal").fetchone() == (session,)
