"""Confidence: how well a topic's items agree with it, held back while they are few (engine.md §7)."""

from __future__ import annotations

from enum import StrEnum

from misir.orient.config import EngineConfig


class ConfidenceLabel(StrEnum):
    """Confidence in words, highest first."""

    VERY_STRONG = "very strong"
    STRONG = "strong"
    MODERATE = "moderate"
    DEVELOPING = "developing"
    JUST_STARTING = "just starting"


def update_coherence(coherence: float, relevance: float, n_artifacts: int, config: EngineConfig) -> float:
    """R ← R + max(0.05, 1/n)·(relevance − R): 0..1 (engine.md §7).

    For every newly assigned artifact, taught or not. relevance = calibrated(cos(x, C before)), 0..1;
    n_artifacts ≥ 1 counts the artifact itself. Up to n = 20 R is the plain mean, after that an exponential
    moving average (Roberts 1959), so it can fall.

    >>> update_coherence(0.0, 0.8, 1, EngineConfig()), update_coherence(0.5, 1.0, 2, EngineConfig())
    (0.8, 0.75)
    """
    gain = max(config.min_coherence_gain, 1 / n_artifacts)
    return coherence + gain * (relevance - coherence)


def confidence(coherence: float, n_artifacts: int, config: EngineConfig) -> float:
    """R · n/(n + 3): 0..1, below R (engine.md §7); a mean shrunk toward 0 by a prior worth 3 artifacts.

    >>> confidence(0.5, 9, EngineConfig()), confidence(0.5, 0, EngineConfig())
    (0.375, 0.0)
    """
    return coherence * (n_artifacts / (n_artifacts + config.confidence_prior_count))


def has_enough_data(n_artifacts: int, config: EngineConfig) -> bool:
    """Are there at least 3 artifacts? Below that every reader says "not enough data" (engine.md §7).

    >>> has_enough_data(2, EngineConfig()), has_enough_data(3, EngineConfig())
    (False, True)
    """
    return n_artifacts >= config.min_artifacts


def confidence_label(value: float, config: EngineConfig) -> ConfidenceLabel:
    """≥ 0.8 very strong, ≥ 0.6 strong, ≥ 0.4 moderate, ≥ 0.2 developing, else just starting (engine.md §7).

    >>> [confidence_label(value, EngineConfig()).value for value in (0.8, 0.4, 0.1)]
    ['very strong', 'moderate', 'just starting']
    """
    floors = (
        (config.very_strong_confidence, ConfidenceLabel.VERY_STRONG),
        (config.strong_confidence, ConfidenceLabel.STRONG),
        (config.moderate_confidence, ConfidenceLabel.MODERATE),
        (config.developing_confidence, ConfidenceLabel.DEVELOPING),
    )
    return next((label for floor, label in floors if value >= floor), ConfidenceLabel.JUST_STARTING)
