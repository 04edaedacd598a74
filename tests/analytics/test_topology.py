"""The map of a space: drawn by the worker, read with its past."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from misir.analytics.topology import get_topology
from misir.errors import MisirError
from misir.spaces.map import draw_map
from misir.spaces.reflect import reflect

from .conftest import ME, NOW, Stage, vector

WAYS = [vector(1), vector(1, 0.6), vector(0, 0, 1), vector(0, 0, 1, 0.6), vector(0, 0, 0, 0, 1)]


def places(stage: Stage, space: int) -> dict[str, tuple[float, float]]:
    return {one.name: (one.x, one.y) for one in stage.see(get_topology, space, now=NOW).nodes}


def apart(found: dict[str, tuple[float, float]], one: str, other: str) -> float:
    return sum((a - b) ** 2 for a, b in zip(found[one], found[other], strict=True)) ** 0.5


def pass_entries(stage: Stage, space: int, n: int) -> None:
    """The log of the space goes on by so many."""
    stage.writer.conn.execute("update misir.space set next_seq = next_seq + %s where id = %s", [n, space])


@pytest.fixture(scope="module")
def space(stage: Stage) -> int:
    """Five topics, two and two alike, with two pages each."""
    write = stage.writer
    space = write.space("Map")
    for number, way in enumerate(WAYS):
        topic = write.topic(space, f"T{number}", way, 2, 0.1 * number)
        for day in (1, 20):
            page = write.page(space, topic, (day, "engaged", None), title=None if number else "Titled")
            write.embed(page, way)
        write.snapshot(topic, 20, 1, 0.0, way)
        write.snapshot(topic, 1, 2, 0.1 * number, way)
    write.embed(write.page(space, None, (1, "engaged", None)), vector(0, 0, 0, 0, 0, 1))
    return space


def test_before_it_is_drawn_a_map_says_so(stage: Stage, space: int) -> None:
    found = stage.see(get_topology, space, now=NOW, with_artifacts=True)
    assert {(one.is_placed, one.x, one.y) for one in found.nodes} == {(False, 0.0, 0.0)}
    assert (found.metadata.last_updated, found.metadata.stress, found.artifacts) == (None, None, [])
    assert found.history[-1].nodes == found.nodes


def test_the_worker_draws_it_once(stage: Stage, space: int) -> None:
    """Alike is near. It is drawn again when enough is new, when a day has passed since something was, or for a new topic."""
    assert stage.see(draw_map, space, NOW)
    found = places(stage, space)
    assert max(apart(found, "T0", "T1"), apart(found, "T2", "T3")) < min(
        apart(found, "T0", "T2"), apart(found, "T1", "T4")
    )
    assert not stage.see(draw_map, space, NOW)
    pass_entries(stage, space, 19)
    assert not stage.see(draw_map, space, NOW)
    pass_entries(stage, space, 1)
    assert stage.see(draw_map, space, NOW)
    pass_entries(stage, space, 1)
    assert not stage.see(draw_map, space, NOW + timedelta(hours=23))
    assert stage.see(draw_map, space, NOW + timedelta(hours=24))
    new = stage.writer.topic(space, "New", vector(0, 0, 0, 0, 1, 0.5))
    assert stage.see(draw_map, space, NOW)
    after = places(stage, space)
    moved = [apart({"was": found[name], "is": after[name]}, "was", "is") for name in found]
    assert max(moved) < 0.25
    stage.writer.conn.execute("delete from misir.subspace where id = %s", [new])
    assert stage.see(draw_map, space, NOW)


def test_artifacts_lie_around_their_topics(stage: Stage, space: int) -> None:
    found = stage.see(get_topology, space, now=NOW, with_artifacts=True)
    assert len(found.artifacts) == 11
    at = {one.subspace_id: (one.x, one.y) for one in found.nodes}
    for one in found.artifacts:
        if one.subspace_id is not None:
            assert (one.x, one.y) == pytest.approx(at[one.subspace_id], abs=1e-6)
    titles = {one.title for one in found.artifacts}
    assert "Titled" in titles
    assert sum(title.startswith("https://") for title in titles) == 8
    stage.writer.conn.execute(
        "update misir.artifact set deleted_at = now() where id = %s", [found.artifacts[0].artifact_id]
    )
    assert len(stage.see(get_topology, space, now=NOW, with_artifacts=True).artifacts) == 10
    stage.writer.conn.execute("update misir.artifact set deleted_at = null")


def test_frames_lead_to_the_nodes(stage: Stage, space: int) -> None:
    found = stage.see(get_topology, space, now=NOW)
    first, last = found.history[0], found.history[-1]
    assert len(found.history) == 12
    assert (first.timestamp, last.timestamp) == (datetime(2026, 5, 27, tzinfo=UTC), NOW)
    assert last.nodes == found.nodes
    assert [frame.timestamp for frame in found.history] == sorted(frame.timestamp for frame in found.history)
    assert {len(frame.nodes) for frame in found.history} == {5}
    assert {(one.artifact_count, one.recent_artifact_count, one.activity_band) for one in first.nodes} == {
        (1, 1, "medium")
    }
    assert {(one.artifact_count, one.recent_artifact_count) for one in last.nodes} == {(2, 1)}
    middle = found.history[5]
    assert {(one.artifact_count, one.recent_artifact_count, one.activity_band) for one in middle.nodes} == {
        (1, 0, "low")
    }
    assert all(one.is_placed for frame in found.history for one in frame.nodes)
    assert (found.metadata.sampling_window_start, found.metadata.sampling_window_end) == (
        first.timestamp,
        NOW,
    )


def test_the_map_as_of_a_day(stage: Stage, space: int) -> None:
    then = NOW - timedelta(days=10)
    found = stage.see(get_topology, space, now=NOW, as_of=then)
    assert {(one.artifact_count, one.confidence) for one in found.nodes} == {(1, 0.0)}
    assert (found.history[-1].nodes, found.history[-1].timestamp) == (found.nodes, then)
    assert stage.see(get_topology, space, now=NOW, as_of=NOW - timedelta(days=500)).nodes == []


def test_two_workers_at_once_leave_one_map(stage: Stage, space: int) -> None:
    pass_entries(stage, space, 100)

    async def both(res: Any, user: Any) -> list[bool]:
        return await asyncio.gather(*(draw_map(res, user, space, NOW) for _ in range(2)))

    before = places(stage, space)
    assert any(stage.see(both))
    after = places(stage, space)
    assert max(apart({"was": before[name], "is": after[name]}, "was", "is") for name in before) < 0.01


def test_a_later_map_is_not_overwritten(stage: Stage, space: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was held up, while another saw more of the log."""
    pass_entries(stage, space, 100)
    held_up = asyncio.to_thread

    async def slow(*work: Any) -> Any:
        stage.writer.conn.execute("update misir.map_layout set seq = seq + 1000 where space_id = %s", [space])
        return await held_up(*work)

    monkeypatch.setattr("misir.spaces.map.asyncio.to_thread", slow)
    assert not stage.see(draw_map, space, NOW)


def test_reflecting_draws_the_map(stage: Stage) -> None:
    declared = stage.writer.space("Declared")
    stage.writer.topic(declared, "A", vector(1))
    stage.writer.topic(declared, "B", vector(0, 1))
    stage.see(reflect, declared, NOW)
    found = stage.see(get_topology, declared, now=NOW)
    assert sorted((one.x, one.y) for one in found.nodes) == [
        (pytest.approx(-0.85), 0.0),
        (pytest.approx(0.85), 0.0),
    ]
    assert found.metadata.last_updated == NOW
    assert stage.res.database.problem is None
    assert stage.writer.user == ME


def test_an_empty_and_an_unknown_space(stage: Stage) -> None:
    empty = stage.writer.space("Nothing")
    assert not stage.see(draw_map, empty, NOW)
    found = stage.see(get_topology, empty, now=NOW, with_artifacts=True)
    assert (found.nodes, len(found.history), found.artifacts) == ([], 1, [])
    with pytest.raises(MisirError, match="not found"):
        stage.see(get_topology, 999_999, now=NOW)


def test_a_map_of_many_topics_takes_as_many_statements_and_no_more_nodes(stage: Stage, space: int) -> None:
    many = stage.writer.space("Many")
    stage.writer.topics(many, 500)
    stage.writer.conn.execute(
        b"insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count, confidence)"
        b" select id, date '2026-03-01', user_id, model, centroid, 1, 1, 0 from misir.subspace where space_id = %s",
        [many],
    )
    assert stage.see(draw_map, many, NOW)
    few_frames, n_few = stage.counted(get_topology, space, now=NOW)
    many_frames, n_many = stage.counted(get_topology, many, now=NOW)
    assert n_few == n_many
    assert sum(len(frame.nodes) for frame in many_frames.history) <= 5_000
    assert len(many_frames.nodes) == 500
    assert {(one.x, one.y) for one in many_frames.nodes} == {(0.0, 0.0)}  # identical, and placed
    assert all(one.is_placed for one in many_frames.nodes)
    assert len(few_frames.nodes) == 5
