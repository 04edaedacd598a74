"""Markers one at a time: the topic learns from them as if it had always had them, or never."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest


def markers(library: Any, topic: int) -> list[dict[str, Any]]:
    return list(library.api.get(f"/api/v1/subspaces/{topic}/markers").json())


def add(library: Any, topic: int, label: str, **more: Any) -> httpx.Response:
    answer: httpx.Response = library.api.post(
        f"/api/v1/subspaces/{topic}/markers", json={"label": label, **more}
    )
    return answer


def remove(library: Any, topic: int, label: str) -> None:
    (marker,) = [one["id"] for one in markers(library, topic) if one["label"] == label]
    assert library.api.delete(f"/api/v1/subspaces/{topic}/markers/{marker}").status_code == 200


def corrections(owner: psycopg.Connection[Any]) -> list[Any]:
    return owner.execute(
        "select seq, kind, subspace_ids, payload from misir.correction order by id"
    ).fetchall()


def test_a_topics_markers_are_listed_as_they_were_named(library: Any) -> None:
    topic = library.declare("Coast", "sea", "shore")["id"]
    library.declare("Forest", "wood", "sea")
    assert [(m["label"], m["source"], m["last_matched_at"]) for m in markers(library, topic)] == [
        ("sea", "user_defined", None),
        ("shore", "user_defined", None),
    ]
    assert all(0.999 < m["weight"] <= 1 for m in markers(library, topic))
    assert set(markers(library, topic)[0]) == {"id", "label", "weight", "source", "last_matched_at"}


def test_a_markers_weight_fades_by_a_tenth_a_week_from_its_last_match(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    topic = library.declare("Coast", "sea", "shore", "sky")["id"]
    long_ago = datetime.now(UTC) - timedelta(weeks=2)
    link = "update misir.subspace_marker l set {} from misir.marker m where m.id = l.marker_id and m.label = '{}'"
    owner.execute(link.format("last_matched_at = %s", "sea").encode(), [long_ago])
    owner.execute(link.format("created_at = %s", "shore").encode(), [long_ago - timedelta(weeks=1)])
    owner.execute(link.format("created_at = %s", "sky").encode(), [long_ago - timedelta(days=3650)])
    weights = {m["label"]: m["weight"] for m in markers(library, topic)}
    assert weights == pytest.approx({"sea": 0.9**2, "shore": 0.9**3, "sky": 0.01}, abs=1e-4)
    library.read(topic, "sea")
    (sea, *_) = markers(library, topic)
    assert sea["weight"] > 0.999
    assert sea["last_matched_at"] is not None


def test_an_added_marker_is_answered_logged_and_followed(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    topic = library.declare("Coast", "sea")["id"]
    answer = add(library, topic, " wood ", source="suggested")
    assert answer.status_code == 201
    assert (answer.json()["label"], answer.json()["source"]) == ("wood", "suggested")
    assert answer.json()["weight"] > 0.999
    assert library.api.get(f"/api/v1/subspaces/{topic}").json()["markers"] == ["sea", "wood"]
    assert corrections(owner)[1:] == [(2, "marker", [topic], {"added": ["wood"]})]
    assert np.allclose(library.centroid(topic)[:2], [0.5**0.5, 0.5**0.5], atol=1e-3)


def test_markers_added_later_teach_as_if_declared_at_once(library: Any) -> None:
    """The pages read meanwhile count the same in both. Each is alone in its space, so that all pages teach."""
    slow, elsewhere = library.declare("Slow", "sea")["id"], library.another_space()
    quick = library.declare("Quick", "sea", "shore", "sky", space=elsewhere)["id"]
    for topic, space in ((slow, library.space), (quick, elsewhere)):
        library.read(topic, "sea shore", space_id=space, engagement_level="saturated")
        library.read(topic, "sea sea sky", space_id=space, engagement_level="engaged")
    before = library.centroid(slow)
    add(library, slow, "shore")
    add(library, slow, "sky")
    for topic, space in ((slow, library.space), (quick, elsewhere)):
        library.read(topic, "sky sea", space_id=space)
    assert not np.allclose(before, library.centroid(slow), atol=1e-2)
    assert np.allclose(library.centroid(slow), library.centroid(quick), atol=1e-6)
    figures = [library.api.get(f"/api/v1/subspaces/{topic}").json() for topic in (slow, quick)]
    assert figures[0]["artifact_count"] == figures[1]["artifact_count"] == 3
    assert figures[0]["confidence"] == pytest.approx(figures[1]["confidence"])


def test_a_removed_marker_never_was(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic, elsewhere = library.declare("Coast", "sea", "wood")["id"], library.another_space()
    plain = library.declare("Sea", "sea", space=elsewhere)["id"]
    library.read(topic, "shore")
    library.read(plain, "shore", space_id=elsewhere)
    remove(library, topic, "wood")
    assert [m["label"] for m in markers(library, topic)] == ["sea"]
    assert corrections(owner)[-1][1:] == ("marker", [topic], {"removed": ["wood"]})
    centroid = library.centroid(topic)
    assert np.allclose(centroid, library.centroid(plain), atol=1e-6)
    assert centroid[1] > 0.04, "what the page taught is still there"


def test_the_last_word_on_a_marker_counts(library: Any) -> None:
    topic = library.declare("Coast", "sea", "wood")["id"]
    remove(library, topic, "wood")
    assert add(library, topic, "WOOD").status_code == 201
    assert np.allclose(library.centroid(topic)[:2], [0.5**0.5, 0.5**0.5], atol=1e-3)
    remove(library, topic, "wood")
    remove(library, topic, "sea")
    add(library, topic, "sky")
    assert np.allclose(library.centroid(topic)[:3], [0, 0, 1], atol=1e-3)


def test_a_topic_without_a_marker_has_what_its_pages_taught_it(library: Any) -> None:
    topic = library.declare("Coast", "sea")["id"]
    remove(library, topic, "sea")
    assert library.centroid(topic) is None
    library.read(topic, "wood")
    assert np.allclose(library.centroid(topic)[:2], [0, 1], atol=1e-3)


def test_a_correction_that_was_undone_does_not_seed(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic = library.declare("Coast", "sea")["id"]
    add(library, topic, "wood")
    owner.execute(
        "insert into misir.correction (user_id, space_id, seq, kind, actor, undoes)"
        " select user_id, space_id, 1000, 'undo', 'user', id from misir.correction where kind = 'marker'"
    )
    add(library, topic, "sky")  # learns again
    assert np.allclose(library.centroid(topic)[:3], [0.5**0.5, 0, 0.5**0.5], atol=1e-3)


def test_another_topics_corrections_do_not_seed(library: Any) -> None:
    sea, wood = library.declare("Sea", "sea")["id"], library.declare("Wood", "wood")["id"]
    add(library, wood, "shore")
    add(library, sea, "sky")
    assert np.allclose(library.centroid(sea)[:3], [0.5**0.5, 0, 0.5**0.5], atol=1e-3)


def test_an_extracted_marker_seeds_only_once_a_person_says_so(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    topic = library.declare("Coast", "sea")["id"]
    add(library, topic, "wood")
    owner.execute(
        "insert into misir.marker (user_id, space_id, label, model, embedding)"
        " select user_id, space_id, 'sky', model, embedding from misir.marker where label = 'wood'"
    )
    owner.execute(
        "insert into misir.subspace_marker (subspace_id, marker_id, space_id, user_id, source)"
        " select %s, id, space_id, user_id, 'extracted' from misir.marker where label = 'sky'",
        [topic],
    )
    remove(library, topic, "wood")
    assert np.allclose(library.centroid(topic)[:2], [1, 0], atol=1e-3)
    answer = add(library, topic, "sky", source="suggested")
    assert (answer.status_code, answer.json()["source"]) == (200, "suggested")
    assert corrections(owner)[-1][3] == {"added": ["sky"]}
    assert np.allclose(library.centroid(topic)[:2], [0.5**0.5, 0.5**0.5], atol=1e-3)  # it has wood's vector


def test_an_extracted_marker_can_be_removed(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic = library.declare("Coast", "sea")["id"]
    owner.execute("update misir.subspace_marker set source = 'extracted'")
    assert markers(library, topic)[0]["source"] == "extracted"
    remove(library, topic, "sea")
    assert markers(library, topic) == []


def test_a_marker_that_is_there_already_changes_nothing(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic = library.declare("Coast", "sea")["id"]
    before = library.api.get(f"/api/v1/subspaces/{topic}").json()
    again = add(library, topic, "SEA", source="suggested")
    assert (again.status_code, again.json()["label"], again.json()["source"]) == (200, "sea", "user_defined")
    assert library.api.get(f"/api/v1/subspaces/{topic}").json() == before
    assert len(corrections(owner)) == 1


def test_a_suggested_marker_becomes_the_users(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic = library.declare("sea")["id"]
    assert markers(library, topic)[0]["source"] == "suggested"
    assert add(library, topic, "sea").json()["source"] == "user_defined"
    assert markers(library, topic)[0]["source"] == "user_defined"
    assert len(corrections(owner)) == 1


def test_a_marker_of_another_topic_is_linked_and_not_embedded_again(
    library: Any, run_app: Any, fakes: Any
) -> None:
    sea, wood = library.declare("Sea", "sea")["id"], library.declare("Wood", "wood")["id"]
    library.api = run_app(embedder=fakes.absent_embedder())
    shared = add(library, sea, "Wood")
    assert (shared.status_code, shared.json()["label"]) == (201, "wood")
    assert shared.json()["id"] == markers(library, wood)[0]["id"]
    assert add(library, sea, "sky").status_code == 503


def test_a_marker_leaves_one_topic_and_stays_in_the_other(library: Any) -> None:
    coast, forest = (
        library.declare("Coast", "sea", "shore")["id"],
        library.declare("Forest", "wood", "shore")["id"],
    )
    remove(library, coast, "shore")
    assert [m["label"] for m in markers(library, forest)] == ["shore", "wood"]
    shore = markers(library, forest)[0]["id"]
    assert library.api.delete(f"/api/v1/subspaces/{coast}/markers/{shore}").status_code == 404


def test_a_topic_has_fifty_markers_at_most(library: Any) -> None:
    topic = library.declare("Coast", *[f"marker {number}" for number in range(50)])["id"]
    full = add(library, topic, "one more")
    assert full.status_code == 409
    assert "50 markers" in full.json()["detail"]
    assert add(library, topic, "Marker 7").status_code == 200
    remove(library, topic, "marker 7")
    assert add(library, topic, "one more").status_code == 201


def test_sixteen_that_add_one_marker_add_it_once(library: Any, owner: psycopg.Connection[Any]) -> None:
    topic = library.declare("Coast", "sea")["id"]
    answers = library.at_once(*[("POST", f"/subspaces/{topic}/markers", {"label": "wood"})] * 16)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 15}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(corrections(owner)) == 2


def test_sixteen_that_add_different_markers_end_as_one_after_the_other(library: Any) -> None:
    topic = library.declare("Coast", "sea")["id"]
    labels = [f"sky {number}" if number % 2 else f"wood {number}" for number in range(16)]
    answers = library.at_once(
        *[("POST", f"/subspaces/{topic}/markers", {"label": label}) for label in labels]
    )
    assert {answer.status_code for answer in answers} == {201}
    whole = library.declare("At once", "sea", *labels)["id"]
    assert np.allclose(library.centroid(topic), library.centroid(whole), atol=1e-3)


def test_sixteen_that_race_for_the_last_place_fill_it_once(library: Any) -> None:
    topic = library.declare("Coast", *[f"marker {number}" for number in range(49)])["id"]
    requests = [("POST", f"/subspaces/{topic}/markers", {"label": f"late {number}"}) for number in range(16)]
    assert Counter(answer.status_code for answer in library.at_once(*requests)) == {201: 1, 409: 15}
    assert len(markers(library, topic)) == 50


def test_adding_removing_and_reading_at_once_loses_nothing(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    topic = library.declare("Coast", "sea", "shore", "sky")["id"]
    ids = {m["label"]: m["id"] for m in markers(library, topic)}
    page = {"space_id": library.space, "subspace_id": topic}
    answers = library.at_once(
        ("DELETE", f"/subspaces/{topic}/markers/{ids['sky']}", {}),
        ("DELETE", f"/subspaces/{topic}/markers/{ids['sky']}", {}),
        *[("POST", f"/subspaces/{topic}/markers", {"label": f"wood {number}"}) for number in range(4)],
        *[
            ("POST", "/capture", page | {"url": f"https://a.example/{n}", "title": f"sea {n}"})
            for n in range(8)
        ],
    )
    assert sorted(answer.status_code for answer in answers[:2]) == [200, 404]
    assert {answer.status_code for answer in answers[2:]} == {201}
    assert library.api.get(f"/api/v1/subspaces/{topic}").json()["artifact_count"] == 8
    count, seqs = owner.execute(
        "select count(*), count(distinct seq) from (select seq from misir.signal union all select seq from misir.correction) s"
    ).fetchone()
    assert count == seqs == 1 + 5 + 8
    library.declare("Untouched")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"label": ""},
        {"label": " "},
        {"label": "x" * 201},
        {"label": 7},
        {"label": "a\x00"},
        {"label": "sky", "source": "extracted"},
        {"label": "sky", "source": None},
    ],
)
def test_a_marker_that_makes_no_sense_is_422(library: Any, wrong: dict[str, Any]) -> None:
    topic = library.declare("Coast", "sea")["id"]
    assert library.api.post(f"/api/v1/subspaces/{topic}/markers", json=wrong).status_code == 422
    assert [m["label"] for m in markers(library, topic)] == ["sea"]
