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
    fusion_k: float = 60.0
    duplicate_similarity: float = 0.98

    # Markers (§8)
    marker_weekly_decay: float = 0.10
    marker_min_weight: float = 0.01

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
