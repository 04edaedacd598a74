from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from misir.orient.assign import (
    AssignedBy,
    Assignment,
    FitGrade,
    Withheld,
    assign,
    best_topic,
    calibrated,
    fit_grade,
    fit_of,
    margin_of,
    marker_boosts,
    posterior,
)
from misir.orient.config import EngineConfig
from misir.orient.vectors import Floats, Vector, unit


@dataclass(frozen=True)
class Measured:
    mu: float = 0.1
    sigma: float = 0.08
    tau: float = 0.8
    novelty: float = 0.45
    novelty_item: float = 0.5
    sharpness: float = 20.0
    margin_gate: float = 0.1
    search_threshold: float = 0.3


CONFIG, MODEL = EngineConfig(), Measured()
X = [1.0, 0.0, 0.0]
ENGINE, CLIENT, USER = AssignedBy
steady = settings(deadline=None, derandomize=True)
cosine_values = st.floats(-1, 1)
similarity_arrays = arrays(np.float64, st.integers(0, 8), elements=cosine_values)
units = (
    arrays(np.float32, 3, elements=st.floats(-1, 1, width=32))
    .filter(lambda v: np.linalg.norm(v) > 0.1)
    .map(unit)
)
topics = st.lists(st.one_of(units, st.just(np.zeros(3, dtype=np.float32))), max_size=6).map(
    lambda rows: np.array(rows, dtype=np.float32).reshape(-1, 3)
)


def at(*similarities: float) -> Vector:
    """Centroids with these cosines to X."""
    return np.array([[s, np.sqrt(1 - s * s), 0.0] for s in similarities], dtype=np.float32).reshape(-1, 3)


def decide(
    centroids: Vector, *, forced: int | None = None, by: AssignedBy = ENGINE, updates_centroid: bool = True
) -> Assignment:
    boosts = np.zeros(len(centroids))
    return assign(
        X, centroids, boosts, MODEL, CONFIG, forced=forced, by=by, updates_centroid=updates_centroid
    )


@steady
@given(cosine_values, cosine_values)
def test_calibrated_is_bounded_and_rises(a: float, b: float) -> None:
    low, high = calibrated(sorted([a, b]), 0.1, 0.8)
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("tau", [0.1, 0.05, float("nan")])
def test_a_calibration_without_a_span_is_refused(tau: float) -> None:
    with pytest.raises(ValueError, match="tau above mu"):
        calibrated(0.5, mu=0.1, tau=tau)


@steady
@given(similarity_arrays, st.floats(-1, 1), st.floats(0.1, 2000))
def test_the_posterior_is_a_distribution(similarities: Floats, novelty: float, sharpness: float) -> None:
    p = posterior(similarities, np.zeros_like(similarities), novelty, sharpness)
    assert p.shape == (len(similarities) + 1,)
    assert p.sum() == pytest.approx(1.0)
    assert np.all((p >= 0) & (p <= 1))


@steady
@given(similarity_arrays, st.randoms())
def test_the_posterior_knows_no_order(similarities: Floats, random: object) -> None:
    order = list(range(len(similarities)))
    random.shuffle(order)  # type: ignore[attr-defined]
    boosts = np.linspace(0, 0.05, len(order))
    p = posterior(similarities, boosts, 0.4, 20.0)
    shuffled = posterior(similarities[order], boosts[order], 0.4, 20.0)
    np.testing.assert_allclose(shuffled, np.append(p[:-1][order], p[-1]), atol=1e-12)


@steady
@given(similarity_arrays.filter(len), st.floats(0, 1))
def test_a_nearer_topic_is_likelier(similarities: Floats, nearer: float) -> None:
    none = np.zeros_like(similarities)
    raised = similarities.copy()
    raised[0] += nearer
    before, after = posterior(similarities, none, 0.4, 20.0), posterior(raised, none, 0.4, 20.0)
    assert after[0] >= before[0] - 1e-12
    assert np.all(after[1:] <= before[1:] + 1e-12)


def test_a_boost_counts_like_the_same_amount_of_cosine() -> None:
    np.testing.assert_allclose(
        posterior([0.5, 0.6], [0.1, 0.0], 0.4, 20.0), posterior([0.6, 0.6], [0.0, 0.0], 0.4, 20.0)
    )
    assert marker_boosts([], 0.1, CONFIG).shape == (0,)


def test_nothing_overflows() -> None:
    assert posterior([1.0, -1.0], [0.0, 0.0], -1.0, 1e6).tolist() == [1.0, 0.0, 0.0]


@steady
@given(similarity_arrays)
def test_margin_is_the_lead_of_the_nearest(similarities: Floats) -> None:
    margin = margin_of(similarities)
    assert (margin is None) == (len(similarities) < 2)
    assert margin is None or 0 <= margin <= 2


@steady
@given(similarity_arrays)
def test_the_best_topic_is_at_least_as_likely_as_none(similarities: Floats) -> None:
    p = posterior(similarities, np.zeros_like(similarities), 0.4, 20.0)
    best = best_topic(p)
    assert (best is not None) == bool(len(similarities) and p[:-1].max() >= p[-1])
    assert all(0 <= fit_of(p, index) <= 1 for index in range(len(similarities)))


@pytest.mark.parametrize(
    ("fit", "grade"), [(0.0, "weak"), (0.3, "moderate"), (0.499, "moderate"), (1.0, "strong")]
)
def test_fit_in_words(fit: float, grade: str) -> None:
    assert fit_grade(fit, CONFIG) is FitGrade(grade)


@steady
@given(units, topics, st.data())
def test_whatever_comes_the_decision_is_finite_and_consistent(
    x: Vector, centroids: Vector, data: st.DataObject
) -> None:
    n = len(centroids)
    forced = data.draw(st.none() | st.integers(0, n - 1)) if n else None
    by = ENGINE if forced is None else data.draw(st.sampled_from([CLIENT, USER]))
    found = assign(x, centroids, np.zeros(n), MODEL, CONFIG, forced=forced, by=by)
    numbers = [found.similarity, found.relevance, found.margin, found.probability, found.fit]
    assert all(np.isfinite(number) for number in numbers if number is not None)
    assert 0 <= found.fit <= found.probability <= 1 or not found.is_assigned
    assert found.margin is None or found.margin >= 0
    p = found.scores.probabilities
    assert p.sum() == pytest.approx(1.0)
    if forced is None:
        assert found.is_assigned == bool(n and p[:-1].max() >= p[-1])
    else:
        assert (found.index, found.assigned_by) == (forced, by)
    assert found.updates_centroid == (not found.withheld)


def test_without_topics_a_text_is_unassigned() -> None:
    found = decide(at())
    assert (found.index, found.assigned_by, found.similarity, found.relevance) == (None, None, None, None)
    assert (found.margin, found.probability, found.fit, found.grade) == (None, 1.0, 0.0, FitGrade.WEAK)
    assert found.withheld == (Withheld.UNASSIGNED,)
    assert not found.is_assigned


def test_a_near_topic_is_chosen_and_taught() -> None:
    found = decide(at(0.2, 0.8))
    assert (found.index, found.assigned_by, found.withheld) == (1, ENGINE, ())
    assert found.similarity == pytest.approx(0.8)
    assert found.relevance == pytest.approx(1.0)
    assert found.margin == pytest.approx(0.6)
    assert found.grade is FitGrade.STRONG


def test_a_new_thing_stays_unassigned_with_the_probability_of_none() -> None:
    found = decide(at(0.1, 0.2))
    assert found.index is None
    assert found.probability == pytest.approx(found.scores.probabilities[-1])
    assert found.margin == pytest.approx(0.1)


def test_one_topic_has_no_margin_and_teaches_by_fit_alone() -> None:
    assert decide(at(0.8)).withheld == ()
    assert decide(at(0.452)).withheld == (Withheld.LOW_FIT,)


def test_two_near_topics_teach_neither() -> None:
    assert decide(at(0.80, 0.75)).withheld == (Withheld.LOW_MARGIN,)
    assert decide(at(0.80, 0.799)).withheld == (Withheld.LOW_MARGIN, Withheld.LOW_FIT)


def test_as_likely_as_none_is_assigned() -> None:
    assert best_topic(np.array([0.25, 0.375, 0.375])) == 1


def test_margin_and_fit_at_their_gates_teach() -> None:
    free = decide(at(0.8, 0.5))
    assert free.margin is not None
    gates = {"margin": free.margin, "fit": free.fit}
    above = {name: float(np.nextafter(gate, 2.0)) for name, gate in gates.items()}

    def withheld(margin: float, fit: float) -> tuple[Withheld, ...]:
        model, config = Measured(margin_gate=margin), EngineConfig(min_teaching_fit=fit)
        return assign(X, at(0.8, 0.5), np.zeros(2), model, config).withheld

    assert withheld(**gates) == ()
    assert withheld(**above) == (Withheld.LOW_MARGIN, Withheld.LOW_FIT)


def test_a_client_skips_novelty_but_not_the_gates() -> None:
    far = decide(at(0.1), forced=0, by=CLIENT)
    assert (far.index, far.fit, far.withheld) == (0, 0.0, (Withheld.LOW_FIT,))
    assert decide(at(0.8), forced=0, by=CLIENT).updates_centroid


def test_a_users_choice_passes_the_gates() -> None:
    found = decide(at(0.1, 0.1, 0.9), forced=0, by=USER)
    assert (found.index, found.fit, found.withheld) == (0, 0.0, ())
    assert found.margin == pytest.approx(0.8)


@pytest.mark.parametrize(("forced", "by"), [(None, ENGINE), (0, CLIENT), (0, USER)])
def test_a_client_may_ask_not_to_teach(forced: int | None, by: AssignedBy) -> None:
    assert decide(at(0.8), forced=forced, by=by, updates_centroid=False).withheld == (Withheld.BY_CLIENT,)


def test_a_topic_without_centroid_is_no_candidate_but_may_be_named() -> None:
    centroids = np.vstack([np.zeros((1, 3), dtype=np.float32), at(0.8)])
    free = decide(centroids)
    assert (free.index, free.margin, free.scores.probabilities[0]) == (1, None, 0.0)
    named = decide(centroids, forced=0, by=CLIENT)
    assert (named.index, named.similarity, named.relevance, named.probability) == (0, None, None, 0.0)
    assert named.updates_centroid


def test_a_boost_decides_between_equals_without_touching_similarity() -> None:
    boosts = marker_boosts([False, True], MODEL.mu, CONFIG)
    found = assign(X, at(0.7, 0.7), boosts, MODEL, CONFIG)
    assert found.index == 1
    assert found.margin == pytest.approx(0.0)
    assert found.similarity == pytest.approx(0.7)


@pytest.mark.parametrize(("forced", "by"), [(0, ENGINE), (None, CLIENT), (1, USER), (-1, USER)])
def test_who_decides_and_what_is_named_must_agree(forced: int | None, by: AssignedBy) -> None:
    with pytest.raises(ValueError, match="names one of the given topics"):
        decide(at(0.5), forced=forced, by=by)
