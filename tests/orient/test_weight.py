from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.config import EngineConfig
from misir.orient.reading import DecayRate, EngagementLevel
from misir.orient.weight import age_days, base_weight, effective_weight, retention

CONFIG = EngineConfig()
READ = datetime(2026, 1, 1, tzinfo=UTC)
steady = settings(deadline=None, derandomize=True)


def test_base_weights_rise_with_depth() -> None:
    assert [base_weight(level, CONFIG) for level in EngagementLevel] == [0.2, 0.5, 1.0, 2.0]


@pytest.mark.parametrize(("rate", "days"), [("high", 30), ("medium", 72), ("low", 197)])
def test_half_lives(rate: str, days: int) -> None:
    assert retention(DecayRate(rate), days, CONFIG) == pytest.approx(0.5, abs=0.002)


def test_a_reading_from_a_clock_ahead_is_new() -> None:
    assert age_days(READ + timedelta(minutes=5), READ) == 0


@steady
@given(
    st.sampled_from(EngagementLevel),
    st.floats(0, 1),
    st.sampled_from(DecayRate),
    st.floats(0, 10_000),
    st.floats(0, 1000),
)
def test_effective_weight_is_bounded_and_only_falls(
    level: EngagementLevel, relevance: float, rate: DecayRate, age: float, later: float
) -> None:
    now, then = (
        effective_weight(level, relevance, rate, CONFIG, occurred_at=READ, now=READ + timedelta(days=days))
        for days in (age, age + later)
    )
    assert 0 <= then <= now <= base_weight(level, CONFIG)
