"""SDD, subspace drift detection: has a topic's content changed, beyond the noise of reading (engine.md §6)?

Reading different items of an unchanged topic moves the mean of the last few too. So the distance between the
newest items' mean and that of the items before them is compared with the distances that the very same items
give in random order: a permutation test (Fisher 1935; Good 2005, "Permutation, Parametric and Bootstrap
Tests of Hypotheses"). Two refinements (decision 0014): how many items count as new is found, not fixed,
as a scan statistic does (Siegmund 1985, "Sequential Analysis"); and what was read in one run about one thing
stays together in the shuffles, as in the block bootstrap (Künsch 1989), so that a session is no drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from misir.orient.config import EngineConfig
from misir.orient.vectors import MIN_NORM, Floats, Vector, cosines, is_degenerate, unit


class DriftBand(StrEnum):
    """The size of a drift in words, smallest first."""

    STABLE = "stable"
    GRADUAL = "gradual"
    SIGNIFICANT = "significant"
    TRANSFORMATION = "transformation"


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """A change of a topic's content, with what it rests on.

    magnitude: raw − expected, at least the drift threshold: what no chance explains; the number to show.
    raw: 1 − cos of the two means, 0..2.
    expected: the mean of raw over the shuffles, what chance alone gives.
    z: magnitude in standard deviations of the shuffles.
    previous_mean, new_mean: (D,) float32, unit length: the content before, and the recent items'.
    anchor_row: the row with which the recent items begin; it becomes the topic's anchor.
    turning: rows of the three recent items that turned it most, the strongest first.
    """

    magnitude: float
    raw: float
    expected: float
    z: float
    previous_mean: Vector
    new_mean: Vector
    anchor_row: int
    turning: tuple[int, int, int]


def shuffle_seed(config_version: int, ordinal: int) -> int:
    """The shuffles' seed: config_version · 2³² + ordinal, both ≥ 0, ordinal < 2³².

    ordinal is the signal's position in its topic. Each signal has shuffles of its own, and a replay has the
    same ones.

    >>> shuffle_seed(1, 5) - shuffle_seed(1, 0), shuffle_seed(1, 0)
    (5, 4294967296)
    """
    return (config_version << 32) + ordinal


def raw_drift(reference: npt.ArrayLike, recent: npt.ArrayLike) -> float:
    """1 − cos(mean of reference (r, D), mean of recent (w, D)); 0..2; 1 where a mean has no direction.

    Means (1, 0) and (0.5, 0.5): 1 − 1/√2.

    >>> round(raw_drift([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]), 4)
    0.2929
    """
    return 1.0 - float(cosines(_mean(recent), _mean(reference)[None])[0])


def detect_drift(vectors: npt.ArrayLike, seed: int, config: EngineConfig) -> Drift | None:
    """Has the topic drifted with its newest item? The event, or None (engine.md §6, decision 0014).

    vectors: (n, D) unit vectors of the topic's taught artifacts since its anchor, each once, in log order,
    the newest last; the last 105 of them count, and None before there are 30. Every number w of newest items
    from 8 to 25 is tried: raw drift between those and the rest, less its mean over 300 shuffles, must be at
    least 0.05 and 5 of the shuffles' standard deviations. The w with the largest magnitude says where
    the change began. `seed` is `shuffle_seed`, so a replay shuffles as the first time did.

    After an event the anchor moves to `anchor_row`: later calls get the rows from there on, so the recent
    items of this event are the first reference of the next, which needs 30 rows again. The rows before it
    never count again.

    >>> config = EngineConfig(drift_recent=3, drift_min_recent=3, drift_min_items=12)
    >>> drift = detect_drift([[1.0, 0.0]] * 9 + [[0.0, 1.0]] * 3, shuffle_seed(1, 12), config)
    >>> drift.raw, drift.anchor_row, drift.turning
    (1.0, 9, (9, 10, 11))
    >>> drift.previous_mean.tolist(), drift.new_mean.tolist()
    ([1.0, 0.0], [0.0, 1.0])
    >>> detect_drift([[1.0, 0.0], [0.0, 1.0]] * 20, shuffle_seed(1, 40), EngineConfig()) is None
    True
    """
    taught = np.asarray(vectors)
    rows = taught[-(config.drift_reference + config.drift_recent) :].astype(np.float64)
    if len(rows) < config.drift_min_items:
        return None
    products = rows @ rows.T
    raw = _drifts(products, np.arange(len(rows))[None, ::-1], config)[0]
    if raw.max() < config.drift_threshold:
        return None
    by_chance = _drifts(products, _shuffles(_runs(products, config), seed, config), config)
    expected = by_chance.mean(axis=0)
    magnitude = raw - expected
    z = magnitude / np.maximum(by_chance.std(axis=0), MIN_NORM)
    is_drift = (magnitude >= config.drift_threshold) & (z >= config.drift_min_deviations)
    if not is_drift.any():
        return None
    best = int(np.argmax(np.where(is_drift, magnitude, -np.inf)))
    n_recent = config.drift_min_recent + best
    return _event(
        rows, n_recent, len(taught) - len(rows), float(raw[best]), float(expected[best]), float(z[best])
    )


def find_return(drift: Drift, earlier_means: npt.ArrayLike, config: EngineConfig) -> int | None:
    """The earlier content a topic came back to: its row in `earlier_means`, or None.

    earlier_means (k, D), k ≥ 0: what the topic's earlier events left behind, their `previous_mean`. It is the
    one nearest to the new content, if 1 − cos is below what chance gives plus the threshold: by the rule of
    `detect_drift` there is no drift from it. The content just left never qualifies.

    >>> config = EngineConfig(drift_recent=3, drift_min_recent=3, drift_min_items=12)
    >>> drift = detect_drift([[1.0, 0.0]] * 9 + [[0.0, 1.0]] * 3, shuffle_seed(1, 12), config)
    >>> find_return(drift, [[-1.0, 0.0], [0.0, 1.0]], config)
    1
    >>> find_return(drift, [[1.0, 0.0]], config) is None
    True
    """
    distances = 1.0 - cosines(drift.new_mean, np.reshape(earlier_means, (-1, len(drift.new_mean))))
    if not len(distances) or distances.min() >= drift.expected + config.drift_threshold:
        return None
    return int(np.argmin(distances))


def is_notable(magnitude: float, past_magnitudes: Sequence[float], config: EngineConfig) -> bool:
    """Is a drift large for this person? Above the 0.9 quantile of their past events (engine.md §6).

    past_magnitudes: this person's earlier events, without this one. With fewer than 10 of them: ≥ 0.15. The
    quantile is interpolated linearly (Hyndman and Fan 1996, type 7).

    >>> is_notable(0.15, [], EngineConfig()), is_notable(0.15, [0.1] * 9 + [0.2], EngineConfig())
    (True, True)
    >>> is_notable(0.15, [0.2] * 10, EngineConfig())
    False
    """
    if len(past_magnitudes) < config.notable_min_events:
        return magnitude >= config.notable_magnitude
    return magnitude > float(np.quantile(past_magnitudes, config.notable_quantile))


def drift_band(magnitude: float, config: EngineConfig) -> DriftBand:
    """< 0.05 stable, < 0.15 gradual, < 0.30 significant, else transformation (engine.md §6).

    >>> [drift_band(magnitude, EngineConfig()).value for magnitude in (0.04, 0.05, 0.2, 0.3)]
    ['stable', 'gradual', 'significant', 'transformation']
    """
    if magnitude < config.drift_threshold:
        return DriftBand.STABLE
    if magnitude < config.significant_drift:
        return DriftBand.GRADUAL
    return DriftBand.SIGNIFICANT if magnitude < config.transforming_drift else DriftBand.TRANSFORMATION


def _mean(rows: npt.ArrayLike) -> Floats:
    return np.asarray(np.asarray(rows, dtype=np.float64).mean(axis=0))


def _drifts(products: Floats, orders: npt.NDArray[np.int64], config: EngineConfig) -> Floats:
    """raw_drift between the first w rows of each order and all others, w = 8..25: (n_orders, n_sizes).

    products (n, n): the rows' products with each other; orders (n_orders, n): row numbers. The lengths and
    the product of the two sums follow from the products, those of w from those of w − 1.
    """
    n_most = min(config.drift_recent, orders.shape[1] - config.drift_min_reference)
    first = orders[:, :n_most]
    among_first = products[first[:, :, None], first[:, None, :]]
    is_earlier = np.tri(first.shape[1], k=-1)
    with_earlier = np.einsum("oij,ij->oi", among_first, is_earlier)
    itself = np.diagonal(among_first, axis1=1, axis2=2)
    recent_square = np.cumsum(2.0 * with_earlier + itself, axis=1)
    with_all = np.cumsum(products.sum(axis=1)[first], axis=1)
    cross = with_all - recent_square
    other_square = products.sum() - 2.0 * with_all + recent_square
    lengths = np.sqrt(np.maximum(recent_square, 0.0) * np.maximum(other_square, 0.0))
    has_direction = lengths > MIN_NORM
    drifts = 1.0 - np.where(has_direction, cross, 0.0) / np.where(has_direction, lengths, 1.0)
    return np.asarray(drifts[:, config.drift_min_recent - 1 :])


def _runs(products: Floats, config: EngineConfig) -> npt.NDArray[np.int64]:
    """The number of the run each row belongs to: (n,), from 0, rising.

    A run goes on while a row is nearer to the one before it than 8 of 10 pairs of rows are to each other. In
    random order one row in five does so; in a session about one thing most do.
    """
    pairs = products[np.triu_indices(len(products), 1)]
    is_start = np.diagonal(products, 1) <= np.quantile(pairs, config.drift_run_quantile)
    return np.concatenate([[0], np.cumsum(is_start)]).astype(np.int64)


def _shuffles(runs: npt.NDArray[np.int64], seed: int, config: EngineConfig) -> npt.NDArray[np.int64]:
    """The rows in 300 random orders of their runs, the rows of a run in a row, newest first: (300, n).

    Sorted raw draws of PCG64, whose stream numpy keeps the same between versions (NEP 19); its `shuffle`
    promises no such thing.
    """
    n_runs = int(runs[-1]) + 1
    draws = np.random.PCG64(seed).random_raw(config.drift_shuffles * n_runs).reshape(-1, n_runs)
    place_of_run = (draws >> np.uint64(48)).astype(np.uint16)  # 16 bits are sorted fastest
    newest_first = np.arange(len(runs))[::-1]
    return newest_first[place_of_run[:, runs[::-1]].argsort(axis=1, kind="stable")]


def _event(rows: Floats, n_recent: int, first_row: int, raw: float, expected: float, z: float) -> Drift:
    """The event; an item turned the topic by how much nearer it lies to the new mean than to the previous."""
    previous_mean, new_mean = _direction(rows[:-n_recent]), _direction(rows[-n_recent:])
    anchor_row = first_row + len(rows) - n_recent
    pull = rows[-n_recent:] @ (new_mean.astype(np.float64) - previous_mean)
    first, second, third = (anchor_row + int(row) for row in np.argsort(-pull, kind="stable")[:3])
    return Drift(
        raw - expected, raw, expected, z, previous_mean, new_mean, anchor_row, (first, second, third)
    )


def _direction(rows: Floats) -> Vector:
    """unit(mean of the rows), or zeros where they cancel out."""
    mean = _mean(rows)
    return np.zeros(mean.shape, dtype=np.float32) if is_degenerate(mean) else unit(mean)
