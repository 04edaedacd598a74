"""Assignment: which topic a text belongs to, how sure that is, and whether it teaches (engine.md §4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from misir.orient.config import EngineConfig
from misir.orient.vectors import Floats, cosines, is_degenerate


class Calibration(Protocol):
    """What was measured once for an embedding model; cosines all, except sharpness."""

    @property
    def mu(self) -> float:
        """μ: mean cosine of unrelated texts."""

    @property
    def sigma(self) -> float:
        """σ: its deviation."""

    @property
    def tau(self) -> float:
        """τ: 90th percentile of the cosine to the own centroid."""

    @property
    def novelty(self) -> float:
        """λ: the cosine at which a topic is as likely as none."""

    @property
    def novelty_item(self) -> float:
        """λ_item: the cosine at which three items are a birth."""

    @property
    def sharpness(self) -> float:
        """κ > 0: how fast odds grow with cosine."""

    @property
    def margin_gate(self) -> float:
        """10th percentile of the margins of correct assignments."""

    @property
    def search_threshold(self) -> float:
        """Least cosine of a search hit."""


class AssignedBy(StrEnum):
    """Who chose the topic."""

    ENGINE = "engine"
    CLIENT = "client"
    USER = "user"


class FitGrade(StrEnum):
    """Fit in words, lowest first."""

    WEAK = "weak"
    MODERATE = "moderate"
    STRONG = "strong"


class Withheld(StrEnum):
    """Why a signal does not teach."""

    UNASSIGNED = "it belongs to no topic"
    BY_CLIENT = "the client sent updates_centroid=false"
    LOW_MARGIN = "the two nearest topics are too close to each other"
    LOW_FIT = "another topic, or none, is nearly as likely"


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One text against n topics.

    similarities: (n,) raw cosines; 0 for a topic without a centroid. boosts: (n,), as given.
    probabilities: (n + 1,), the last is "none"; 0 for a topic without a centroid.
    margin: d2 − d1 of the two nearest topics, None with fewer than two.
    """

    similarities: Floats
    boosts: Floats
    probabilities: Floats
    margin: float | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """The decision about one text and the numbers it rests on.

    index: row of the chosen topic, None when unassigned; assigned_by: who chose it.
    similarity: raw cosine to the chosen topic; relevance: the same calibrated, 0..1; both None without a
    topic, or when the chosen topic has no centroid yet.
    probability: p of the topic, or of "none"; fit: its lead over the next likeliest, 0 when unassigned.
    withheld: every reason why it does not teach; none means it teaches.
    """

    index: int | None
    assigned_by: AssignedBy | None
    similarity: float | None
    relevance: float | None
    margin: float | None
    probability: float
    fit: float
    grade: FitGrade
    withheld: tuple[Withheld, ...]
    scores: Scores

    @property
    def is_assigned(self) -> bool:
        """Does it belong to a topic?"""
        return self.index is not None

    @property
    def updates_centroid(self) -> bool:
        """May it teach the topic?"""
        return not self.withheld


def calibrated(cosine: npt.ArrayLike, mu: float, tau: float) -> Floats:
    """clip((cos − μ)/(τ − μ), 0, 1): any shape, 0 as unrelated texts, 1 as a topic's own (engine.md §4).

    Raw cosines differ from model to model (the anisotropy of Ethayarajh 2019); these do not. τ must exceed μ.

    >>> calibrated([0.1, 0.45, 0.9], mu=0.1, tau=0.8).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    if not tau > mu:
        raise ValueError(f"A calibration needs tau above mu, not tau {tau} and mu {mu}.")
    return np.clip((np.asarray(cosine, dtype=np.float64) - mu) / (tau - mu), 0.0, 1.0)


def marker_boosts(is_matched: npt.ArrayLike, mu: float, config: EngineConfig) -> Floats:
    """0.05 · (1 − μ) for each topic (n,) with a matched marker, once per topic, else 0 (engine.md §4).

    >>> marker_boosts([True, False], 0.2, EngineConfig()).round(6).tolist()
    [0.04, 0.0]
    """
    return np.where(np.asarray(is_matched, dtype=bool), config.boost_share * (1.0 - mu), 0.0)


def posterior(similarities: npt.ArrayLike, boosts: npt.ArrayLike, novelty: float, sharpness: float) -> Floats:
    """p_i ∝ exp(κ·(cos_i + boost_i)), p_none ∝ exp(κ·λ): (n,) → (n + 1,), none last, sum 1 (engine.md §4).

    The posterior of von Mises–Fisher topics with equal priors and one concentration κ (Banerjee et al. 2005),
    that is a softmax, with a reject class at the constant λ (Chow 1970). The largest exponent is subtracted
    first, so nothing overflows. One topic ln 3 / κ above λ is three times as likely as none:

    >>> posterior([0.5 + np.log(3) / 20], [0.0], novelty=0.5, sharpness=20.0).round(6).tolist()
    [0.75, 0.25]
    """
    boosted = np.asarray(similarities, dtype=np.float64) + np.asarray(boosts, dtype=np.float64)
    logits = sharpness * np.append(boosted, novelty)
    odds = np.exp(logits - logits.max())
    return np.asarray(odds / odds.sum())


def margin_of(similarities: npt.ArrayLike) -> float | None:
    """d2 − d1 = largest − second largest raw cosine of (n,): 0..2, None with fewer than two (engine.md §4).

    >>> margin_of([0.25, 0.75, 0.5]), margin_of([0.75])
    (0.25, None)
    """
    ordered = np.sort(np.asarray(similarities, dtype=np.float64))
    return float(ordered[-1] - ordered[-2]) if len(ordered) > 1 else None


def best_topic(probabilities: Floats) -> int | None:
    """The likeliest topic when p_1 ≥ p_none, else None; (n + 1,) with none last (engine.md §4).

    Of equally likely topics it is the first.

    >>> best_topic(np.array([0.2, 0.5, 0.3])), best_topic(np.array([0.2, 0.3, 0.5]))
    (1, None)
    """
    topics, none = probabilities[:-1], probabilities[-1]
    return int(topics.argmax()) if topics.size and topics.max() >= none else None


def fit_of(probabilities: Floats, index: int) -> float:
    """max(0, p_chosen − best other), none included: (n + 1,) → 0..1 (engine.md §4).

    >>> fit_of(np.array([0.625, 0.25, 0.125]), 0), fit_of(np.array([0.625, 0.25, 0.125]), 1)
    (0.375, 0.0)
    """
    return max(0.0, float(probabilities[index] - np.delete(probabilities, index).max()))


def fit_grade(fit: float, config: EngineConfig) -> FitGrade:
    """Fit in words: weak < 0.3 ≤ moderate < 0.5 ≤ strong (engine.md §4).

    >>> [fit_grade(fit, EngineConfig()).value for fit in (0.29, 0.3, 0.5)]
    ['weak', 'moderate', 'strong']
    """
    if fit >= config.strong_fit:
        return FitGrade.STRONG
    return FitGrade.MODERATE if fit >= config.moderate_fit else FitGrade.WEAK


def score(
    x: npt.ArrayLike, centroids: npt.ArrayLike, boosts: npt.ArrayLike, calibration: Calibration
) -> Scores:
    """Cosines, posterior and margin of x (D,) against centroids (n, D) with boosts (n,); n may be 0.

    A row of zeros is a topic without a centroid: no candidate, probability 0 (engine.md §4).

    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(novelty=0.6, sharpness=20.0)
    >>> scores = score([1.0, 0.0], [[3.0, 4.0], [0.0, 0.0]], [0.0, 0.0], model)
    >>> scores.similarities.round(6).tolist(), scores.probabilities.round(6).tolist(), scores.margin
    ([0.6, 0.0], [0.5, 0.0, 0.5], None)
    """
    is_candidate = ~is_degenerate(centroids)
    similarities = cosines(x, centroids)
    boosts = np.asarray(boosts, dtype=np.float64)
    candidates, candidate_boosts = similarities[is_candidate], boosts[is_candidate]
    probabilities = np.zeros(len(similarities) + 1)
    probabilities[np.append(is_candidate, True)] = posterior(
        candidates, candidate_boosts, calibration.novelty, calibration.sharpness
    )
    return Scores(similarities, boosts, probabilities, margin_of(candidates))


@dataclass(frozen=True, slots=True)
class Grades:
    """How well k texts fit where they are, one entry each; similarity None for one in no topic.

    margins: None with fewer than two topics. probabilities: of the topic, or of "none". fits: 0..1.
    """

    similarities: list[float | None]
    margins: list[float | None]
    probabilities: list[float]
    fits: list[float]


def grade_placements(
    x: npt.ArrayLike, centroids: npt.ArrayLike, chosen: npt.ArrayLike, calibration: Calibration
) -> Grades:
    """The numbers of engine.md §4 for texts (k, D) that are in topics already: chosen (k,) rows, −1 for none.

    Marker boosts are left out: they help to choose a topic, and here it is chosen.

    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(novelty=0.6, sharpness=20.0)
    >>> grades = grade_placements([[1.0, 0.0], [0.0, 1.0]], [[3.0, 4.0]], [0, -1], model)
    >>> [None if one is None else round(one, 6) for one in grades.similarities], grades.margins
    ([0.6, None], [None, None])
    >>> [round(p, 3) for p in grades.probabilities], [round(fit, 3) for fit in grades.fits]
    ([0.5, 0.018], [0.0, 0.0])
    """
    rows, none = np.asarray(centroids, dtype=np.float64), len(np.asarray(centroids))
    scores = [score(one, rows, np.zeros(none), calibration) for one in np.asarray(x, dtype=np.float64)]
    places = [none if index < 0 else int(index) for index in np.asarray(chosen)]
    pairs = list(zip(scores, places, strict=True))
    return Grades(
        similarities=[None if at == none else float(one.similarities[at]) for one, at in pairs],
        margins=[one.margin for one in scores],
        probabilities=[float(one.probabilities[at]) for one, at in pairs],
        fits=[0.0 if at == none else fit_of(one.probabilities, at) for one, at in pairs],
    )


def assign(
    x: npt.ArrayLike,
    centroids: npt.ArrayLike,
    boosts: npt.ArrayLike,
    calibration: Calibration,
    config: EngineConfig,
    *,
    forced: int | None = None,
    by: AssignedBy = AssignedBy.ENGINE,
    updates_centroid: bool = True,
) -> Assignment:
    """Decide the topic of x (D,) among the candidates' centroids (n, D), n ≥ 0 (engine.md §4).

    `forced` is the row a client or user named (`by`): it skips the novelty gate. Without it the engine
    takes the likeliest topic, or none. `updates_centroid` is the client's wish. Cosines 0.8 and 0.6, λ 0.4:
    margin 0.2; p ∝ e⁸, e⁴ and 1 (none) with κ = 20: the first has 0.982, a lead of 0.964.

    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(mu=0.2, tau=0.8, novelty=0.4, sharpness=20.0, margin_gate=0.1)
    >>> found = assign([1.0, 0.0], [[4.0, 3.0], [3.0, 4.0]], [0.0, 0.0], model, EngineConfig())
    >>> found.index, round(found.margin, 6), round(found.probability, 3), round(found.fit, 3)
    (0, 0.2, 0.982, 0.964)
    """
    n_topics = len(np.asarray(centroids))
    if (forced is None) != (by is AssignedBy.ENGINE) or (forced is not None and not 0 <= forced < n_topics):
        raise ValueError("A client or user names one of the given topics; the engine names none.")
    scores = score(x, centroids, boosts, calibration)
    index = best_topic(scores.probabilities) if forced is None else forced
    if index is None:
        return _unassigned(scores)
    has_centroid = not is_degenerate(np.asarray(centroids)[index])
    similarity = float(scores.similarities[index]) if has_centroid else None
    fit = fit_of(scores.probabilities, index)
    assigned = Assignment(
        index=index,
        assigned_by=by,
        similarity=similarity,
        relevance=_relevance(similarity, calibration),
        margin=scores.margin,
        probability=float(scores.probabilities[index]),
        fit=fit,
        grade=fit_grade(fit, config),
        withheld=(),
        scores=scores,
    )
    withheld = _withheld(assigned, calibration, config, updates_centroid=updates_centroid)
    return replace(assigned, withheld=withheld)


def _unassigned(scores: Scores) -> Assignment:
    return Assignment(
        index=None,
        assigned_by=None,
        similarity=None,
        relevance=None,
        margin=scores.margin,
        probability=float(scores.probabilities[-1]),
        fit=0.0,
        grade=FitGrade.WEAK,
        withheld=(Withheld.UNASSIGNED,),
        scores=scores,
    )


def _relevance(similarity: float | None, calibration: Calibration) -> float | None:
    return None if similarity is None else float(calibrated(similarity, calibration.mu, calibration.tau))


def _withheld(
    assigned: Assignment, calibration: Calibration, config: EngineConfig, *, updates_centroid: bool
) -> tuple[Withheld, ...]:
    """A user's choice passes both gates; so does a topic's first signal, with no centroid to guard yet."""
    is_gated = assigned.similarity is not None and assigned.assigned_by is not AssignedBy.USER
    margin = assigned.margin
    reasons = (
        (Withheld.BY_CLIENT, not updates_centroid),
        (Withheld.LOW_MARGIN, is_gated and margin is not None and margin < calibration.margin_gate),
        (Withheld.LOW_FIT, is_gated and assigned.fit < config.min_teaching_fit),
    )
    return tuple(reason for reason, holds in reasons if holds)
