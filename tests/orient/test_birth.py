from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from misir.orient.birth import adopted, find_founders, has_founders, similarity_matrix
from misir.orient.vectors import cosines, unit

MODEL: Any = SimpleNamespace(novelty=0.3)
steady = settings(deadline=None, derandomize=True)
units = (
    arrays(np.float32, 3, elements=st.floats(-1, 1, width=32))
    .filter(lambda v: np.linalg.norm(v) > 0.1)
    .map(unit)
)
pools = st.lists(units, max_size=8).map(lambda rows: np.array(rows, dtype=np.float32).reshape(-1, 3))


@steady
@given(units, pools, st.floats(-1, 1))
def test_founders_are_the_two_nearest_and_all_three_are_near_each_other(
    x: Any, pool: Any, bar: float
) -> None:
    founders = find_founders(x, pool, bar)
    similarities = cosines(x, pool)
    if founders is None:
        nearest = np.argsort(-similarities, kind="stable")[:2]
        trio = [x, *pool[nearest]]
        assert len(pool) < 2 or any(cosines(a, [b])[0] < bar for a, b in combinations(trio, 2))
        return
    first, second = founders
    assert similarities[first] >= similarities[second] >= bar
    assert cosines(pool[first], [pool[second]])[0] >= bar
    assert all(similarities[second] >= s for i, s in enumerate(similarities) if i not in founders)


def test_a_bridge_between_two_unrelated_texts_founds_nothing() -> None:
    pool = unit([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert find_founders(unit([1.0, 1.0, 0.0]), pool, 0.5) is None


def test_of_equally_near_texts_the_older_ones_found() -> None:
    assert find_founders([1.0, 0.0], [[1.0, 0.0]] * 4, 0.9) == (0, 1)


def test_an_empty_pool_founds_and_joins_nothing() -> None:
    assert find_founders([1.0, 0.0], np.empty((0, 2)), 0.5) is None
    assert adopted(np.empty((0, 2)), [1.0, 0.0], np.empty((0, 2)), MODEL) == ()


def test_the_first_topic_competes_with_none_alone() -> None:
    assert adopted([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0], np.empty((0, 2)), MODEL) == (0,)


def test_a_text_between_an_old_and_the_new_topic_stays_with_the_old() -> None:
    assert adopted(unit([[1.0, 1.0]]), [1.0, 0.0], [[0.0, 1.0]], MODEL) == ()


@steady
@given(pools, st.floats(-0.9, 0.9))
def test_a_group_has_founders_when_some_trio_is_near_each_other(pool: Any, bar: float) -> None:
    trios = [min(cosines(a, [b])[0] for a, b in combinations(trio, 2)) for trio in combinations(pool, 3)]
    if not any(abs(weakest - bar) < 1e-6 for weakest in trios):
        assert has_founders(pool, bar) == any(weakest >= bar for weakest in trios)


@steady
@given(pools, units, pools)
def test_who_joins_is_near_enough_and_nearest_to_the_new_topic(pool: Any, centroid: Any, others: Any) -> None:
    rows = adopted(pool, centroid, others, MODEL)
    assert list(rows) == sorted(set(rows))
    for row, x in enumerate(pool):
        to_new = cosines(x, [centroid])[0]
        to_others = cosines(x, others).max(initial=-2.0)
        if row in rows:
            assert to_new >= MODEL.novelty - 1e-9
            assert to_new >= to_others - 1e-9
        else:
            assert to_new <= MODEL.novelty + 1e-9 or to_new <= to_others + 1e-9


@steady
@given(pools, pools)
def test_a_similarity_matrix_is_the_cosines_of_its_rows(rows: Any, centroids: Any) -> None:
    matrix = similarity_matrix(rows, centroids)
    assert matrix.shape == (len(rows), len(centroids))
    for x, similarities in zip(rows, matrix, strict=True):
        assert np.allclose(similarities, cosines(x, centroids))
