from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from misir.orient.config import EngineConfig
from misir.orient.proposals import merge_accuracy, should_merge, should_split, silhouette, two_means
from misir.orient.vectors import cosines, unit

CONFIG = EngineConfig()
steady = settings(deadline=None, derandomize=True)
units = (
    arrays(np.float32, 4, elements=st.floats(-1, 1, width=32))
    .filter(lambda v: np.linalg.norm(v) > 0.1)
    .map(unit)
)
members = st.lists(units, min_size=2, max_size=9).map(np.array)


def blob(direction: int, n: int, spread: float = 0.3, seed: int = 0) -> Any:
    """n unit vectors round an axis of 8 dimensions."""
    noise = np.random.default_rng((seed, direction)).normal(size=(n, 8)) * spread / np.sqrt(8)
    return unit(np.eye(8)[direction] + noise)


def wide(n: int) -> Any:
    """n unit vectors round one axis of 200 dimensions, spread in all of them alike."""
    return unit(np.eye(200)[0] + np.random.default_rng(1).normal(size=(n, 200)) / 14)


@steady
@given(members, members)
def test_merge_accuracy_counts_who_is_nearer_to_the_rest_of_their_own(a: Any, b: Any) -> None:
    def nearer(own: Any, other: Any) -> list[bool]:
        rests = [np.delete(own, i, axis=0).astype(np.float64).sum(axis=0) for i in range(len(own))]
        centre = other.astype(np.float64).sum(axis=0)
        return [
            cosines(x, [rest])[0] > cosines(x, [centre])[0] + 1e-9 for x, rest in zip(own, rests, strict=True)
        ]

    accuracy = merge_accuracy(a, b)
    assert accuracy == merge_accuracy(b, a)
    assert accuracy >= np.mean(nearer(a, b) + nearer(b, a)) - 1e-12
    assert 0 <= accuracy <= 1


def test_two_halves_of_one_blob_are_one_topic_and_two_blobs_are_not() -> None:
    one = blob(0, 40, spread=1.0)
    assert should_merge(one[::2], one[1::2], CONFIG)
    assert not should_merge(blob(0, 20), blob(1, 20), CONFIG)


def test_small_topics_are_not_proposed_for_merging() -> None:
    one = blob(0, 40, spread=1.0)
    least = CONFIG.merge_min_items
    assert should_merge(one[:least], one[least : 2 * least], CONFIG)
    assert not should_merge(one[: least - 1], one[least:], CONFIG)


def test_a_topic_without_members_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="members of both"):
        merge_accuracy([[1.0, 0.0]], np.empty((0, 2)))


def test_members_that_cancel_out_still_have_an_accuracy() -> None:
    assert merge_accuracy([[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]) == 0.0


@steady
@given(st.integers(5, 12), st.integers(5, 12), st.integers(0, 99))
def test_two_blobs_are_halved_between_them_whatever_their_order(n: int, m: int, seed: int) -> None:
    rows = np.concatenate([blob(0, n, seed=seed), blob(1, m, seed=seed)])
    order = np.random.default_rng(seed).permutation(n + m)
    labels = two_means(rows[order], CONFIG)
    truth = (order >= n).astype(int)
    assert (labels == (truth != truth[0])).all()
    assert should_split(rows[order], CONFIG)


@steady
@given(members)
def test_halves_are_zero_and_one_and_the_same_every_time(rows: Any) -> None:
    labels = two_means(rows, CONFIG)
    assert labels[0] == 0
    assert set(labels.tolist()) <= {0, 1}
    assert (labels == two_means(rows, CONFIG)).all()


def test_rows_that_are_alike_are_one_half() -> None:
    assert two_means([[1.0, 0.0]] * 4, CONFIG).tolist() == [0, 0, 0, 0]
    assert not should_split([[1.0, 0.0]] * 20, CONFIG)


@steady
@given(members, st.data())
def test_the_silhouette_is_the_one_computed_pair_by_pair(rows: Any, data: Any) -> None:
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))))
    expected = []
    for i in range(len(rows)):
        distance = 1 - rows.astype(np.float64) @ rows[i].astype(np.float64)
        own = (labels == labels[i]) & (np.arange(len(rows)) != i)
        others = [distance[labels == other].mean() for other in set(labels.tolist()) - {int(labels[i])}]
        if not own.any() or not others:
            expected.append(0.0)
            continue
        a, b = distance[own].mean(), min(others)
        expected.append((b - a) / max(a, b) if max(a, b) > 1e-6 else 0.0)
    found = silhouette(rows, labels)
    assert -1 <= found <= 1
    assert found == pytest.approx(np.mean(expected), abs=1e-4)


def test_a_split_needs_two_halves_that_are_large_and_apart() -> None:
    least = CONFIG.split_min_half
    assert should_split(np.concatenate([blob(0, least), blob(1, least)]), CONFIG)
    assert not should_split(np.concatenate([blob(0, 3 * least), blob(1, least - 1)]), CONFIG)
    assert not should_split(np.concatenate([blob(0, least), blob(1, least - 1)]), CONFIG)
    assert not should_split(wide(40), CONFIG)


def test_a_split_is_as_wide_as_the_topics_of_its_space() -> None:
    """The same two halves, 60 degrees apart, in a space of far topics and in one of near ones."""
    rows = np.array([[1.0, 0.0, 0.0]] * 8 + [[0.5, 0.75**0.5, 0.0]] * 8)
    assert should_split(rows, CONFIG)
    assert not should_split(rows, CONFIG, [[0.0, 0.0, 1.0]])
    assert should_split(rows, CONFIG, [[0.0, 0.0, 1.0], [0.75**0.5, -0.5, 0.0]])


def test_halves_are_refined_where_the_mean_lies_off_the_gap() -> None:
    rows = unit([[np.cos(a), np.sin(a)] for a in (0.0, 0.1, 0.45, *[1.2 + 0.01 * i for i in range(30)])])
    start = two_means(rows, EngineConfig(two_means_rounds=0))
    refined = two_means(rows, CONFIG)
    assert silhouette(rows, refined) >= silhouette(rows, start)
    assert refined.tolist() == [0] * 3 + [1] * 30


def test_rounds_are_limited() -> None:
    rows = np.concatenate([blob(0, 5), blob(1, 5)])
    assert two_means(rows, EngineConfig(two_means_rounds=0)).tolist() == [0] * 5 + [1] * 5
