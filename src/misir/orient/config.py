"""EngineConfig: every default of the engine (the bold numbers of engine.md), typed and versioned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The numbers the formulas use; `version` is stored with every decision made under them.

    >>> EngineConfig().words_per_minute
    200.0
    >>> EngineConfig.from_json(EngineConfig(version=2).to_json()) == EngineConfig(version=2)
    True
    """

    version: int = 1

    # Reading depth (§1)
    words_per_minute: float = 200.0
    pdf_rate_factor: float = 0.8
    max_time_ratio: float = 1.5
    max_reading_depth: float = 1.5
    time_share: float = 0.6
    scroll_share: float = 0.4
    depth_tolerance: float = 0.20

    # Engagement level derived from time and scroll (§1)
    discovered_min_ms: int = 30_000
    discovered_min_scroll: float = 0.1
    engaged_min_ms: int = 180_000
    engaged_min_scroll: float = 0.5
    saturated_min_ms: int = 600_000
    saturated_min_scroll: float = 0.9

    # Weight, WESA (§2)
    base_weight_latent: float = 0.2
    base_weight_discovered: float = 0.5
    base_weight_engaged: float = 1.0
    base_weight_saturated: float = 2.0
    retention_high: float = 0.5
    retention_medium: float = 0.75
    retention_low: float = 0.9
    retention_period_days: float = 30.0

    # Centroid learning, OSCL (§3)
    learning_rate: float = 0.1
    seed_weight: float = 3.0
    max_alpha: float = 0.5
    max_alpha_from_n: int = 3

    # Assignment (§4)
    boost_share: float = 0.05
    min_teaching_fit: float = 0.1
    moderate_fit: float = 0.3
    strong_fit: float = 0.5

    # Birth, consolidation, merge and split (§5)
    birth_pool: int = 500
    consolidation_signals: int = 20
    consolidation_share: float = 0.02
    group_neighbours: int = 10
    fine_groups_from: int = 100
    resolution_per_doubling: float = 0.45
    max_resolution: float = 3.0
    group_passes: int = 3
    regroup_gain: float = 0.005
    consolidation_rounds: int = 5
    keep_share: float = 0.75
    switch_gain: float = 0.02
    min_topic_items: int = 3
    merge_min_items: int = 8
    merge_max_accuracy: float = 0.75
    split_min_half: int = 5
    split_min_silhouette: float = 0.15
    two_means_rounds: int = 20

    # Sleep (§5)
    sleep_intervals: float = 3.0
    sleep_min_days: float = 30.0

    # Undo (§5)
    undo_days: int = 30

    # Drift, SDD (§6)
    drift_min_recent: int = 8
    drift_recent: int = 25
    drift_reference: int = 80
    drift_min_reference: int = 15
    drift_min_items: int = 30
    drift_threshold: float = 0.05
    drift_shuffles: int = 300
    drift_min_deviations: float = 5.0
    drift_run_quantile: float = 0.8
    significant_drift: float = 0.15
    transforming_drift: float = 0.30
    notable_quantile: float = 0.9
    notable_min_events: int = 10
    notable_magnitude: float = 0.15

    # Pace (§6)
    angular_speed_days: int = 7
    trend_min_deviations: float = 1.0
    medium_pace: float = 1.0
    high_pace: float = 5.0

    # Map (§10)
    map_signals: int = 20
    map_share: float = 0.02
    map_items: int = 10_000

    # Alerts and insights (§11)
    low_margin_items: int = 5
    velocity_drop_share: float = 0.5
    velocity_min_mean: float = 2.0
    confidence_drop: float = 0.2
    stagnation_days: int = 14
    burst_items: int = 5
    burst_quantile: float = 0.9
    intention_min_items: int = 5
    echo_share: float = 0.8
    echo_items: int = 50
    echo_min_items: int = 20
    never_read_days: int = 30
    alert_min_days: int = 14
    insight_quiet_days: int = 7

    # Confidence (§7)
    min_coherence_gain: float = 0.05
    confidence_prior_count: float = 3.0
    min_artifacts: int = 3
    very_strong_confidence: float = 0.8
    strong_confidence: float = 0.6
    moderate_confidence: float = 0.4
    developing_confidence: float = 0.2

    # Search (§9) and near-identical texts
    search_candidates: int = 100
    meaning_share: float = 0.8
    duplicate_similarity: float = 0.98

    # Markers (§8)
    marker_weekly_decay: float = 0.10
    marker_min_weight: float = 0.01

    # Measuring a calibration (§4)
    tau_quantile: float = 0.9
    margin_quantile: float = 0.1
    chance_birth_rate: float = 0.001
    search_loss: float = 0.02
    calibration_members: int = 20
    calibration_trials: int = 20
    calibration_births: int = 10_000
    calibration_halves: int = 6

    # Names of topics (§5)
    name_max_words: int = 4
    name_max_keywords: int = 3
    name_max_chars: int = 60
    word_max_chars: int = 40
    phrase_share: float = 0.5

    def to_json(self) -> dict[str, int | float]:
        """All values by name, as stored in `system_config`."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """The config in a JSON object; a value it does not name has its default.

        So a config stored before a value existed still loads. An unknown name, a non-number, a
        non-finite number or a fraction for a whole number is a ValueError that names it.

        >>> EngineConfig.from_json({"learning_rate": 1}).learning_rate
        1.0
        """
        types = {field.name: type(field.default) for field in fields(cls)}
        if unknown := sorted(stored.keys() - types):
            raise ValueError(f"The engine config has no value called {', '.join(unknown)}.")
        return cls(**{name: _number(name, value, types[name]) for name, value in stored.items()})


def _number(name: str, value: object, kind: type) -> Any:
    is_number = isinstance(value, int) if kind is int else isinstance(value, (int, float))
    if is_number and not isinstance(value, bool) and math.isfinite(cast("float", value)):
        return kind(value)
    expected = "a whole number" if kind is int else "a finite number"
    raise ValueError(f"{name} in the engine config must be {expected}, not {value!r}.")
