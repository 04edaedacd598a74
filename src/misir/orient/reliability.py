"""Is a probability of 0.8 right eight times in ten? And the posterior that makes it so (engine.md §4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from misir.orient.vectors import Floats

Trials = Sequence[tuple[Floats, npt.NDArray[np.intp]]]
"""Cosines (t, k) of t texts to k topics, and the right one of each (t,), −1 for none; any number of such."""

RIDGE: Final = 1e-6
"""Keeps κ finite where topics are told apart without a mistake; far below what 10 texts say."""

STEPS: Final = 100
"""Newton steps at most; about eight are needed."""

START: Final = (10.0, 3.0)
"""κ and κ·λ to start from; the loss is convex, so any would do."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """λ and κ of p_i ∝ exp(κ·cos_i), p_none ∝ exp(κ·λ); loss: mean −ln p of what was right, ≥ 0."""

    novelty: float
    sharpness: float
    loss: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Decisions of similar probability: how many, their mean probability, and the share that was right."""

    n: int
    probability: float
    accuracy: float


def fit_posterior(trials: Trials) -> Posterior:
    """κ and λ of least log loss over the trials.

    A multinomial logistic regression with two parameters, a = κ for the cosines and b = κ·λ for "none", both
    shared by all topics: its loss is convex in (a, b) and Newton's method finds the minimum (Bishop 2006,
    §4.3.3–4). That calibrates as temperature scaling does (Guo et al. 2017), with a reject class. One topic,
    texts at cosine 0.5 as often new as right, at 0.6 three times as often right:

    >>> cosines = np.array([[0.5]] * 2 + [[0.6]] * 4)
    >>> fitted = fit_posterior([(cosines, np.array([0, -1, 0, 0, 0, -1]))])
    >>> round(fitted.novelty, 2), round(fitted.sharpness, 1)  # 0.5 and ln 3 / 0.1
    (0.5, 11.0)
    """
    point = np.array(START)
    for _ in range(STEPS):
        loss, gradient, curvature = _loss(trials, point)
        step = np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
        point = point - _damping(trials, point, step, loss) * step
        if np.abs(step).max() < 1e-9 * max(1.0, np.abs(point).max()):
            break
    sharpness, offset = (float(value) for value in point)
    return Posterior(offset / sharpness, sharpness, _loss(trials, point)[0])


def _damping(trials: Trials, point: Floats, step: Floats, loss: float) -> float:
    """The longest of 1, ½, ¼ … of a Newton step that does not raise the loss, or about 10⁻⁶ of it."""
    share = 1.0
    while share > 1e-6 and _loss(trials, point - share * step)[0] > loss:
        share /= 2
    return share


def _loss(trials: Trials, point: Floats) -> tuple[float, Floats, Floats]:
    """Mean −ln p of the truth at (κ, κ·λ), its gradient (2,) and its second derivatives (2, 2)."""
    loss, gradient, curvature = 0.0, np.zeros(2), np.zeros((2, 2))
    n = sum(len(truth) for _, truth in trials)
    for similarities, truth in trials:
        logits = np.column_stack([point[0] * similarities, np.full(len(truth), point[1])])
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        rows, right = np.arange(len(truth)), np.where(truth < 0, similarities.shape[1], truth)
        cosines = np.column_stack([similarities, np.zeros(len(truth))])
        mean, none = (p * cosines).sum(axis=1), p[:, -1]
        loss -= np.log(np.maximum(p[rows, right], np.finfo(float).tiny)).sum()
        gradient += [(mean - cosines[rows, right]).sum(), (none - (truth < 0)).sum()]
        cross = -(mean * none).sum()
        curvature += [
            [((p * cosines**2).sum(axis=1) - mean**2).sum(), cross],
            [cross, (none * (1 - none)).sum()],
        ]
    penalty = RIDGE * np.eye(2)
    return (
        float(loss / n + RIDGE / 2 * point @ point),
        np.asarray(gradient / n + RIDGE * point),
        np.asarray(curvature / n + penalty),
    )


def reliability_curve(probabilities: npt.ArrayLike, is_right: npt.ArrayLike, n_bins: int) -> list[Bin]:
    """Decisions in `n_bins` bins of equal width over 0..1, lowest first; empty bins are left out.

    >>> reliability_curve([0.5, 0.75, 0.125], [True, False, True], 2)
    [Bin(n=1, probability=0.125, accuracy=1.0), Bin(n=2, probability=0.625, accuracy=0.5)]
    """
    p, right = np.asarray(probabilities, dtype=np.float64), np.asarray(is_right, dtype=bool)
    bins = np.minimum((p * n_bins).astype(int), n_bins - 1)
    return [
        Bin(int((bins == b).sum()), float(p[bins == b].mean()), float(right[bins == b].mean()))
        for b in np.unique(bins)
    ]


def expected_calibration_error(curve: Sequence[Bin]) -> float:
    """Σ n_b/n · |accuracy_b − probability_b|: 0..1, 0 when nothing was decided (Naeini et al. 2015).

    >>> expected_calibration_error([Bin(1, 0.75, 1.0), Bin(3, 0.5, 0.5)])
    0.0625
    """
    n = sum(one.n for one in curve)
    return sum(one.n * abs(one.accuracy - one.probability) for one in curve) / n if n else 0.0
