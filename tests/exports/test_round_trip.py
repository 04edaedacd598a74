"""Everything goes out, and comes back into an empty database: the same library, and the same centroids."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from misir.imports.readers import read_misir
from misir.imports.work import work_import
from misir.jobs.worker import drain
from misir.resources import Resources
from misir.settings import Settings
from misir.spaces.replay import check_space, list_space_ids

ME = Settings(_env_file=None).mock_user_id
TABLES = (
    "space", "subspace", "marker", "subspace_marker", "session", "artifact", "embedding", "signal", "correction",
    "correction_move", "subspace_event", "drift_event", "subspace_snapshot",
)  # fmt: skip


def ask(api: httpx.Client, method: str, path: str, **sent: Any) -> Any:
    answer = api.request(method, f"/api/v1{path}", **sent)
    assert answer.is_success, (method, path, answer.text)
    return answer.json()


def furnish(api: httpx.Client) -> tuple[int, int]:
    """Two spaces with everything that can happen in them, one that is archived, and one in the trash."""
    session = ask(api, "POST", "/sessions", json={"external_id": "tab-1"})["id"]
    topics = [{"name": name, "markers": [name.lower()]} for name in ("Sea", "Wood", "Ice")]
    space = ask(api, "POST", "/spaces", json={"name": "All ☃", "subspaces": topics, "intention": "sea"})["id"]
    other = ask(api, "POST", "/spaces", json={"name": "Other"})["id"]
    pages = [
        {"space_id": of, "url": f"https://x.example/{of}/{number}", "title": f"{word} {number}", "content": f"{word} text of {number}",
         "session_id": session, "scroll_depth": 0.9, "active_time_ms": 60_000, "captured_at": f"2024-01-{1 + number % 28:02}T00:00:00Z"}
        for of in (space, other) for number, word in enumerate(["sea", "wood", "ice"] * 5)
    ]  # fmt: skip
    answer = ask(api, "POST", "/artifacts/batch", json={"artifacts": pages})
    assert answer["count"] == len(pages)
    ids = [one["artifact_id"] for one in answer["successful"]]
    named = {one["name"]: one["id"] for one in ask(api, "GET", f"/spaces/{space}/subspaces")}
    ask(api, "PATCH", f"/artifacts/{ids[0]}", json={"subspace_id": named["Wood"]})
    ask(api, "PATCH", f"/artifacts/{ids[1]}", json={"space_id": other})
    ask(api, "DELETE", f"/artifacts/{ids[2]}")
    moved = ask(api, "PATCH", f"/artifacts/{ids[3]}", json={"subspace_id": named["Ice"]})
    ask(api, "POST", f"/corrections/{moved['correction_id']}/undo")
    ask(api, "POST", f"/subspaces/{named['Ice']}/merge", json={"into": named["Wood"]})
    ask(api, "POST", f"/subspaces/{named['Sea']}/markers", json={"label": "shore"})
    ask(api, "POST", "/artifacts/capture", json=pages[4] | {"captured_at": None, "content": "sea, and wood"})
    archived, trashed = (
        ask(api, "POST", "/spaces", json={"name": name, "subspaces": topics})["id"]
        for name in ("Old", "Gone")
    )
    for one in (archived, trashed):
        ask(
            api,
            "POST",
            "/capture",
            json={"space_id": one, "url": f"https://x.example/aside/{one}", "title": "sea", "content": "sea"},
        )
    ask(api, "PATCH", f"/spaces/{archived}", json={"archived": True})
    ask(api, "DELETE", f"/spaces/{trashed}")
    return space, other


def work(in_process: Callable[..., Any], embedder: Any, **settings: Any) -> None:
    async def do(res: Resources) -> None:
        await drain(res, datetime.now(UTC))

    in_process(do, embedder=embedder, **settings)


def differences(in_process: Callable[..., Any], embedder: Any, **settings: Any) -> list[Any]:
    async def check(res: Resources) -> list[Any]:
        spaces = await list_space_ids(res, ME)
        assert spaces
        return [one for space in spaces for one in (await check_space(res, ME, space)).differences]

    return list(in_process(check, embedder=embedder, **settings))


def contents(url: str) -> dict[str, Any]:
    """The library without its ids: what a person would know it by."""
    with psycopg.connect(url) as conn:
        sizes = {
            table: conn.execute(f"select count(*) from misir.{table}".encode()).fetchone()[0]
            for table in TABLES
        }
        spaces = conn.execute(
            "select name, archived_at, deleted_at, intention from misir.space order by 1"
        ).fetchall()
        pages = conn.execute(
            "select s.name, a.url, a.title, a.content, t.name, a.assigned_by, a.engagement_level, a.scroll_depth, a.captured_at, "
            "a.deleted_at, a.pinned, a.taught_weight, a.learned_seq, a.fit from misir.artifact a join misir.space s on s.id = a.space_id "
            "left join misir.subspace t on t.id = a.subspace_id order by 1, 2"
        ).fetchall()
        log = conn.execute(
            "select s.name, g.seq, a.url, t.name, x.external_id, g.event_hash, g.base_weight, g.occurred_at, e.vector::text "
            "from misir.signal g join misir.space s on s.id = g.space_id join misir.artifact a on a.id = g.artifact_id "
            "join misir.embedding e on e.id = g.embedding_id "
            "left join misir.subspace t on t.id = g.subspace_id left join misir.session x on x.id = g.session_id order by 1, 2"
        ).fetchall()
        corrections = conn.execute(
            "select s.name, c.seq, c.kind, c.actor, u.seq, cardinality(c.artifact_ids), "
            "(select string_agg(t.name, ',' order by t.name) from misir.subspace t where t.id = any(c.subspace_ids)), "
            "(select string_agg(a.url || coalesce(t.name, ''), ',' order by a.url) from misir.correction_move v "
            " join misir.artifact a on a.id = v.artifact_id left join misir.subspace t on t.id = v.to_subspace_id where v.correction_id = c.id) "
            "from misir.correction c join misir.space s on s.id = c.space_id left join misir.correction u on u.id = c.undoes order by 1, 2"
        ).fetchall()
        events = conn.execute(
            "select s.name, e.type, t.name, e.numbers::text, e.occurred_at, c.seq from misir.subspace_event e join misir.space s on s.id = e.space_id "
            "left join misir.subspace t on t.id = e.subspace_id "
            "left join misir.correction c on c.id = (e.cause ->> 'correction_id')::bigint order by 1, 5, 2, 3"
        ).fetchall()
        centroids = conn.execute(
            "select s.name, t.name, t.state, t.artifact_count, t.signal_count, t.weight_sum, t.coherence, t.confidence, t.centroid::text "
            "from misir.subspace t join misir.space s on s.id = t.space_id order by 1, 2, t.id"
        ).fetchall()
    return {"sizes": sizes, "spaces": spaces, "pages": pages, "log": log, "corrections": corrections, "events": events, "centroids": centroids}  # fmt: skip


def same_numbers(one: Any, other: Any) -> bool:
    if isinstance(one, str) and one.startswith("["):
        return orjson.loads(one) == pytest.approx(orjson.loads(other), abs=1e-5)
    return one == (pytest.approx(other, abs=1e-5) if isinstance(one, float) else other)


def test_an_export_into_an_empty_database_is_the_same_library(  # noqa: PLR0917
    run_app: Callable[..., httpx.Client], in_process: Callable[..., Any], running_app: Callable[..., Any], server_url: Callable[..., str],
    fresh: str, database: str, fakes: Any, tmp_path: Path,
) -> None:  # fmt: skip
    embedder = fakes.embedder_of(
        sea=fakes.direction(1), wood=fakes.direction(0, 1), ice=fakes.direction(0, 0, 1)
    )
    api = run_app(embedder=embedder)
    furnish(api)
    work(in_process, embedder)
    exported = api.get("/api/v1/export")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    lines = [orjson.loads(line) for line in exported.content.splitlines()]
    assert lines[0]["kind"] == "misir-export"
    assert "user_id" not in exported.text
    counts = lines[-1]["counts"]
    assert {name: sum(line["kind"] == name for line in lines) for name in counts} == counts
    before = contents(server_url(database))
    (tmp_path / "library.jsonl").write_bytes(exported.content)
    anew = [entry.url for entry in read_misir(tmp_path / "library.jsonl")]
    assert len(anew) == sum(space != "Gone" and not page[8] for space, *page in before["pages"])

    there = {"DATABASE_URL": server_url(fresh, "misir_login"), "DATABASE_SERVICE_URL": server_url(fresh, "misir_worker")}  # fmt: skip
    with running_app(server_url(fresh, "misir_login"), embedder) as new:
        with psycopg.connect(server_url(fresh), autocommit=True) as owner:
            # As if others had been here before: no id is what it was.
            owner.execute("select setval(pg_get_serial_sequence('misir.' || t, 'id'), 1000) from unnest(%s::text[]) t", [["space", "subspace", "artifact", "signal", "marker", "correction", "embedding", "session"]])  # fmt: skip
        run = ask(new, "POST", "/imports", files={"file": ("library.jsonl", exported.content)})
        work(in_process, embedder, **there)
        run = ask(new, "GET", f"/imports/{run['id']}")
        assert (run["state"], run["failed_count"], run["refused"]) == ("done", 0, [])
        after = contents(server_url(fresh))
        assert after["sizes"] == before["sizes"]
        assert all(before["sizes"][table] for table in TABLES if table != "drift_event")
        assert [space[0] for space in before["spaces"] if space[2]] == ["Gone"]
        for what in ("spaces", "pages", "log", "corrections", "events", "centroids"):
            for old, restored in zip(before[what], after[what], strict=True):
                assert all(map(same_numbers, old, restored)), (what, old, restored)
        assert differences(in_process, embedder, **there) == []
        with psycopg.connect(server_url(fresh), autocommit=True) as owner:
            # As after a kill between the last step and the note that it was the last.
            owner.execute("update misir.import_run set state = 'running'")
            in_process(lambda res: work_import(res, ME, datetime.now(UTC)), embedder=embedder, **there)
            assert ask(new, "GET", f"/imports/{run['id']}")["state"] == "done"
            counted = owner.execute("select sum(embedding_count) from misir.space").fetchone()
        assert counted == (after["sizes"]["embedding"],)
        again = new.get("/api/v1/export").content.splitlines()
        assert len(again) == len(lines)
        found = ask(new, "GET", "/search", params={"q": "wood"})
        assert found["count"] > 0
        ask(new, "POST", f"/imports/{run['id']}/undo")
        work(in_process, embedder, **there)
        assert ask(new, "GET", "/spaces")["count"] == 0
        assert ask(new, "GET", f"/imports/{run['id']}")["state"] == "undone"


def test_what_was_changed_by_hand_is_refused_line_by_line(
    run_app: Callable[..., httpx.Client],
    in_process: Callable[..., Any],
    owner: psycopg.Connection[Any],
    fakes: Any,
) -> None:
    embedder = fakes.embedder_of(sea=fakes.direction(1))
    api = run_app(embedder=embedder)
    space = ask(api, "POST", "/spaces", json={"name": "S", "subspaces": [{"name": "Sea", "markers": ["sea"]}]})["id"]  # fmt: skip
    for number in range(3):
        ask(api, "POST", "/capture", json={"space_id": space, "url": f"https://x.example/{number}", "title": "sea"})  # fmt: skip
    ask(api, "GET", "/profile")
    lines = [orjson.loads(line) for line in api.get("/api/v1/export").content.splitlines()]
    owner.execute("delete from misir.profile")
    next(line for line in lines if line["kind"] == "settings")["timezone"] = "Mars/Olympus"
    pages = [line for line in lines if line["kind"] == "artifact"]
    pages[0]["user_id"] = str(uuid.uuid4())  # nobody asks
    pages[1]["space_id"] = space + 5
    pages[2]["title"] = "a\x00b"
    next(line for line in lines if line["kind"] == "embedding")["vector"] = "AAUAAA=="
    next(line for line in lines if line["kind"] == "signal")["base_weight"] = "Infinity"
    file = b"\n".join(map(orjson.dumps, lines)) + b"\n"
    run = ask(api, "POST", "/imports", files={"file": ("e.jsonl", file)})
    work(in_process, embedder)
    run = ask(api, "GET", f"/imports/{run['id']}")
    reasons = [one["reason"] for one in run["refused"]]
    assert run["state"] == "done"
    assert reasons.count("What it belongs to is not in the export.") >= 2
    assert any("NUL" in one for one in reasons)
    assert any("base_weight" in one for one in reasons)
    assert owner.execute("select count(distinct user_id) from misir.artifact").fetchone() == (1,)
    assert differences(in_process, embedder) == []
    assert ask(api, "GET", "/profile")["timezone"] == "UTC"

    model = lines[0]["model"]
    for change, said in (
        ({"model": "other/model@3"}, "other/model@3"),
        ({"version": 9}, "no export this version"),
    ):
        lines[0] |= change
        run = ask(
            api, "POST", "/imports", files={"file": ("e.jsonl", b"\n".join(map(orjson.dumps, lines)) + b"\n")}
        )
        work(in_process, embedder)
        assert said in ask(api, "GET", f"/imports/{run['id']}")["error"]
        lines[0] |= {"version": 1, "model": model}
    cut = b"\n".join(map(orjson.dumps, lines[:-1])) + b"\n"
    assert "cut off" in api.post("/api/v1/imports", files={"file": ("e", cut)}, data={"dry_run": "true"}).json()["detail"]  # fmt: skip


def test_one_space_and_bookmarks(run_app: Callable[..., httpx.Client], fakes: Any) -> None:
    api = run_app(embedder=fakes.embedder_of(sea=fakes.direction(1)))
    spaces = [ask(api, "POST", "/spaces", json={"name": name})["id"] for name in ("A & B", "C")]
    for space in spaces:
        ask(api, "POST", "/capture", json={"space_id": space, "url": f"https://x.example/?a=1&b={space}", "title": "<sea>"})  # fmt: skip
    lines = [orjson.loads(line) for line in api.get("/api/v1/export", params={"space_id": spaces[1]}).content.splitlines()]  # fmt: skip
    assert {line["space_id"] for line in lines if line["kind"] == "artifact"} == {spaces[1]}
    page = api.get("/api/v1/export", params={"format": "bookmarks"}).text
    assert page.count("<DT><H3>") == 2
    assert "<DT><H3>A &amp; B</H3>" in page
    assert f'<A HREF="https://x.example/?a=1&amp;b={spaces[0]}" ADD_DATE=' in page
    assert ">&lt;sea&gt;</A>" in page
    assert api.get("/api/v1/export", params={"space_id": 987654321}).status_code == 404
    assert api.get("/api/v1/export", params={"format": "pdf"}).status_code == 422
