import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.assign import posterior
from misir.orient.reliability import Bin, expected_calibration_error, fit_posterior, reliability_curve
from misir.orient.vectors import Floats

steady = settings(deadline=None, derandomize=True, max_examples=40)


def drawn(novelty: float, sharpness: float, n: int, seed: int) -> tuple[Floats, np.ndarray]:
    """Texts whose right topic is drawn from the very posterior of their cosines to three topics."""
    rng = np.random.default_rng(seed)
    cosines = rng.uniform(0.1, 0.7, size=(n, 3))
    p = np.stack([posterior(row, np.zeros(3), novelty, sharpness) for row in cosines])
    drawn = (rng.uniform(size=(n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return cosines, np.where(drawn == 3, -1, drawn)


@pytest.mark.parametrize(("novelty", "sharpness"), [(0.3, 10.0), (0.45, 20.0), (0.6, 40.0)])
def test_a_fit_finds_the_posterior_that_the_truth_was_drawn_from(novelty: float, sharpness: float) -> None:
    fitted = fit_posterior([drawn(novelty, sharpness, 4000, 0), drawn(novelty, sharpness, 4000, 1)])
    assert fitted.novelty == pytest.approx(novelty, abs=0.02)
    assert fitted.sharpness == pytest.approx(sharpness, rel=0.1)


def test_a_fitted_posterior_is_reliable_and_another_is_not() -> None:
    trial = drawn(0.45, 20.0, 8000, 2)
    assert error_of(trial, 0.45, 20.0) < 0.02
    assert error_of(trial, 0.45, 60.0) > 0.05


def error_of(trial: tuple[Floats, np.ndarray], novelty: float, sharpness: float) -> float:
    p = np.stack([posterior(row, np.zeros(3), novelty, sharpness) for row in trial[0]])
    chosen = p.argmax(axis=1)
    is_right = np.where(chosen == 3, -1, chosen) == trial[1]
    return expected_calibration_error(reliability_curve(p.max(axis=1), is_right, 10))


@steady
@given(st.integers(0, 1000), st.floats(0.8, 1.2), st.floats(-0.05, 0.05))
def test_no_neighbour_of_the_fit_has_less_loss(seed: int, stretch: float, shift: float) -> None:
    trial = drawn(0.4, 15.0, 200, seed)
    fitted = fit_posterior([trial])
    rows = np.arange(len(trial[1]))
    p = np.stack(
        [posterior(row, np.zeros(3), fitted.novelty + shift, fitted.sharpness * stretch) for row in trial[0]]
    )
    loss = -np.log(p[rows, trial[1]]).mean()  # −1 is the last column, none
    assert fitted.loss <= loss + 1e-3


def test_a_perfect_separation_stays_finite() -> None:
    cosines = np.array([[0.9], [0.8], [0.1], [0.2]])
    fitted = fit_posterior([(cosines, np.array([0, 0, -1, -1]))])
    assert 0.2 < fitted.novelty < 0.8
    assert 20 < fitted.sharpness < 1000
    assert fitted.loss < 0.01


def test_a_fit_ends_after_its_steps_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = drawn(0.4, 15.0, 200, 0)
    best = fit_posterior([trial])
    monkeypatch.setattr("misir.orient.reliability.STEPS", 1)
    early = fit_posterior([trial])
    assert best.loss < early.loss < 1.0


@steady
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=50), st.integers(1, 20))
def test_a_curve_holds_every_decision_once_in_order(decisions: list[tuple[float, bool]], n_bins: int) -> None:
    curve = reliability_curve([p for p, _ in decisions], [right for _, right in decisions], n_bins)
    assert sum(one.n for one in curve) == len(decisions)
    assert len(curve) <= n_bins
    assert [one.probability for one in curve] == sorted(one.probability for one in curve)
    assert sum(one.n * one.accuracy for one in curve) == pytest.approx(sum(right for _, right in decisions))
    assert 0 <= expected_calibration_error(curve) <= 1


def test_the_error_is_zero_when_nothing_was_decided_or_everything_was_as_likely_as_said() -> None:
    assert expected_calibration_error([]) == 0.0
    assert expected_calibration_error([Bin(4, 0.75, 0.75), Bin(1, 1.0, 1.0)]) == 0.0
    assert expected_calibration_error([Bin(2, 1.0, 0.0)]) == 1.0
