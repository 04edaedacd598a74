"""Folding: a topic's state from the log, lesson by lesson, the same online and in replay (engine.md §0)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from misir.orient.assign import Calibration, calibrated
from misir.orient.centroid import TopicState, taught_difference, teach
from misir.orient.confidence import update_coherence
from misir.orient.config import EngineConfig
from misir.orient.vectors import Vector, cosines


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One signal of a topic.

    position: its place in the log; weight: base weight of its level, 0.2..2; vector: (D,) unit;
    may_teach: may it move the centroid?
    """

    artifact_id: int
    position: int
    weight: float
    vector: Vector
    may_teach: bool


@dataclass(slots=True)
class Share:
    """An artifact's part in a topic: the weight it taught, ≥ 0, and where in the log it began to count.

    That is where it first taught; until it has taught, where it was placed.
    """

    taught: float
    since: int


@dataclass(slots=True)
class Fold:
    """A topic on its way through the log: its state so far, and each artifact's share in it."""

    state: TopicState
    learning_rate: float
    shares: dict[int, Share] = field(default_factory=dict)

    def learn(self, lesson: Lesson, calibration: Calibration, config: EngineConfig) -> None:
        """One more lesson, exactly as a capture leaves it: coherence against the centroid before, then that.

        >>> from types import SimpleNamespace
        >>> import numpy as np
        >>> from misir.orient.centroid import untaught
        >>> fold, model = Fold(untaught(2), 0.1), SimpleNamespace(mu=0.0, tau=1.0)
        >>> for position, x in enumerate(np.eye(2, dtype=np.float32)):
        ...     fold.learn(Lesson(position, position, 1.0, x, True), model, EngineConfig())
        >>> fold.state.m.tolist(), fold.state.weight_sum, fold.state.signal_count, fold.state.coherence
        ([0.5, 0.5], 2.0, 2, 0.5)
        """
        share = self.shares.get(lesson.artifact_id)
        if share is None:
            share = self.shares[lesson.artifact_id] = Share(0.0, lesson.position)
            self.state = take_in(self.state, relevance_to(self.state, lesson.vector, calibration), config)
        weight = taught_difference(lesson.weight, share.taught) if lesson.may_teach else 0.0
        if weight > 0 and share.taught == 0:
            share.since = lesson.position
        share.taught += weight
        self.state = teach(self.state, lesson.vector, weight, config, learning_rate=self.learning_rate)


def take_in(state: TopicState, relevance: float, config: EngineConfig) -> TopicState:
    """The state with one artifact more: its coherence and the count of it (engine.md §7); m stays.

    >>> from misir.orient.centroid import untaught
    >>> state = take_in(take_in(untaught(2), 1.0, EngineConfig()), 0.5, EngineConfig())
    >>> state.coherence, state.placed_count
    (0.75, 2)
    """
    n = state.placed_count + 1
    return replace(state, coherence=update_coherence(state.coherence, relevance, n, config), placed_count=n)


def relevance_to(state: TopicState, x: Vector, calibration: Calibration) -> float:
    """calibrated(cos(x, C)): 0..1; 1 for the page that founds a topic: it agrees with itself (engine.md §4).

    >>> from types import SimpleNamespace
    >>> from misir.orient.centroid import untaught
    >>> import numpy as np
    >>> relevance_to(untaught(2), np.ones(2, dtype=np.float32), SimpleNamespace(mu=0.1, tau=0.7))
    1.0
    """
    if not state.has_centroid:
        return 1.0
    return float(calibrated(cosines(x, state.m[None, :])[0], calibration.mu, calibration.tau))
