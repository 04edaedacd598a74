"""A topic's history and the events of its life, read back."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

FIRST = date(2026, 3, 1)


def vector(degrees: float) -> str:
    """A centroid turned by so many degrees from the first axis towards the second."""
    angle = math.radians(degrees)
    return str([math.cos(angle), math.sin(angle), *[0.0] * 382])


def snapshot(
    owner: psycopg.Connection[Any],
    topic: int,
    day: int,
    degrees: float,
    count: int = 5,
    model: str | None = None,
) -> None:
    owner.execute(
        "insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count, confidence)"
        " select id, %s, user_id, coalesce(%s, model), %s, %s, %s, 0.5 from misir.subspace where id = %s",
        [FIRST + timedelta(days=day), model, vector(degrees), count, 2 * count, topic],
    )


def drift(
    owner: psycopg.Connection[Any],
    topic: int,
    at: str,
    signal: int | None = None,
    turning: tuple[int, ...] = (),
) -> None:
    owner.execute(
        "insert into misir.drift_event (user_id, subspace_id, trigger_signal_id, magnitude, raw_drift, z, notable, model, previous_mean, new_mean, turning_artifact_ids, occurred_at)"
        " select user_id, id, %s, 0.2, 0.25, 6.5, true, model, centroid, centroid, %s, %s from misir.subspace where id = %s",
        [signal, list(turning), at, topic],
    )


def history(library: Any, topic: int, **window: str) -> dict[str, Any]:
    return dict(library.api.get(f"/api/v1/subspaces/{topic}/history", params=window).json())


@pytest.fixture
def topic(library: Any) -> int:
    return int(library.declare("Sea", "sea")["id"])


def test_a_topic_without_a_past_has_an_empty_history(library: Any, topic: int) -> None:
    assert history(library, topic) == {"subspace_id": topic, "snapshots": [], "drift_events": []}


def test_each_day_is_measured_from_the_first_and_from_a_week_before(
    library: Any, owner: psycopg.Connection[Any], topic: int
) -> None:
    for day, degrees, count in ((0, 0, 2), (3, 30, 3), (7, 42, 4), (20, 60, 5)):
        snapshot(owner, topic, day, degrees, count)
    days = history(library, topic)["snapshots"]
    assert [one["day"] for one in days] == ["2026-03-01", "2026-03-04", "2026-03-08", "2026-03-21"]
    assert [one["artifact_count"] for one in days] == [2, 3, 4, 5]
    assert [one["signal_count"] for one in days] == [4, 6, 8, 10]
    assert [one["enough_data"] for one in days] == [False, True, True, True]
    expected = [1 - math.cos(math.radians(degrees)) for degrees in (0, 30, 42, 60)]
    assert [one["drift_from_first"] for one in days] == pytest.approx(expected, abs=1e-6)
    # Day 7 against day 0; day 20 against the 13th, when the topic still stood as day 7 left it.
    assert [one["angular_speed"] for one in days] == [
        None,
        None,
        pytest.approx(42 / 7, abs=1e-4),
        pytest.approx(18 / 7, abs=1e-4),
    ]


def test_a_window_shows_the_days_that_overlap_it_and_knows_what_came_before(
    library: Any, owner: psycopg.Connection[Any], topic: int
) -> None:
    for day in (0, 5, 10, 15):
        snapshot(owner, topic, day, 2 * day)
    shown = history(library, topic, **{"from": "2026-03-06T18:00:00Z", "to": "2026-03-16T00:00:00Z"})[
        "snapshots"
    ]
    assert [one["day"] for one in shown] == ["2026-03-06", "2026-03-11"]
    assert shown[0]["drift_from_first"] == pytest.approx(0, abs=1e-6)
    assert shown[1]["drift_from_first"] == pytest.approx(1 - math.cos(math.radians(10)), abs=1e-6)
    assert shown[0]["angular_speed"] is None
    assert shown[1]["angular_speed"] == pytest.approx(20 / 7, abs=1e-4)
    later = history(library, topic, **{"from": "2026-03-16T00:00:00Z", "to": "2026-03-16T00:00:01Z"})[
        "snapshots"
    ]
    assert [(one["day"], one["angular_speed"]) for one in later] == [
        ("2026-03-16", pytest.approx(20 / 7, abs=1e-4))
    ]
    assert history(library, topic, **{"from": "2026-04-01T00:00:00Z"})["snapshots"] == []
    assert history(library, topic, to="2026-03-01T00:00:00Z")["snapshots"] == []


def test_a_topic_that_stood_still_for_months_is_measured_from_where_it_stood(
    library: Any, owner: psycopg.Connection[Any], topic: int
) -> None:
    snapshot(owner, topic, 0, 0)
    snapshot(owner, topic, 100, 14)
    (shown,) = history(library, topic, **{"from": "2026-06-01T00:00:00Z"})["snapshots"]
    assert shown["angular_speed"] == pytest.approx(2, abs=1e-4)


def test_vectors_of_two_models_are_not_compared(
    library: Any, owner: psycopg.Connection[Any], topic: int
) -> None:
    snapshot(owner, topic, 0, 0, model="other/model@384")
    snapshot(owner, topic, 8, 20)
    snapshot(owner, topic, 16, 20)
    days = history(library, topic)["snapshots"]
    assert [one["drift_from_first"] for one in days] == [pytest.approx(0, abs=1e-6), None, None]
    assert [one["angular_speed"] for one in days] == [None, None, pytest.approx(0, abs=1e-4)]


def test_the_newest_400_days_are_shown(library: Any, owner: psycopg.Connection[Any], topic: int) -> None:
    owner.execute(
        "insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count, confidence)"
        " select id, %s::date + d, user_id, model, centroid, 3, d, 0.5 from misir.subspace, generate_series(0, 449) d",
        [FIRST],
    )
    shown = history(library, topic)["snapshots"]
    assert [one["signal_count"] for one in shown] == list(range(50, 450))
    assert shown[0]["angular_speed"] == pytest.approx(0, abs=1e-4)  # what is not shown still counts


def test_drift_events_name_the_pages_behind_them(
    library: Any, owner: psycopg.Connection[Any], topic: int
) -> None:
    pages = [library.read(topic, f"sea {number}") for number in range(3)]
    signal, ids = pages[0]["signal_id"], [page["artifact_id"] for page in pages]
    drift(owner, topic, "2026-03-02T12:00:00Z", signal, (ids[2], ids[0], ids[1], 999_999))
    drift(owner, topic, "2026-03-01T12:00:00Z")
    first, second = history(library, topic)["drift_events"]
    assert (first["trigger_signal_id"], first["trigger_artifact"], first["turning_artifact_ids"]) == (
        None,
        None,
        [],
    )
    assert second["trigger_artifact"] == {"id": ids[0], "title": "sea 0", "url": "https://a.example/sea-0"}
    assert second["turning_artifact_ids"] == [ids[2], ids[0], ids[1]]
    figures = [second[name] for name in ("subspace_id", "drift_magnitude", "raw_drift", "z", "notable")]
    assert figures == [topic, 0.2, 0.25, 6.5, True]
    library.api.delete(f"/api/v1/artifacts/{ids[0]}")
    _, second = history(library, topic)["drift_events"]
    assert (second["trigger_artifact"], second["turning_artifact_ids"]) == (None, [ids[2], ids[1]])


def test_drift_events_outside_the_window_are_left_out(
    library: Any, owner: psycopg.Connection[Any], topic: int
) -> None:
    for day in (1, 2, 3):
        drift(owner, topic, f"2026-03-0{day}T12:00:00Z")
    window = {"from": "2026-03-01T12:00:01Z", "to": "2026-03-03T12:00:00Z"}
    assert [one["occurred_at"] for one in history(library, topic, **window)["drift_events"]] == [
        "2026-03-02T12:00:00Z"
    ]


@pytest.mark.parametrize(
    "wrong", [{"from": "yesterday"}, {"from": "7"}, {"to": "2026-03-01"}, {"to": "10000-01-01T00:00:00Z"}]
)
def test_a_window_that_is_no_time_is_422(library: Any, topic: int, wrong: dict[str, str]) -> None:
    assert library.api.get(f"/api/v1/subspaces/{topic}/history", params=wrong).status_code == 422


# ---- events -------------------------------------------------------------------------------------------


def event(owner: psycopg.Connection[Any], topic: int | None, at: datetime, kind: str = "drifted") -> int:
    (number,) = owner.execute(
        "insert into misir.subspace_event (user_id, space_id, subspace_id, type, cause, numbers, occurred_at)"
        " select user_id, id, %s, %s, '{\"signal_id\": 1}', '{\"z\": 5.5}', %s from misir.space order by id limit 1 returning id",
        [topic, kind, at],
    ).fetchone()
    return int(number)


def test_events_are_newest_first_in_pages(library: Any, owner: psycopg.Connection[Any], topic: int) -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
    ids = [event(owner, topic, moment + timedelta(microseconds=number // 2)) for number in range(5)]
    event(owner, library.declare("Wood")["id"], moment)
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = library.api.get(
            f"/api/v1/subspaces/{topic}/events", params={"limit": 2, "cursor": cursor}
        ).json()
        assert page["count"] == 5
        seen += [one["id"] for one in page["events"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]


def test_a_spaces_events_are_those_of_all_its_topics(
    library: Any, owner: psycopg.Connection[Any], topic: int
) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    wood = library.declare("Wood")["id"]
    ids = [
        event(owner, topic, moment, "born"),
        event(owner, wood, moment + timedelta(days=1)),
        event(owner, None, moment + timedelta(days=2), "consolidated"),
    ]
    page = library.api.get(f"/api/v1/spaces/{library.space}/events").json()
    assert [one["id"] for one in page["events"]] == ids[::-1]
    assert (page["count"], page["next_cursor"]) == (3, None)
    assert page["events"][-1] == {
        "id": ids[0],
        "type": "born",
        "subspace_id": topic,
        "cause": {"signal_id": 1},
        "numbers": {"z": 5.5},
        "occurred_at": "2026-03-01T00:00:00Z",
    }
    first = library.api.get(f"/api/v1/spaces/{library.space}/events", params={"limit": 2}).json()
    rest = library.api.get(
        f"/api/v1/spaces/{library.space}/events", params={"cursor": first["next_cursor"]}
    ).json()
    assert [one["id"] for one in first["events"] + rest["events"]] == ids[::-1]
    assert library.api.get(f"/api/v1/spaces/{library.another_space()}/events").json()["count"] == 0
    assert library.api.get("/api/v1/spaces/999/events").status_code == 404


STRANGE = [
    "nonsense",
    "W10",
    "WyJhIiwgMV0",  # ["a", 1]
    "WzFlMzAwLCAxXQ",  # [1e300, 1]
    "WzE4NDQ2NzQ0MDczNzA5NTUxNjE1LCAxXQ",  # [2**64 - 1, 1]: no time
    "WzEsIDE4NDQ2NzQ0MDczNzA5NTUxNjE1XQ",  # [1, 2**64 - 1]: no id
    "7d3c1f5e-0d53-4d5b-9d57-2d5a8a6f4c11",
]


@pytest.mark.parametrize("cursor", STRANGE)
def test_a_cursor_that_no_list_gave_out_is_422(library: Any, topic: int, cursor: str) -> None:
    lists = [
        f"/subspaces/{topic}/events",
        f"/spaces/{library.space}/events",
        "/sessions",
        "/artifacts",
        "/spaces",
    ]
    for path in lists:
        answer = library.api.get(f"/api/v1{path}", params={"cursor": cursor})
        assert answer.status_code == 422, path
