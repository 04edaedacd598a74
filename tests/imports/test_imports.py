"""An import from its first look to its undo."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from misir.imports import texts
from misir.ingest.fetch import Fetched

LIST = b"""https://a.example/1\tsea one
https://a.example/2\twood two
https://a.example/2#again\twood two
chrome://settings
https://a.example:99999/\tbad port
"""


def counts(run: dict[str, Any]) -> list[int]:
    return [run[f"{name}_count"] for name in ("new", "known", "skipped", "failed")]


def test_a_dry_run_says_what_an_import_then_does(shelf: Any, owner: psycopg.Connection[Any]) -> None:
    shelf.ask("POST", "/capture", expect=201, json={"space_id": shelf.space, "url": "https://a.example/1", "title": "sea"})  # fmt: skip
    seen = shelf.send(LIST, expect=200, dry_run=True)
    assert (seen["format"], seen["total"], seen["dry_run"]) == ("urls", 5, True)
    names = ("new", "known", "duplicate", "skipped", "without_text")
    assert [seen[f"{name}_count"] for name in names] == [1, 1, 1, 2, 2]
    assert seen["samples"][0] == {
        "url": "https://a.example/1", "title": "sea one", "captured_at": None, "has_text": False, "is_known": True
    }  # fmt: skip
    assert next((one["position"], one["reason"]) for one in seen["skipped"]) == (4, "not a web page")
    assert owner.execute("select count(*) from misir.import_run").fetchone() == (0,)
    assert shelf.artifacts()["count"] == 1

    run = shelf.send(LIST, name="my list.txt")
    assert (run["state"], run["file_name"], run["total"]) == ("waiting", "my list.txt", None)
    shelf.work()
    run = shelf.run(run["id"])
    assert (run["state"], run["position"], run["total"]) == ("done", 5, 5)
    assert counts(run) == [1, 2, 1, 1]
    assert [(one["position"], one["outcome"]) for one in run["refused"]] == [(4, "skipped"), (5, "failed")]
    page = shelf.run(run["id"], limit=1)
    assert [one["position"] for one in shelf.run(run["id"], cursor=page["next_cursor"])["refused"]] == [5]
    assert [one["position"] for one in shelf.run(run["id"], outcome="failed")["refused"]] == [5]
    assert shelf.artifacts()["count"] == 2
    listed = shelf.ask("GET", "/imports")
    assert [one["id"] for one in listed["imports"]] == [run["id"]]
    assert listed["next_cursor"] is None


def test_a_page_keeps_the_time_it_was_read_and_how_far(shelf: Any) -> None:
    table = "Title,URL,Saved date,Reading progress\nsea,https://r.example/,2020-01-02 03:04:05+00:00,0.97\n"
    shelf.send(table.encode())
    shelf.work()
    (page,) = shelf.artifacts()["artifacts"]
    assert (page["captured_at"], page["scroll_depth"]) == ("2020-01-02T03:04:05Z", 0.97)
    shelf.send(table.encode(), "again.csv")  # the same events: nothing is added
    shelf.work()
    first = shelf.ask("GET", f"/artifacts/{page['id']}")
    assert len(first["signals"]) == 1


def test_tags_stay_with_a_page_and_join_what_it_says_of_itself(
    shelf: Any, owner: psycopg.Connection[Any]
) -> None:
    first = {"space_id": shelf.space, "url": "https://p.example/", "title": "sea"}
    shelf.ask("POST", "/capture", expect=201, json=first)
    owner.execute("""update misir.artifact set metadata = '{"author": "A"}'""")
    rows = "sea,https://p.example/,1577934245,salt|<b>tide</b>,unread\nwood,https://p.example/2,1577934245,,unread\n"
    shelf.send(f"title,url,time_added,tags,status\n{rows}".encode())
    shelf.work()
    pages = {one["url"]: one["id"] for one in shelf.artifacts()["artifacts"]}
    page = shelf.ask("GET", f"/artifacts/{pages['https://p.example/']}")
    assert page["metadata"] == {"author": "A", "tags": ["salt", "<b>tide</b>"]}
    assert shelf.ask("GET", f"/artifacts/{pages['https://p.example/2']}")["metadata"] == {}
    shown = shelf.api.get(f"/app/items/{page['id']}").text
    assert "salt, &lt;b&gt;tide&lt;/b&gt;" in shown


def test_undo_takes_back_what_came_and_leaves_what_was_read_since(shelf: Any) -> None:
    run = shelf.send(b"\n".join(b"https://a.example/%d\tsea %d" % (n, n) for n in range(6)))
    shelf.work()
    ids = {one["url"]: one["id"] for one in shelf.artifacts()["artifacts"]}
    shelf.ask("POST", "/capture", json={"space_id": shelf.space, "url": "https://a.example/3", "title": "sea 3", "scroll_depth": 1})  # fmt: skip
    topic = next(one for one in shelf.ask("GET", f"/spaces/{shelf.space}/subspaces") if one["name"] == "Wood")
    shelf.ask("PATCH", f"/artifacts/{ids['https://a.example/4']}", json={"subspace_id": topic["id"]})
    assert shelf.ask("POST", f"/imports/{run['id']}/undo", expect=202)["state"] == "undoing"
    shelf.work()
    after = shelf.run(run["id"])
    assert (after["state"], after["undone_count"]) == ("undone", 4)
    kept = {one["url"] for one in shelf.artifacts()["artifacts"]}
    assert kept == {"https://a.example/3", "https://a.example/4"}
    assert shelf.differences() == []
    assert shelf.ask("POST", f"/imports/{run['id']}/undo", expect=202)["state"] == "undone"
    restored = ids["https://a.example/1"]
    shelf.ask("POST", f"/artifacts/{restored}/restore")
    assert shelf.artifacts()["count"] == 3


def test_an_import_undone_before_it_began_brings_nothing(shelf: Any) -> None:
    run = shelf.send(LIST)
    shelf.ask("POST", f"/imports/{run['id']}/undo", expect=202)
    shelf.work()
    assert shelf.run(run["id"])["state"] == "undone"
    assert shelf.artifacts()["count"] == 0


def test_what_cannot_be_imported_is_refused_with_a_reason(shelf: Any) -> None:
    for data, fields, status, said in (
        (b"just words", {}, 422, "no format"),
        (b"", {}, 422, "empty"),
        (LIST, {"space_id": None}, 422, "space_id: is missing"),
        (LIST, {"space_id": 987654321}, 404, "not found"),
        (LIST, {"space_id": "x"}, 422, "space_id"),
        (LIST, {"format": "novel"}, 422, "format"),
        (LIST, {"user_id": "somebody"}, 202, ""),  # MOCK_AUTH: it means nothing
    ):
        answer = shelf.send(data, expect=status, **fields)
        assert said in answer.get("detail", "")
    shelf.ask("POST", "/imports", expect=422, json={"space_id": shelf.space})
    shelf.ask("POST", "/imports", expect=422, data={"space_id": shelf.space})
    shelf.ask("GET", "/imports/987654321", expect=404)
    shelf.ask("POST", "/imports/987654321/undo", expect=404)
    for _ in range(4):
        shelf.send(LIST)
    assert "not finished" in shelf.send(LIST, expect=409)["detail"]


def test_a_file_that_breaks_off_brings_nothing_and_says_why(shelf: Any) -> None:
    run = shelf.send(b'[{"url": "https://a.example/1", "title": "sea", "slug": "s"}, {"url": ')
    shelf.work()
    run = shelf.run(run["id"])
    assert (run["state"], run["error"]) == ("failed", "The file is not whole JSON.")
    assert shelf.artifacts()["count"] == 0


def test_the_same_key_starts_one_import(shelf: Any) -> None:
    first = shelf.send(LIST, key="once")
    assert shelf.send(LIST, key="once") == first  # whatever boundary the form had
    assert "another body" in shelf.send(LIST + b"\n", key="once", expect=422)["detail"]
    assert len(shelf.ask("GET", "/imports")["imports"]) == 1


def test_without_a_model_an_import_waits(shelf: Any, fakes: Any) -> None:
    run = shelf.send(LIST)
    embedder, shelf.embedder = shelf.embedder, fakes.absent_embedder()
    shelf.work()
    assert shelf.run(run["id"])["state"] == "running"
    shelf.embedder = embedder

    async def at_once(res: Any) -> None:
        async with res.database.as_service() as tx:
            await tx.ask(b"update misir.job set run_at = now() where kind = 'import'")

    shelf.in_process(at_once, embedder=embedder)
    shelf.work()
    assert counts(shelf.run(run["id"])) == [2, 1, 1, 1]


def test_titles_get_their_text_where_that_is_wanted(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    async def found(url: str, *_: Any) -> Fetched:
        await asyncio.sleep(0)
        asked.append(url)
        return Fetched(url, "text", b"wood " * 40 if url.endswith("/1") else b"\xff\xfe\x00")

    monkeypatch.setattr(texts, "fetch", found)
    run = shelf.send(LIST, fetch=True)
    shelf.work()
    run = shelf.run(run["id"])
    assert (run["state"], run["fetched_count"]) == ("done", 1)
    assert sorted(set(asked)) == ["https://a.example/1", "https://a.example/2"]
    pages = {one["url"]: one["id"] for one in shelf.artifacts()["artifacts"]}
    page = shelf.ask("GET", f"/artifacts/{pages['https://a.example/1']}")
    assert (page["title"], page["content"][:9]) == ("sea one", "wood wood")
    assert shelf.differences() == []


def test_a_user_sees_no_import_of_another(run_app: Any, shelf: Any) -> None:
    run = shelf.send(LIST)
    stranger: httpx.Client = run_app(embedder=shelf.embedder, MOCK_USER_ID="somebody-else")
    for method, path in (("GET", ""), ("POST", "/undo")):
        assert stranger.request(method, f"/api/v1/imports/{run['id']}{path}").status_code == 404
    assert stranger.get("/api/v1/imports").json()["imports"] == []
