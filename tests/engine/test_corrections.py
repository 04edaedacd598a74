"""Corrections teach, exactly: whatever was done, what is stored is what the log says; and each can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest


@pytest.fixture
def library(library_of: Callable[..., Any]) -> Any:
    return library_of(sea=(1,), wood=(0, 1), city=(0, 0, 1), shore=(0.8, 0.6))


@pytest.fixture
def furnished(library: Any) -> tuple[Any, int, dict[str, int], dict[str, int]]:
    """A space with three topics and three pages in each of the first two; topic ids and artifact ids by name."""
    space = library.declare("World", "sea", "wood", "city")
    pages = {
        f"{word}{number}": library.capture(
            space, f"{word}{number}", f"{word} page {number}", engagement_level="engaged"
        )["artifact_id"]
        for word in ("sea", "wood")
        for number in range(3)
    }
    return library, space, {name: topic["id"] for name, topic in library.topics(space).items()}, pages


def state(owner: psycopg.Connection[Any]) -> list[Any]:
    """Everything topics know, and where artifacts are: to see that an undo leaves no trace in it."""
    topics = owner.execute(
        "select id, centroid::text, round(weight_sum::numeric, 9), signal_count, artifact_count, "
        "round(coherence::numeric, 9), placed_count, state, deleted_at is null from misir.subspace order by id"
    ).fetchall()
    places = owner.execute(
        "select id, space_id, subspace_id, assigned_by, taught_weight, deleted_at is null "
        "from misir.artifact order by id"
    ).fetchall()
    return [topics, places]


Furnished = tuple[Any, int, dict[str, int], dict[str, int]]


def test_captures_leave_what_the_log_says(furnished: Furnished) -> None:
    library, *_ = furnished
    assert library.differences() == []


def test_a_difference_is_found(furnished: Furnished, owner: psycopg.Connection[Any]) -> None:
    library, _, topics, pages = furnished
    owner.execute("update misir.subspace set weight_sum = weight_sum + 0.01 where id = %s", [topics["sea"]])
    owner.execute("update misir.artifact set subspace_id = null where id = %s", [pages["wood0"]])
    found = {(one.what, one.id, one.name) for one in library.differences()}
    assert ("subspace", topics["sea"], "weight_sum") in found
    assert ("artifact", pages["wood0"], "subspace_id") in found


def test_a_move_teaches_both_topics_and_can_be_undone(
    furnished: Furnished, owner: psycopg.Connection[Any]
) -> None:
    library, space, topics, pages = furnished
    before = state(owner)
    moved = library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"subspace_id": topics["wood"]})
    assert moved["subspace_id"] == topics["wood"]
    assert {n: t["artifact_count"] for n, t in library.topics(space).items()} == {
        "sea": 2,
        "wood": 4,
        "city": 0,
    }
    assert library.differences() == []
    undone = library.undo(moved["correction_id"])
    assert undone["kind"] == "move"
    assert library.differences() == []
    assert state(owner) == before


def test_a_moved_page_stays_and_goes_on_teaching_where_a_person_put_it(furnished: Furnished) -> None:
    library, space, topics, pages = furnished
    library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"subspace_id": topics["wood"]})
    again = library.capture(space, "sea0", "sea page 0, longer", engagement_level="saturated")
    assert (again["subspace_id"], again["assigned_by"]) == (topics["wood"], "user")
    assert library.differences() == []


def test_deleting_and_restoring_are_exact(furnished: Furnished, owner: psycopg.Connection[Any]) -> None:
    library, _, _, pages = furnished
    before = state(owner)
    library.ask("DELETE", f"/artifacts/{pages['sea1']}")
    assert library.differences() == []
    library.ask("POST", f"/artifacts/{pages['sea1']}/restore")
    assert library.differences() == []
    assert state(owner) == before


def test_a_deletion_can_be_undone_by_its_correction(furnished: Furnished) -> None:
    library, space, _, pages = furnished
    library.ask("DELETE", f"/artifacts/{pages['sea1']}")
    (deletion, *_) = library.corrections(space)
    assert deletion["kind"] == "delete"
    library.undo(deletion["id"])
    assert library.ask("GET", f"/artifacts/{pages['sea1']}")["title"] == "sea page 1"
    assert library.differences() == []
    (undo, undone, *_) = library.corrections(space)
    assert (undo["kind"], undo["undoes"]) == ("undo", deletion["id"])
    assert undone["undone_by"] == undo["id"]


def test_a_page_that_changed_its_topic_by_its_text_is_corrected_exactly(furnished: Furnished) -> None:
    """Its old text taught one topic, its new one another: a later move, deletion or return concerns both."""
    library, space, topics, pages = furnished
    library.capture(space, "sea0", "wood now", engagement_level="engaged")
    assert library.place_of(pages["sea0"]) == topics["wood"]
    assert library.differences() == []
    library.capture(space, "sea0", "sea again", engagement_level="saturated")
    assert library.place_of(pages["sea0"]) == topics["sea"]
    assert library.differences() == []
    moved = library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"subspace_id": topics["city"]})
    assert library.differences() == []
    library.undo(moved["correction_id"])
    assert library.differences() == []
    library.ask("DELETE", f"/artifacts/{pages['sea0']}")
    assert library.differences() == []


def test_a_page_taken_out_of_all_topics_stays_out(furnished: Furnished) -> None:
    library, space, _, pages = furnished
    library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"subspace_id": None})
    assert library.capture(space, "sea0", "sea once more")["subspace_id"] is None
    assert library.differences() == []


def test_merging_keeps_the_survivors_id_and_can_be_undone(
    furnished: Furnished, owner: psycopg.Connection[Any]
) -> None:
    library, space, topics, pages = furnished
    before = state(owner)
    merged = library.ask("POST", f"/subspaces/{topics['wood']}/merge", json={"into": topics["sea"]})
    assert (merged["subspace_id"], merged["artifact_count"]) == (topics["sea"], 3)
    assert {library.place_of(page) for page in pages.values()} == {topics["sea"]}
    assert library.ask("GET", f"/subspaces/{topics['wood']}")["state"] == "retired"
    assert "wood" in library.ask("GET", f"/subspaces/{topics['sea']}")["markers"]
    assert library.differences() == []
    assert [one["type"] for one in library.events(space)][:2] == ["merged", "merged"]
    named = {"space_id": space, "url": "https://x.example/n", "title": "wood", "subspace_id": topics["wood"]}
    library.ask("POST", "/capture", json=named, expect=409)
    library.undo(merged["correction_id"])
    assert library.differences() == []
    assert state(owner) == before
    assert library.ask("GET", f"/subspaces/{topics['sea']}")["markers"] == ["sea"]


def test_what_was_captured_after_a_merge_stays_with_the_survivor(furnished: Furnished) -> None:
    library, space, topics, _ = furnished
    merged = library.ask("POST", f"/subspaces/{topics['wood']}/merge", json={"into": topics["sea"]})
    later = library.capture(space, "later", "shore", subspace_id=topics["sea"])["artifact_id"]
    library.undo(merged["correction_id"])
    assert library.place_of(later) == topics["sea"]
    assert library.differences() == []


def test_splitting_by_meaning_finds_the_two_halves(
    furnished: Furnished, owner: psycopg.Connection[Any]
) -> None:
    library, space, topics, pages = furnished
    library.ask("POST", f"/subspaces/{topics['wood']}/merge", json={"into": topics["sea"]})
    before = state(owner)
    split = library.ask("POST", f"/subspaces/{topics['sea']}/split")
    new = split["subspace_id"]
    halves = {name: library.place_of(page) for name, page in pages.items()}
    assert {at for name, at in halves.items() if name.startswith("sea")} != {
        at for name, at in halves.items() if name.startswith("wood")
    }
    assert set(halves.values()) == {topics["sea"], new}
    assert library.differences() == []
    later = library.capture(space, "late", "late page", subspace_id=new)["artifact_id"]
    library.undo(split["correction_id"])
    assert library.place_of(later) == topics["sea"]
    library.ask("GET", f"/subspaces/{new}", expect=404)
    assert library.differences() == []
    library.ask("DELETE", f"/artifacts/{later}")
    assert state(owner)[0][: len(before[0])] == before[0]


def test_splitting_off_named_artifacts(furnished: Furnished) -> None:
    library, _, topics, pages = furnished
    body = {"artifact_ids": [pages["sea0"]], "name": "Harbour"}
    split = library.ask("POST", f"/subspaces/{topics['sea']}/split", json=body)
    assert library.place_of(pages["sea0"]) == split["subspace_id"]
    assert library.ask("GET", f"/subspaces/{split['subspace_id']}")["name"] == "Harbour"
    assert library.differences() == []
    library.ask(
        "POST", f"/subspaces/{topics['sea']}/split", json={"artifact_ids": [pages["wood0"]]}, expect=404
    )
    both = {"artifact_ids": [pages["sea1"], pages["sea2"]]}
    library.ask("POST", f"/subspaces/{topics['sea']}/split", json=both, expect=409)
    library.ask("POST", f"/subspaces/{topics['city']}/split", expect=409)


def test_a_retired_topic_takes_nothing_and_can_be_opened_again(furnished: Furnished) -> None:
    library, space, topics, pages = furnished
    retired = library.ask("POST", f"/subspaces/{topics['sea']}/retire")
    assert library.place_of(pages["sea0"]) == topics["sea"]
    assert library.capture(space, "sea9", "sea 9")["subspace_id"] is None
    library.ask("POST", f"/subspaces/{topics['sea']}/retire", expect=409)
    assert library.differences() == []
    library.undo(retired["correction_id"])
    assert library.capture(space, "sea10", "sea 10")["subspace_id"] == topics["sea"]
    assert library.differences() == []


def test_deleting_a_topic_deletes_no_artifact_and_can_be_undone(
    furnished: Furnished, owner: psycopg.Connection[Any]
) -> None:
    library, space, topics, pages = furnished
    before = state(owner)
    deleted = library.ask("DELETE", f"/subspaces/{topics['sea']}")
    assert deleted["artifact_count"] == 3
    assert library.place_of(pages["sea0"]) is None
    assert "sea" not in library.topics(space)
    library.ask("GET", f"/subspaces/{topics['sea']}", expect=404)
    assert library.differences() == []
    library.undo(deleted["correction_id"])
    assert library.differences() == []
    assert state(owner) == before


def test_moving_to_another_space_and_back(furnished: Furnished, owner: psycopg.Connection[Any]) -> None:
    library, _, topics, pages = furnished
    other = library.declare("Elsewhere", "sea")
    harbour = library.topics(other)["sea"]["id"]
    before = state(owner)
    moved = library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"space_id": other})
    assert (moved["space_id"], moved["subspace_id"]) == (other, harbour)
    assert library.differences() == []
    library.undo(moved["correction_id"])
    assert library.place_of(pages["sea0"]) == topics["sea"]
    assert library.differences() == []
    assert state(owner) == before


def test_what_was_read_in_its_new_space_is_not_taken_back(furnished: Furnished) -> None:
    library, _, _, pages = furnished
    other = library.declare("Elsewhere", "sea")
    moved = library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"space_id": other})
    library.capture(other, "sea0", "sea page 0", engagement_level="saturated")
    refused = library.undo(moved["correction_id"], expect=409)
    assert "move it" in refused["detail"]
    assert library.differences() == []


def test_undoing_an_earlier_move_leaves_a_later_one(furnished: Furnished) -> None:
    library, _, topics, pages = furnished
    first = library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"subspace_id": topics["wood"]})
    library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"subspace_id": topics["city"]})
    library.undo(first["correction_id"])
    assert library.place_of(pages["sea0"]) == topics["city"]
    assert library.differences() == []


def test_markers_reseed_exactly(furnished: Furnished) -> None:
    library, _, topics, _ = furnished
    added = library.ask("POST", f"/subspaces/{topics['sea']}/markers", json={"label": "shore"})
    assert library.differences() == []
    library.ask("DELETE", f"/subspaces/{topics['sea']}/markers/{added['id']}")
    assert library.differences() == []


def test_what_cannot_be_undone_says_what_to_do(furnished: Furnished, owner: psycopg.Connection[Any]) -> None:
    library, space, topics, pages = furnished
    moved = library.ask("PATCH", f"/artifacts/{pages['sea0']}", json={"subspace_id": topics["wood"]})
    undo = library.undo(moved["correction_id"])
    assert "already" in library.undo(moved["correction_id"], expect=409)["detail"]
    assert "again" in library.undo(undo["correction_id"], expect=409)["detail"]
    seed = library.corrections(space)[-1]
    assert "retire" in library.undo(seed["id"], expect=409)["detail"]
    library.undo(987654321, expect=404)
    old = library.ask("PATCH", f"/artifacts/{pages['sea1']}", json={"subspace_id": topics["wood"]})
    owner.execute("update misir.correction set created_at = created_at - interval '31 days'")
    assert "30 days" in library.undo(old["correction_id"], expect=409)["detail"]


def test_another_spaces_topic_or_itself_cannot_be_merged_into(furnished: Furnished) -> None:
    library, _, topics, _ = furnished
    other = library.declare("Elsewhere", "sea")
    harbour = library.topics(other)["sea"]["id"]
    for into, status in ((topics["sea"], 409), (harbour, 409), (987654321, 404)):
        library.ask("POST", f"/subspaces/{topics['sea']}/merge", json={"into": into}, expect=status)
