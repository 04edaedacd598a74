"""Drift, pace and confidence of a space's topics."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from misir.analytics.series import confidence_series, drift_series, velocity_series
from misir.errors import MisirError
from misir.orient.pace import Granularity

from .conftest import NOW, Stage, vector


class Scene:
    def __init__(self, stage: Stage) -> None:
        write = stage.writer
        self.space = write.space("Sea")
        self.tide = write.topic(self.space, "Tide", vector(1), 4, 0.5)
        self.reef = write.topic(self.space, "Reef", vector(0, 1), 1, 0.3)
        self.pages = [
            write.page(self.space, self.tide, (day, "engaged", None)) for day in (0.2, 1.5, 3, 3.5, 15)
        ]
        write.page(self.space, self.reef, (400, "engaged", None))
        for days, degrees in ((20, 0), (5, 14), (3, 21), (0, 24)):
            way = vector(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
            write.snapshot(self.tide, days, 3 if days < 20 else 2, 0.04 * (21 - days), way)
        write.snapshot(self.reef, 400, 1, 0.3)
        other = write.topic(self.space, "Gone", vector(1), 1, 0.9)
        write.snapshot(other, 1, 9, 0.9)
        write.conn.execute("update misir.subspace set deleted_at = now() where id = %s", [other])
        for days, magnitude, notable in ((30, 0.2, True), (4, 0.06, False)):
            write.conn.execute(
                b"insert into misir.drift_event (user_id, subspace_id, trigger_signal_id, magnitude, raw_drift, z, notable, model, previous_mean,"
                b" new_mean, turning_artifact_ids, occurred_at) select a.user_id, a.subspace_id, g.id, %s, 0.3, 6, %s, 'm', %s, %s, %s, %s"
                b" from misir.artifact a join misir.signal g on g.artifact_id = a.id where a.id = %s",
                [magnitude, notable, vector(1), vector(1), [self.pages[1], self.pages[0]], NOW - timedelta(days=days), self.pages[0]],
            )  # fmt: skip


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Scene:
    return Scene(stage)


def test_drifts_name_the_page_that_caused_each(stage: Stage, scene: Scene) -> None:
    late, early = stage.see(drift_series, scene.space)
    assert (late.drift_magnitude, early.drift_magnitude, early.notable) == (0.06, 0.2, True)
    assert (late.subspace_name, late.trigger_artifact.id) == ("Tide", scene.pages[0])
    assert late.turning_artifact_ids == [scene.pages[1], scene.pages[0]]


@pytest.mark.parametrize(
    ("window", "n"),
    [
        ({"min_magnitude": 0.1}, 1),
        ({"points": 1}, 1),
        ({"from_at": NOW - timedelta(days=5)}, 1),
        ({"to_at": NOW - timedelta(days=30)}, 0),
        ({"as_of": NOW - timedelta(days=4)}, 2),
        ({"as_of": NOW - timedelta(days=5)}, 1),
    ],
)
def test_drifts_are_those_asked_for(stage: Stage, scene: Scene, window: dict[str, Any], n: int) -> None:
    assert len(stage.see(drift_series, scene.space, **window)) == n


def test_pace_has_every_week_of_every_topic(stage: Stage, scene: Scene) -> None:
    """NOW is noon of a Monday: the week that is going on has one day so far."""
    points = stage.see(velocity_series, scene.space, now=NOW)
    assert len(points) == 100
    assert [one.subspace_name for one in points[:4]] == ["Tide", "Reef", "Tide", "Reef"]
    tide = [one for one in points if one.subspace_id == scene.tide]
    assert [one.artifact_count for one in tide[:5]] == [1, 3, 0, 1, 0]
    assert [one.velocity for one in tide[:4]] == [7.0, 3.0, 0.0, 1.0]
    assert [one.measured_at for one in tide[:3]] == [
        NOW,
        datetime(2026, 6, 15, tzinfo=UTC),
        datetime(2026, 6, 8, tzinfo=UTC),
    ]
    assert [one.angular_speed for one in tide[:5]] == [
        pytest.approx(3, abs=1e-3), pytest.approx(21 / 7, abs=1e-3), 0.0, None, None
    ]  # fmt: skip
    reef = [one for one in points if one.subspace_id == scene.reef]
    assert {one.velocity for one in reef} == {0.0}
    assert {one.angular_speed for one in reef} == {0.0}  # seen before it all, and still since


def test_pace_by_day_and_by_month(stage: Stage, scene: Scene) -> None:
    def tide(**how: Any) -> list[Any]:
        return [
            one for one in stage.see(velocity_series, scene.space, **how) if one.subspace_id == scene.tide
        ]

    days = tide(now=NOW, granularity=Granularity.DAY, points=5)
    assert [(one.artifact_count, one.velocity) for one in days] == [
        (1, 7.0),
        (1, 7.0),
        (0, 0.0),
        (2, 14.0),
        (0, 0.0),
    ]
    months = tide(now=NOW, granularity=Granularity.MONTH, points=2)
    assert [(one.artifact_count, one.velocity) for one in months] == [
        (4, pytest.approx(28 / 15)),
        (1, pytest.approx(7 / 31)),
    ]
    then = tide(now=NOW, as_of=NOW - timedelta(days=14), points=1)
    assert [(one.artifact_count, one.measured_at) for one in then] == [(0, NOW - timedelta(days=14))]


def test_confidence_on_the_days_it_changed(stage: Stage, scene: Scene) -> None:
    found = stage.see(confidence_series, scene.space, now=NOW)
    assert [(one.subspace_name, one.computed_at.date(), one.enough_data) for one in found] == [
        ("Tide", date(2026, 6, 15), True), ("Tide", date(2026, 6, 12), True), ("Tide", date(2026, 6, 10), True),
        ("Tide", date(2026, 5, 26), False), ("Reef", date(2025, 5, 11), False),
    ]  # fmt: skip
    assert [one.confidence for one in found] == pytest.approx([0.84, 0.72, 0.64, 0.04, 0.3])
    earlier = stage.see(confidence_series, scene.space, now=NOW, as_of=NOW - timedelta(days=4), points=1)
    assert [(one.subspace_name, one.computed_at.day) for one in earlier] == [("Tide", 10), ("Reef", 11)]


@pytest.mark.parametrize("view", [drift_series, confidence_series, velocity_series])
def test_the_series_of_an_unknown_space_are_not_found(stage: Stage, view: Any) -> None:
    with pytest.raises(MisirError, match="not found"):
        stage.see(view, 999_999, **({} if view is drift_series else {"now": NOW}))


def test_series_of_many_topics_are_capped_in_as_many_statements(stage: Stage, scene: Scene) -> None:
    write = stage.writer
    many = write.space("Many")
    write.topics(many, 500)
    for view in (drift_series, confidence_series, velocity_series):
        more = {} if view is drift_series else {"now": NOW}
        _, n_few = stage.counted(view, scene.space, **more)
        many_points, n_many = stage.counted(view, many, **more)
        assert n_few == n_many
        assert len(many_points) == (5000 if view is velocity_series else 0)
