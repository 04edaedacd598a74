"""OSCL, online subspace centroid learning: a topic's state and how one signal changes it (engine.md §3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from misir.orient.config import EngineConfig
from misir.orient.reading import ROUNDING
from misir.orient.vectors import Vector, is_degenerate, unit


@dataclass(frozen=True, slots=True, eq=False)
class TopicState:
    """What a topic has learned.

    m: (D,) float32, ‖m‖ ≤ 1; its direction is the centroid, its length how much the signals agree.
    weight_sum: W ≥ 0, the weight that taught it, the markers' prior included.
    signal_count: n ≥ 0, the signals that taught it.
    coherence: R in 0..1, kept by `confidence.update_coherence`.
    placed_count: the artifacts that were ever placed here, the count of R; it never falls.
    was_degenerate: the last signal cancelled m out, so m was kept; for the event, not stored.
    """

    m: Vector
    weight_sum: float
    signal_count: int
    coherence: float
    placed_count: int = 0
    was_degenerate: bool = False

    @property
    def has_centroid(self) -> bool:
        """Has it a direction yet, from markers or from a signal?"""
        return not is_degenerate(self.m)

    @property
    def centroid(self) -> Vector:
        """C = unit(m), (D,) float32; a ValueError before there is one."""
        return unit(self.m)


def untaught(dimension: int) -> TopicState:
    """A topic with neither markers nor signals: m = 0, W = 0, n = 0.

    >>> untaught(2).m.tolist(), untaught(2).has_centroid
    ([0.0, 0.0], False)
    """
    return TopicState(np.zeros(dimension, dtype=np.float32), 0.0, 0, 0.0)


def seed(marker_vectors: npt.ArrayLike, config: EngineConfig) -> TopicState:
    """A state with m = unit(mean of the markers' vectors (k, D), k ≥ 1), W = 3, n = 0 (engine.md §3).

    A prior worth three engaged readings, which signals outweigh and never overwrite (a conjugate prior's
    pseudo-count). Markers that cancel out, or none, are a ValueError.

    >>> state = seed([[1.0, 0.0], [0.0, 1.0]], EngineConfig())
    >>> [round(c, 4) for c in state.m.tolist()], state.weight_sum, state.signal_count
    ([0.7071, 0.7071], 3.0, 0)
    """
    vectors = np.asarray(marker_vectors, dtype=np.float64)
    if not len(vectors):
        raise ValueError("A topic is seeded from at least one marker.")
    return TopicState(unit(vectors.mean(axis=0)), config.seed_weight, 0, 0.0)


def taught_difference(weight: float, already_taught: float) -> float:
    """Weight a signal teaches: w = max(0, base weight − already_taught): 0..2 (engine.md §3).

    already_taught is what this artifact taught this topic before: the same page ten times at one depth
    teaches once; deeper reading teaches the difference.

    >>> taught_difference(2.0, 0.5), taught_difference(0.2, 0.5)
    (1.5, 0.0)
    """
    difference = weight - already_taught
    return difference if difference > ROUNDING else 0.0


def alpha(state: TopicState, w: float, learning_rate: float, config: EngineConfig) -> float:
    """α = max(learning_rate · w, w/(W + w)), at most 0.5 from n ≥ 3 on; w > 0; 0..1 (engine.md §3).

    While W + w ≤ 1/learning_rate (10 by default) the second term rules and m is the weighted mean; after
    that it is an exponential moving average (Roberts 1959) with gain learning_rate · w. W = 0 always gives
    1: m ← x.

    >>> seeded = seed([[1.0, 0.0]], EngineConfig())
    >>> alpha(seeded, 1.0, 0.1, EngineConfig())
    0.25
    """
    is_capped = state.signal_count >= config.max_alpha_from_n and state.weight_sum > 0
    return min(config.max_alpha if is_capped else 1.0, max(learning_rate * w, w / (state.weight_sum + w)))


def teach(
    state: TopicState,
    x: npt.ArrayLike,
    w: float,
    config: EngineConfig,
    *,
    learning_rate: float | None = None,
) -> TopicState:
    """The state after one signal: m ← (1−α)·m + α·x, W ← W + w, n ← n + 1 (engine.md §3).

    x is a unit vector (D,), w ≥ 0 its `taught_difference`; w = 0 changes nothing. `learning_rate` is the
    topic's own, by default the config's. Where the new m would have no direction (length < 1e-6) the old m
    stays and `was_degenerate` says so. An engaged page on a seed: α = 1/(3 + 1) and
    m = 0.75·(1, 0) + 0.25·(0, 1).

    >>> config = EngineConfig()
    >>> taught = teach(seed([[1.0, 0.0]], config), [0.0, 1.0], 1.0, config)
    >>> taught.m.tolist(), taught.weight_sum, taught.signal_count
    ([0.75, 0.25], 4.0, 1)
    """
    if w <= 0:
        return state
    rate = config.learning_rate if learning_rate is None else learning_rate
    gain = alpha(state, w, rate, config)
    mixed = (1.0 - gain) * state.m.astype(np.float64) + gain * np.asarray(x, dtype=np.float64)
    m = mixed.astype(np.float32)
    is_lost = bool(is_degenerate(m))
    return replace(
        state,
        m=state.m if is_lost else m,
        weight_sum=state.weight_sum + w,
        signal_count=state.signal_count + 1,
        was_degenerate=is_lost,
    )
