from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.assign import grade_placements
from misir.orient.centroid import seed, untaught
from misir.orient.config import EngineConfig
from misir.orient.fold import Fold, Lesson, relevance_to, take_in
from misir.orient.vectors import Vector, norms, unit

CONFIG = EngineConfig()
MODEL = SimpleNamespace(mu=0.1, tau=0.9, novelty=0.3, sharpness=20.0)
D = 4
weights = st.sampled_from([0.2, 0.5, 1.0, 2.0])


@st.composite
def vectors(draw: st.DrawFn) -> Vector:
    numbers = draw(st.lists(st.floats(-1, 1, width=32), min_size=D, max_size=D))
    return unit(np.asarray(numbers) + np.array([2.0, 0, 0, 0]))


lessons = st.lists(st.tuples(st.integers(0, 5), weights, vectors(), st.booleans()), max_size=30)
steady = settings(deadline=None)


def folded(given_lessons: list[tuple[int, float, Vector, bool]], fold: Fold) -> Fold:
    for position, (artifact, weight, x, may_teach) in enumerate(given_lessons, 1):
        fold.learn(Lesson(artifact, position, weight, x, may_teach), MODEL, CONFIG)
    return fold


@steady
@given(lessons)
def test_an_artifact_teaches_its_deepest_lesson_once(rows: list[tuple[int, float, Vector, bool]]) -> None:
    fold = folded(rows, Fold(untaught(D), 0.1))
    deepest: dict[int, float] = {}
    for artifact, weight, _, may_teach in rows:
        deepest[artifact] = max(deepest.get(artifact, 0.0), weight if may_teach else 0.0)
    assert {artifact: share.taught for artifact, share in fold.shares.items()} == pytest.approx(deepest)
    assert fold.state.weight_sum == pytest.approx(sum(deepest.values()))
    assert fold.state.placed_count == len(deepest)


@steady
@given(lessons)
def test_the_state_stays_within_its_bounds(rows: list[tuple[int, float, Vector, bool]]) -> None:
    state = folded(rows, Fold(seed([[1.0, 0, 0, 0]], CONFIG), 0.1)).state
    assert 0 <= state.coherence <= 1
    assert norms(state.m) <= 1 + 1e-5
    assert state.signal_count <= len(rows)


@steady
@given(lessons)
def test_an_artifact_counts_from_where_it_first_taught(rows: list[tuple[int, float, Vector, bool]]) -> None:
    fold = folded(rows, Fold(untaught(D), 0.1))
    for artifact, share in fold.shares.items():
        own = [(n, row) for n, row in enumerate(rows, 1) if row[0] == artifact]
        teaching = [n for n, row in own if row[3]]
        assert share.since == (teaching[0] if teaching else own[0][0])


@steady
@given(lessons)
def test_what_may_not_teach_moves_nothing_but_is_counted(rows: list[tuple[int, float, Vector, bool]]) -> None:
    silent = [(artifact, weight, x, False) for artifact, weight, x, _ in rows]
    start = seed([[1.0, 0, 0, 0]], CONFIG)
    state = folded(silent, Fold(start, 0.1)).state
    assert (state.m == start.m).all()
    assert (state.weight_sum, state.signal_count) == (start.weight_sum, 0)
    assert state.placed_count == len({artifact for artifact, *_ in rows})


@steady
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_up_to_twenty_artifacts_coherence_is_their_mean(relevances: list[float]) -> None:
    state = untaught(D)
    for relevance in relevances:
        state = take_in(state, relevance, CONFIG)
    assert state.coherence == pytest.approx(float(np.mean(relevances)))


def test_the_founder_agrees_with_itself_and_a_stranger_does_not() -> None:
    x = np.eye(D, dtype=np.float32)
    assert relevance_to(untaught(D), x[0], MODEL) == 1
    assert relevance_to(seed([x[0]], CONFIG), x[1], MODEL) == 0
    assert relevance_to(seed([x[0]], CONFIG), x[0], MODEL) == 1


@steady
@given(st.lists(vectors(), min_size=1, max_size=6), st.lists(vectors(), max_size=4), st.data())
def test_grades_are_the_numbers_of_an_assignment(
    texts: list[Vector], centroids: list[Vector], data: st.DataObject
) -> None:
    chosen = [data.draw(st.integers(-1, len(centroids) - 1)) for _ in texts]
    rows = np.array(centroids).reshape(-1, D)
    grades = grade_placements(np.stack(texts), rows, chosen, MODEL)
    for number, at in enumerate(chosen):
        assert (grades.similarities[number] is None) == (at < 0)
        assert 0 <= grades.probabilities[number] <= 1
        assert 0 <= grades.fits[number] <= grades.probabilities[number]
        assert (grades.margins[number] is None) == (len(centroids) < 2)
        assert at >= 0 or grades.fits[number] == 0
