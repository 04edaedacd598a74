"""Topics are born, sleep, return and drift; the worker names and consolidates them; the log explains all of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from misir.jobs.kinds import WORK
from misir.jobs.queue import REFLECT
from misir.settings import Settings
from misir.spaces import drift

ME = Settings(_env_file=None).mock_user_id

BOAT = {"harbour": (0, 1, 0), "sail": (0.1, 1, 0), "mast": (0, 1, 0.1), "bread": (0, 0, 0, 1), "sea": (1,)}


@pytest.fixture
def library(library_of: Callable[..., Any]) -> Any:
    return library_of(**BOAT)


def test_three_that_mean_the_same_become_a_topic(library: Any) -> None:
    space = library.declare("Reading", "sea")
    first = library.capture(space, "1", "harbour lights at night")
    second = library.capture(space, "2", "harbour fees for sail boats")
    assert (first["subspace_id"], second["subspace_id"]) == (None, None)
    third = library.capture(space, "3", "harbour lights seen from a mast")
    assert third["subspace_id"] is not None
    assert third["assigned_by"] == "engine"
    assert "founded" in third["message"]
    for one in (first, second):
        assert library.place_of(one["artifact_id"]) == third["subspace_id"]
    born = library.events(space)[0]
    assert (born["type"], born["subspace_id"]) == ("born", third["subspace_id"])
    founders = {one["artifact_id"] for one in (first, second, third)}
    assert set(born["cause"]["artifact_ids"]) == founders
    topic = library.ask("GET", f"/subspaces/{third['subspace_id']}")
    assert "harbour" in topic["name"].lower()
    assert topic["artifact_count"] == 3
    assert library.differences() == []


def test_two_are_no_topic_and_strangers_do_not_join(library: Any) -> None:
    space = library.declare("Reading")
    library.capture(space, "1", "harbour one")
    library.capture(space, "2", "bread and butter")
    assert library.capture(space, "3", "harbour two")["subspace_id"] is None
    fourth = library.capture(space, "4", "harbour three")
    assert fourth["subspace_id"] is not None
    assert library.ask("GET", f"/subspaces/{fourth['subspace_id']}")["artifact_count"] == 3


def test_no_topic_is_born_where_a_person_wants_none(library: Any) -> None:
    space = library.declare("Reading", auto_subspaces=False)
    for number in range(4):
        assert library.capture(space, str(number), f"harbour {number}")["subspace_id"] is None


def test_what_a_person_took_out_of_all_topics_founds_none(library: Any) -> None:
    space = library.declare("Reading", "sea")
    for number in range(2):
        page = library.capture(space, str(number), f"harbour {number}")["artifact_id"]
        library.ask("PATCH", f"/artifacts/{page}", json={"subspace_id": None})
    assert library.capture(space, "2", "harbour 2")["subspace_id"] is None


def test_later_pages_join_the_newborn_and_wake_nothing(library: Any) -> None:
    space = library.declare("Reading")
    born = [library.capture(space, str(number), f"harbour {number}") for number in range(3)][-1][
        "subspace_id"
    ]
    assert library.capture(space, "x", "sail and mast")["subspace_id"] == born
    assert [one["type"] for one in library.events(space)] == ["born"]
    assert library.differences() == []


def test_a_silent_topic_falls_asleep_and_a_capture_wakes_it(library: Any) -> None:
    space = library.declare("Reading", "sea")
    library.capture(space, "1", "sea 1")
    library.work()
    assert library.topics(space)["sea"]["state"] == "active"
    library.work(datetime.now(UTC) + timedelta(days=40))
    assert library.topics(space)["sea"]["state"] == "dormant"
    dormant = library.events(space)[0]
    assert dormant["type"] == "dormant"
    assert dormant["numbers"]["silent_days"] >= 39
    woken = library.capture(space, "2", "sea 2")
    assert library.topics(space)["sea"]["state"] == "active"
    returned = next(one for one in library.events(space) if one["type"] == "returned")
    assert returned["cause"]["signal_id"] == woken["signal_id"]


def test_a_change_of_content_is_a_drift_that_names_what_turned_it(
    library_of: Callable[..., Any], owner: psycopg.Connection[Any]
) -> None:
    """45 pages of one kind, then others that a client puts into the same topic."""
    chance = np.random.default_rng(3)
    meanings = {f"old{n}": (1, 0, *chance.normal(0, 0.15, 20)) for n in range(45)}
    meanings |= {f"new{n}": (0.6, 0.8, *chance.normal(0, 0.15, 20)) for n in range(20)}
    library = library_of(sea=(1,), **meanings)
    space = library.declare("Reading", "sea", auto_subspaces=False)
    topic = library.topics(space)["sea"]["id"]
    page = {}
    for word in meanings:
        read = {"subspace_id": topic, "engagement_level": "engaged"}
        page[word] = library.capture(space, word, word, **read)
        if word == "old44":
            library.work()
            assert library.events(space) == []
    library.work()
    drifts = [one for one in library.events(space) if one["type"] == "drifted"]
    assert len(drifts) >= 1
    first = drifts[-1]
    new_ids = {one["artifact_id"] for word, one in page.items() if word.startswith("new")}
    assert set(first["cause"]["artifact_ids"]) <= new_ids
    delay = [one["signal_id"] for word, one in page.items() if word.startswith("new")].index(
        first["cause"]["signal_id"]
    )
    assert delay < 15
    assert first["numbers"]["magnitude"] >= 0.05
    rows = owner.execute("select magnitude, z, notable from misir.drift_event").fetchall()
    assert len(rows) == len(drifts)
    assert library.work() == 0
    assert library.differences() == []


def test_judging_late_or_twice_finds_the_same_drifts(library_of: Callable[..., Any]) -> None:
    chance = np.random.default_rng(4)
    meanings = {f"old{n}": (1, 0, *chance.normal(0, 0.15, 20)) for n in range(40)}
    meanings |= {f"new{n}": (0.6, 0.8, *chance.normal(0, 0.15, 20)) for n in range(20)}
    library = library_of(sea=(1,), **meanings)
    found = []
    for is_late in (False, True):
        space = library.declare(f"Late {is_late}", "sea", auto_subspaces=False)
        topic = library.topics(space)["sea"]["id"]
        for word in meanings:
            library.capture(space, f"{is_late}/{word}", word, subspace_id=topic, engagement_level="engaged")
            if not is_late and word in {"old39", "new3", "new11"}:
                library.work()
        library.work()
        drifts = [one for one in library.events(space) if one["type"] == "drifted"]
        found.append([(one["numbers"]["raw_drift"], one["numbers"]["z"]) for one in drifts])
    assert found[0] == found[1] != []


def test_who_reads_without_a_pause_does_not_keep_the_judge_for_ever(
    library_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page comes in whenever a stretch of the log has been judged: it is for the next time."""
    library = library_of(sea=(1,))
    space = library.declare("Reading", "sea")
    library.capture(space, "first", "sea")
    found, n_looks = drift.find_drifts, 0

    def find_and_read_on(*asked: Any) -> Any:
        nonlocal n_looks
        n_looks += 1
        if n_looks < 20:
            library.capture(space, f"meanwhile{n_looks}", "sea")
        return found(*asked)

    monkeypatch.setattr(drift, "find_drifts", find_and_read_on)
    for n_judgements in (1, 2):
        library.in_process(lambda res: drift.judge_drift(res, ME, space, datetime.now(UTC)))
        assert n_looks == n_judgements


def test_the_worker_mends_early_mistakes_and_can_be_overruled(library_of: Callable[..., Any]) -> None:
    """Pages that came before their topic was known are in the wrong one; consolidation finds the right one."""
    library = library_of(sea=(1,), ship=(0.6, 0.8), hull=(0.3, 0.95))
    space = library.declare("Reading", "sea")
    early = [library.capture(space, f"ship{n}", f"ship {n}")["artifact_id"] for n in range(4)]
    sea = library.topics(space)["sea"]["id"]
    assert {library.place_of(one) for one in early} == {sea}
    library.ask("POST", f"/spaces/{space}/subspaces", json={"name": "Hulls", "markers": ["hull"]})
    for number in range(20):
        library.capture(space, f"hull{number}", f"hull {number}", engagement_level="engaged")
    library.ask("PATCH", f"/artifacts/{early[0]}", json={"subspace_id": sea})
    library.work()
    hulls = library.topics(space)["Hulls"]["id"]
    assert [library.place_of(one) for one in early] == [sea, hulls, hulls, hulls]
    assert library.differences() == []
    told = next(one for one in library.events(space) if one["type"] == "consolidated")
    assert told["numbers"]["moved"] == 3
    library.undo(told["cause"]["correction_id"])
    assert {library.place_of(one) for one in early} == {sea}
    assert library.differences() == []


def test_the_worker_names_what_the_engine_founded(library: Any) -> None:
    space = library.declare("Reading", "sea")
    for number, text in enumerate(("tide tables", "tide tables of ports", "tide tables and charts")):
        library.capture(space, str(number), f"harbour {number}", content=f"harbour {text} harbour")
    (name,) = {*library.topics(space)} - {"sea"}
    library.work()
    (later,) = {*library.topics(space)} - {"sea"}
    markers = library.topics(space)[later]["markers"]
    assert markers
    assert any("tide" in label or "harbour" in label for label in markers)
    assert {name.lower(), later.lower()}.isdisjoint({"sea"})
    assert library.differences() == []
    topic = library.topics(space)[later]["id"]
    library.ask("PATCH", f"/subspaces/{topic}", json={"name": "My harbour"})
    for number in range(3, 12):
        library.capture(space, str(number), f"harbour {number}", content="harbour mast")
    library.work()
    assert "My harbour" in library.topics(space)


def test_a_days_snapshot_is_the_topic_as_it_was_read(library: Any, owner: psycopg.Connection[Any]) -> None:
    space = library.declare("Reading", "sea")
    today = datetime.now(UTC).replace(hour=12)
    for n, days in enumerate((5, 3, 3, 4)):
        read_at = (today - timedelta(days=days)).isoformat()
        library.capture(space, str(n), f"sea {n}", captured_at=read_at)
    rows = owner.execute("select day, artifact_count from misir.subspace_snapshot order by day").fetchall()
    days = [(today - timedelta(days=ago)).date() for ago in (5, 3)]
    assert rows == [(days[0], 1), (days[1], 3)]  # the fourth came late: it rewrites no past day


def test_an_explanation_names_everything_that_was_considered(library: Any) -> None:
    space = library.declare("Reading", "sea", "harbour")
    page = library.capture(space, "1", "harbour and sail")["artifact_id"]
    said = library.ask("GET", f"/artifacts/{page}/explain")
    topics = library.topics(space)
    assert said["subspace_id"] == topics["harbour"]["id"]
    decision = said["decision"]
    assert [one["name"] for one in decision["candidates"]] == ["harbour", "sea"]
    assert decision["candidate_count"] == 2
    total = sum(one["probability"] for one in decision["candidates"]) + decision["none_probability"]
    assert total == pytest.approx(1)
    assert [one["label"] for one in decision["matched_markers"]] == ["harbour"]
    assert decision["candidates"][0]["boost"] > 0
    assert decision["config_version"] == 1
    assert "“harbour” was likeliest of 2" in said["summary"]
    stranger = library.capture(space, "2", "bread")["artifact_id"]
    told = library.ask("GET", f"/artifacts/{stranger}/explain")
    assert told["decision"]["withheld"] == ["it belongs to no topic"]
    assert "likelier than none" in told["summary"]
    library.ask("PATCH", f"/artifacts/{stranger}", json={"subspace_id": topics["sea"]["id"]})
    assert "A person put it in “sea”" in library.ask("GET", f"/artifacts/{stranger}/explain")["summary"]
    library.ask("GET", "/artifacts/987654321/explain", expect=404)


def test_a_job_that_fails_waits_and_says_why(
    library: Any, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    library.declare("Reading", "sea")
    space = library.declare("Other", "sea")
    library.capture(space, "1", "sea 1")

    async def fail(*_: Any) -> datetime:
        raise RuntimeError("the text of somebody's page")

    with monkeypatch.context() as patch:
        patch.setitem(WORK, REFLECT, fail)
        library.work(may_fail=True)
    row = owner.execute(
        "select attempts, last_error, leased_until, run_at > now() from misir.job where kind = 'reflect'"
    ).fetchone()
    assert row == (1, "RuntimeError", None, True)
    library.work(datetime.now(UTC) + timedelta(minutes=1))
    assert owner.execute("select attempts, last_error from misir.job where kind = 'reflect'").fetchone() == (
        0,
        None,
    )


def test_work_left_while_it_is_done_is_not_forgotten(library: Any, owner: psycopg.Connection[Any]) -> None:
    def job() -> Any:
        return owner.execute(
            "select version, attempts, leased_until is null, run_at > now() from misir.job where kind = 'reflect'"
        ).fetchone()

    space = library.declare("Reading", "sea")
    library.capture(space, "1", "sea 1")
    owner.execute(
        "update misir.job set leased_until = now() + interval '1 minute' where kind = 'reflect'"
    )  # somebody is at it
    library.work()
    library.capture(space, "2", "sea 2")
    assert job() == (2, 0, False, False)
    library.work(datetime.now(UTC) + timedelta(minutes=2))  # that worker died
    assert job() == (2, 0, True, True)
