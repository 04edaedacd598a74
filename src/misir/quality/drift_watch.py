"""What watches a stream for a change of content: Misir's detector, and what one would take instead.

Each answers after how many items of a stream it raised an alarm, rising.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np
from river.drift import ADWIN, PageHinkley

from misir.orient.centroid import teach, untaught
from misir.orient.config import EngineConfig
from misir.orient.drift import Drift, detect_drift, shuffle_seed
from misir.orient.vectors import Floats, Vector, cosines, unit

MISIR: Final = EngineConfig()
FIRST_SPECIFIED: Final = EngineConfig(
    drift_min_recent=15,
    drift_recent=15,
    drift_reference=40,
    drift_min_deviations=4.0,
    drift_run_quantile=1.0,
)
"""The detector as it was first specified: 15 against 40 items, 4 deviations, items shuffled one by one."""

PROTOTYPE_RATE: Final = 0.1
PROTOTYPE_THRESHOLD: Final = 0.05


def find_drifts(vectors: Vector, config: EngineConfig) -> list[tuple[int, Drift]]:
    """Every event of a topic's life, asked item by item with the anchor moved as the worker moves it."""
    anchor, found = 0, list[tuple[int, Drift]]()
    for n in range(1, len(vectors) + 1):
        drift = detect_drift(vectors[anchor:n], shuffle_seed(config.version, n), config)
        if drift is not None:
            found.append((n, drift))
            anchor += drift.anchor_row
    return found


def watch_with_misir(vectors: Vector, config: EngineConfig = MISIR) -> list[int]:
    """The alarms of `find_drifts`."""
    return [n for n, _ in find_drifts(vectors, config)]


def watch_with_prototype(vectors: Vector) -> list[int]:
    """The prototype's rule: an EMA with α = 0.1, an alarm when one step turns it by 1 − cos ≥ 0.05.

    Between unit vectors no step can: the largest is 6.38°, which is 0.0062 (engine.md, preamble).
    """
    centroid, alarms = vectors[0], list[int]()
    for n, x in enumerate(vectors[1:], start=2):
        moved = unit((1.0 - PROTOTYPE_RATE) * centroid + PROTOTYPE_RATE * x)
        if 1.0 - cosines(centroid, moved[None])[0] >= PROTOTYPE_THRESHOLD:
            alarms.append(n)
        centroid = moved
    return alarms


def distances_to_centroid(vectors: Vector, config: EngineConfig = MISIR) -> Floats:
    """1 − cos of each item to the topic's centroid before it learned the item: (n,); 0 for the first.

    Every item is read with one depth. The centroid follows a change, and the distances fall again.
    """
    state, distances = untaught(vectors.shape[1]), np.zeros(len(vectors))
    for i, x in enumerate(vectors):
        distances[i] = 1.0 - cosines(x, state.m[None])[0] if i else 0.0
        state = teach(state, x, config.base_weight_engaged, config)
    return distances


def distances_to_mean(vectors: Vector) -> Floats:
    """1 − cos of each item to the mean of all items before it: (n,); 0 for the first."""
    means = np.cumsum(vectors, axis=0, dtype=np.float64)
    return np.array(
        [0.0, *(1.0 - cosines(x, mean[None])[0] for x, mean in zip(vectors[1:], means, strict=False))]
    )


NUMBERS: Final[dict[str, Callable[[Vector], Floats]]] = {
    "distance to the centroid": distances_to_centroid,
    "distance to the mean": distances_to_mean,
}
"""What a detector of changing numbers can be given of a topic's items."""


class Detector(Protocol):
    """A detector of River's: takes one number, then says whether the numbers have changed."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: float) -> object: ...


def alarms_of(detector: Detector, numbers: Iterable[float]) -> list[int]:
    """After how many numbers River's detector said that they have changed; it starts anew after each."""
    alarms = []
    for n, number in enumerate(numbers, start=1):
        detector.update(number)
        if detector.drift_detected:
            alarms.append(n)
    return alarms


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a rival: its name, and a new detector."""

    name: str
    build: Callable[[], Detector]


RIVALS: Final[dict[str, list[Setting]]] = {
    "ADWIN": [
        Setting(f"δ = {delta:g}", partial(ADWIN, delta=delta, clock=1))
        for delta in (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.002)
    ],
    "Page-Hinkley": [
        Setting(
            f"λ = {threshold:g}, δ = {delta:g}",
            partial(PageHinkley, delta=delta, threshold=threshold, mode="up"),
        )
        for delta in (0.005, 0.02, 0.05)
        for threshold in (0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
    ],
}
"""ADWIN (Bifet and Gavaldà 2007), asked at every item, and the Page-Hinkley test (Page 1954)."""
