"""PURE: what a capture does, decided from values alone. Nothing here reads a clock, a row or a socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from misir.capture.page import Page, Reading
from misir.orient.assign import AssignedBy, Assignment, Calibration, assign, marker_boosts
from misir.orient.centroid import TopicState, taught_difference, teach
from misir.orient.confidence import confidence
from misir.orient.config import EngineConfig
from misir.orient.fold import take_in
from misir.orient.markers import matched_markers
from misir.orient.reading import EngagementLevel, max_level
from misir.orient.vectors import Vector
from misir.orient.weight import base_weight
from misir.spaces.topic import Topic

MARKER_TEXT: Final = 100_000
"""Characters searched for marker phrases, as many as the full-text index holds."""

N_CANDIDATES: Final = 5
"""How many of the topics considered the log keeps with a signal, likeliest first."""


@dataclass(frozen=True, slots=True)
class TopicMarker:
    """A marker of a topic."""

    id: int
    topic_id: int
    label: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """The page as the library holds it, under the space's lock; `taught` (≥ 0) is what its topic got."""

    id: int
    subspace_id: int | None
    assigned_by: AssignedBy | None
    level: EngagementLevel
    content_hash: bytes
    taught: float


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a decision rests on. `artifact` is None for a new page; topics are in id order.

    near_marker_ids: the markers that mean what the page means.
    """

    artifact: Artifact | None
    topics: Sequence[Topic]
    markers: Sequence[TopicMarker]
    near_marker_ids: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class TopicChange:
    """A topic after the capture. `is_taught`: did its centroid move?"""

    topic_id: int
    state: TopicState
    n_artifacts: int
    confidence: float
    is_taught: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A topic that was considered, and the numbers that spoke for it."""

    subspace_id: int
    similarity: float
    boost: float
    probability: float


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What to write: where the page belongs, what that taught, and the numbers behind it.

    candidates: the likeliest topics, best first, as the log keeps them to explain the decision.
    taught_weight: w ≥ 0 of engine.md §3; taught_so_far: the sum of what this page taught this topic.
    left_topic_id: the topic that lost the page, when its text changed.
    is_placed: does it count in its place from this signal on? is_return: does it wake a dormant topic?
    """

    subspace_id: int | None
    assignment: Assignment
    candidates: tuple[Candidate, ...]
    level: EngagementLevel
    base_weight: float
    taught_weight: float
    taught_so_far: float
    change: TopicChange | None
    left_topic_id: int | None
    is_placed: bool
    is_return: bool
    matched_marker_ids: tuple[int, ...]

    @property
    def is_arrival(self) -> bool:
        """Does the page come into a topic it was not in until now?"""
        return self.change is not None and self.is_placed

    @property
    def starts_teaching(self) -> bool:
        """Is this the first signal of the page that its topic learns from?"""
        return self.taught_weight > 0 and self.taught_so_far == self.taught_weight


def decide(
    page: Page, reading: Reading, situation: Situation, calibration: Calibration, config: EngineConfig
) -> Decision:
    """Place the page, and say what its topic learns from it (engine.md §3, §4, §7)."""
    matched = _matched(reading, situation)
    assignment = _assign(page, reading, situation, matched, calibration, config)
    previous = situation.artifact
    level = page.level if previous is None else max_level(page.level, previous.level)
    topic = None if assignment.index is None else situation.topics[assignment.index]
    was_in = None if previous is None else previous.subspace_id
    now_in = None if topic is None else topic.id
    is_new = now_in != was_in
    taught = previous.taught if previous is not None and not is_new else 0.0
    weight = base_weight(level, config)
    taught_weight = taught_difference(weight, taught) if assignment.updates_centroid else 0.0
    return Decision(
        subspace_id=now_in,
        assignment=assignment,
        candidates=_candidates(assignment, situation),
        level=level,
        base_weight=weight,
        taught_weight=taught_weight,
        taught_so_far=taught + taught_weight,
        change=None
        if topic is None
        else learn(topic, reading.vector, assignment, taught_weight, config, is_new=is_new),
        left_topic_id=was_in if is_new else None,
        is_placed=is_new or now_in is None,
        is_return=topic is not None and topic.is_dormant,
        matched_marker_ids=tuple(
            sorted({marker.id for marker in matched} | {*page.request.matched_marker_ids})
        ),
    )


def _matched(reading: Reading, situation: Situation) -> list[TopicMarker]:
    markers = situation.markers
    labels = [marker.label for marker in markers]
    is_near = [marker.id in situation.near_marker_ids for marker in markers]
    return [markers[i] for i in matched_markers(reading.text[:MARKER_TEXT], labels, is_near)]


def _assign(
    page: Page,
    reading: Reading,
    situation: Situation,
    matched: Sequence[TopicMarker],
    calibration: Calibration,
    config: EngineConfig,
) -> Assignment:
    """The client's topic, the topic the page already has, or the engine's choice."""
    topics = () if _is_kept_out(situation.artifact) else situation.topics
    centroids = (
        np.stack([topic.state.m for topic in topics]) if topics else np.empty((0, reading.vector.size))
    )
    lit = {marker.topic_id for marker in matched}
    boosts = marker_boosts([topic.id in lit for topic in topics], calibration.mu, config)
    forced, by = _named_topic(page, reading, situation)
    # A page that stays keeps who put it there; what it teaches passes the same gates as a client's choice.
    rule = by if by is AssignedBy.USER else AssignedBy.CLIENT
    assignment = assign(
        reading.vector,
        centroids,
        boosts,
        calibration,
        config,
        forced=forced,
        by=AssignedBy.ENGINE if forced is None else rule,
        updates_centroid=page.request.updates_centroid,
    )
    is_chosen = assignment.is_assigned or _is_kept_out(situation.artifact)
    return replace(assignment, assigned_by=by) if is_chosen else assignment


def _is_kept_out(artifact: Artifact | None) -> bool:
    """Did a person take the page out of every topic? Then the engine leaves it there."""
    return artifact is not None and artifact.assigned_by is AssignedBy.USER and artifact.subspace_id is None


def _named_topic(page: Page, reading: Reading, situation: Situation) -> tuple[int | None, AssignedBy]:
    """Which topic is not the engine's to choose, and whose choice that was.

    A person's correction outranks the client; a page whose text did not change stays where it is.
    """
    artifact = situation.artifact
    if _is_kept_out(artifact):
        return None, AssignedBy.USER
    rows = {topic.id: row for row, topic in enumerate(situation.topics)}
    at_home = (
        rows.get(artifact.subspace_id) if artifact is not None and artifact.subspace_id is not None else None
    )
    if artifact is not None and at_home is not None and artifact.assigned_by is AssignedBy.USER:
        return at_home, AssignedBy.USER
    if page.request.subspace_id is not None:
        return rows[page.request.subspace_id], AssignedBy.CLIENT
    if artifact is not None and at_home is not None and artifact.content_hash == reading.content_hash:
        return at_home, artifact.assigned_by or AssignedBy.ENGINE
    return None, AssignedBy.ENGINE


def _candidates(assignment: Assignment, situation: Situation) -> tuple[Candidate, ...]:
    scores = assignment.scores
    best = np.argsort(-scores.probabilities[:-1], kind="stable")[:N_CANDIDATES]
    return tuple(
        Candidate(
            subspace_id=situation.topics[row].id,
            similarity=float(scores.similarities[row]),
            boost=float(scores.boosts[row]),
            probability=float(scores.probabilities[row]),
        )
        for row in best
    )


def learn(
    topic: Topic,
    x: Vector,
    assignment: Assignment,
    taught_weight: float,
    config: EngineConfig,
    *,
    is_new: bool,
) -> TopicChange:
    """The topic after one page: coherence against the centroid before it, then the centroid itself.

    `is_new`: was the page not in this topic before? Then the topic is one artifact larger.
    """
    n_artifacts = topic.n_artifacts + is_new
    state = topic.state
    if is_new:
        # The page that founds a topic agrees with itself.
        state = take_in(state, 1.0 if assignment.relevance is None else assignment.relevance, config)
    state = teach(state, x, taught_weight, config, learning_rate=topic.learning_rate)
    return TopicChange(
        topic_id=topic.id,
        state=state,
        n_artifacts=n_artifacts,
        confidence=confidence(state.coherence, n_artifacts, config),
        is_taught=taught_weight > 0,
    )
