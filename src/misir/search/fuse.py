"""PURE: two legs' scores into one."""

from __future__ import annotations

from collections.abc import Mapping


def mixed_scores(
    meant: Mapping[int, float], said: Mapping[int, float], *, mu: float, tau: float, share: float
) -> dict[int, float]:
    """share · (cos − μ)/(τ − μ) + (1 − share) · rank/best rank of every hit of either leg.

    meant: cosines of the semantic leg; said: text ranks ≥ 0 of the keyword leg; share in 0..1. A leg that
    does not have a hit gives it nothing. A convex combination of normalised scores finds more than
    reciprocal ranks, which forget how far apart two places are (Bruch, Gai and Ingber 2023, "An Analysis of
    Fusion Functions for Hybrid Retrieval"). Cosine 0.5 is halfway between μ and τ, rank 2 the best:

    >>> mixed_scores({7: 0.5, 8: 0.25}, {8: 2.0, 9: 1.0}, mu=0.25, tau=0.75, share=0.75)
    {7: 0.375, 8: 0.25, 9: 0.125}
    """
    best = max(said.values(), default=0.0) or 1.0
    scores = {item: share * (cosine - mu) / (tau - mu) for item, cosine in meant.items()}
    for item, rank in said.items():
        scores[item] = scores.get(item, 0.0) + (1.0 - share) * rank / best
    return scores


def order_by_score(scores: dict[int, float]) -> list[int]:
    """Best first; of equal scores the newer (larger id) first, so that the order never changes by itself.

    >>> order_by_score({1: 0.5, 2: 0.5, 3: 0.9})
    [3, 2, 1]
    """
    return sorted(scores, key=lambda item: (-scores[item], -item))
