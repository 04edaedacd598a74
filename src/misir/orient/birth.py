"""Birth: when three unassigned texts are a topic, and who joins them (engine.md §5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from misir.orient.assign import Calibration
from misir.orient.vectors import Floats, cosines, is_degenerate, norms


def find_founders(x: npt.ArrayLike, pool: npt.ArrayLike, novelty_item: float) -> tuple[int, int] | None:
    """Rows of the two texts of the pool (n, D) that found a topic with x (D,), nearest first; else None.

    They are the two nearest to x, and all three pairwise cosines must be ≥ λ_item (engine.md §5): a
    triangle of the similarity graph, so that one text between two unrelated ones founds nothing (the
    shared-neighbour idea of Jarvis and Patrick 1973). Of equally near texts the first counts; x itself is
    not in the pool.

    >>> find_founders([1.0, 0.0], [[0.0, 1.0], [0.8, 0.6], [0.96, 0.28]], novelty_item=0.75)
    (2, 1)
    >>> find_founders([1.0, 0.0], [[0.8, 0.6], [0.8, -0.6]], novelty_item=0.75) is None
    True
    """
    pool = np.asarray(pool, dtype=np.float64)
    if len(pool) < 2:
        return None
    similarities = cosines(x, pool)
    first, second = (int(row) for row in np.argsort(-similarities, kind="stable")[:2])
    weakest = min(similarities[second], cosines(pool[first], pool[second : second + 1])[0])
    return (first, second) if weakest >= novelty_item else None


def has_founders(rows: npt.ArrayLike, novelty_item: float) -> bool:
    """Are there three among the rows (n, D) whose pairwise cosines are all ≥ λ_item (engine.md §5)?

    >>> has_founders([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]], novelty_item=0.6)
    True
    >>> has_founders([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], novelty_item=0.6)
    False
    """
    is_near = similarity_matrix(rows, rows) >= novelty_item
    np.fill_diagonal(is_near, val=False)
    adjacency = is_near.astype(np.float64)
    return bool((is_near & (adjacency @ adjacency > 0)).any())


def adopted(
    pool: npt.ArrayLike, founders_centroid: npt.ArrayLike, centroids: npt.ArrayLike, calibration: Calibration
) -> tuple[int, ...]:
    """Rows of the pool (n, D) that join a new topic, ascending; centroids (k, D) are all the other topics'.

    A text joins when the new topic is its likeliest and p ≥ p_none (engine.md §4, without markers' boosts).
    p grows with the cosine alone, so that is: cos to the new centroid ≥ λ, and ≥ its cosine to every other.
    Of equally near topics the older one keeps it.

    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(novelty=0.5)
    >>> adopted([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [1.0, 0.0], [[0.0, 1.0]], model)
    (0,)
    """
    pool = np.asarray(pool, dtype=np.float64)
    if not len(pool):
        return ()
    similarities = similarity_matrix(pool, np.asarray(founders_centroid, dtype=np.float64)[None, :])[:, 0]
    others = similarity_matrix(pool, centroids).max(axis=1, initial=-np.inf)
    joins = (similarities >= calibration.novelty) & (similarities > others)
    return tuple(int(row) for row in np.flatnonzero(joins))


def similarity_matrix(rows: npt.ArrayLike, centroids: npt.ArrayLike) -> Floats:
    """Cosines of rows (n, D) with centroids (k, D): (n, k) in [−1, 1]; 0 for a vector without a direction.

    >>> similarity_matrix([[2.0, 0.0]], [[0.6, 0.8], [0.0, 0.0]]).round(6).tolist()
    [[0.6, 0.0]]
    """
    return np.clip(_directions(rows) @ _directions(centroids).T, -1.0, 1.0)


def _directions(rows: npt.ArrayLike) -> Floats:
    """Unit vectors, and zeros where there is no direction."""
    rows = np.asarray(rows, dtype=np.float64)
    lengths = np.where(is_degenerate(rows), np.inf, norms(rows))
    return np.asarray(rows / lengths[:, None])
