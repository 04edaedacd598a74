"""PURE: two ranked lists into one."""

from __future__ import annotations

from collections.abc import Sequence


def reciprocal_ranks(*rankings: Sequence[int], k: float) -> dict[int, float]:
    """score(d) = Σ over rankings of 1/(k + rank), rank from 1 (Cormack, Clarke, Büttcher 2009).

    A document missing from a ranking gets nothing from it. The larger k, the less the
    first ranks outweigh the next.

    >>> scores = reciprocal_ranks([7, 8], [8], k=60)
    >>> scores[8] == 1 / 62 + 1 / 61, scores[7] == 1 / 61
    (True, True)
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + rank)
    return scores


def order_by_score(scores: dict[int, float]) -> list[int]:
    """Best first; of equal scores the newer (larger id) first, so that the order never changes by itself.

    >>> order_by_score({1: 0.5, 2: 0.5, 3: 0.9})
    [3, 2, 1]
    """
    return sorted(scores, key=lambda item: (-scores[item], -item))
