from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("river", reason="River comes with the extra `quality`")

from misir.orient.vectors import Floats, Vector, unit
from misir.quality.drift import measure_streams, render, score_changes, split_groups
from misir.quality.drift_streams import (
    Order,
    Stream,
    gradual,
    in_order,
    make_streams,
    nearest_other,
    returning,
    stationary,
    sudden,
)
from misir.quality.drift_watch import (
    MISIR,
    NUMBERS,
    RIVALS,
    alarms_of,
    find_drifts,
    watch_with_misir,
    watch_with_prototype,
)

D = 24


def around(direction: int, n: int, seed: int = 0) -> Vector:
    noise = np.random.default_rng(seed).normal(scale=0.15, size=(n, D))
    return unit(noise + np.eye(D)[direction])


TOPICS = {
    "near": around(0, 120),
    "nearer": unit(around(0, 120, 1) + 0.8 * np.eye(D)[1]),
    "far": around(5, 120),
}
PAIR = (around(0, 120), around(1, 60))


def is_other(vectors: Vector) -> list[bool]:
    return [bool(x[1] > x[0]) for x in vectors]


def test_the_nearest_other_topic_is_the_one_with_the_nearest_centroid() -> None:
    assert nearest_other(TOPICS)["near"] == "nearer"
    assert nearest_other(TOPICS)["nearer"] == "near"


@pytest.mark.parametrize("order", list(Order))
def test_an_order_loses_and_repeats_nothing(order: Order) -> None:
    vectors = around(0, 50)
    found = in_order(vectors, order, np.random.default_rng(0))
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, vectors.tolist()))


def test_a_session_is_about_one_thing() -> None:
    vectors = around(0, 150)
    near = [
        float(np.mean(np.sum(found[1:] * found[:-1], axis=1)))
        for order in Order
        for found in [in_order(vectors, order, np.random.default_rng(0))]
    ]
    assert near[1] > near[0] + 0.05


def test_a_sudden_change_is_complete_at_once() -> None:
    vectors, (change,) = sudden(PAIR, np.random.default_rng(0))
    assert is_other(vectors) == [False] * change + [True] * 30
    assert 40 <= change < 80


def test_a_gradual_change_takes_its_time() -> None:
    vectors, (change,) = gradual(PAIR, np.random.default_rng(0))
    after = is_other(vectors[change:])
    assert not any(is_other(vectors[:change]))
    assert sum(after[:10]) < sum(after[10:20]) < sum(after[20:30])
    assert all(after[30:])
    assert len(after) == 45


def test_a_return_brings_new_items_of_the_old_content() -> None:
    vectors, changes = returning(PAIR, np.random.default_rng(0))
    assert is_other(vectors) == [False] * 50 + [True] * 30 + [False] * 30
    assert changes == (50, 80)
    assert len(np.unique(vectors, axis=0)) == 110


def test_streams_are_the_same_every_time_and_take_topics_in_turn() -> None:
    one, same = (make_streams({"corpus": TOPICS}, sudden, Order.SESSIONS, 4, seed=3) for _ in range(2))
    assert [stream.changes for stream in one] == [stream.changes for stream in same]
    np.testing.assert_array_equal(one[3].vectors, same[3].vectors)
    assert one[2].vectors[0] @ np.eye(D)[5] > 0.5


def test_a_detector_of_ours_starts_anew_after_an_event() -> None:
    vectors, changes = returning(PAIR, np.random.default_rng(0))
    drifts = find_drifts(vectors, MISIR)
    assert [any(0 < n - change <= 12 for n, _ in drifts) for change in changes] == [True, True]
    assert [n for n, _ in drifts] == watch_with_misir(vectors)


def test_the_prototype_never_fires_not_even_for_the_opposite() -> None:
    assert watch_with_prototype(np.concatenate([around(0, 60), -around(0, 60)])) == []


@pytest.mark.parametrize("measure", NUMBERS.values())
def test_distances_jump_where_the_content_changes(measure: Callable[[Vector], Floats]) -> None:
    distances = measure(np.concatenate([around(0, 60), around(1, 30)]))
    assert len(distances) == 90
    assert distances[0] == 0
    assert distances[60] > distances[1:60].max() + 0.3


def test_every_rival_sees_numbers_that_stay_high() -> None:
    numbers = [0.2, 0.3] * 40 + [0.8, 0.9] * 20
    for settings in RIVALS.values():
        assert any(n > 80 for setting in settings for n in alarms_of(setting.build(), numbers))


def test_scores_count_the_first_alarm_after_a_change_and_call_the_others_false() -> None:
    streams = [Stream("c", np.zeros((90, 2), dtype=np.float32), (60,)) for _ in range(4)]
    scored = score_changes(streams, [[65], [30, 70, 80], [], [91]], within=30)
    assert scored == {"n": 4, "recall": 0.5, "median_delay": 10, "p90_delay": None, "precision": 0.4}
    assert score_changes(streams, [[], [], [], []], within=30)["precision"] is None


def test_the_report_names_every_detector_and_the_figures_follow() -> None:
    part = measure_streams({"corpus": TOPICS}, Order.INDEPENDENT, n_streams=3)
    space = {"n": 9, "recall": 0.9, "median_delay": 5, "p90_delay": None, "false_per_1000": 0.5}
    signs = {"first_sign": {"drift": 1, "birth": 2, "growth": 5}}
    results = {"parts": {"independent draws, held out": part}, "spaces": {"sessions": {"new": space | signs}}}
    text = render(results)
    assert "| sessions | new | 9 | 0.9 | 5 | – | 1 | 2 | 5 | 0.50 |" in text
    assert part["detectors"]["Misir"]["sudden"]["recall"] == 1
    assert part["detectors"]["prototype"]["sudden"]["recall"] == 0
    assert part["detectors"]["Misir"]["n_stationary"] == 3 * (120 - 29)
    assert "### Independent draws, held out" in text
    for name in ("Misir", "as first specified", "prototype", "ADWIN", "Page-Hinkley"):
        assert f"\n| {name}" in text


def test_the_corpora_that_chose_the_numbers_are_told_apart() -> None:
    assert split_groups({"packages": TOPICS, "reuters": TOPICS}).keys() == {"held out", "tuned on"}
    assert split_groups({"reuters": TOPICS}).keys() == {"held out"}


def test_a_stationary_stream_has_no_change() -> None:
    assert stationary(PAIR, np.random.default_rng(0))[1] == ()
