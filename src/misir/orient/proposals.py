"""Proposals: when two topics look like one, and one like two (engine.md §5); a person decides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from misir.orient.birth import similarity_matrix
from misir.orient.config import EngineConfig
from misir.orient.vectors import Floats, is_degenerate, norms

Labels = npt.NDArray[np.int64]


def merge_accuracy(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Share of both topics' members (n, D) and (m, D) that are nearer to their own centroid: 0..1.

    The own centroid is taken without the member in question (leave-one-out, Lachenbruch and Mickey 1968),
    so that a topic does not recognise a text by the text itself; equally near is not nearer. Two kinds of
    text in two topics give 1; one kind of text in two topics gives about 1/2 or less.

    >>> merge_accuracy([[1.0, 0.0]] * 2, [[0.0, 1.0]] * 2), merge_accuracy([[1.0, 0.0]] * 2, [[1.0, 0.0]] * 2)
    (1.0, 0.0)
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not (len(a) and len(b)):
        raise ValueError("Two topics are compared by the members of both.")
    is_nearer = np.append(_is_nearer_to_own(a, b), _is_nearer_to_own(b, a))
    return float(is_nearer.mean())


def _is_nearer_to_own(own: Floats, other: Floats) -> npt.NDArray[np.bool_]:
    """For each row of `own`: is it nearer to the rest of its rows than to the other rows?

    x·r/‖r‖ against x·o/‖o‖; ‖x‖ would divide both sides. A topic of one has no rest: 0.
    """
    rest = own.sum(axis=0) - own
    to_rest = np.einsum("nd,nd->n", own, rest) / np.where(is_degenerate(rest), np.inf, norms(rest))
    centre = other.sum(axis=0)
    to_other = own @ centre / (np.inf if is_degenerate(centre) else norms(centre))
    return np.asarray(to_rest > to_other)


def should_merge(a: npt.ArrayLike, b: npt.ArrayLike, config: EngineConfig) -> bool:
    """Is leave-one-out accuracy over both topics < 0.75, with at least 8 members each (engine.md §5)?

    >>> should_merge([[1.0, 0.0]] * 8, [[1.0, 0.0]] * 8, EngineConfig())
    True
    """
    smaller = min(len(np.asarray(a)), len(np.asarray(b)))
    return smaller >= config.merge_min_items and merge_accuracy(a, b) < config.merge_max_accuracy


def two_means(vectors: npt.ArrayLike, config: EngineConfig) -> Labels:
    """Two halves of (n, D), n ≥ 2: labels (n,), 0 for the first row's half, 1 for the other.

    Spherical 2-means (Dhillon and Modha 2001), at most 20 rounds, started from the side of the mean on which
    each row lies along the first principal direction (Boley 1998): no random start, so the same rows give
    the same halves. Where all rows are alike, all are one half.

    >>> two_means([[1.0, 0.0], [0.0, 1.0], [0.96, 0.28]], EngineConfig()).tolist()
    [0, 1, 0]
    """
    rows = np.asarray(vectors, dtype=np.float64)
    centred = rows - rows.mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    labels = np.asarray(centred @ direction < 0)
    for _ in range(config.two_means_rounds):
        halves = np.stack([rows[~labels].sum(axis=0), rows[labels].sum(axis=0)])
        similarities = similarity_matrix(rows, halves)
        moved = np.asarray(similarities[:, 1] > similarities[:, 0])
        if (moved == labels).all():
            break
        labels = moved
    return np.asarray(labels != labels[0], dtype=np.int64)


def silhouette(vectors: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean cosine silhouette of unit vectors (n, D) under labels (n,): −1..1, 0 with fewer than two labels.

    Of each row: (b − a)/max(a, b), a the mean distance to the rest of its own cluster, b to the nearest other
    cluster; 0 for a row alone in its cluster (Rousseeuw 1987). distance = 1 − cosine. Sums of unit vectors
    give every mean distance exactly, so it costs n·k, not n².

    >>> silhouette([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0, 0, 1, 1])
    1.0
    """
    rows, labels = np.asarray(vectors, dtype=np.float64), np.asarray(labels)
    names, own = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        return 0.0
    sizes = np.bincount(own).astype(np.float64)
    sums = np.stack([rows[own == cluster].sum(axis=0) for cluster in range(len(names))])
    each = np.arange(len(rows))
    distances = 1.0 - rows @ sums.T / sizes
    size = sizes[own]
    itself = 1.0 - np.einsum("nd,nd->n", rows, rows)
    a = (distances[each, own] * size - itself) / np.maximum(size - 1, 1)
    distances[each, own] = np.inf
    b = distances.min(axis=1)
    widest = np.maximum(a, b)
    values = np.where((size > 1) & (widest > 0), (b - a) / np.where(widest > 0, widest, 1.0), 0.0)
    return float(np.clip(values, -1.0, 1.0).mean())


def should_split(vectors: npt.ArrayLike, config: EngineConfig, others: npt.ArrayLike = ()) -> bool:
    """Are the two halves ≥ 5 each, their silhouette ≥ 0.15 (engine.md §5), and they as far apart as topics?

    Most topics of real texts have two sides with a silhouette of 0.15: some of it is how 2-means works. So
    the halves must not be nearer to each other, by 0.02 or more, than to any of `others` (k, D), the other
    topics of the space: what is one topic, and what two, depends on how finely the space is divided.

    >>> should_split([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5, EngineConfig())
    True
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if len(rows) < 2 * config.split_min_half:
        return False
    labels = two_means(rows, config)
    smaller = min(np.count_nonzero(labels == 0), np.count_nonzero(labels == 1))
    if smaller < config.split_min_half or silhouette(rows, labels) < config.split_min_silhouette:
        return False
    return _are_apart(np.stack([rows[labels == half].sum(axis=0) for half in (0, 1)]), others, config)


def _are_apart(halves: Floats, others: npt.ArrayLike, config: EngineConfig) -> bool:
    """Where there is no other topic, there is nothing to compare with."""
    topics = np.asarray(others, dtype=np.float64)
    if not len(topics):
        return True
    to_each_other = float(similarity_matrix(halves[:1], halves[1:])[0, 0])
    return to_each_other - float(similarity_matrix(halves, topics).max()) < config.switch_gain
