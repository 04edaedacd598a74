"""Kept sums say what weighing every page would say, at any later time, whatever changes and whoever is changing it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import psycopg
import pytest
from tests.analytics.conftest import ME, NOW, Stage, vector

from misir.analytics.sums import SQL, keep_sums, weigh, weigh_all
from misir.analytics.views import _asked, global_analytics, space_analytics
from misir.resources import Resources
from misir.spaces.reflect import reflect

LEVELS = ("latent", "discovered", "engaged", "saturated")
Group = tuple[int, int | None]


class Shelf:
    """Two spaces; topics with pages of every rate and level, and pages in none."""

    def __init__(self, stage: Stage) -> None:
        self.stage, write = stage, stage.writer
        self.conn = write.conn
        self.spaces = [write.space("One"), write.space("Two")]
        self.topics = [
            write.topic(space, f"T{n}", vector(1), 9, 0.3 + n / 10)
            for space, n in product(self.spaces, range(2))
        ]
        homes = [(self.spaces[n // 2], topic) for n, topic in enumerate(self.topics)]
        homes += [(space, None) for space in self.spaces]
        self.pages = {
            (space, topic): [
                write.page(space, topic, (days, level, None), rate=rate, similarity=0.2 + days / 900, domain=f"{rate}.example")
                for (days, level), rate in product(zip((1.5, 20, 90, 400), LEVELS, strict=True), ("high", "medium", "low"))
            ]
            for space, topic in homes
        }  # fmt: skip

    def keep(self) -> None:
        for space in self.spaces:
            self.stage.see(keep_sums, space, NOW)

    def forgotten(self) -> set[Group]:
        rows = self.conn.execute(
            "select space_id, subspace_id from misir.topic_sum where computed_at is null and space_id = any(%s)",
            [self.spaces],
        )
        return {(space, topic) for space, topic in rows}

    def weighed(self, at: datetime) -> dict[Group, tuple[float, ...]]:
        """By weighing every page."""
        return _by_group(self._ask(weigh_all, at))

    def summed(self, at: datetime) -> dict[Group, tuple[float, ...]]:
        """By what is kept, and what it lacks, however much that is."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("misir.analytics.sums.SOME", 0)
            return _by_group(self._ask(weigh, at))

    def _ask(self, how: Any, at: datetime) -> list[dict[str, Any]]:
        async def ask(res: Resources, user: uuid.UUID) -> Any:
            async with res.database.as_user(user) as tx:
                return await how(tx, _asked(res, None, at, None))

        found: list[dict[str, Any]] = self.stage.see(ask)
        return found


def _by_group(rows: list[dict[str, Any]]) -> dict[Group, tuple[float, ...]]:
    names = ("artifact_count", "weight", "recent_count", "recent_weight")
    return {(row["space_id"], row["subspace_id"]): tuple(float(row[name]) for name in names) for row in rows}


def same(one: dict[Group, tuple[float, ...]], other: dict[Group, tuple[float, ...]]) -> bool:
    return one.keys() == other.keys() and all(other[at] == pytest.approx(one[at], rel=1e-9) for at in one)


@pytest.fixture(scope="module")
def shelf(stage: Stage) -> Shelf:
    return Shelf(stage)


@pytest.fixture
def kept(shelf: Shelf) -> Shelf:
    shelf.keep()
    assert shelf.forgotten() == set()
    return shelf


def test_kept_sums_say_what_weighing_says_now_and_later(shelf: Shelf) -> None:
    """Before the worker came all is weighed, and afterwards nothing: the answers are the same."""
    times = (NOW, NOW + timedelta(days=45))
    assert len(shelf.forgotten()) == 6
    weighed = [_answers(shelf, at) for at in times]
    shelf.keep()
    summed = [_answers(shelf, at) for at in times]
    assert all(SQL.weigh_topics in asked for found in weighed for _, asked in found)
    assert not any(SQL.weigh_topics in asked for found in summed for _, asked in found)
    for before, after in zip(weighed, summed, strict=True):
        for (one, _), (other, _) in zip(before, after, strict=True):
            assert _rounded(other) == _rounded(one)


def _answers(shelf: Shelf, at: datetime) -> list[tuple[Any, list[bytes]]]:
    views = [(global_analytics, ()), *((space_analytics, (space,)) for space in shelf.spaces)]
    return [shelf.stage.asked(view, *about, now=at) for view, about in views]


def _rounded(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return _rounded(value.model_dump())
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value


UPDATE = "update misir.artifact set {} where id = %(page)s"


@pytest.mark.parametrize(
    ("change", "also"),
    [
        (UPDATE.format("engagement_level = 'saturated'"), ()),
        (UPDATE.format("similarity = 0.61"), ()),
        (UPDATE.format("captured_at = '2026-06-15 11:00Z'"), ()),
        (UPDATE.format("decay_rate = 'low'"), ()),
        (UPDATE.format("subspace_id = %(other)s"), ("other",)),
        (UPDATE.format("subspace_id = null"), ("none",)),
        (UPDATE.format("deleted_at = now()"), ()),
        (UPDATE.format("deleted_at = null"), ()),
        ("delete from misir.artifact where id = %(page)s", ()),
    ],
)
def test_what_changes_a_page_forgets_its_sum_and_no_other(
    kept: Shelf, change: str, also: tuple[str, ...]
) -> None:
    space, topic, other = kept.spaces[0], kept.topics[0], kept.topics[1]
    page = kept.stage.writer.page(space, topic, (3, "engaged", None))
    assert kept.forgotten() == {(space, topic)}
    kept.keep()
    kept.conn.execute(change.encode(), {"page": page, "other": other})
    groups = {"other": (space, other), "none": (space, None)}
    assert kept.forgotten() == {(space, topic), *(groups[name] for name in also)}
    assert same(kept.summed(NOW), kept.weighed(NOW))
    kept.keep()
    assert same(kept.summed(NOW + timedelta(days=9)), kept.weighed(NOW + timedelta(days=9)))


def test_a_topic_that_goes_takes_its_sum_along(kept: Shelf) -> None:
    space = kept.spaces[1]
    topic = kept.stage.writer.topic(space, "Short", vector(1), 1)
    page = kept.stage.writer.page(space, topic, (1, "engaged", None))
    kept.conn.execute("update misir.artifact set subspace_id = null where id = %s", [page])
    kept.conn.execute("delete from misir.subspace where id = %s", [topic])
    kept.keep()
    assert same(kept.summed(NOW), kept.weighed(NOW))
    gone = kept.stage.writer.space("Gone")
    kept.stage.writer.page(gone, None, (1, "engaged", None))
    kept.conn.execute("delete from misir.space where id = %s", [gone])
    assert kept.conn.execute(
        "select count(*) from misir.topic_sum where space_id = %s", [gone]
    ).fetchone() == (0,)


def test_a_change_that_is_not_committed_yet_is_waited_for(
    kept: Shelf, server_url: Callable[..., str]
) -> None:
    """Else the sum would be without it, and nothing would say so."""
    space, topic = kept.spaces[0], kept.topics[0]
    page = kept.pages[space, topic][0]
    kept.conn.execute("update misir.artifact set title = 'x' where id = %s", [page])
    with psycopg.connect(server_url(kept.conn.info.dbname)) as slow:
        slow.execute("update misir.artifact set engagement_level = 'saturated' where id = %s", [page])
        began = time.monotonic()
        late = threading.Timer(0.5, slow.commit)
        late.start()
        kept.stage.see(keep_sums, space, NOW)
        assert time.monotonic() - began >= 0.4
        late.join()
    assert kept.forgotten() == set()
    assert same(kept.summed(NOW), kept.weighed(NOW))


def test_a_sum_that_holds_is_left_alone_and_forgotten_with_the_commit(
    kept: Shelf, server_url: Callable[..., str]
) -> None:
    space, topic = kept.spaces[0], kept.topics[0]
    page = kept.pages[space, topic][1]
    with psycopg.connect(server_url(kept.conn.info.dbname)) as slow:
        slow.execute("update misir.artifact set engagement_level = 'saturated' where id = %s", [page])
        kept.stage.see(keep_sums, space, NOW)
        assert kept.forgotten() == set()
        slow.commit()
    assert kept.forgotten() == {(space, topic)}
    assert same(kept.summed(NOW), kept.weighed(NOW))


def test_other_numbers_are_another_sum(kept: Shelf) -> None:
    embedder = kept.stage.res.embedder
    ours = embedder.calibration
    embedder.own_calibration = replace(ours, tau=ours.tau + 0.1)
    try:
        assert same(kept.summed(NOW), kept.weighed(NOW))
        kept.keep()
        assert same(kept.summed(NOW), kept.weighed(NOW))
    finally:
        embedder.own_calibration = None


def test_the_worker_keeps_them_of_an_archived_space_too(kept: Shelf) -> None:
    space, page = kept.spaces[1], kept.pages[kept.spaces[1], None][0]
    kept.conn.execute("update misir.artifact set engagement_level = 'engaged' where id = %s", [page])
    kept.conn.execute("update misir.space set archived_at = now() where id = %s", [space])
    assert kept.forgotten() == {(space, None)}
    kept.stage.see(reflect, space, NOW)
    assert kept.forgotten() == set()


def test_nobody_keeps_sums_of_others(kept: Shelf) -> None:
    assert SQL.list_sums
    other = uuid.UUID(int=7, version=4)

    async def ask(res: Resources, _: uuid.UUID) -> Any:
        async with res.database.as_user(other) as tx:
            return await weigh(tx, _asked(res, None, NOW, None))

    assert kept.stage.see(ask) == []
    assert other != ME
