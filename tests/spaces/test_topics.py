"""Topics one at a time: declared, read, renamed, described, pinned."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest


def test_a_declared_topic_is_answered_and_listed(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic = library.declare(
        "  Reefs ", "sea", "Sea", "shore", description=" ", depth=2, suggested_study_order=1
    )
    assert (topic["name"], topic["description"], topic["markers"]) == ("Reefs", None, ["sea", "shore"])
    assert (topic["space_id"], topic["state"], topic["artifact_count"]) == (library.space, "active", 0)
    assert (topic["enough_data"], topic["pinned"], topic["learning_rate"]) == (False, False, 0.1)
    assert topic["centroid"] is None
    listed = library.api.get(f"/api/v1/spaces/{library.space}/subspaces").json()
    assert listed == [topic]
    for path in (f"/subspaces/{topic['id']}", f"/spaces/{library.space}/subspaces/{topic['id']}"):
        assert library.api.get(f"/api/v1{path}").json() == topic
    stored = owner.execute(
        "select depth, suggested_study_order, named_by::text from misir.subspace"
    ).fetchone()
    assert stored == (2, 1, "user")


def test_the_log_says_with_which_markers_a_topic_began(library: Any, owner: psycopg.Connection[Any]) -> None:
    first, second = library.declare("Sea", "sea", "shore")["id"], library.declare("Wood")["id"]
    rows = owner.execute(
        "select seq, kind, actor, subspace_ids, payload from misir.correction order by seq"
    ).fetchall()
    assert rows == [
        (1, "seed", "user", [first], {"markers": ["sea", "shore"]}),
        (2, "seed", "user", [second], {"markers": ["Wood"]}),
    ]
    assert owner.execute("select next_seq from misir.space").fetchone() == (3,)


def test_a_topic_declared_later_is_as_one_declared_with_its_space(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    """Column by column, but for what says which topic it is and when it was made."""
    declared = {"name": "Sea", "markers": ["sea", "shore"], "prerequisites": ["Wood"]}
    library.api.post("/api/v1/spaces", json={"name": "At once", "subspaces": [declared]})
    library.declare("Sea", "sea", "shore", prerequisites=["Wood"])
    differing = "'id', 'space_id', 'created_at', 'updated_at', 'centroid_updated_at', 'anchor_at'"
    rows = owner.execute(
        f"select to_jsonb(t) - array[{differing}] from misir.subspace t order by id".encode()
    ).fetchall()
    assert rows[0] == rows[1]
    links = owner.execute("select count(*), count(distinct marker_id) from misir.subspace_marker").fetchone()
    assert links == (4, 4)


def test_a_new_topic_gathers_the_next_page(library: Any) -> None:
    page = {"space_id": library.space, "url": "https://a.example/", "title": "sea"}
    assert library.api.post("/api/v1/capture", json=page).json()["subspace_id"] is None
    topic = library.declare("Sea", "sea")["id"]
    later = library.api.post("/api/v1/capture", json=page | {"url": "https://b.example/"}).json()
    assert later["subspace_id"] == topic


def test_the_centroid_comes_when_asked_for(library: Any) -> None:
    topic = library.declare("Shore", "sea", "wood")["id"]
    nested = library.api.get(
        f"/api/v1/spaces/{library.space}/subspaces/{topic}", params={"include": "centroid"}
    ).json()
    assert nested["centroid"] == library.centroid(topic)
    assert np.allclose(nested["centroid"][:3], [0.5**0.5, 0.5**0.5, 0], atol=1e-6)


def test_a_topic_is_not_found_in_another_space(library: Any) -> None:
    topic, other = library.declare("Sea")["id"], library.another_space()
    assert library.api.get(f"/api/v1/spaces/{other}/subspaces/{topic}").status_code == 404
    moved = library.api.patch(f"/api/v1/spaces/{other}/subspaces/{topic}", json={"name": "Stolen"})
    assert moved.status_code == 404
    assert library.api.get(f"/api/v1/subspaces/{topic}").json()["name"] == "Sea"


def test_a_name_is_taken_once_in_a_space_case_aside(library: Any) -> None:
    first = library.declare("Écume")["id"]
    again = library.api.post(f"/api/v1/spaces/{library.space}/subspaces", json={"name": "éCUME"})
    assert again.status_code == 409
    assert str(first) in again.json()["detail"]
    assert library.declare("Écume", space=library.another_space())["name"] == "Écume"


def test_a_deleted_topic_leaves_its_name(library: Any, owner: psycopg.Connection[Any]) -> None:
    library.declare("Sea")
    owner.execute("update misir.subspace set deleted_at = now()")
    assert library.declare("Sea")["name"] == "Sea"


def test_a_retired_topic_keeps_its_name(library: Any, owner: psycopg.Connection[Any]) -> None:
    library.declare("Sea")
    owner.execute("update misir.subspace set state = 'retired'")
    assert (
        library.api.post(f"/api/v1/spaces/{library.space}/subspaces", json={"name": "sea"}).status_code == 409
    )


def test_sixteen_declarations_of_one_name_make_one_topic(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    path = f"/spaces/{library.space}/subspaces"
    answers = library.at_once(*[("POST", path, {"name": "Sea", "markers": ["sea"]})] * 16)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 15}
    assert owner.execute("select count(*) from misir.correction").fetchone() == (1,)
    assert len(library.api.get(f"/api/v1{path}").json()) == 1


def test_sixteen_topics_at_once_share_their_marker_and_take_one_seq_each(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    path = f"/spaces/{library.space}/subspaces"
    bodies = [{"name": f"Topic {number}", "markers": ["sea", f"own {number}"]} for number in range(16)]
    answers = library.at_once(*[("POST", path, body) for body in bodies])
    assert {answer.status_code for answer in answers} == {201}
    seqs = owner.execute("select array_agg(seq order by seq) from misir.correction").fetchone()
    assert seqs == (list(range(1, 17)),)
    assert owner.execute("select count(*) from misir.marker").fetchone() == (17,)


def test_labels_that_only_the_database_folds_alike_are_one_marker(library: Any) -> None:
    """Python lowers İ to two characters, PostgreSQL to one: neither spelling may be lost on the way."""
    topic = library.declare("Letters", "İ", "i")
    assert topic["markers"] == ["İ"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": " "},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"name": "T", "markers": ["m"] * 51},
        {"name": "T", "markers": "sea"},
        {"name": "T", "depth": -1},
        {"name": "T", "description": "x" * 10_001},
    ],
)
def test_a_topic_that_makes_no_sense_is_422_and_leaves_nothing(library: Any, wrong: dict[str, Any]) -> None:
    path = f"/api/v1/spaces/{library.space}/subspaces"
    assert library.api.post(path, json=wrong).status_code == 422
    assert library.api.get(path).json() == []


def test_a_topic_without_a_space_is_404_before_anything_is_embedded(run_app: Any, fakes: Any) -> None:
    api = run_app(embedder=fakes.absent_embedder())
    assert api.post("/api/v1/spaces/999/subspaces", json={"name": "T"}).status_code == 404
    assert api.post("/api/v1/subspaces/999/markers", json={"label": "m"}).status_code == 404


def test_without_a_model_a_topic_is_refused_and_can_still_be_renamed(
    library: Any, run_app: Any, fakes: Any
) -> None:
    topic = library.declare("Sea")["id"]
    api = run_app(embedder=fakes.absent_embedder())
    refused = api.post(f"/api/v1/spaces/{library.space}/subspaces", json={"name": "T"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert api.patch(f"/api/v1/subspaces/{topic}", json={"name": "Ocean"}).json()["name"] == "Ocean"


# ---- changing one -------------------------------------------------------------------------------------


def test_what_is_sent_changes_and_the_rest_stays(library: Any) -> None:
    topic = library.declare("Sea", "sea", description="Salt water")
    path = f"/api/v1/subspaces/{topic['id']}"
    changed = library.api.patch(path, json={"pinned": True}).json()
    assert changed == topic | {"pinned": True, "updated_at": changed["updated_at"]}
    changed = library.api.patch(path, json={"description": None}).json()
    assert (changed["name"], changed["description"], changed["pinned"]) == ("Sea", None, True)
    nested = f"/api/v1/spaces/{library.space}/subspaces/{topic['id']}"
    assert library.api.patch(nested, json={"name": " Ocean ", "pinned": False}).json()["name"] == "Ocean"
    assert library.api.get(path).json()["pinned"] is False


def test_a_new_name_is_an_event_and_is_the_users_from_then_on(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    topic = library.declare("Sea")["id"]
    owner.execute("update misir.subspace set named_by = 'engine'")
    path = f"/api/v1/subspaces/{topic}"
    library.api.patch(path, json={"pinned": True})
    assert owner.execute("select named_by::text from misir.subspace").fetchone() == ("engine",)
    library.api.patch(path, json={"name": "Ocean"})
    assert owner.execute("select named_by::text from misir.subspace").fetchone() == ("user",)
    library.api.patch(path, json={"name": "Ocean"})
    (event,) = library.api.get(f"{path}/events").json()["events"]
    assert (event["type"], event["subspace_id"], event["numbers"]) == ("renamed", topic, {})
    assert event["cause"] == {"from": "Sea", "to": "Ocean"}


def test_a_topic_may_change_the_case_of_its_own_name_and_take_no_others(library: Any) -> None:
    sea, wood = library.declare("Sea")["id"], library.declare("Wood")["id"]
    assert library.api.patch(f"/api/v1/subspaces/{sea}", json={"name": "SEA"}).json()["name"] == "SEA"
    taken = library.api.patch(f"/api/v1/subspaces/{wood}", json={"name": "sea", "pinned": True})
    assert taken.status_code == 409
    after = library.api.get(f"/api/v1/subspaces/{wood}").json()
    assert (after["name"], after["pinned"]) == ("Wood", False)


def test_sixteen_topics_that_want_one_name_get_it_once(library: Any) -> None:
    topics = [library.declare(f"Topic {number}")["id"] for number in range(16)]
    answers = library.at_once(*[("PATCH", f"/subspaces/{one}", {"name": "Sea"}) for one in topics])
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 15}
    names = [topic["name"] for topic in library.api.get(f"/api/v1/spaces/{library.space}/subspaces").json()]
    assert names.count("Sea") == 1


def test_a_change_waits_for_whoever_decides_in_the_space(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    topic = library.declare("Sea", "sea")["id"]
    change = ("PATCH", f"/subspaces/{topic}", {"name": "Ocean"})
    with ThreadPoolExecutor(1) as pool:
        with owner.transaction():
            owner.execute("select 1 from misir.space for no key update")
            waiting = pool.submit(library.at_once, change)
            time.sleep(0.5)
            assert not waiting.done()
            owner.execute("update misir.subspace set deleted_at = now()")  # what they decided
        (answer,) = waiting.result()
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": None},
        {"pinned": None},
        {"pinned": "yes"},
        {"name": ""},
        {"learning_rate": 0.5},
        {"user_id": ""},
    ],
)
def test_a_change_of_nothing_is_422(library: Any, wrong: dict[str, Any]) -> None:
    topic = library.declare("Sea")
    assert library.api.patch(f"/api/v1/subspaces/{topic['id']}", json=wrong).status_code == 422


def test_what_clients_send_besides_is_ignored(library: Any) -> None:
    topic = library.declare("Sea", colour="blue")
    changed = library.api.patch(
        f"/api/v1/subspaces/{topic['id']}", json={"name": "Ocean", "learning_rate": 0.5}
    ).json()
    assert (changed["name"], changed["learning_rate"]) == ("Ocean", 0.1)


# ---- what is not there --------------------------------------------------------------------------------


def every_request(space: int, topic: int, marker: int) -> list[tuple[str, str, dict[str, Any] | None]]:
    return [
        ("GET", f"/subspaces/{topic}", None),
        ("GET", f"/spaces/{space}/subspaces/{topic}", None),
        ("PATCH", f"/subspaces/{topic}", {"name": "New"}),
        ("PATCH", f"/spaces/{space}/subspaces/{topic}", {"name": "New"}),
        ("GET", f"/subspaces/{topic}/markers", None),
        ("POST", f"/subspaces/{topic}/markers", {"label": "new"}),
        ("DELETE", f"/subspaces/{topic}/markers/{marker}", None),
        ("GET", f"/subspaces/{topic}/history", None),
        ("GET", f"/subspaces/{topic}/events", None),
    ]


def statuses(api: httpx.Client, requests: list[tuple[str, str, dict[str, Any] | None]]) -> set[int]:
    answers = [api.request(method, f"/api/v1{path}", json=body) for method, path, body in requests]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers)
    return {answer.status_code for answer in answers}


def test_a_deleted_topic_is_nowhere(library: Any, owner: psycopg.Connection[Any]) -> None:
    kept, gone = library.declare("Kept")["id"], library.declare("Gone", "sea")["id"]
    library.api.patch(f"/api/v1/subspaces/{gone}", json={"name": "Going"})
    (marker,) = owner.execute(
        "select marker_id from misir.subspace_marker where subspace_id = %s", [gone]
    ).fetchone()
    owner.execute("update misir.subspace set deleted_at = now() where id = %s", [gone])
    owner.execute(
        "insert into misir.drift_event (user_id, subspace_id, magnitude, raw_drift, z, notable, model, previous_mean, new_mean, occurred_at)"
        " select user_id, id, 0.3, 0.4, 9, true, model, centroid, centroid, now() from misir.subspace where id = %s",
        [gone],
    )
    assert statuses(library.api, every_request(library.space, gone, marker)) == {404}
    listed = library.api.get(f"/api/v1/spaces/{library.space}/subspaces").json()
    assert [topic["id"] for topic in listed] == [kept]
    space = library.api.get(f"/api/v1/spaces/{library.space}").json()
    assert (space["subspace_count"], space["recent_drift"]) == (1, None)
    events = library.api.get(f"/api/v1/spaces/{library.space}/events").json()
    assert (events["events"], events["count"]) == ([], 0)


def test_a_topic_of_a_deleted_space_is_nowhere(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic = library.declare("Sea", "sea")["id"]
    (marker,) = owner.execute("select marker_id from misir.subspace_marker").fetchone()
    owner.execute("update misir.space set deleted_at = now()")
    requests = every_request(library.space, topic, marker)
    requests.append(("POST", f"/spaces/{library.space}/subspaces", {"name": "Wood"}))
    requests.append(("GET", f"/spaces/{library.space}/events", None))
    assert statuses(library.api, requests) == {404}


def test_an_archived_space_is_read_and_not_written(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic = library.declare("Sea", "sea")
    (marker,) = owner.execute("select marker_id from misir.subspace_marker").fetchone()
    owner.execute("update misir.space set archived_at = now()")
    writes = [one for one in every_request(library.space, topic["id"], marker) if one[0] != "GET"]
    writes.append(("POST", f"/spaces/{library.space}/subspaces", {"name": "Wood"}))
    assert statuses(library.api, writes) == {409}
    assert library.api.get(f"/api/v1/subspaces/{topic['id']}").json() == topic
