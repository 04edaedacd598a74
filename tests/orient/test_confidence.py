import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.confidence import (
    ConfidenceLabel,
    confidence,
    confidence_label,
    has_enough_data,
    update_coherence,
)
from misir.orient.config import EngineConfig

CONFIG = EngineConfig()
steady = settings(deadline=None, derandomize=True)
fractions = st.floats(0, 1)


def coherence_of(relevances: list[float]) -> float:
    coherence = 0.0
    for n, relevance in enumerate(relevances, start=1):
        coherence = update_coherence(coherence, relevance, n, CONFIG)
    return coherence


@steady
@given(st.lists(fractions, min_size=1, max_size=20))
def test_coherence_is_the_mean_of_the_first_twenty(relevances: list[float]) -> None:
    assert coherence_of(relevances) == pytest.approx(sum(relevances) / len(relevances))


@steady
@given(st.lists(fractions, min_size=1, max_size=60))
def test_coherence_and_confidence_are_fractions(relevances: list[float]) -> None:
    coherence = coherence_of(relevances)
    assert -1e-12 <= confidence(coherence, len(relevances), CONFIG) <= coherence <= 1 + 1e-12


def test_confidence_falls_when_items_stop_agreeing() -> None:
    good = coherence_of([0.9] * 40)
    worse = coherence_of([0.9] * 40 + [0.1] * 20)
    assert confidence(worse, 60, CONFIG) < confidence(good, 40, CONFIG) - 0.3


@steady
@given(fractions, st.integers(0, 1000))
def test_confidence_rises_with_the_number_of_items(coherence: float, n: int) -> None:
    assert confidence(coherence, n, CONFIG) <= confidence(coherence, n + 1, CONFIG)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1.0, "very strong"),
        (0.8, "very strong"),
        (0.79, "strong"),
        (0.6, "strong"),
        (0.4, "moderate"),
        (0.2, "developing"),
        (0.19, "just starting"),
        (0.0, "just starting"),
    ],
)
def test_labels(value: float, label: str) -> None:
    assert confidence_label(value, CONFIG) is ConfidenceLabel(label)


def test_enough_data_from_three_items_on() -> None:
    assert [has_enough_data(n, CONFIG) for n in range(5)] == [False, False, False, True, True]
