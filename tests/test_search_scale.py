"""Large libraries: exact scan or index, never fewer hits than there are; a replica that reads; pages under inserts."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from misir.resources import Resources
from misir.search import meaning
from misir.search.meaning import SQL, Library, ask_meaning, read_meaning
from misir.settings import Settings

ME, OTHER = Settings(_env_file=None).mock_user_id, uuid.uuid4()
N_MINE, N_OTHERS, DIMENSION = 500, 500, 384
FILTERS = dict.fromkeys(
    ("space_ids", "subspace_id", "source", "domain", "engagement_level", "from_at", "to_at")
)
EVERYTHING = -10.0
"""A threshold below every cosine."""


def direction(number: int) -> np.ndarray:
    """The middle of a subject: mine are 0 to 4, the other user's 5 to 9."""
    return np.random.default_rng(number).normal(0, 1, DIMENSION)


def fill(owner: psycopg.Connection[Any], fingerprint: str) -> dict[int, np.ndarray]:
    """Both users' libraries, around five subjects each; my vectors by artifact id. Every tenth is in space 2."""
    register_vector(owner)
    chance = np.random.default_rng(9)
    for user, name in ((ME, "A"), (ME, "B"), (OTHER, "C")):
        owner.execute("insert into misir.space (user_id, name) values (%s, %s)", [user, name])
    numbers = range(N_MINE + N_OTHERS)
    subjects = [number % 5 + (0 if number < N_MINE else 5) for number in numbers]
    made = np.stack([direction(one) for one in subjects]) + chance.normal(0, 1, (len(subjects), DIMENSION))
    vectors = made / np.linalg.norm(made, axis=1)[:, None]
    owner.execute(
        "insert into misir.artifact (user_id, space_id, url, normalized_url, url_hash, content_hash, title) "
        "select s.user_id, s.id, 'u', 'u', int4send(n), int4send(n), format('word%%s of many', n) "
        "from generate_series(0, %(n)s - 1) n join misir.space s on s.id = case when n >= %(mine)s then 3 "
        "when n %% 10 = 0 then 2 else 1 end order by n",
        {"n": len(numbers), "mine": N_MINE},
    )
    owner.execute(
        "insert into misir.embedding (user_id, artifact_id, model, content_hash, vector, fraction) "
        "select a.user_id, a.id, %(model)s, a.content_hash, v.vector, 1 from misir.artifact a "
        "join unnest(%(vectors)b::halfvec[]) with ordinality v (vector, n) on int4send(v.n::integer - 1) = a.content_hash",
        {"model": fingerprint, "vectors": [HalfVector(vector) for vector in vectors]},
    )
    rows = owner.execute("select id from misir.artifact where user_id = %s order by id", [ME]).fetchall()
    mine = {row[0]: vectors[number] for number, row in enumerate(rows)}
    owner.execute("update misir.space set embedding_count = 10000 where user_id = %s", [ME])
    owner.execute("vacuum analyze misir.artifact, misir.embedding")
    return mine


def nearest(mine: dict[int, np.ndarray], query: np.ndarray, k: int) -> list[int]:
    return sorted(mine, key=lambda one: -float(mine[one] @ query))[:k]


@pytest.fixture
def found(in_process: Callable[..., Any]) -> Callable[..., list[int]]:
    """`found(query, library, space_ids=…)`: what the semantic leg finds of everything."""

    def find(query: np.ndarray, library: Library, **narrow: Any) -> list[int]:
        async def do(res: Resources) -> list[int]:
            async with res.database.as_user(ME, plans="force_custom_plan") as tx:
                leg = await ask_meaning(
                    tx, res, query.astype(np.float32), EVERYTHING, FILTERS | narrow, library
                )
                assert leg.is_indexed is not library.is_scanned
                return [row["artifact_id"] for row in await read_meaning(tx, leg)]

        return list(in_process(do))

    return find


SMALL, LARGE = Library(500, 1_000, 0), Library(10_000, 20_000, 0)


def test_the_index_finds_what_the_scan_finds_and_never_fewer(
    owner: psycopg.Connection[Any], embedder: Any, found: Callable[..., list[int]]
) -> None:
    mine = fill(owner, embedder.fingerprint)
    for number in (0, 3, 7):  # the last is a subject of the other user's only
        query = direction(number) / np.linalg.norm(direction(number))
        truth = nearest(mine, query, 100)
        assert set(found(query, SMALL)) == set(truth)
        by_index = found(query, LARGE)
        assert len(by_index) == 100
        assert len({*by_index[:10]} & {*truth[:10]}) >= 9
        in_space = {one for one in mine if (one - min(mine)) % 10 == 0}
        assert {*found(query, LARGE, space_ids=[2])} == {*found(query, SMALL, space_ids=[2])} == in_space


def test_a_question_about_nothing_that_is_there_finds_what_is_nearest(
    owner: psycopg.Connection[Any],
    embedder: Any,
    found: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = fill(owner, embedder.fingerprint)
    queries = [direction(number) / np.linalg.norm(direction(number)) for number in range(20, 26)]
    truths = [nearest(mine, query, 100) for query in queries]
    # The real index gets as lost as this among a hundred thousand.
    lost = SQL.indexed_hits.replace(b"limit %(n_near)s\n)", b"limit %(n_near)s offset 5\n)")
    assert lost != SQL.indexed_hits
    monkeypatch.setattr(SQL, "indexed_hits", lost)
    for query, truth in zip(queries, truths, strict=True):
        assert found(query, LARGE)[:10] == truth[:10]
        assert {*found(query, LARGE, space_ids=[1, 2])} == {*truth}
    monkeypatch.setattr("misir.search.meaning.SCANNED_IF_LOST", 0)  # too large to be scanned
    guessed = [found(query, LARGE) for query in queries]
    assert all(len(one) == 100 for one in guessed)
    assert all({*one[:10]} != {*truth[:10]} for one, truth in zip(guessed, truths, strict=True))


def test_old_texts_and_trash_do_not_crowd_out_what_is_there(
    owner: psycopg.Connection[Any],
    embedder: Any,
    found: Callable[..., list[int]],
) -> None:
    mine = fill(owner, embedder.fingerprint)
    query = direction(1) / np.linalg.norm(direction(1))
    gone = nearest(mine, query, 320)
    owner.execute("update misir.artifact set deleted_at = now() where id = any(%s)", [gone[:160]])
    owner.execute("update misir.artifact set content_hash = '\\x00' where id = any(%s)", [gone[160:]])
    for library in (SMALL, LARGE):
        assert {*found(query, library)} == {*nearest(mine, query, 420)[320:]}


def test_plans_use_the_indexes_they_are_made_for(
    owner: psycopg.Connection[Any], app_url: str, embedder: Any
) -> None:
    """Under row level security, as the plain login; the keyword function tells through auto_explain."""
    fill(owner, embedder.fingerprint)
    claims = f'{{"sub": "{ME}"}}'
    with psycopg.connect(app_url) as conn:
        register_vector(conn)
        conn.execute(
            "select set_config('role', 'misir_app', true), set_config('request.jwt.claims', %s, true)",
            [claims],
        )
        values = {"vector": HalfVector(direction(0)), "model": embedder.fingerprint, "user_id": ME}
        asked = {**FILTERS, **values, "k": 100, "n_near": 300, "max_distance": 2.0}
        conn.execute(meaning.SQL.use_vector_index)
        plan = "\n".join(row[0] for row in conn.execute(b"explain " + meaning.SQL.indexed_hits, asked))
        assert "_vector_idx" in plan
        assert len({*re.findall(r"embedding_part_\d+", plan)}) == 1
        conn.execute(meaning.SQL.prefer_no_index)
        plan = "\n".join(row[0] for row in conn.execute(b"explain " + meaning.SQL.nearest_hits, asked))
        assert "_vector_idx" not in plan
    told: list[str] = []
    owner.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
    owner.execute("load 'auto_explain'")
    for name, value in (
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_nested_statements", "on"),
        ("client_min_messages", "log"),
        ("enable_seqscan", "off"),  # a table of a thousand rows would be read through
        ("request.jwt.claims", claims),
        ("role", "misir_app"),
    ):
        owner.execute("select set_config(%s, %s, false)", [name, value])
    hits = owner.execute("select * from misir.keyword_hits('word123', 10)").fetchall()
    owner.execute("reset role")
    assert len(hits) == 1
    plan = next(one for one in told if "websearch_to_tsquery" in one)
    assert "artifact_search" in plan, plan.partition("Query Parameters")[2]


def test_later_pages_are_of_the_first_ones_moment(api: httpx.Client) -> None:
    """What is captured in between, however good, moves nothing: no gap and no repeat, cold or warm."""
    space = api.post("/api/v1/spaces", json={"name": "S"}).json()["id"]

    def capture(name: str, text: str) -> None:
        page = {"space_id": space, "url": f"https://p.example/{name}", "title": name, "content": text}
        api.post("/api/v1/capture", json=page).raise_for_status()

    for number in range(6):
        capture(f"n{number}", f"notes on reading files, part {number}, " + "filler " * number)
    query = {"q": "reading files", "threshold": 0, "limit": 2}
    whole = api.get("/api/v1/search", params=query | {"limit": 100}).json()["results"]
    seen: list[int] = []
    cursor: str | None = None
    for number in range(10):
        page = api.get("/api/v1/search", params=query | ({"cursor": cursor} if cursor else {})).json()
        seen += [hit["artifact_id"] for hit in page["results"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        capture(f"new{number}", "reading files reading files")
    assert seen == [hit["artifact_id"] for hit in whole]


def test_searches_read_from_the_replica_and_do_without_it(
    run_app: Callable[..., httpx.Client],
    server_url: Callable[..., str],
    database: str,
    owner: psycopg.Connection[Any],
) -> None:
    """A second login of the same server stands for the replica: who asked shows in its statistics."""
    owner.execute(
        "do $$ begin create role replica_login login noinherit in role misir_app; "
        "exception when duplicate_object then null; end $$"
    )
    api = run_app(DATABASE_REPLICA_URL=server_url(database, "replica_login"))
    space = api.post("/api/v1/spaces", json={"name": "S"}).json()["id"]
    page = {"space_id": space, "url": "https://p.example/", "title": "tides", "content": "tables of tides"}
    api.post("/api/v1/capture", json=page).raise_for_status()

    def readers() -> int:
        row = owner.execute(
            "select count(*) from pg_stat_activity where usename = 'replica_login' and datname = %s",
            [database],
        ).fetchone()
        return int((row or (0,))[0])

    def search() -> list[str]:
        answer = api.get("/api/v1/search", params={"q": "tides"})
        assert answer.status_code == 200
        return [hit["title"] for hit in answer.json()["results"]]

    assert readers() == 0
    assert search() == ["tides"]
    assert readers() == 1
    owner.execute("alter role replica_login nologin")
    owner.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'replica_login' and datname = %s",
        [database],
    )
    api.get("/api/v1/search", params={"q": "tides"})  # may be the one whose connection was cut
    assert search() == ["tides"]
    assert readers() == 0
    owner.execute("alter role replica_login login")
