"""Settled turns say what the pictures say, of any window and as of any time, until a picture of the past changes."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from tests.analytics.conftest import NOW, Stage, vector

from misir.analytics.series import velocity_series
from misir.analytics.turns import N_WEEKS, SQL, keep_turns
from misir.orient.pace import Granularity
from misir.resources import Resources

MONDAY = date(2026, 6, 15)
OTHER_MODEL = "other/model@384"


class Gallery:
    """Topics whose pictures turn: every few days for two years, now and then, by another model, lately, never."""

    def __init__(self, stage: Stage) -> None:
        self.stage, write = stage, stage.writer
        self.conn = write.conn
        self.space = write.space("Gallery")
        self.old, self.rare, self.moved, self.young, self.still = (
            write.topic(self.space, name, vector(1), 3) for name in ("Old", "Rare", "Moved", "Young", "Still")
        )
        for days in range(0, 800, 5):
            write.snapshot(self.old, days, 3, 0.5, vector(1, days / 100))
        for days in (3, 40, 41, 200, 900):
            write.snapshot(self.rare, days, 3, 0.5, vector(1, days / 50))
        for days in (20, 60, 100):
            write.snapshot(
                self.moved,
                days,
                3,
                0.5,
                vector(1, days / 50),
                **({"model": OTHER_MODEL} if days > 50 else {}),
            )
        write.snapshot(self.young, 10, 3, 0.5)
        write.snapshot(self.young, 1, 3, 0.5, vector(1, 1))
        write.snapshot(write.topic(self.space, "New", vector(1), 3), 0, 3, 0.5)

    def looks(self) -> list[Any]:
        """What is seen of it, in many ways."""
        asked: list[dict[str, Any]] = [
            {},
            {"points": 100},
            {"points": 1},
            {"as_of": NOW - timedelta(days=33)},
            {"as_of": NOW - timedelta(days=400)},
            {"granularity": Granularity.DAY},
            {"granularity": Granularity.MONTH},
        ]
        return [self.stage.see(velocity_series, self.space, now=NOW, **one) for one in asked]

    def keep(self, now: datetime = NOW) -> None:
        self.stage.see(keep_turns, self.space, now)

    def kept(self) -> dict[int, tuple[date, int]]:
        rows = self.conn.execute(
            "select subspace_id, before, cardinality(chords) from misir.topic_turns"
        ).fetchall()
        return {topic: (before, n) for topic, before, n in rows}

    def pictures_are_asked(self) -> list[Any]:
        """The same without anything kept."""
        self.conn.execute("delete from misir.topic_turns")
        return self.looks()


@pytest.fixture(scope="module")
def gallery(stage: Stage) -> Gallery:
    return Gallery(stage)


def test_what_is_kept_is_what_the_pictures_say(gallery: Gallery) -> None:
    said = gallery.pictures_are_asked()
    assert any(one.angular_speed for one in said[0])
    gallery.keep()
    assert gallery.kept() == dict.fromkeys(
        (gallery.old, gallery.rare, gallery.moved, gallery.young), (MONDAY, N_WEEKS)
    )
    assert gallery.looks() == said


def test_once_settled_nothing_is_left_to_settle(gallery: Gallery) -> None:
    """Also where a topic has pictures of this week only: the space is not locked for nothing."""
    gallery.keep()

    async def ask(res: Resources, user: uuid.UUID) -> Any:
        async with res.database.as_service(user) as tx:
            asked = {"space_id": gallery.space, "before": MONDAY}
            return await (await tx.ask(SQL.list_unsettled, asked)).fetchall()

    assert gallery.stage.see(ask) == []


def test_of_settled_weeks_no_picture_is_read(gallery: Gallery) -> None:
    """Whoever changes one behind the triggers' back is not noticed: that is how one sees it."""
    gallery.keep()
    said = gallery.looks()[0]
    gallery.conn.execute("set session_replication_role = replica")
    gallery.conn.execute(
        "update misir.subspace_snapshot set centroid = %s where subspace_id = %s and day < '2026-06-01'",
        [vector(0, 0, 1), gallery.rare],
    )
    gallery.conn.execute("set session_replication_role = default")
    assert [one for one in gallery.looks()[0] if one.measured_at.date() < date(2026, 6, 1)] == [
        one for one in said if one.measured_at.date() < date(2026, 6, 1)
    ]
    assert gallery.pictures_are_asked()[0] != said


@pytest.mark.parametrize(
    ("change", "week"),
    [
        ("update misir.subspace_snapshot set centroid = %(way)s where subspace_id = %(topic)s and day = '2026-05-06'", date(2026, 5, 4)),
        ("delete from misir.subspace_snapshot where subspace_id = %(topic)s and day = '2026-05-06'", date(2026, 5, 4)),
        ("delete from misir.subspace_snapshot where subspace_id = %(topic)s and day < '2026-01-01'", date(2024, 4, 8)),
        ("update misir.subspace_snapshot set map_x = 0.3 where subspace_id = %(topic)s", MONDAY),
        ("update misir.subspace_snapshot set centroid = %(way)s where subspace_id = %(topic)s and day >= '2026-06-15'", MONDAY),
    ],
)  # fmt: skip
def test_a_picture_of_the_past_that_changes_cuts_what_is_kept(
    gallery: Gallery, change: str, week: date
) -> None:
    gallery.keep()
    topic = gallery.old
    assert gallery.kept()[topic] == (MONDAY, N_WEEKS)
    gallery.conn.execute(change.encode(), {"topic": topic, "way": vector(1, 0.5, 0.25)})
    before, n_weeks = gallery.kept()[topic]
    first = MONDAY - timedelta(weeks=N_WEEKS)
    assert (before, n_weeks) == (week, max((week - first).days // 7, 0))
    seen = gallery.looks()
    assert seen == gallery.pictures_are_asked()
    gallery.keep()
    assert gallery.kept()[topic] == (MONDAY, N_WEEKS)
    assert gallery.looks() == seen


def test_a_week_later_one_more_week_is_settled(gallery: Gallery) -> None:
    gallery.keep()
    later = NOW + timedelta(days=7)
    said = gallery.stage.see(velocity_series, gallery.space, now=later)
    gallery.keep(later)
    assert gallery.kept()[gallery.old] == (MONDAY + timedelta(days=7), N_WEEKS)
    assert gallery.stage.see(velocity_series, gallery.space, now=later) == said
    assert gallery.stage.see(velocity_series, gallery.space, now=NOW) == gallery.pictures_are_asked()[0]
