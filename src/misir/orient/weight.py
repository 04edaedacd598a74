"""WESA: how much a signal weighs, by depth of engagement, relevance and age (engine.md §2)."""

from __future__ import annotations

from datetime import datetime, timedelta

from misir.orient.config import EngineConfig
from misir.orient.reading import DecayRate, EngagementLevel


def base_weight(level: EngagementLevel, config: EngineConfig) -> float:
    """0.2 latent, 0.5 discovered, 1.0 engaged, 2.0 saturated: the weight that teaches (engine.md §2, §3).

    >>> base_weight(EngagementLevel.DISCOVERED, EngineConfig())
    0.5
    """
    return {
        EngagementLevel.LATENT: config.base_weight_latent,
        EngagementLevel.DISCOVERED: config.base_weight_discovered,
        EngagementLevel.ENGAGED: config.base_weight_engaged,
        EngagementLevel.SATURATED: config.base_weight_saturated,
    }[level]


def age_days(occurred_at: datetime, now: datetime) -> float:
    """Days from the reading to `now`, both aware; 0 for a clock that runs ahead.

    >>> from datetime import UTC
    >>> age_days(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 12, tzinfo=UTC))
    1.5
    """
    return max(0.0, (now - occurred_at) / timedelta(days=1))


def retention(rate: DecayRate, age: float, config: EngineConfig) -> float:
    """r^(age/30), age in days ≥ 0, r = 0.5 high, 0.75 medium, 0.9 low: 0..1 (engine.md §2).

    Exponential forgetting; its half-life is 30 · ln 0.5 / ln r = 30, 72 and 197 days.

    >>> retention(DecayRate.HIGH, 60, EngineConfig())
    0.25
    """
    kept = {
        DecayRate.HIGH: config.retention_high,
        DecayRate.MEDIUM: config.retention_medium,
        DecayRate.LOW: config.retention_low,
    }[rate]
    return float(kept ** (age / config.retention_period_days))


def effective_weight(
    level: EngagementLevel,
    relevance: float,
    rate: DecayRate,
    config: EngineConfig,
    *,
    occurred_at: datetime,
    now: datetime,
) -> float:
    """base_weight · relevance · retention: 0..2, computed when read (engine.md §2).

    It ranks and averages; it never teaches. relevance is the calibrated similarity to the topic, 0..1.
    An engaged web page of relevance 0.8, 30 days old: 1.0 · 0.8 · 0.5 = 0.4.

    >>> from datetime import UTC
    >>> read, now = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)
    >>> engaged, fast = EngagementLevel.ENGAGED, DecayRate.HIGH
    >>> effective_weight(engaged, 0.8, fast, EngineConfig(), occurred_at=read, now=now)
    0.4
    """
    return base_weight(level, config) * relevance * retention(rate, age_days(occurred_at, now), config)
