"""Calibration: what the cosines of a model mean, measured on labelled texts (engine.md §4).

Labels are topics; texts of different labels are unrelated. Every measure takes `Labelled` vectors and a seed
and gives the values it measures by the names of `assign.Calibration`; `estimate` adds their spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from misir.orient.config import EngineConfig
from misir.orient.reliability import fit_posterior
from misir.orient.vectors import Floats, unit

Integers = npt.NDArray[np.intp]

MIN_LABELS: Final = 4
"""Labels below which nothing can be held out of them."""

MIN_MEMBERS: Final = 6
"""Texts of a label below which it has no centroid worth asking: three learn, three are asked about."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Unit vectors (n, D) of texts, the label of each (n,), and of a question to each (n, D) where known."""

    vectors: Floats
    labels: Integers
    questions: Floats | None = None

    def of_labels(self, kept: npt.ArrayLike) -> Labelled:
        """Only the texts of these labels, in their order."""
        rows = np.isin(self.labels, np.asarray(kept))
        questions = None if self.questions is None else self.questions[rows]
        return Labelled(self.vectors[rows], self.labels[rows], questions)


@dataclass(frozen=True, slots=True)
class Measured:
    """Values by name, and the number of observations they rest on."""

    values: Mapping[str, float]
    n: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """One measured value; spread ≥ 0: its standard deviation over halves of the labels."""

    value: float
    n: int
    spread: float


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Texts asked about: cosines (t, k) to k topics, and the right one of each (t,), −1 where it is none."""

    similarities: Floats
    truth: Integers


Measure = Callable[[Labelled, int, EngineConfig], Measured]


def labelled(
    vectors: npt.ArrayLike, labels: Sequence[object], questions: npt.ArrayLike | None = None
) -> Labelled:
    """Vectors and labels of any kind, without the labels that have fewer than `MIN_MEMBERS` (6) texts.

    Fewer than `MIN_LABELS` (4) labels left is a ValueError that says so.

    >>> data = labelled(np.eye(24), ["a"] * 6 + ["b"] * 6 + ["c"] * 6 + ["d"] * 6)
    >>> data.vectors.shape, sorted(set(data.labels.tolist()))
    ((24, 24), [0, 1, 2, 3])
    """
    names, numbers = np.unique([str(label) for label in labels], return_inverse=True)
    asked = None if questions is None else unit(questions).astype(np.float64)
    data = Labelled(unit(vectors).astype(np.float64), numbers, asked)
    large = np.flatnonzero(np.bincount(numbers, minlength=len(names)) >= MIN_MEMBERS)
    if len(large) < MIN_LABELS:
        raise ValueError(
            f"A calibration needs at least {MIN_LABELS} labels with {MIN_MEMBERS} texts each; "
            f"here {len(large)} of {len(names)} have as many."
        )
    return data.of_labels(large)


# ---- what is measured ----------------------------------------------------------------------------


def measure_unrelated(data: Labelled, _seed: int, _config: EngineConfig) -> Measured:
    """μ and σ: mean and standard deviation of the cosine over all pairs of texts of different labels.

    With V the vectors, s = ΣV and G = VᵀV, Σ cos over all ordered pairs is ‖s‖² and Σ cos² is ‖G‖²; the same
    of each label alone is taken off, so no pair is ever listed.

    >>> data = Labelled(np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), np.array([0, 1, 1]))
    >>> measured = measure_unrelated(data, 0, EngineConfig())
    >>> {name: round(value, 6) for name, value in measured.values.items()}, measured.n
    ({'mu': 0.3, 'sigma': 0.3}, 2)
    """
    total = _pair_sums(data.vectors)
    for label in np.unique(data.labels):
        total -= _pair_sums(data.vectors[data.labels == label])
    n, first, second = total
    mu = first / n
    return Measured({"mu": float(mu), "sigma": float(np.sqrt(max(0.0, second / n - mu**2)))}, int(n) // 2)


def _pair_sums(vectors: Floats) -> Floats:
    """Over all ordered pairs of rows: their number, the sum of their cosines, and of the squares."""
    total = vectors.sum(axis=0)
    return np.array([len(vectors) ** 2, total @ total, np.square(vectors.T @ vectors).sum()])


def nearest_labels(data: Labelled) -> tuple[Floats, Floats]:
    """Cosine of each text to its own label's centroid, itself left out, and to the best other: 2 × (n,).

    The centroid is unit(sum of the members); every label needs two members.

    >>> data = Labelled(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, 1.0]]), np.array([0, 0, 1, 1]))
    >>> [cosines.round(6).tolist() for cosines in nearest_labels(data)]
    [[0.6, 0.6, 1.0, 1.0], [0.0, 0.8, 0.447214, 0.447214]]
    """
    _, labels = np.unique(data.labels, return_inverse=True)
    sums = np.zeros((labels.max() + 1, data.vectors.shape[1]))
    np.add.at(sums, labels, data.vectors)
    others = data.vectors @ unit(sums).astype(np.float64).T
    others[np.arange(len(labels)), labels] = -1.0
    own = unit(sums[labels] - data.vectors).astype(np.float64)
    return np.einsum("nd,nd->n", own, data.vectors), others.max(axis=1)


def measure_own(data: Labelled, _seed: int, config: EngineConfig) -> Measured:
    """τ: the `tau_quantile` (0.9) of the cosine of a text to the centroid of the others of its label.

    >>> data = Labelled(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, 1.0]]), np.array([0, 0, 1, 1]))
    >>> round(measure_own(data, 0, EngineConfig()).values["tau"], 6)
    1.0
    """
    own, _ = nearest_labels(data)
    return Measured({"tau": float(np.quantile(own, config.tau_quantile))}, len(own))


def measure_margins(data: Labelled, _seed: int, config: EngineConfig) -> Measured:
    """Margin gate: the `margin_quantile` (0.1) of d2 − d1 where the own label is the nearest.

    0 where no text is nearest to its own label.

    >>> data = Labelled(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, 1.0]]), np.array([0, 0, 1, 1]))
    >>> measured = measure_margins(data, 0, EngineConfig())  # margins 0.6, 0.553 and 0.553
    >>> round(measured.values["margin_gate"], 3), measured.n
    (0.553, 3)
    """
    own, other = nearest_labels(data)
    margins = (own - other)[own > other]
    gate = float(np.quantile(margins, config.margin_quantile)) if len(margins) else 0.0
    return Measured({"margin_gate": gate}, len(margins))


def draw_trial(data: Labelled, rng: np.random.Generator, config: EngineConfig) -> Trial:
    """A space as it could be: half of the labels are its topics, the texts of the others are new to it.

    A centroid is made of `min_topic_items` (3) to `calibration_members` (20) texts, at most half of its own.
    Asked about are texts that no centroid has learned, as many known as new ones.
    """
    labels = rng.permutation(np.unique(data.labels))
    topics = labels[: max(2, len(labels) // 2)]
    learned = [_draw_learned(np.flatnonzero(data.labels == topic), rng, config) for topic in topics]
    centroids = unit([data.vectors[rows].sum(axis=0) for rows in learned]).astype(np.float64)
    rest = np.setdiff1d(np.arange(len(data.labels)), np.concatenate(learned))
    is_known = np.isin(data.labels[rest], topics)
    n = min(is_known.sum(), (~is_known).sum())
    asked = np.concatenate([rng.permutation(rest[is_known])[:n], rng.permutation(rest[~is_known])[:n]])
    row_of_topic = np.full(labels.max() + 1, -1)
    row_of_topic[topics] = np.arange(len(topics))
    return Trial(data.vectors[asked] @ centroids.T, row_of_topic[data.labels[asked]])


def _draw_learned(members: Integers, rng: np.random.Generator, config: EngineConfig) -> Integers:
    least = config.min_topic_items
    most = max(least, min(config.calibration_members, len(members) // 2))
    return np.asarray(rng.permutation(members)[: rng.integers(least, most + 1)])


def draw_trials(data: Labelled, seed: int, config: EngineConfig) -> list[Trial]:
    """`calibration_trials` (20) trials, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [draw_trial(data, rng, config) for _ in range(config.calibration_trials)]


def measure_posterior(data: Labelled, seed: int, config: EngineConfig) -> Measured:
    """λ and κ under which the posterior's probabilities fit what is right in trials: least log loss.

    λ is then the cosine to a topic's centroid at which the topic is as likely right as "none of these", in a
    space where every second text is new.
    """
    trials = draw_trials(data, seed, config)
    fitted = fit_posterior([(trial.similarities, trial.truth) for trial in trials])
    n = sum(len(trial.truth) for trial in trials)
    return Measured({"novelty": fitted.novelty, "sharpness": fitted.sharpness}, n)


def chance_bonds(data: Labelled, rng: np.random.Generator, pool_size: int) -> Floats:
    """Texts in random order, each against those before it: the λ_item below which it would found a topic.

    (m,), m ≤ n: the least of the three cosines of a text and its two nearest among the `pool_size` before it,
    all three of different labels, so that their topic would be chance. Texts that have no such two are
    left out.

    >>> data = Labelled(np.array([[1.0, 0.0], [0.8, 0.6], [0.96, 0.28]]), np.array([0, 1, 2]))
    >>> chance_bonds(data, np.random.default_rng(0), 500).round(6).tolist()
    [0.8]
    """
    order = rng.permutation(len(data.labels))
    vectors, labels = data.vectors[order], data.labels[order]
    bonds = [_bond(i, vectors, labels, max(0, i - pool_size)) for i in range(2, len(labels))]
    return np.array([bond for bond in bonds if bond is not None])


def _bond(i: int, vectors: Floats, labels: Integers, start: int) -> float | None:
    cosines = vectors[start:i] @ vectors[i]
    cosines[labels[start:i] == labels[i]] = -np.inf
    first = int(cosines.argmax())
    to_first = cosines[first]
    cosines[labels[start:i] == labels[start + first]] = -np.inf
    second = int(cosines.argmax())
    if cosines[second] == -np.inf:
        return None
    return float(min(to_first, cosines[second], vectors[start + first] @ vectors[start + second]))


def measure_births(data: Labelled, seed: int, config: EngineConfig) -> Measured:
    """λ_item: the bond that at most `chance_birth_rate` (0.001) of unrelated texts reach (`chance_bonds`).

    Over as many random orders as bring `calibration_births` (10,000) texts. Three labels at least.
    """
    rng = np.random.default_rng(seed)
    n_orders = max(1, round(config.calibration_births / len(data.labels)))
    bonds = np.concatenate([chance_bonds(data, rng, config.birth_pool) for _ in range(n_orders)])
    return Measured({"novelty_item": float(np.quantile(bonds, 1 - config.chance_birth_rate))}, len(bonds))


def measure_questions(data: Labelled, _seed: int, config: EngineConfig) -> Measured:
    """Search threshold: `search_loss` (0.02) of the right answers lie below it; nothing without questions.

    A text's question is its title, embedded as a query; the right answer is its text.

    >>> data = Labelled(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([0, 1]), np.array([[1.0, 0.0]] * 2))
    >>> round(measure_questions(data, 0, EngineConfig()).values["search_threshold"], 3)  # of 0.6 and 1.0
    0.608
    """
    if data.questions is None:
        return Measured({}, 0)
    cosines = np.einsum("nd,nd->n", data.questions, data.vectors)
    return Measured({"search_threshold": float(np.quantile(cosines, config.search_loss))}, len(cosines))


MEASURES: Final[Sequence[Measure]] = (
    measure_unrelated,
    measure_own,
    measure_margins,
    measure_posterior,
    measure_births,
    measure_questions,
)


# ---- how far it can be trusted -------------------------------------------------------------------


def estimate(measure: Measure, data: Labelled, seed: int, config: EngineConfig) -> dict[str, Estimate]:
    """The values of one measure on all texts, with their spread over `calibration_halves` (6) of the labels.

    The half-sampling form of the jackknife (Shao and Wu 1989): labels, not texts, are what varies between
    libraries.
    """
    whole = measure(data, seed, config)
    rng = np.random.default_rng(seed)
    names = np.unique(data.labels)
    n_kept = max(MIN_LABELS, (len(names) + 1) // 2)
    halves = [
        measure(data.of_labels(rng.permutation(names)[:n_kept]), seed, config).values
        for _ in range(config.calibration_halves)
    ]
    return {
        name: Estimate(value, whole.n, float(np.std([half[name] for half in halves])))
        for name, value in whole.values.items()
    }
