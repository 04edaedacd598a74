from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.calibration import (
    MEASURES,
    MIN_MEMBERS,
    Labelled,
    chance_bonds,
    draw_trial,
    draw_trials,
    estimate,
    labelled,
    measure_births,
    measure_margins,
    measure_own,
    measure_posterior,
    measure_questions,
    measure_unrelated,
    nearest_labels,
)
from misir.orient.config import EngineConfig
from misir.orient.vectors import unit

CONFIG = EngineConfig(calibration_trials=4, calibration_births=300, calibration_halves=3)
steady = settings(deadline=None, derandomize=True, max_examples=40)


def clusters(seed: int, *, n_labels: int = 6, n_each: int = 8, noise: float = 0.5) -> Labelled:
    """Texts around a direction of their label, in twelve dimensions, with a question near each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_labels), n_each)
    vectors = rng.normal(size=(n_labels, 12))[labels] + noise * rng.normal(size=(len(labels), 12))
    return labelled(vectors, labels.tolist(), vectors + 0.1 * rng.normal(size=vectors.shape))


seeds = st.integers(0, 10_000)
noises = st.floats(0.05, 3.0)


def all_values(data: Labelled, seed: int = 0) -> dict[str, float]:
    return {name: value for one in MEASURES for name, value in one(data, seed, CONFIG).values.items()}


# ---- what is measured ----------------------------------------------------------------------------


def test_small_labels_are_left_out_and_the_rest_keep_their_texts() -> None:
    vectors = np.random.default_rng(0).normal(size=(4 * MIN_MEMBERS + 2, 3))
    names = [label for label in "abcd" for _ in range(MIN_MEMBERS)] + ["e", "e"]
    data = labelled(vectors, names, vectors)
    assert np.bincount(data.labels).tolist() == [MIN_MEMBERS] * 4
    assert data.vectors == pytest.approx(unit(vectors[:-2]), abs=1e-6)
    assert data.questions is not None
    assert data.questions == pytest.approx(data.vectors)


def test_too_few_labels_are_refused_with_their_number() -> None:
    with pytest.raises(ValueError, match="at least 4 labels with 6 texts each; here 3 of 4 have as many"):
        labelled(np.eye(19), [*"aaaaaabbbbbbcccccc", "d"])


@steady
@given(seeds, noises)
def test_the_unrelated_are_all_pairs_of_different_labels(seed: int, noise: float) -> None:
    data = clusters(seed, noise=noise)
    measured = measure_unrelated(data, seed, CONFIG)
    first, second = np.triu_indices(len(data.labels), 1)
    is_unrelated = data.labels[first] != data.labels[second]
    cosines = (data.vectors @ data.vectors.T)[first, second][is_unrelated]
    assert measured.n == len(cosines)
    assert measured.values["mu"] == pytest.approx(cosines.mean(), abs=1e-9)
    assert measured.values["sigma"] == pytest.approx(cosines.std(), abs=1e-6)


@steady
@given(seeds, noises)
def test_a_text_is_not_compared_with_itself(seed: int, noise: float) -> None:
    data = clusters(seed, noise=noise)
    own, other = nearest_labels(data)
    i = seed % len(data.labels)
    mates = (data.labels == data.labels[i]) & (np.arange(len(data.labels)) != i)
    assert own[i] == pytest.approx(float(unit(data.vectors[mates].sum(axis=0)) @ data.vectors[i]), abs=1e-6)
    sums = [data.vectors[data.labels == label].sum(axis=0) for label in {*data.labels} - {data.labels[i]}]
    assert other[i] == pytest.approx(max(float(unit(one) @ data.vectors[i]) for one in sums), abs=1e-6)


@steady
@given(seeds, noises)
def test_every_value_is_in_its_range_and_the_same_for_a_seed(seed: int, noise: float) -> None:
    data = clusters(seed, noise=noise)
    values = all_values(data, seed)
    cosines = [values[name] for name in ("mu", "tau", "novelty_item", "search_threshold")]
    assert all(-1 - 1e-9 <= value <= 1 + 1e-9 for value in cosines)
    assert values["sigma"] >= 0
    assert 0 <= values["margin_gate"] <= 2
    assert all_values(data, seed) == values


def test_a_tenth_of_the_right_margins_lies_below_the_gate_and_a_tenth_of_own_cosines_above_tau() -> None:
    data = clusters(1, n_labels=10, n_each=40, noise=1.0)
    own, other = nearest_labels(data)
    margins = (own - other)[own > other]
    assert np.mean(margins < measure_margins(data, 0, CONFIG).values["margin_gate"]) == pytest.approx(
        0.1, abs=0.01
    )
    assert np.mean(own > measure_own(data, 0, CONFIG).values["tau"]) == pytest.approx(0.1, abs=0.01)


def test_without_a_right_margin_the_gate_is_open() -> None:
    opposite = Labelled(np.array([[1.0, 0], [-1, 0.1], [1, 0.1], [-1, 0]]), np.array([0, 0, 1, 1]))
    assert measure_margins(opposite, 0, CONFIG).values["margin_gate"] == 0.0
    assert measure_margins(opposite, 0, CONFIG).n == 0


@steady
@given(seeds)
def test_a_trial_asks_only_about_texts_that_taught_nothing_half_of_them_new(seed: int) -> None:
    data = clusters(seed, n_labels=5, n_each=9)
    trial = draw_trial(data, np.random.default_rng(seed), CONFIG)
    assert trial.similarities.shape == (len(trial.truth), 2)
    assert (trial.truth == -1).mean() == 0.5
    assert set(trial.truth) <= {-1, 0, 1}
    assert 2 * (9 - 4) <= (trial.truth >= 0).sum() <= 2 * (9 - 3)


def test_the_posterior_separates_the_known_from_the_new() -> None:
    data = clusters(3, n_labels=10, n_each=20, noise=0.6)
    values = measure_posterior(data, 0, CONFIG).values
    known = np.concatenate([t.similarities[t.truth >= 0].max(axis=1) for t in draw_trials(data, 0, CONFIG)])
    new = np.concatenate([t.similarities[t.truth < 0].max(axis=1) for t in draw_trials(data, 0, CONFIG)])
    assert np.quantile(new, 0.5) < values["novelty"] < np.quantile(known, 0.5)
    assert values["sharpness"] > 0


@steady
@given(seeds)
def test_a_chance_bond_is_of_three_texts_of_three_labels(seed: int) -> None:
    data = clusters(seed, n_labels=4, n_each=6, noise=2.0)
    bonds = chance_bonds(data, np.random.default_rng(seed), 500)
    cosines = data.vectors @ data.vectors.T
    unrelated = cosines[data.labels[:, None] != data.labels[None, :]]
    assert all(np.isclose(bond, unrelated).any() for bond in bonds)
    assert len(bonds) <= len(data.labels) - 2


def test_a_chance_bond_looks_no_further_back_than_the_pool() -> None:
    data = clusters(0, n_labels=4, n_each=6)
    assert len(chance_bonds(data, np.random.default_rng(0), 1)) == 0
    near, far = (chance_bonds(data, np.random.default_rng(0), size) for size in (5, 500))
    assert near.max() <= far.max()


def test_one_text_in_a_thousand_is_born_by_chance() -> None:
    config = replace(CONFIG, calibration_births=4000, chance_birth_rate=0.01)
    data = clusters(5, n_labels=10, n_each=20, noise=3.0)
    measured = measure_births(data, 0, config)
    rng = np.random.default_rng(1)
    others = np.concatenate([chance_bonds(data, rng, 500) for _ in range(20)])
    assert measured.n > 3500
    assert np.mean(others >= measured.values["novelty_item"]) == pytest.approx(0.01, abs=0.01)


def test_questions_are_measured_only_where_there_are_some() -> None:
    data = clusters(0)
    value = measure_questions(data, 0, CONFIG).values["search_threshold"]
    assert data.questions is not None
    right = np.einsum("nd,nd->n", data.questions, data.vectors)
    assert np.sum(right < value) == 1  # of 48: 2 % is between the first and the second
    assert measure_questions(replace(data, questions=None), 0, CONFIG).values == {}


# ---- how far it can be trusted -------------------------------------------------------------------


def test_an_estimate_is_of_all_texts_and_its_spread_of_halves() -> None:
    data = clusters(2, n_labels=8)
    found = estimate(measure_own, data, 0, CONFIG)["tau"]
    assert found.value == measure_own(data, 0, CONFIG).values["tau"]
    assert found.n == len(data.labels)
    assert found.spread > 0
    assert estimate(measure_own, data, 0, CONFIG)["tau"] == found
    assert estimate(measure_questions, replace(data, questions=None), 0, CONFIG) == {}


def test_a_half_has_at_least_the_labels_a_calibration_needs() -> None:
    data = clusters(2, n_labels=4)
    assert estimate(measure_own, data, 0, CONFIG)["tau"].spread == 0.0
