"""The rules over rows of our own making: each fires where its truth was planted, and nowhere else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from misir.insights.findings import ALERTS, CATEGORY, Finding, Rule, Seen
from misir.insights.proposals import propose
from misir.insights.rules import judge
from misir.orient.config import EngineConfig

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def direction(*shares: float) -> np.ndarray:
    vector = np.zeros(64, dtype=np.float32)
    vector[: len(shares)] = shares
    return vector / np.linalg.norm(vector)


def scene(space_id: int = 1, **changes: Any) -> dict[str, Any]:
    """A healthy space: six months old, four items a week, read in yesterday."""
    return {
        "id": space_id, "name": f"S{space_id}", "intention": None, "intention_vector": None, "n_day": 1, "n_week": 4,
        "n_month": 17, "first_at": NOW - 180 * DAY, "last_at": NOW - DAY, "n_known": 3, **changes,
    }  # fmt: skip


def items(n: int = 50, space_id: int = 1, **changes: Any) -> list[dict[str, Any]]:
    """Newest first, two a day, of five domains, fitting well."""
    return [
        {
            "space_id": space_id, "id": 100 + number, "domain": f"d{number % 5}.example", "fit": 0.8,
            "is_settled": False, "last_at": NOW - number * DAY / 2, **changes,
        }
        for number in range(n)
    ]  # fmt: skip


def topic(topic_id: int, *way: float, space_id: int = 1, n: int = 20) -> dict[str, Any]:
    return {
        "id": topic_id, "space_id": space_id, "name": f"T{topic_id}", "artifact_count": n, "pinned": False,
        "centroid": direction(*way),
    }  # fmt: skip


def days(*counts: int) -> list[dict[str, Any]]:
    first = (NOW - DAY).date() - timedelta(days=len(counts) - 1)
    return [{"day": first + timedelta(days=n), "count": count} for n, count in enumerate(counts) if count]


def seen(**changes: Any) -> Seen:
    """A healthy library, but for the changes."""
    healthy: dict[str, Any] = {
        "now": NOW,
        "scenes": [scene()],
        "items": items(),
        "day_counts": days(*[1, 0] * 30),
        "topics": [topic(1, 1), topic(2, 0, 1)],
        "novelty": 0.5,
    }
    return Seen(**{**healthy, **changes})


def found(**changes: Any) -> list[Finding]:
    return judge(seen(**changes))


def only(**changes: Any) -> Finding:
    (one,) = found(**changes)
    return one


def test_a_healthy_library_raises_nothing() -> None:
    assert found() == []


def test_an_empty_or_young_library_raises_nothing() -> None:
    empty = scene(n_day=0, n_week=0, n_month=0, first_at=None, last_at=None, n_known=0)
    assert found(scenes=[empty], items=[], day_counts=[], topics=[]) == []
    young = scene(n_day=9, n_week=9, n_month=9, first_at=NOW - DAY / 2, last_at=NOW, n_known=3)
    fresh = items(9, domain="one.example", last_at=NOW, fit=0.9)
    assert found(scenes=[young], items=fresh, day_counts=[]) == []


def test_five_items_that_fit_nowhere() -> None:
    poor = items(5, fit=0.1) + [item | {"id": item["id"] + 50} for item in items(45)]
    one = only(items=poor)
    assert (one.rule, one.severity, one.trigger_value) == (Rule.LOW_MARGIN, "medium", pytest.approx(0.1))
    assert one.artifact_ids == (100, 101, 102, 103, 104)
    assert one.evidence["sample_size"] == 5
    assert found(items=poor[:4]) == []  # four are not enough
    assert found(items=poor, topics=[]) == []  # no topic: nothing to fit
    assert found(items=[item | {"is_settled": True} for item in poor]) == []  # a person placed them


def test_a_pace_that_halves() -> None:
    one = only(scenes=[scene(n_week=1)])
    assert (one.rule, one.severity) == (Rule.VELOCITY_DROP, "low")
    assert one.evidence["mean_per_week"] == pytest.approx(17 * 7 / 30)
    assert len(one.artifact_ids) == 14  # what the week holds, by the items
    assert found(scenes=[scene(n_week=2)]) == []  # a little more than half
    assert found(scenes=[scene(n_week=0, n_month=8)]) == []  # never two a week
    assert found(scenes=[scene(n_week=0, first_at=NOW - 13 * DAY)]) == []  # too young to have a pace


def test_a_silent_space_is_one_cause_and_not_two() -> None:
    silent = scene(n_day=0, n_week=0, n_month=15, last_at=NOW - 14 * DAY)
    one = only(scenes=[silent])
    assert (one.rule, one.severity, one.trigger_value) == (Rule.STAGNATION, "low", 14.0)
    assert one.key == "stagnation:1:2026-03-17"
    assert (one.actions[0].method, one.actions[0].body) == ("PATCH", {"archived": True})
    assert found(scenes=[silent | {"last_at": NOW - 13.9 * DAY, "n_month": 8}]) == []
    assert found(scenes=[silent | {"n_known": 2, "n_month": 2}]) == []


def test_a_burst_is_above_this_persons_own_days() -> None:
    bursting = scene(n_day=9, n_week=12)
    one = only(scenes=[bursting])
    assert (one.rule, one.severity, one.evidence["usual_per_day"]) == (Rule.BURST, "medium", 1.0)
    assert one.artifact_ids == (100, 101)  # those of the last 24 hours
    assert found(scenes=[scene(n_day=4)]) == []
    assert found(scenes=[bursting], day_counts=days(*[9] * 60)) == []  # that is how this person reads
    assert found(scenes=[bursting], day_counts=days(*[1] * 13)) == []  # too young to have a habit
    assert only(scenes=[bursting], day_counts=days(9, *[0] * 58, 1)).rule is Rule.BURST


def test_one_domain_of_eighty_five_in_a_hundred() -> None:
    mostly = [
        item | {"domain": "one.example"} if number < 17 else item for number, item in enumerate(items(20))
    ]
    one = only(items=mostly)
    assert (one.rule, one.severity, one.trigger_value) == (Rule.ECHO, "low", 0.85)
    assert one.artifact_ids == tuple(range(100, 117))
    assert found(items=[mostly[0], *mostly[4:]]) == []  # 14 of 17: not enough items
    assert found(items=[item | {"domain": None} for item in items(20)]) == []
    assert (
        found(items=[i | {"domain": "one.example"} if n < 16 else i for n, i in enumerate(items(20))]) == []
    )


def test_a_drift_is_a_cause_of_its_own() -> None:
    drift = {
        "id": 7,
        "space_id": 1,
        "subspace_id": 2,
        "name": "T2",
        "magnitude": 0.4,
        "z": 9.0,
        "occurred_at": NOW - DAY,
        "artifact_ids": [5, 6],
    }
    one, other = found(drifts=[drift, drift | {"id": 8}])
    assert (one.rule, one.severity, one.artifact_ids) == (Rule.HIGH_DRIFT, "low", (5, 6))
    assert (one.key, other.key) == ("high_drift:7", "high_drift:8")


def test_a_confidence_that_falls() -> None:
    row = {
        "id": 2,
        "space_id": 1,
        "name": "T2",
        "confidence": 0.4,
        "confidence_before": 0.7,
        "artifact_count": 9,
        "artifact_count_before": 6,
        "day_before": date(2026, 3, 20),
        "artifact_ids": [5],
    }
    one = only(confidences=[row])
    assert (one.rule, one.severity, one.trigger_value) == (Rule.CONFIDENCE_DROP, "medium", pytest.approx(0.3))
    assert found(confidences=[row | {"confidence": 0.5}]) == []
    assert found(confidences=[row | {"artifact_count_before": 2}]) == []


def test_saved_and_never_read() -> None:
    row = {"space_id": 1, "count": 70, "artifact_ids": list(range(50)), "oldest_at": NOW - 90 * DAY}
    one = only(never_read=[row])
    assert (one.rule, one.severity, one.trigger_value, len(one.artifact_ids)) == (
        Rule.NEVER_READ,
        "low",
        70.0,
        50,
    )
    assert one.actions[1].body == {"action": "delete", "artifact_ids": list(range(50))}


def test_an_intention_that_is_ignored() -> None:
    meant = scene(intention="wood", intention_vector=direction(0, 1))
    read = {
        "space_id": 1,
        "count": 8,
        "mean": direction(1),
        "artifact_ids": [5, 6, 7],
        "topic_ids": [1, 2, 1],
    }
    one = only(scenes=[meant], readings=[read])
    assert (one.rule, one.severity, one.subspace_id) == (Rule.INTENTION_GAP, "medium", 1)
    assert one.artifact_ids == (5, 7)
    for healthy in (
        read | {"mean": direction(0.2, 1)},  # near the intention
        read | {"mean": direction(0.7, 0.72)},  # nearest to the topic that serves it
        read | {"count": 4},  # too little
    ):
        assert found(scenes=[meant], readings=[healthy]) == []
    assert found(scenes=[meant], readings=[read], topics=[topic(2, 0, 1)]) == []  # no other topic


def test_several_spaces_are_judged_apart() -> None:
    both = found(
        scenes=[scene(1), scene(2, n_day=0, n_week=0, last_at=NOW - 20 * DAY)],
        items=items() + items(5, space_id=2, fit=0.0),
        topics=[topic(1, 1), topic(3, 1, space_id=2)],
    )
    assert [(one.space_id, one.rule) for one in both] == [(2, "low_margin"), (2, "stagnation")]


class Stored:
    """As a vector comes from the database."""

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = vector

    def to_numpy(self) -> np.ndarray:
        return self.vector


def cloud(rng: np.random.Generator, way: np.ndarray, n: int) -> np.ndarray:
    rows = way + rng.normal(scale=0.05, size=(n, 64))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_merges_and_splits_are_proposed_where_they_were_planted() -> None:
    rng = np.random.default_rng(5)
    sea, wood, city, air = direction(1), direction(0, 1), direction(0, 0, 1), direction(0, 0, 0, 1)
    clouds = {1: cloud(rng, sea, 12), 2: cloud(rng, sea, 9), 3: cloud(rng, wood, 12)}
    clouds[4] = np.concatenate([cloud(rng, city, 7), cloud(rng, air, 6)])
    members = {topic: (list(range(100 * topic, 100 * topic + len(v))), v) for topic, v in clouds.items()}
    topics = [topic(n, 1, n=len(v)) | {"centroid": Stored(v.mean(axis=0))} for n, v in clouds.items()]
    merge, split = propose(topics, members, NOW, EngineConfig())
    assert (merge.rule, merge.key, merge.subspace_id) == (Rule.MERGE, "merge:1:2", 2)
    assert (merge.actions[0].target, merge.actions[0].body) == ("/api/v1/subspaces/2/merge", {"into": 1})
    assert (split.rule, split.key) == (Rule.SPLIT, "split:4")
    assert split.artifact_ids == tuple(range(407, 413))
    pinned = [one | {"pinned": True} for one in topics]
    assert [one.rule for one in propose(pinned, members, NOW, EngineConfig())] == [Rule.SPLIT]
    assert propose(topics[2:3], members, NOW, EngineConfig()) == []


def test_every_rule_has_its_place() -> None:
    assert set(CATEGORY) == set(Rule)
    assert set(ALERTS) == {
        "low_margin", "high_drift", "velocity_drop", "confidence_drop", "stagnation", "burst", "intention_gap", "echo",
        "never_read",
    }  # fmt: skip
