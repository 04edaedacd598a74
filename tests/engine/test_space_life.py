"""A space as a whole: described anew, archived, thrown away, taken back, purged; and what others keep of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest


@pytest.fixture
def library(library_of: Callable[..., Any]) -> Any:
    return library_of(sea=(1,), wood=(0, 1), city=(0, 0, 1))


def names(library: Any, **params: Any) -> list[str]:
    return [space["name"] for space in library.ask("GET", "/spaces", params=params)["spaces"]]


def rows_of_space(owner: psycopg.Connection[Any], space: int) -> dict[str, int]:
    """How many rows of each table name the space."""
    tables = owner.execute(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'space_id' "
        "where c.relnamespace = 'misir'::regnamespace and c.relkind = 'r'"
    ).fetchall()
    counts = {}
    for (table,) in tables:
        row = owner.execute(
            f"select count(*) from misir.{table} where space_id = %s".encode(), [space]
        ).fetchone()
        assert row is not None
        counts[table] = row[0]
    return counts


def test_a_space_is_described_anew(library: Any, owner: psycopg.Connection[Any]) -> None:
    space = library.declare("World", "sea", description="all", intention="wood")
    changed = library.ask(
        "PATCH",
        f"/spaces/{space}",
        json={"name": " Earth ", "description": None, "intention": "sea", "color": "#112233"},
    )
    assert (changed["name"], changed["description"], changed["intention"], changed["color"]) == (
        "Earth",
        None,
        "sea",
        "#112233",
    )
    aim = "select intention_embedding::text, intention_model is null from misir.space"
    assert owner.execute(aim).fetchone() is not None
    assert str(owner.execute(aim).fetchone()).startswith("('[1,0,")
    library.ask("PATCH", f"/spaces/{space}", json={"intention": " "})
    assert owner.execute(aim).fetchone() == (None, True)
    for body in ({}, {"name": None}, {"color": "red"}, {"archived": "yes"}, {"archived": None}):
        library.ask("PATCH", f"/spaces/{space}", json=body, expect=422)


def test_an_archived_space_is_read_only_and_opens_again(library: Any) -> None:
    space = library.declare("World", "sea")
    page = library.capture(space, "a", "sea", engagement_level="engaged")["artifact_id"]
    for _ in range(2):  # a second time changes nothing
        assert library.ask("PATCH", f"/spaces/{space}", json={"archived": True})["archived"] is True
    assert (names(library), names(library, archived=True)) == ([], ["World"])
    assert library.ask("GET", f"/spaces/{space}")["archived"] is True
    refused = {"space_id": space, "url": "https://x.example/b", "title": "sea"}
    library.ask("POST", "/capture", json=refused, expect=409)
    library.ask("PATCH", f"/spaces/{space}", json={"name": "Other"}, expect=409)
    library.ask("PATCH", f"/spaces/{space}", json={"name": "Other", "archived": True}, expect=409)
    library.ask("DELETE", f"/artifacts/{page}", expect=409)
    library.ask("PATCH", f"/artifacts/{page}", json={"subspace_id": None}, expect=409)
    library.work(datetime.now(UTC) + timedelta(days=90))
    assert {topic["state"] for topic in library.topics(space).values()} == {"active"}  # nobody touches it
    opened = library.ask("PATCH", f"/spaces/{space}", json={"name": "Other", "archived": False})
    assert (opened["name"], opened["archived"]) == ("Other", False)
    library.ask("POST", "/capture", json=refused)
    assert library.differences() == []


def test_a_space_in_the_trash_is_nowhere_and_comes_back_as_it_was(library: Any) -> None:
    space, other = library.declare("World", "sea", "wood"), library.declare("Rest", "sea")
    pages = [
        library.capture(space, f"{n}", f"sea {n}", engagement_level="engaged")["artifact_id"]
        for n in range(3)
    ]
    stays = library.capture(other, "stays", "sea")["artifact_id"]
    correction = library.ask("PATCH", f"/artifacts/{pages[0]}", json={"subspace_id": None})["correction_id"]
    topic = library.topics(space)["sea"]["id"]
    before = library.ask("GET", f"/spaces/{space}")
    assert library.ask("DELETE", f"/spaces/{space}")["deleted"] is True
    for method, path, *body in (
        ("DELETE", f"/spaces/{space}"),
        ("GET", f"/spaces/{space}"),
        ("PATCH", f"/spaces/{space}", {"name": "x"}),
        ("GET", f"/spaces/{space}/timeline"),
        ("GET", f"/spaces/{space}/artifacts"),
        ("GET", f"/subspaces/{topic}"),
        ("GET", f"/artifacts/{pages[0]}"),
        ("GET", f"/artifacts/{pages[0]}/similar"),
        ("DELETE", f"/artifacts/{pages[0]}"),
        ("POST", f"/artifacts/{pages[0]}/restore"),
        ("POST", f"/corrections/{correction}/undo"),
        ("POST", "/capture", {"space_id": space, "url": "https://x.example/new", "title": "sea"}),
    ):
        library.ask(method, path, expect=404, **({"json": body[0]} if body else {}))
    assert [item["id"] for item in library.ask("GET", "/artifacts")] == [stays]
    assert [item["id"] for item in library.ask("GET", "/capture")["latest"]] == [stays]
    for mode in ("semantic", "keyword"):
        found = library.ask("GET", "/search", params={"q": "sea", "mode": mode})["results"]
        assert [hit["artifact_id"] for hit in found] == [stays], mode
    assert library.ask("GET", f"/artifacts/{stays}/similar") == []
    assert (names(library), names(library, deleted=True)) == (["Rest"], ["World"])
    after = library.ask("POST", f"/spaces/{space}/restore")
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert library.ask("POST", f"/spaces/{space}/restore") == after  # what is live stays as it is
    assert library.ask("GET", f"/artifacts/{pages[0]}")["subspace_id"] is None
    assert library.differences() == []


def test_the_trash_is_emptied_after_thirty_days(library: Any, owner: psycopg.Connection[Any]) -> None:
    space, other = library.declare("World", "sea"), library.declare("Rest", "sea")
    for one in (space, other):
        library.capture(one, "a", "sea", engagement_level="engaged")
    library.ask("DELETE", f"/spaces/{space}")
    now = datetime.now(UTC)
    library.work(now + timedelta(days=29))
    assert rows_of_space(owner, space)["artifact"] == 1
    library.work(now + timedelta(days=30, hours=1))
    assert set(rows_of_space(owner, space).values()) == {0}
    assert owner.execute("select count(*) from misir.space").fetchone() == (1,)
    library.ask("POST", f"/spaces/{space}/restore", expect=404)
    assert library.differences() == []


def test_what_is_too_long_in_the_trash_cannot_be_restored(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    space = library.declare("World", "sea")
    library.ask("DELETE", f"/spaces/{space}")
    owner.execute("update misir.space set deleted_at = now() - interval '30 days 1 minute'")
    library.ask("POST", f"/spaces/{space}/restore", expect=404)


def test_a_purge_takes_everything_of_the_space_and_leaves_the_others_exact(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    """Pages moved in both directions: what they taught where they are now is no part of where they came from."""
    gone, kept = library.declare("Gone", "sea", "wood"), library.declare("Kept", "sea", "wood")
    pages = {
        (space, word): library.capture(space, f"{word}{space}", f"{word} {space}", engagement_level="engaged")
        for space in (gone, kept)
        for word in ("sea", "wood")
    }
    library.capture(gone, f"sea{gone}", f"sea {gone}", engagement_level="saturated")
    moved = library.ask("PATCH", f"/artifacts/{pages[gone, 'sea']['artifact_id']}", json={"space_id": kept})
    library.ask("PATCH", f"/artifacts/{pages[kept, 'wood']['artifact_id']}", json={"space_id": gone})
    before = library.topics(kept)
    explained = library.ask("GET", f"/artifacts/{moved['id']}/explain")
    assert library.differences() == []
    message = library.ask("DELETE", f"/spaces/{gone}", params={"purge": True})["message"]
    assert "for good" in message
    library.ask("DELETE", f"/spaces/{gone}", params={"purge": True}, expect=404)
    assert set(rows_of_space(owner, gone).values()) == {0}
    left = {
        table: owner.execute(f"select count(*) from misir.{table}".encode()).fetchone()
        for table in ("artifact", "embedding", "subspace", "marker")
    }
    assert left == {"artifact": (2,), "embedding": (2,), "subspace": (2,), "marker": (2,)}
    assert library.topics(kept) == before
    assert library.differences() == []
    told = library.ask("GET", f"/artifacts/{moved['id']}/explain")["decision"]
    numbers = ("signal_id", "seq", "similarity", "probability", "fit", "taught_weight")
    assert {name: told[name] for name in numbers} == {name: explained["decision"][name] for name in numbers}
    library.ask("POST", f"/corrections/{moved['correction_id']}/undo", expect=409)
    library.capture(kept, f"sea{gone}", "sea again, longer", engagement_level="saturated")
    assert library.differences() == []


def test_a_purge_and_captures_at_once_end_in_one_of_the_two(
    library: Any, owner: psycopg.Connection[Any]
) -> None:
    space = library.declare("World", "sea")

    def act(number: int) -> int:
        if number == 4:
            return int(library.api.delete(f"/api/v1/spaces/{space}", params={"purge": True}).status_code)
        page = {"space_id": space, "url": f"https://x.example/{number}", "title": f"sea {number}"}
        return int(library.api.post("/api/v1/capture", json=page).status_code)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(act, range(16)))
    assert set(answers) <= {200, 201, 404}
    assert answers[4] == 200
    assert set(rows_of_space(owner, space).values()) == {0}


def test_the_timeline_tells_a_space_from_its_beginning(library: Any) -> None:
    space = library.declare("World", "sea")
    pages = [library.capture(space, str(n), f"sea {n}")["artifact_id"] for n in range(5)]
    library.ask("DELETE", f"/artifacts/{pages[3]}")
    whole = library.ask("GET", f"/spaces/{space}/timeline")
    expected = [page for page in pages if page != pages[3]]
    assert [item["id"] for item in whole["artifacts"]] == expected
    assert (whole["count"], whole["next_cursor"]) == (4, None)
    assert set(whole["artifacts"][0]) == {
        "id", "title", "url", "domain", "created_at", "engagement_level", "subspace_id"
    }  # fmt: skip
    seen, cursor = [], None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        part = library.ask("GET", f"/spaces/{space}/timeline", params=params)
        seen += [item["id"] for item in part["artifacts"]]
        assert part["count"] == 4
        cursor = part["next_cursor"]
        if cursor is None:
            break
    assert seen == expected
    library.ask("GET", f"/spaces/{space}/timeline", params={"cursor": "x"}, expect=422)
