"""Many artifacts corrected at once: all or none, as the log says, and back again; with each topic before and after."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest


@pytest.fixture
def library(library_of: Callable[..., Any]) -> Any:
    return library_of(sea=(1,), wood=(0, 1), city=(0, 0, 1))


@pytest.fixture
def world(library: Any) -> tuple[Any, int, dict[str, int], list[int]]:
    """A space with three topics, and four pages in `sea`."""
    space = library.declare("World", "sea", "wood", "city")
    pages = [
        library.capture(space, f"sea{n}", f"sea {n}", engagement_level="engaged")["artifact_id"]
        for n in range(4)
    ]
    return library, space, {name: topic["id"] for name, topic in library.topics(space).items()}, pages


World = tuple[Any, int, dict[str, int], list[int]]


def bulk(library: Any, action: str, ids: list[int], **more: Any) -> dict[str, Any]:
    expect = more.pop("expect", 200)
    body = {"action": action, "artifact_ids": ids, **more}
    return dict(library.ask("POST", "/artifacts/bulk", json=body, expect=expect))


def state(owner: psycopg.Connection[Any]) -> list[Any]:
    """What topics know and where artifacts are."""
    return [
        owner.execute(
            "select id, centroid::text, round(weight_sum::numeric, 9), signal_count, artifact_count, "
            "round(coherence::numeric, 9) from misir.subspace order by id"
        ).fetchall(),
        owner.execute(
            "select id, space_id, subspace_id, assigned_by, pinned, taught_weight, deleted_at is null "
            "from misir.artifact order by id"
        ).fetchall(),
    ]


def test_assigning_many_teaches_both_topics_once_and_is_undone(
    world: World, owner: psycopg.Connection[Any]
) -> None:
    library, space, topics, pages = world
    before = state(owner)
    done = bulk(library, "assign", [*pages[:3], pages[0]], subspace_id=topics["wood"])
    assert (done["count"], done["changed_ids"], done["unchanged_ids"]) == (3, pages[:3], [])
    assert len(library.corrections(space)) == 4  # three seeds, and this
    standings = {one["name"]: (one["before"], one["after"]) for one in done["topics"]}
    assert {name: (a["artifact_count"], b["artifact_count"]) for name, (a, b) in standings.items()} == {
        "sea": (4, 1),
        "wood": (0, 3),
    }
    now = library.topics(space)
    for name, (_, after) in standings.items():
        assert after["confidence"] == pytest.approx(now[name]["confidence"])
    assert standings["sea"][0]["confidence"] > standings["sea"][1]["confidence"]
    assert library.differences() == []
    again = bulk(library, "assign", pages[:3], subspace_id=topics["wood"])
    assert (again["count"], again["unchanged_ids"], again["correction_ids"], again["topics"]) == (
        0,
        pages[:3],
        [],
        [],
    )
    (correction,) = done["correction_ids"]
    undone = library.undo(correction)
    assert [one["after"] for one in undone["topics"]] == [one["before"] for one in done["topics"]]
    assert state(owner) == before
    assert library.differences() == []


def test_pages_of_two_spaces_move_into_a_third_and_back(library: Any, owner: psycopg.Connection[Any]) -> None:
    first, second, third = (library.declare(name, "sea", "wood") for name in ("A", "B", "C"))
    pages = [
        library.capture(space, f"{word}{space}", f"{word} {space}", engagement_level="engaged")["artifact_id"]
        for space in (first, second)
        for word in ("sea", "wood")
    ]
    trashed = library.capture(third, f"sea{first}", "sea")["artifact_id"]
    library.ask("DELETE", f"/artifacts/{trashed}")  # it makes way
    before = state(owner)
    done = bulk(library, "move", pages, space_id=third)
    assert (done["count"], len(done["correction_ids"])) == (4, 2)
    counts = {name: topic["artifact_count"] for name, topic in library.topics(third).items()}
    assert counts == {"sea": 2, "wood": 2}  # each where the engine thinks
    assert library.differences() == []
    assert bulk(library, "move", pages, space_id=third)["count"] == 0
    for correction in done["correction_ids"]:
        library.undo(correction)
    assert library.differences() == []
    before[1] = [row for row in before[1] if row[0] != trashed]
    assert state(owner) == before


def test_nothing_is_done_where_one_of_them_cannot(world: World, owner: psycopg.Connection[Any]) -> None:
    library, space, topics, pages = world
    other = library.declare("Other", "sea")
    foreign = library.capture(other, "elsewhere", "sea")["artifact_id"]
    twin = library.capture(other, "sea0", "sea")["artifact_id"]
    before = state(owner)
    bulk(library, "delete", [*pages, 987_654], expect=404)
    bulk(library, "assign", [*pages, foreign], subspace_id=topics["wood"], expect=409)
    bulk(library, "assign", [foreign], subspace_id=topics["wood"], expect=404)
    bulk(library, "assign", pages, subspace_id=987_654, expect=404)
    bulk(library, "move", pages, space_id=987_654, expect=404)
    bulk(library, "move", pages, space_id=other, expect=409)  # it has the address of one of them
    third = library.declare("Third")
    bulk(library, "move", [pages[0], twin], space_id=third, expect=409)  # both have the same address
    for wrong in (
        {"action": "delete", "artifact_ids": []},
        {"action": "delete", "artifact_ids": list(range(1, 502))},
        {"action": "delete", "artifact_ids": pages, "subspace_id": None},
        {"action": "assign", "artifact_ids": pages},
        {"action": "move", "artifact_ids": pages},
        {"action": "paint", "artifact_ids": pages},
    ):
        library.ask("POST", "/artifacts/bulk", json=wrong, expect=422)
    library.ask("PATCH", f"/spaces/{space}", json={"archived": True})
    bulk(library, "delete", pages, expect=409)
    assert state(owner) == before


def test_deleting_and_restoring_many_is_exact_and_undone_both_ways(
    world: World, owner: psycopg.Connection[Any]
) -> None:
    library, space, topics, pages = world
    before = state(owner)
    done = bulk(library, "delete", pages[:3])
    assert library.topics(space)["sea"]["artifact_count"] == 1
    assert bulk(library, "delete", pages)["changed_ids"] == [pages[3]]
    bulk(
        library, "assign", pages, subspace_id=topics["wood"], expect=404
    )  # what is in the trash is not there
    assert library.differences() == []
    library.undo(done["correction_ids"][0])
    assert library.topics(space)["sea"]["artifact_count"] == 3
    restored = bulk(library, "restore", pages)
    assert restored["changed_ids"] == [pages[3]]
    assert state(owner) == before
    library.undo(restored["correction_ids"][0])
    library.ask("GET", f"/artifacts/{pages[3]}", expect=404)
    assert library.differences() == []


def test_a_pin_holds_a_page_and_its_release_gives_it_back_to_the_engine(world: World) -> None:
    library, space, topics, pages = world
    pinned = library.ask("PATCH", f"/artifacts/{pages[0]}", json={"pinned": True})
    assert (pinned["pinned"], pinned["assigned_by"], pinned["subspace_id"]) == (True, "user", topics["sea"])
    assert library.ask("PATCH", f"/artifacts/{pages[0]}", json={"pinned": True})["correction_id"] is None
    assert library.differences() == []
    moved = library.capture(space, "sea0", "wood wood", engagement_level="engaged")
    assert moved["subspace_id"] == topics["sea"]  # another text, and still where the person keeps it
    freed = library.ask("PATCH", f"/artifacts/{pages[0]}", json={"pinned": False})
    assert (freed["pinned"], freed["assigned_by"], freed["subspace_id"]) == (False, "engine", topics["sea"])
    assert library.differences() == []
    out = library.ask("PATCH", f"/artifacts/{pages[1]}", json={"subspace_id": None})
    assert [
        (t["name"], t["before"]["artifact_count"], t["after"]["artifact_count"]) for t in out["topics"]
    ] == [("sea", 4, 3)]
    freed = library.ask("PATCH", f"/artifacts/{pages[1]}", json={"pinned": False})
    assert (freed["assigned_by"], freed["subspace_id"]) == (None, None)
    for wrong in ({"pinned": None}, {"pinned": True, "subspace_id": topics["sea"]}, {"pinned": 1}):
        library.ask("PATCH", f"/artifacts/{pages[0]}", json=wrong, expect=422)
    assert library.differences() == []


def test_many_at_once_against_each_other_leave_what_the_log_says(world: World) -> None:
    library, space, topics, pages = world
    other = library.declare("Other", "sea", "wood")
    acts: list[tuple[str, dict[str, Any]]] = [
        ("assign", {"subspace_id": topics["wood"]}),
        ("assign", {"subspace_id": None}),
        ("delete", {}),
        ("restore", {}),
        ("move", {"space_id": other}),
        ("move", {"space_id": space}),
    ]

    def act(number: int) -> int:
        action, more = acts[number % len(acts)]
        body = {"action": action, "artifact_ids": pages, **more}
        return int(library.api.post("/api/v1/artifacts/bulk", json=body).status_code)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(act, range(18)))
    assert set(answers) <= {200, 404, 409}
    assert library.differences() == []
