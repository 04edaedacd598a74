"""What topics are compared with: stream clusterers, the prototype's formulas, and offline bounds.

Every one takes vectors (n, D) in the order of reading and the true number of topics, and answers with a label
for each, −1 for none. Needs the extra `quality`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from river import cluster
from sklearn.cluster import HDBSCAN, KMeans

from misir.orient.vectors import Vector, cosines, unit

Labels = npt.NDArray[np.int64]

FADING: Final = 0.0005
"""Of both stream clusterers: slow enough that nothing of a thousand texts is forgotten."""


@dataclass(frozen=True)
class Rival:
    """An algorithm in one of its settings. Of those with one name, the setting with the best ARI is shown.

    is_brief: three orders are enough, because it sees all texts at once, or must be, because it is slow.
    """

    name: str
    setting: str
    run: Callable[[Vector, int, int], Labels]
    is_brief: bool = False


def list_rivals() -> list[Rival]:
    return [*_streaming(), *_offline()]


def _streaming() -> Iterator[Rival]:
    yield Rival("sequential k-means, true k", "", _sequential_kmeans)
    for threshold in (1.0, 1.05, 1.1):
        for factor in (0.1, 0.3):
            run = partial(_dbstream, threshold=threshold, factor=factor)
            yield Rival("DBSTREAM", f"radius {threshold}, intersection {factor}", run, is_brief=True)
    for epsilon in (1.0, 1.1, 1.15, 1.2):
        yield Rival("DenStream", f"ε {epsilon}", partial(_denstream, epsilon=epsilon), is_brief=True)
    yield Rival("prototype, its 0.7", "", partial(_leader, threshold=0.7))
    for threshold in (0.3, 0.4, 0.5):
        run = partial(_leader, threshold=threshold)
        yield Rival("prototype, best threshold", f"{threshold}", run)


def _offline() -> Iterator[Rival]:
    yield Rival("k-means, true k", "10 starts", _kmeans, is_brief=True)
    for size in (3, 5, 10):
        run = partial(_hdbscan, size=size)
        yield Rival("HDBSCAN", f"clusters of {size}", run, is_brief=True)


def _kmeans(vectors: Vector, k: int, seed: int) -> Labels:
    found = KMeans(k, n_init=10, random_state=seed).fit_predict(vectors)
    return np.asarray(found, dtype=np.int64)


def _hdbscan(vectors: Vector, _k: int, _seed: int, *, size: int) -> Labels:
    found = HDBSCAN(min_cluster_size=size, min_samples=1, copy=True).fit_predict(vectors)
    return np.asarray(found, dtype=np.int64)


def _sequential_kmeans(vectors: Vector, k: int, _seed: int) -> Labels:
    """The first k texts are the means; each later one moves the nearest by 1/n (MacQueen 1967)."""
    means, counts = vectors[:k].astype(np.float64), np.ones(k)
    for x in vectors[k:]:
        nearest = int(cosines(x, means).argmax())
        counts[nearest] += 1
        means[nearest] += (x - means[nearest]) / counts[nearest]
    return np.asarray((vectors @ unit(means).T).argmax(axis=1), dtype=np.int64)


def _leader(vectors: Vector, _k: int, _seed: int, *, threshold: float) -> Labels:
    """The prototype as documented: a topic's first text is its centroid, then an EMA with α = 0.1.

    A text below the threshold to every centroid is the first of a new topic.
    """
    centroids, labels = np.empty_like(vectors), np.empty(len(vectors), dtype=np.int64)
    n_topics = 0
    for row, x in enumerate(vectors):
        similarities = cosines(x, centroids[:n_topics])
        if similarities.max(initial=-1.0) >= threshold:
            labels[row] = similarities.argmax()
            centroids[labels[row]] = unit(0.9 * centroids[labels[row]] + 0.1 * x)
        else:
            labels[row], centroids[n_topics] = n_topics, x
            n_topics += 1
    return labels


def _dbstream(vectors: Vector, _k: int, _seed: int, *, threshold: float, factor: float) -> Labels:
    """Hahsler and Bolaños (2016); the radius is Euclidean between unit vectors, √(2 − 2·cos)."""
    model: Any = cluster.DBSTREAM(
        clustering_threshold=threshold,
        fading_factor=FADING,
        cleanup_interval=100,
        intersection_factor=factor,
        minimum_weight=2,
    )
    points = _learned(model, vectors)
    return np.array([model.predict_one(point) for point in points], dtype=np.int64)


def _denstream(vectors: Vector, _k: int, _seed: int, *, epsilon: float) -> Labels:
    """Cao et al. (2006). River's version finds hardly a cluster after its first sample."""
    model: Any = cluster.DenStream(
        decaying_factor=FADING, beta=0.75, mu=1.4, epsilon=epsilon, n_samples_init=150
    )
    points = _learned(model, vectors)
    model.predict_one(points[0])
    # Every predict_one clusters anew, to the same end; what it does then is this.
    nearest = (int(model._get_closest_cluster_key(point, model.clusters)) for point in points)  # noqa: SLF001
    return np.fromiter(nearest, dtype=np.int64)


def _learned(model: Any, vectors: Vector) -> list[dict[int, float]]:
    """The texts as river wants them, learned in order. All are named at the end: kinder than on arrival."""
    points = [dict(enumerate(x.tolist())) for x in vectors]
    for point in points:
        model.learn_one(point)
    return points
