"""The map: topics in the plane, and artifacts around their topics (engine.md §10).

Metric multidimensional scaling by majorisation (SMACOF: de Leeuw 1977; Borg and Groenen 2005, ch. 8), started
from where everything was and registered onto it, so that the map stays put. Places are map units, −1..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from misir.orient.vectors import Floats, is_degenerate, norms

MAX_SCALED: Final = 500
"""Topics that are scaled together, in time n² an iteration; smaller ones are placed between them."""

MAX_ITERATIONS: Final = 300
MIN_GAIN: Final = 1e-6
EDGE: Final = 0.85
"""How far from the middle a new map reaches: topics may move outwards before everything has to shrink."""

N_NEAREST: Final = 3
ROOM: Final = 0.45
"""How far artifacts lie from their topic at most, as a share of the way to the next one."""

LONE_ROOM: Final = 0.3
USUAL_REACH: Final = 0.75
"""The quantile of the distances to the topic that is shown at three quarters of the room."""

GOLDEN_ANGLE: Final = np.pi * (3.0 - 5.0**0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Places (n, 2) in −1..1; scale: map units per target distance; stress: what was not kept, 0..1."""

    places: Floats
    scale: float
    stress: float


def target_distances(centroids: npt.ArrayLike) -> Floats:
    """(1 − cos)² between all rows of (n, D): (n, n), 0..4, 0 on the diagonal.

    Squared, because the cosines of related topics differ little: it tells near from far more clearly. A row
    without a direction is at distance 1 from everything else.

    >>> target_distances([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]).tolist()
    [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    units = _units(centroids)
    targets = np.square(np.clip(1.0 - units @ units.T, 0.0, 2.0))
    np.fill_diagonal(targets, 0.0)
    return (targets + targets.T) / 2.0


def lay_out(centroids: npt.ArrayLike, known: npt.ArrayLike, scale: float | None = None) -> Layout:
    """Places for centroids (n, D), near `known` (n, 2), whose rows are NaN where a topic is new.

    Rows are in order of importance: the first 500 are scaled, others are placed between them. `scale` is the
    last layout's; it is kept unless the map would leave −1..1. Without two known places it is begun anew,
    from classical scaling (Torgerson 1952).

    >>> found = lay_out([[1.0, 0.0], [0.0, 1.0]], np.full((2, 2), np.nan))
    >>> found.places.round(6).tolist(), round(found.scale, 6), round(found.stress, 6)
    ([[-0.85, 0.0], [0.85, 0.0]], 1.7, 0.0)
    """
    units, known = _units(centroids), np.asarray(known, dtype=np.float64).reshape(-1, 2)
    n = len(units)
    if n == 0:
        return Layout(np.empty((0, 2)), scale or 1.0, 0.0)
    core = min(n, MAX_SCALED)
    targets = target_distances(units[:core])
    is_known = np.asarray(np.isfinite(known[:core]).all(axis=1))
    if scale is None or scale <= 0 or is_known.sum() < 2:
        found, stress = smacof(targets, _classical(targets))
        places, scale = _fit_in(found, None)
    else:
        was = known[:core] / scale
        found, stress = smacof(targets, _start(targets, was, is_known))
        places, scale = _fit_in(register(found, was, is_known), scale)
    rest = place_between(units[core:], units[:core], places)
    return Layout(np.vstack([places, rest]), scale, stress)


def smacof(targets: npt.ArrayLike, start: npt.ArrayLike) -> tuple[Floats, float]:
    """Points (n, 2) whose distances approach `targets` (n, n), and the normalised stress.

    stress = √(Σ(δ − d)² / Σδ²). Each Guttman transform x ← B(x)·x / n lowers it; it ends when one gains less
    than a millionth.

    >>> points, stress = smacof([[0.0, 2.0], [2.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]])
    >>> points.tolist(), stress
    ([[-1.0, 0.0], [1.0, 0.0]], 0.0)
    """
    targets, points = np.asarray(targets, dtype=np.float64), np.asarray(start, dtype=np.float64)
    total, n = float(np.square(targets).sum()), len(points)
    if n < 2 or total == 0.0:
        return np.zeros_like(points), 0.0
    last = np.inf
    for _ in range(MAX_ITERATIONS):
        apart = _distances(points, points)
        loss = float(np.square(targets - apart).sum()) / total
        if loss >= last * (1.0 - MIN_GAIN):
            break
        last = loss
        ratios = np.divide(targets, apart, out=np.zeros_like(targets), where=apart > 1e-12)
        points = (ratios.sum(axis=1)[:, None] * points - ratios @ points) / n
    return points, float(np.sqrt(min(last, loss)))


def register(points: npt.ArrayLike, onto: npt.ArrayLike, is_known: npt.ArrayLike) -> Floats:
    """`points` (n, 2) moved, turned and mirrored, not stretched, until the known rows lie nearest to `onto`.

    The orthogonal Procrustes problem (Schönemann 1966).

    >>> register([[0.0, 0.0], [0.0, 1.0]], [[5.0, 5.0], [6.0, 5.0]], [True] * 2).round(6).tolist()
    [[5.0, 5.0], [6.0, 5.0]]
    """
    points, onto = np.asarray(points, dtype=np.float64), np.asarray(onto, dtype=np.float64)
    rows = np.asarray(is_known, dtype=bool)
    own, other = points[rows].mean(axis=0), onto[rows].mean(axis=0)
    return np.asarray((points - own) @ _rotation(points[rows] - own, onto[rows] - other) + other)


def place_between(vectors: npt.ArrayLike, centroids: npt.ArrayLike, places: npt.ArrayLike) -> Floats:
    """Vectors (n, D) between the three centroids (k, D) nearest to each: (n, 2).

    Nearer to what is more alike: weights are 1/target distance. Without any centroid: the middle.

    >>> place_between([[1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], [[-0.5, 0.0], [0.5, 0.2]]).round(6).tolist()
    [[0.0, 0.1]]
    """
    units, own = _units(vectors), _units(centroids)
    places = np.asarray(places, dtype=np.float64).reshape(-1, 2)
    if not len(places) or not len(units):
        return np.zeros((len(units), 2))
    apart = np.square(np.clip(1.0 - units @ own.T, 0.0, 2.0))
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :N_NEAREST]
    weights = 1.0 / (np.take_along_axis(apart, nearest, axis=1) + 1e-6)
    return np.asarray((weights[:, :, None] * places[nearest]).sum(axis=1) / weights.sum(axis=1)[:, None])


def place_around(
    vectors: npt.ArrayLike,
    topic_of: npt.ArrayLike,
    centroids: npt.ArrayLike,
    places: npt.ArrayLike,
    known: npt.ArrayLike,
) -> Floats:
    """Artifacts (n, D) around the places (k, 2) of their topics (k, D): (n, 2) in −1..1.

    topic_of: row of each artifact's topic, −1 for none, which lies between topics. Those of one are spread
    along the principal axes (Pearson 1901) of how they differ from it, within less than half of the way to
    the next topic, and near where they were (`known` (n, 2), NaN for new ones).
    """
    units, own = _units(vectors), _units(centroids)
    topic_of = np.asarray(topic_of, dtype=np.int64)
    places, known = (np.asarray(one, dtype=np.float64).reshape(-1, 2) for one in (places, known))
    found = np.zeros((len(units), 2))
    is_loose = topic_of < 0
    found[is_loose] = place_between(units[is_loose], own, places)
    rooms = _rooms(places)
    for topic in np.unique(topic_of[~is_loose]):
        rows = np.flatnonzero(topic_of == topic)
        was = known[rows] - places[topic]
        found[rows] = places[topic] + _spread(units[rows], own[topic], rooms[topic], was)
    return np.clip(found, -1.0, 1.0)


def _spread(units: Floats, centroid: Floats, room: float, was: Floats) -> Floats:
    """Offsets (n, 2), shorter than `room`: the differences from the centroid along two axes.

    Where offsets are known (`was`, else NaN), the axes are those along which they lie, one step nearer to the
    principal ones (subspace iteration: Golub and Van Loan 2013, §8.2); else the principal ones.
    """
    apart = units - (units @ centroid)[:, None] * centroid
    apart = apart - apart.mean(axis=0)
    known = np.isfinite(was).all(axis=1)
    lengths, axes = np.empty(0), np.empty((0, 2))
    if known.sum() > 2:
        left, lengths, right = np.linalg.svd(apart[known].T @ was[known], full_matrices=False)
        axes = left @ right
    if len(lengths) < 2 or lengths[1] < 1e-9:
        axes = _principal_axes(apart)
    offsets = apart @ axes
    reach = norms(offsets)
    usual = float(np.quantile(reach, USUAL_REACH))
    if usual < 1e-9:
        return np.zeros_like(offsets)
    return np.asarray(offsets * (room * np.tanh(reach / usual) / np.maximum(reach, 1e-12))[:, None])


def _principal_axes(apart: Floats) -> Floats:
    """The two directions (D, 2) in which the rows (n, D) differ most; zeros where there is none."""
    is_wide = len(apart) < apart.shape[1]
    values, vectors = np.linalg.eigh(apart @ apart.T if is_wide else apart.T @ apart)
    axes, values = vectors[:, ::-1][:, :2], np.maximum(values[::-1][:2], 0.0)
    if is_wide:
        axes = apart.T @ np.where(values > 1e-12, axes / np.sqrt(np.maximum(values, 1e-12)), 0.0)
    return _signed(np.hstack([axes, np.zeros((len(axes), 2 - axes.shape[1]))]))


def _rooms(places: Floats) -> Floats:
    """How far from each topic its artifacts may lie; of those at one place, nowhere."""
    if len(places) < 2:
        return np.full(len(places), LONE_ROOM)
    apart = _distances(places, places)
    np.fill_diagonal(apart, np.inf)
    return np.asarray(np.minimum(ROOM * apart.min(axis=1), LONE_ROOM))


def _rotation(points: Floats, onto: Floats) -> Floats:
    """The orthogonal (2, 2) matrix by which points (n, 2) come nearest to onto (n, 2)."""
    left, _, right = np.linalg.svd(points.T @ onto)
    return np.asarray(left @ right)


def _start(targets: Floats, known: Floats, is_known: npt.NDArray[np.bool_]) -> Floats:
    """Where each was; new ones among the three known ones nearest to them, no two at one point."""
    start = np.where(is_known[:, None], known, 0.0)
    rows = np.flatnonzero(is_known)
    spread = float(norms(known[rows] - known[rows].mean(axis=0)).max())
    for number, new in enumerate(np.flatnonzero(~is_known), 1):
        nearest = rows[np.argsort(targets[new, rows], kind="stable")[:N_NEAREST]]
        angle = GOLDEN_ANGLE * number
        start[new] = known[nearest].mean(axis=0) + 0.02 * spread * np.array([np.cos(angle), np.sin(angle)])
    return start


def _classical(targets: Floats) -> Floats:
    """Classical scaling of (n, n) distances to (n, 2), largest entries positive."""
    n = len(targets)
    squares = np.square(targets)
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(-centred / 2.0)
    axes = _signed(vectors[:, ::-1][:, :2]) * np.sqrt(np.maximum(values[::-1][:2], 0.0))
    return np.hstack([axes, np.zeros((n, 2 - axes.shape[1]))])


def _signed(axes: Floats) -> Floats:
    """Columns whose last largest entry is positive: a solver's choice of sign must not mirror a map."""
    largest = len(axes) - 1 - np.abs(axes).round(9)[::-1].argmax(axis=0)
    return np.asarray(axes * np.where(np.take_along_axis(axes, largest[None], axis=0) < 0, -1.0, 1.0))


def _fit_in(points: Floats, scale: float | None) -> tuple[Floats, float]:
    """Map units, and how many of them are one of the targets'."""
    reach = float(np.abs(points).max(initial=0.0))
    if reach < 1e-12:
        return np.zeros_like(points), scale or 1.0
    if scale is None or reach * scale > 1.0:
        scale = EDGE / reach
    return points * scale, scale


def _units(rows: npt.ArrayLike) -> Floats:
    """Unit rows in float64; one without a direction is all zeros."""
    rows = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    return np.asarray(rows / np.where(is_degenerate(rows), np.inf, norms(rows))[:, None])


def _distances(a: Floats, b: Floats) -> Floats:
    """Of all rows of (n, 2) to all of (m, 2): (n, m)."""
    return np.asarray(np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1]))
