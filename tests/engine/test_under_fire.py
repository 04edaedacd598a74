"""Many at once, one by one and in batches: no learning is lost, and the order of the log is all the order there is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

N_WRITERS, N_EACH = 16, 50


@pytest.fixture
def library(library_of: Callable[..., Any]) -> Any:
    return library_of(sea=(1,), wood=(0, 1), city=(0, 0, 1))


def page(space: int, writer: int, number: int, **more: Any) -> dict[str, Any]:
    return {
        "space_id": space,
        "url": f"https://w.example/{writer}/{number}",
        "title": f"sea {writer} {number}",
        "engagement_level": "engaged",
        **more,
    }


def assert_all_accounted_for(library: Any, owner: psycopg.Connection[Any], space: int, n: int) -> None:
    (topic,) = library.topics(space).values()
    assert topic["artifact_count"] == n
    row = owner.execute(
        "select signal_count, weight_sum, placed_count from misir.subspace where space_id = %s", [space]
    ).fetchone()
    taught = owner.execute(
        "select count(*), sum(taught_weight), min(seq), max(seq), count(distinct seq) from misir.signal "
        "where space_id = %s",
        [space],
    ).fetchone()
    assert row is not None
    assert taught is not None
    assert row == (n, pytest.approx(3 + n), n)
    assert taught == (n, pytest.approx(float(n)), 2, n + 1, n)  # after the topic's seed
    assert library.differences() == []


def test_sixteen_writers_of_fifty_captures_into_one_topic_lose_nothing(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    space = library.declare("Sea", "sea")

    def write(writer: int) -> None:
        for number in range(N_EACH):
            library.ask("POST", "/capture", json=page(space, writer, number))

    with ThreadPoolExecutor(N_WRITERS) as pool:
        list(pool.map(write, range(N_WRITERS)))
    assert_all_accounted_for(library, owner, space, N_WRITERS * N_EACH)


def test_the_same_through_the_batch_route(library: Any, owner: psycopg.Connection[Any]) -> None:
    space = library.declare("Sea", "sea")

    def write(writer: int) -> int:
        items = [page(space, writer, number) for number in range(N_EACH)]
        return int(library.ask("POST", "/artifacts/batch", json={"artifacts": items})["count"])

    with ThreadPoolExecutor(N_WRITERS) as pool:
        assert list(pool.map(write, range(N_WRITERS))) == [N_EACH] * N_WRITERS
    assert_all_accounted_for(library, owner, space, N_WRITERS * N_EACH)


def test_captures_corrections_and_the_worker_at_once_stay_exact(library: Any) -> None:
    space = library.declare("World", "sea", "wood", "city")
    topics = {name: topic["id"] for name, topic in library.topics(space).items()}
    ids = [
        library.capture(space, f"s{n}", f"sea {n}", engagement_level="engaged")["artifact_id"]
        for n in range(12)
    ]

    def capture(n: int) -> None:
        library.capture(space, f"c{n}", f"{('sea', 'wood', 'city')[n % 3]} {n}", dwell_time_ms=n)

    def move(n: int) -> None:
        target = topics[("wood", "city", "sea")[n % 3]]
        library.ask("PATCH", f"/artifacts/{ids[n % 12]}", json={"subspace_id": target}, expect=(200, 404))

    def trash(n: int) -> None:
        library.ask("DELETE", f"/artifacts/{ids[n % 12]}", expect=(200, 404))
        library.ask("POST", f"/artifacts/{ids[n % 12]}/restore")

    def work(_: int) -> None:
        library.work()

    jobs = [(one, n) for n in range(12) for one in (capture, move, trash, capture)] + [(work, 0)] * 2
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda job: job[0](job[1]), jobs))
    assert library.differences() == []


def test_a_batch_leaves_what_one_by_one_leaves(library: Any, owner: psycopg.Connection[Any]) -> None:
    words = ["sea", "wood", "city", "sea", "wood", "unknown one", "sea"]
    found = []
    for is_batch in (False, True):
        space = library.declare(f"Batch {is_batch}", "sea", "wood", "city")
        items = [
            {
                "space_id": space,
                "url": f"https://b.example/{n % 5}",  # two come twice
                "title": f"{word} {n % 5}",
                "dwell_time_ms": 40_000 * n,
                "captured_at": f"2026-01-0{n + 1}T10:00:00Z",
            }
            for n, word in enumerate(words)
        ]
        if is_batch:
            answer = library.ask("POST", "/artifacts/batch", json={"artifacts": items})
            assert (answer["count"], answer["failed"]) == (len(items), [])
            assert [one["index"] for one in answer["successful"]] == list(range(len(items)))
        else:
            for item in items:
                library.ask("POST", "/capture", json=item)
        topics = owner.execute(
            "select name, centroid::text, weight_sum, signal_count, artifact_count, coherence, placed_count "
            "from misir.subspace where space_id = %s order by name",
            [space],
        ).fetchall()
        signals = owner.execute(
            "select seq, taught_weight, similarity, fit, updates_centroid from misir.signal "
            "where space_id = %s order by seq",
            [space],
        ).fetchall()
        found.append((topics, signals))
    assert found[0] == found[1]
    assert library.differences() == []


def test_one_bad_item_of_a_batch_fails_alone(library: Any) -> None:
    space = library.declare("Sea", "sea")
    items = [
        page(space, 0, 0),
        page(space, 0, 1, scroll_depth="deep"),
        "no object",
        page(987654321, 0, 2),
        page(space, 0, 3, subspace_id=987654321),
        page(space, 0, 4, embedding=[1.0, 2.0]),
        page(space, 0, 0),
        page(space, 0, 5),
    ]
    answer = library.ask("POST", "/artifacts/batch", json={"items": items})
    assert [one["index"] for one in answer["successful"]] == [0, 6, 7]
    assert [one["is_new"] for one in answer["successful"]] == [True, False, True]
    assert [(one["index"], one["status"]) for one in answer["failed"]] == [
        (1, 422), (2, 422), (3, 404), (4, 404), (5, 422)
    ]  # fmt: skip
    assert "scroll_depth" in answer["failed"][0]["error"]
    assert answer["failed"][1]["url"] is None
    assert library.differences() == []


def test_a_batch_has_its_bounds(library: Any) -> None:
    for wrong in ({}, {"artifacts": []}, {"artifacts": "x"}, {"artifacts": [{}] * 501}):
        library.ask("POST", "/artifacts/batch", json=wrong, expect=422)


def test_a_title_and_a_text_in_one_batch_both_arrive(library: Any) -> None:
    space = library.declare("Sea", "sea")
    url = "https://half.example/"
    parts = [{"url": url, "title": "Half"}, {"url": url, "content": "sea"}, {"url": url, "title": "Whole"}]
    items = [{"space_id": space, **part} for part in parts]
    answer = library.ask("POST", "/artifacts/batch", json={"artifacts": items})
    assert answer["count"] == 3
    detail = library.ask("GET", f"/artifacts/{answer['successful'][0]['artifact_id']}")
    assert (detail["title"], detail["content"]) == ("Whole", "sea")
    assert library.differences() == []


def test_births_at_once_make_one_topic(library_of: Callable[..., Any]) -> None:
    library = library_of(harbour=(0, 1), sea=(1,))
    space = library.declare("Reading", "sea")

    def write(n: int) -> None:
        library.capture(space, str(n), f"harbour {n}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    assert [one["type"] for one in library.events(space)] == ["born"]
    assert sum(topic["artifact_count"] for topic in library.topics(space).values()) == 24
    assert library.differences() == []
