"""One space in memory: the product's own functions over a stream of texts, as a capture uses them.

No maths of its own: `assign`, `take_in`, `teach`, `Fold`, `find_founders`, `adopted`, `consolidate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from misir.orient.assign import AssignedBy, Assignment, Calibration, assign
from misir.orient.birth import adopted, find_founders
from misir.orient.centroid import TopicState, seed, teach, untaught
from misir.orient.config import EngineConfig
from misir.orient.consolidation import Consolidation, consolidate
from misir.orient.fold import Fold, Lesson, take_in
from misir.orient.reading import EngagementLevel
from misir.orient.vectors import Floats, Vector
from misir.orient.weight import base_weight

Rows = npt.NDArray[np.int64]


@dataclass
class StreamTopic:
    """A topic of the stream. start: what it knew before its first text; members: rows, ascending."""

    id: int
    start: TopicState
    state: TopicState
    members: list[int]
    is_pinned: bool = False


class Stream:
    """A space that learns from one text after another; the id of a topic is never used twice.

    vectors, index, levels: of all texts so far; index is the topic's id, −1 for none.
    """

    def __init__(
        self,
        calibration: Calibration,
        config: EngineConfig,
        *,
        dimension: int = 384,
        auto_topics: bool = True,
        is_consolidating: bool = True,
    ) -> None:
        self.calibration, self.config = calibration, config
        self.auto_topics, self.is_consolidating = auto_topics, is_consolidating
        self.topics: dict[int, StreamTopic] = {}
        self.levels: list[EngagementLevel] = []
        self.consolidations: list[Consolidation] = []
        self._vectors = np.zeros((64, dimension), dtype=np.float32)
        self._index = np.full(64, -1, dtype=np.int64)
        self._may_teach: list[bool] = []
        self._is_movable: list[bool] = []
        self._n_topics = 0
        self._n_new = 0

    @property
    def vectors(self) -> Vector:
        return self._vectors[: len(self.levels)]

    @property
    def labels(self) -> Rows:
        """The topic of each text as it is now, −1 for none."""
        return self._index[: len(self.levels)].copy()

    @property
    def is_teaching(self) -> list[bool]:
        """Of each text, whether it teaches its topic."""
        return list(self._may_teach)

    def declare(self, marker_vectors: npt.ArrayLike, *, is_pinned: bool = False) -> int:
        """A topic that a person declares by its markers."""
        return self._open(seed(marker_vectors, self.config), is_pinned=is_pinned).id

    def capture(
        self, x: npt.ArrayLike, level: EngagementLevel = EngagementLevel.ENGAGED, *, topic: int | None = None
    ) -> int | None:
        """One text: assign it, teach, let a topic be born; then, every 20 texts, consolidate. Its topic now.

        `topic` is the one a person or a client names.
        """
        row = self._append(np.asarray(x, dtype=np.float32), level)
        assignment, chosen = self._assign(row, topic)
        self._may_teach.append(assignment.updates_centroid)
        self._is_movable.append(topic is None)
        if chosen is not None:
            self._learn(chosen, row, assignment)
        elif self.auto_topics:
            self._found(row)
        if self.is_consolidating and self._n_new >= self._enough():
            self.consolidate()
        return self.topic_of(row)

    def _enough(self) -> float:
        """Texts that are worth a second look: 20, or a fiftieth of a large space."""
        n_placed = np.count_nonzero(self.labels >= 0)
        return max(self.config.consolidation_signals, n_placed * self.config.consolidation_share)

    def topic_of(self, row: int) -> int | None:
        return None if self._index[row] < 0 else int(self._index[row])

    def consolidate(self) -> Consolidation:
        """The worker's second look at all texts, carried out as a correction: touched topics fold again."""
        self._n_new = 0
        topics = list(self.topics.values())
        ids = np.array([topic.id for topic in topics], dtype=np.int64)
        before = self.labels
        place = np.append(np.full(self._n_topics, -1), -1)
        place[ids] = np.arange(len(ids))
        found = consolidate(
            self.vectors,
            [base_weight(level, self.config) for level in self.levels],
            place[before],
            is_movable=self._is_movable,
            priors=np.stack([topic.start.m for topic in topics]) if topics else np.empty((0, 0)),
            prior_weights=[topic.start.weight_sum for topic in topics],
            is_pinned=[topic.is_pinned for topic in topics],
            calibration=self.calibration,
            config=self.config,
            may_found=self.auto_topics,
        )
        born = [self._open(untaught(self._vectors.shape[1])).id for _ in range(found.n_born)]
        self._replace(found, before, np.concatenate([ids, born, [-1]]).astype(np.int64)[found.index])
        for topic in found.dissolved:
            del self.topics[int(ids[topic])]
        self.consolidations.append(found)
        return found

    def replay_difference(self) -> float:
        """Largest component by which a topic's state differs from its members folded again, from nothing."""
        return max((self._difference(topic) for topic in self.topics.values()), default=0.0)

    def _difference(self, topic: StreamTopic) -> float:
        return float(np.abs(topic.state.m - self._fold(topic, topic.members).m).max())

    def centroids(self) -> tuple[Rows, Floats]:
        """Ids of the topics and their state vectors (k, D)."""
        states = [topic.state.m for topic in self.topics.values()]
        rows = np.stack(states) if states else np.empty((0, self._vectors.shape[1]))
        return np.array(list(self.topics), dtype=np.int64), rows.astype(np.float64)

    def _append(self, x: Vector, level: EngagementLevel) -> int:
        row = len(self.levels)
        if row == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._index = np.concatenate([self._index, np.full_like(self._index, -1)])
        self._vectors[row] = x
        self.levels.append(level)
        self._n_new += 1
        return row

    def _assign(self, row: int, named: int | None) -> tuple[Assignment, StreamTopic | None]:
        topics = list(self.topics.values())
        forced = None if named is None else [topic.id for topic in topics].index(named)
        assignment = assign(
            self._vectors[row],
            self.centroids()[1],
            np.zeros(len(topics)),
            self.calibration,
            self.config,
            forced=forced,
            by=AssignedBy.ENGINE if forced is None else AssignedBy.USER,
        )
        return assignment, None if assignment.index is None else topics[assignment.index]

    def _learn(self, topic: StreamTopic, row: int, assignment: Assignment) -> None:
        self._index[row] = topic.id
        topic.members.append(row)
        relevance = 1.0 if assignment.relevance is None else assignment.relevance
        weight = base_weight(self.levels[row], self.config) if assignment.updates_centroid else 0.0
        state = take_in(topic.state, relevance, self.config)
        topic.state = teach(state, self._vectors[row], weight, self.config)

    def _found(self, row: int) -> None:
        """Three unassigned texts that are near each other become a topic; the rest of the pool may join."""
        pool = np.flatnonzero(self._index[:row] < 0)[-self.config.birth_pool :]
        pair = find_founders(self._vectors[row], self._vectors[pool], self.calibration.novelty_item)
        if pair is None:
            return
        founders = sorted([*pool[list(pair)].tolist(), row])
        topic = self._open(untaught(self._vectors.shape[1]))
        others = self.centroids()[1][:-1]
        self._refold(topic, founders)
        rest = np.setdiff1d(pool, founders)
        joining = adopted(self._vectors[rest], topic.state.m, others, self.calibration)
        self._refold(topic, founders + rest[list(joining)].tolist())

    def _open(self, start: TopicState, *, is_pinned: bool = False) -> StreamTopic:
        topic = StreamTopic(self._n_topics, start, start, [], is_pinned)
        self.topics[topic.id] = topic
        self._n_topics += 1
        return topic

    def _refold(self, topic: StreamTopic, members: Sequence[int]) -> None:
        """The topic as if its members had always been there; whoever is new to it teaches it."""
        for row in set(members) - set(topic.members):
            self._may_teach[row] = True
            self._index[row] = topic.id
        topic.members = sorted(members)
        topic.state = self._fold(topic, topic.members)

    def _fold(self, topic: StreamTopic, members: Sequence[int]) -> TopicState:
        fold = Fold(topic.start, self.config.learning_rate)
        for row in members:
            weight = base_weight(self.levels[row], self.config)
            lesson = Lesson(row, row, weight, self._vectors[row], self._may_teach[row])
            fold.learn(lesson, self.calibration, self.config)
        return fold.state

    def _replace(self, found: Consolidation, before: Rows, after: Rows) -> None:
        moved = list(found.moved)
        self._index[: len(after)] = after
        for topic_id in np.unique(np.append(before[moved], after[moved])):
            if topic_id >= 0:
                self._refold(self.topics[int(topic_id)], np.flatnonzero(after == topic_id).tolist())
