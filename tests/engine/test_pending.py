"""Without a model nothing is lost: what is captured waits, is found by its words, and is placed in the order it came."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from misir.jobs.worker import drain
from misir.resources import Resources


@pytest.fixture
def library(library_of: Callable[..., Any]) -> Any:
    """With a model; `waiting` captures without one."""
    return library_of(sea=(1,), wood=(0, 1))


@pytest.fixture
def without(run_app: Callable[..., httpx.Client], fakes: Any) -> httpx.Client:
    """Another process of the same service, whose model is away."""
    return run_app(embedder=fakes.absent_embedder())


def send(client: httpx.Client, space: int, url: str, title: str, **more: Any) -> httpx.Response:
    page = {"space_id": space, "url": f"https://x.example/{url}", "title": title, **more}
    return client.post("/api/v1/capture", json=page)


def count(owner: psycopg.Connection[Any], table: str) -> int:
    row = owner.execute(f"select count(*) from misir.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_a_known_text_does_not_wait_for_the_model(library: Any, without: httpx.Client) -> None:
    space = library.declare("Reading", "wood")
    known = library.capture(space, "known", "wood", content="oak")
    again = send(without, space, "known", "wood", content="oak", dwell_time_ms=60_000)
    assert (again.status_code, again.json()["artifact_id"]) == (200, known["artifact_id"])
    assert not again.json()["pending"]


def test_a_capture_without_a_model_is_kept_and_placed_later(
    library: Any, without: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    space = library.declare("Reading", "sea", "wood")
    known = library.capture(space, "known", "wood")
    kept = [
        send(without, space, "1", "sea", dwell_time_ms=60_000),
        send(without, space, "2", "wood", content="oak"),
    ]
    assert [one.status_code for one in kept] == [202, 202]
    first = kept[0].json()
    assert (first["signal_id"], first["pending"], first["is_new"], first["subspace_id"]) == (
        None,
        True,
        True,
        None,
    )
    again = send(without, space, "1", "sea", dwell_time_ms=60_000)
    assert (again.status_code, again.json()["artifact_id"]) == (202, first["artifact_id"])
    more = send(without, space, "known", "sea").json()  # a known page whose text changed
    assert (more["artifact_id"], more["is_new"], more["pending"]) == (known["artifact_id"], False, True)
    shown = without.get(f"/api/v1/artifacts/{first['artifact_id']}").json()
    assert (shown["pending"], shown["title"], shown["subspace_id"], shown["signals"]) == (
        True,
        "sea",
        None,
        [],
    )
    assert without.get("/api/v1/capture").json()["pending"] == 3
    assert [hit["title"] for hit in without.get("/api/v1/search", params={"q": "oak"}).json()["results"]] == [
        "wood"
    ]
    assert library.differences() == []
    assert library.work() >= 1
    topics = {name: topic["id"] for name, topic in library.topics(space).items()}
    assert library.place_of(first["artifact_id"]) == topics["sea"]
    assert library.place_of(kept[1].json()["artifact_id"]) == topics["wood"]
    assert library.place_of(known["artifact_id"]) == topics["sea"]
    assert count(owner, "pending_capture") == 0
    assert owner.execute("select count(*) from misir.job where kind = 'embed'").fetchone() == (0,)
    assert library.ask("GET", f"/artifacts/{first['artifact_id']}")["pending"] is False
    seqs = owner.execute(
        "select a.url from misir.signal g join misir.artifact a on a.id = g.artifact_id order by g.seq"
    ).fetchall()
    assert [row[0].rpartition("/")[2] for row in seqs] == ["known", "1", "2", "known"]
    assert library.differences() == []
    repeated = send(without, space, "1", "sea", dwell_time_ms=60_000)
    assert (repeated.status_code, repeated.json()["signal_id"] is not None) == (200, True)


def test_what_a_wait_left_is_what_would_have_been(library: Any, without: httpx.Client, owner: Any) -> None:
    found = []
    pages = [
        ("1", "sea"),
        ("2", "wood"),
        ("3", "sea wood"),
        ("1", "sea"),
        ("4", "none of them"),
        ("2", "sea"),
    ]
    for is_late in (False, True):
        space = library.declare(f"S{is_late}", "sea", "wood")
        for number, (url, title) in enumerate(pages):
            more = {"dwell_time_ms": 40_000 * number, "captured_at": f"2026-01-0{number + 1}T10:00:00Z"}
            assert send(without if is_late else library.api, space, url, title, **more).is_success
        library.work()
        found.append(
            (
                owner.execute(
                    "select name, centroid::text, weight_sum, signal_count, artifact_count, coherence from misir.subspace "
                    "where space_id = %s order by name", [space]
                ).fetchall(),
                owner.execute(
                    "select seq, taught_weight, similarity, fit, occurred_at from misir.signal where space_id = %s "
                    "order by seq", [space]
                ).fetchall(),
                owner.execute(
                    "select url, engagement_level, dwell_time_ms, learned_seq, captured_at, band_1 from misir.artifact "
                    "where space_id = %s order by url", [space]
                ).fetchall(),
            )
        )  # fmt: skip
    assert found[0] == found[1]
    assert library.differences() == []


def test_it_waits_until_there_is_a_model_and_then_for_nobody(
    library: Any, without: httpx.Client, in_process: Callable[..., Any], fakes: Any, owner: Any
) -> None:
    space = library.declare("Reading", "sea")
    send(without, space, "1", "sea")

    async def work(res: Resources) -> int:
        return await drain(res, datetime.now(UTC))

    in_process(work, embedder=fakes.absent_embedder())
    row = owner.execute(
        "select last_error, run_at < now() + interval '11 seconds' from misir.job where kind = 'embed'"
    ).fetchone()
    assert row == (None, True)
    assert library.work(datetime.now(UTC) + timedelta(seconds=30)) >= 1
    assert count(owner, "signal") == 1


def test_what_was_trashed_or_closed_meanwhile_is_left_and_comes_when_it_may(
    library: Any, without: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    space, closed = library.declare("Reading", "sea", "wood"), library.declare("Closed", "sea")
    topics = {name: topic["id"] for name, topic in library.topics(space).items()}
    trashed = send(without, space, "1", "sea").json()["artifact_id"]
    named = send(without, space, "2", "sea", subspace_id=topics["wood"]).json()["artifact_id"]
    shut = send(without, closed, "3", "sea").json()["artifact_id"]
    library.ask("DELETE", f"/artifacts/{trashed}")
    library.ask("DELETE", f"/subspaces/{topics['wood']}")
    owner.execute("update misir.space set archived_at = now() where id = %s", [closed])
    library.work()
    assert library.place_of(named) == topics["sea"]
    assert count(owner, "pending_capture") == 2
    assert "archived" in library.ask("GET", f"/artifacts/{shut}")["pending_error"]
    owner.execute("update misir.space set archived_at = null")
    library.ask("POST", f"/artifacts/{trashed}/restore")
    library.work(datetime.now(UTC) + timedelta(days=1, minutes=1))
    assert count(owner, "pending_capture") == 0
    assert library.place_of(trashed) == topics["sea"]
    assert library.differences() == []


def test_a_batch_waits_like_captures_and_each_item_for_itself(library: Any, without: httpx.Client) -> None:
    space = library.declare("Reading", "sea", "wood")
    vector = [1.0] + [0.0] * 383
    own = {"embedding": vector, "embedding_model": library.ask("GET", "/capture")["embedding_model"]}
    items = [
        {"space_id": space, "url": "https://x.example/1", "title": "sea"},
        {"space_id": 987_654, "url": "https://x.example/2", "title": "sea"},
        {"space_id": space, "url": "https://x.example/3", "title": "sea", **own},
        {"space_id": space, "url": "https://x.example/4", "title": "wood"},
    ]
    answer = without.post("/api/v1/artifacts/batch", json={"artifacts": items}).json()
    assert [(one["index"], one["pending"]) for one in answer["successful"]] == [
        (0, True),
        (2, False),
        (3, True),
    ]
    assert [(one["index"], one["status"]) for one in answer["failed"]] == [(1, 404)]
    library.work()
    topics = {name: topic["artifact_count"] for name, topic in library.topics(space).items()}
    assert topics == {"sea": 2, "wood": 1}
    assert library.differences() == []


def test_a_batch_that_names_a_page_twice_keeps_both_visits_in_order_up_to_the_room_there_is(
    library: Any, without: httpx.Client, monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection[Any]
) -> None:
    space = library.declare("Reading", "sea")
    monkeypatch.setattr("misir.capture.pending.MAX_PENDING", 4)
    visits = [("1", 1_000), ("1", 2_000), ("1", 1_000), ("2", 0), ("3", 0), ("4", 0), ("1", 1_000)]
    items = [
        {"space_id": space, "url": f"https://x.example/{url}", "title": "sea", "dwell_time_ms": ms}
        for url, ms in visits
    ]
    answer = without.post("/api/v1/artifacts/batch", json={"artifacts": items}).json()
    kept = [(one["index"], one["is_new"]) for one in answer["successful"]]
    assert kept == [(0, True), (1, False), (2, False), (3, True), (4, True)]
    assert [(one["index"], one["status"]) for one in answer["failed"]] == [(5, 503), (6, 503)]
    waiting = owner.execute("select a.url, p.request -> 'dwell_time_ms' from misir.pending_capture p "
                            "join misir.artifact a on a.id = p.artifact_id order by p.id").fetchall()  # fmt: skip
    assert [(url.rpartition("/")[2], ms) for url, ms in waiting] == [
        ("1", 1000),
        ("1", 2000),
        ("2", 0),
        ("3", 0),
    ]
    library.work()
    assert (count(owner, "signal"), count(owner, "pending_capture")) == (4, 0)
    assert library.differences() == []


def test_only_a_full_queue_refuses(
    library: Any, without: httpx.Client, monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection[Any]
) -> None:
    space = library.declare("Reading", "sea")
    monkeypatch.setattr("misir.capture.pending.MAX_PENDING", 2)
    answers = [send(without, space, str(n), "sea") for n in range(3)]
    assert [one.status_code for one in answers] == [202, 202, 503]
    assert int(answers[2].headers["Retry-After"]) > 0
    assert count(owner, "artifact") == 2
    assert send(without, 987_654, "x", "sea").status_code == 404
    library.ask(
        "POST", "/webhooks", json={"url": "https://a.example/"}, expect=503
    )  # no MISIR_SECRET_KEY here
