"""PURE: pages decided one after the other in memory, each as if the one before had been written already."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import Enum, auto
from typing import Any, Final, Literal

from misir.capture.decide import Artifact, Decision, Situation, TopicChange, decide
from misir.capture.ground import Ground
from misir.capture.page import Known, Page, Reading, Ready
from misir.capture.schemas import Captured
from misir.capture.values import Row, artifact_row, greatest, merged_rows, signal_row, topic_row
from misir.errors import MisirError, not_found
from misir.orient.assign import AssignedBy, Calibration
from misir.orient.config import EngineConfig
from misir.orient.reading import EngagementLevel
from misir.orient.vectors import Vector
from misir.spaces.corrections import closed_topic

DOUBT: Final = 1e-3
"""How near a cosine may come to a limit before the database has to say on which side it is."""


class Unsettled(Enum):
    """Why a page was not decided on."""

    TEXT_CHANGED = auto()  # it must be read again: its text is no longer what was embedded
    NEXT = auto()  # it needs what is in memory to be written first


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a page, and what the metrics call it."""

    captured: Captured
    result: Literal["new", "known", "repeated"]


Outcome = Taken | MisirError | Literal[Unsettled.TEXT_CHANGED]


@dataclass(frozen=True, slots=True, eq=False)
class After:
    """The page that ends a chunk, because more may follow from it than rows that are written."""

    artifact_id: int
    vector: Vector
    decision: Decision
    seq: int
    was_known: bool
    is_pooled: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Newcomer:
    """A new page with a text, for later ones to be told from."""

    id: int
    url_hash: bytes
    vector: Vector


@dataclass(slots=True)
class Chunk:
    """One space's pages in request order, and the rows that deciding them leaves to be written."""

    ground: Ground
    calibration: Calibration
    config: EngineConfig
    outcomes: list[Outcome] = field(default_factory=list)
    new: dict[int, Row] = field(default_factory=dict)
    changed: dict[int, Row] = field(default_factory=dict)
    embeddings: list[Row] = field(default_factory=list)
    vectors: list[Vector] = field(default_factory=list)
    signals: list[Row] = field(default_factory=list)
    topics: dict[int, Row] = field(default_factory=dict)
    snapshots: dict[tuple[int, date], tuple[Row, Vector]] = field(default_factory=dict)
    returns: list[Row] = field(default_factory=list)
    touched_markers: dict[int, datetime] = field(default_factory=dict)
    after: After | None = None
    _events: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    _newcomers: dict[tuple[int, int], list[_Newcomer]] = field(default_factory=lambda: defaultdict(list))
    _pooled: list[Vector] = field(default_factory=list)

    def take_next(self, item: Ready) -> bool:
        """Decide the page after those that have outcomes. False: the pages after it have to wait until the
        rest is written, and so has this one if it got no outcome.
        """
        outcome = self._take(len(self.outcomes), item)
        if outcome is Unsettled.NEXT:
            return False
        self.outcomes.append(outcome)
        return outcome is not Unsettled.TEXT_CHANGED and self.after is None

    def must_revive(self, item: Ready) -> bool:
        """Is the first page in the trash, and this visit the one to bring it back?"""
        row = self.ground.rows.get(item.page.url_hash)
        is_trashed = row is not None and row["deleted_at"] is not None
        return is_trashed and self._take(0, item) is Unsettled.NEXT

    @property
    def centroids(self) -> list[Vector | None]:
        """Of the topics to be written, in their order."""
        states = {topic.id: topic.state for topic in self.ground.topics}
        return [states[one].m if states[one].has_centroid else None for one in self.topics]

    def _take(self, number: int, item: Ready) -> Outcome | Literal[Unsettled.NEXT]:
        page, reading = item.page, item.reading
        row = self.ground.rows.get(page.url_hash)
        signal_id = self._repeated(number, page, row)
        if row is not None and signal_id is not None:
            return Taken(_already_captured(page, row, signal_id), "repeated")
        if not _is_read(page, item.known, reading, row):
            return Unsettled.TEXT_CHANGED
        refusal = self._refusal(page)
        if refusal is not None:
            return refusal
        if row is not None and row["deleted_at"] is not None:
            return Unsettled.NEXT
        duplicate = self._duplicate(number, page, reading, row)
        if duplicate is Unsettled.NEXT:
            return Unsettled.NEXT
        situation = Situation(
            artifact=None if row is None else _artifact(row),
            topics=self.ground.topics,
            markers=self.ground.markers,
            near_marker_ids=self.ground.near_marker_ids[number],
        )
        decision = decide(page, reading, situation, self.calibration, self.config)
        return self._record(number, item, row, decision, duplicate)

    def _repeated(self, number: int, page: Page, row: Row | None) -> int | None:
        """The signal that this very event made, here or before."""
        made = self.ground.same_events[number] or self._events.get((page.url_hash, page.event_hash))
        # What happened before a deletion does not undo it when it is sent again; a visit after it does.
        is_new_visit = (
            row is not None and row["deleted_at"] is not None and page.occurred_at > row["deleted_at"]
        )
        return None if is_new_visit else made

    def _refusal(self, page: Page) -> MisirError | None:
        """What the client names must be the user's and in this space; absent and foreign look the same."""
        request, ground = page.request, self.ground
        named = request.subspace_id
        if named is not None and all(topic.id != named for topic in ground.topics):
            return closed_topic(ground.named_topics.get(named), ground.space_id)
        if request.session_id is not None and request.session_id not in ground.sessions:
            return not_found("The session")
        if request.matched_marker_ids and {*request.matched_marker_ids} - {one.id for one in ground.markers}:
            return not_found("A marker")
        return None

    def _duplicate(
        self, number: int, page: Page, reading: Reading, row: Row | None
    ) -> int | Literal[Unsettled.NEXT] | None:
        """The oldest page with all but the same text: one the database has, else one of this chunk."""
        if row is not None and row["content_hash"] == reading.content_hash:
            return int(row["duplicate_of"]) if row["duplicate_of"] is not None else None
        if self.ground.duplicates[number] is not None or reading.bands is None:
            return self.ground.duplicates[number]
        alike = [one for band in enumerate(reading.bands) for one in self._newcomers.get(band, ())]
        for one in sorted(alike, key=lambda one: one.id):
            excess = float(one.vector @ reading.vector) - self.config.duplicate_similarity
            if one.url_hash != page.url_hash and excess > -DOUBT:
                return one.id if excess > DOUBT else Unsettled.NEXT
        return None

    def _record(
        self, number: int, item: Ready, row: Row | None, decision: Decision, duplicate: int | None
    ) -> Taken:
        """Keep what the decision leaves to be written, and let later pages see it."""
        page, reading, ids = item.page, item.reading, self.ground.ids[number]
        artifact_id: int = ids["artifact_id"] if row is None else row["id"]
        seq = self.ground.next_seq
        self.ground.next_seq += 1
        written = artifact_row(artifact_id, page, reading, decision, duplicate)
        is_lesson_new = row is None or decision.is_placed or decision.starts_teaching
        self._write_artifact(written | {"learned_seq": seq if is_lesson_new else None}, is_new=row is None)
        embedding_id = self._write_embedding(artifact_id, reading, ids["embedding_id"])
        places = {
            "id": ids["signal_id"],
            "artifact_id": artifact_id,
            "embedding_id": embedding_id,
            "seq": seq,
        }
        self.signals.append(signal_row(page, decision, places))
        self._events[page.url_hash, page.event_hash] = ids["signal_id"]
        self._learn(page, decision, artifact_id, ids["signal_id"])
        self._remember(page, reading, artifact_id, written, row)
        self._end_if_due(item, row, decision, artifact_id, seq)
        return Taken(
            Captured(**_captured(page, reading, written, decision, ids["signal_id"], is_new=row is None)),
            "new" if row is None else "known",
        )

    def _write_artifact(self, written: Row, *, is_new: bool) -> None:
        rows = self.new if is_new or written["id"] in self.new else self.changed
        before = rows.get(written["id"])
        rows[written["id"]] = written if before is None else merged_rows(before, written)

    def _write_embedding(self, artifact_id: int, reading: Reading, reserved: int) -> int:
        """The id of the text's vector, which a known text has already."""
        key = (artifact_id, reading.content_hash)
        known = self.ground.embedding_ids.setdefault(key, reserved)
        if known == reserved:
            row = {"id": reserved, "artifact_id": artifact_id, "content_hash": reading.content_hash}
            self.embeddings.append(row | {"fraction": reading.fraction})
            self.vectors.append(reading.vector)
        return known

    def _learn(self, page: Page, decision: Decision, artifact_id: int, signal_id: int) -> None:
        """The topic as it is after this page, for the next, for its row and for its day."""
        for marker_id in decision.matched_marker_ids:
            before = self.touched_markers.get(marker_id)
            self.touched_markers[marker_id] = greatest(before, page.occurred_at)
        change = decision.change
        if change is None:
            return
        row, before_row = topic_row(change, page.occurred_at), self.topics.get(change.topic_id)
        if before_row is not None:
            row["is_taught"] |= before_row["is_taught"]
            row["occurred_at"] = greatest(before_row["occurred_at"], row["occurred_at"])
        self.topics[change.topic_id] = row
        self._picture(page, change, row)
        if decision.is_return:
            self.returns.append(_return(page, decision, artifact_id, signal_id))
        self.ground.topics = [
            replace(topic, state=change.state, n_artifacts=change.n_artifacts, is_dormant=False)
            if topic.id == change.topic_id
            else topic
            for topic in self.ground.topics
        ]

    def _picture(self, page: Page, change: TopicChange, row: Row) -> None:
        """A topic's picture of a day is its last; a late arrival rewrites no past one."""
        day = page.occurred_at.astimezone(UTC).date()
        is_late = any(one == change.topic_id and then > day for one, then in self.snapshots)
        if change.state.has_centroid and not is_late:
            self.snapshots[change.topic_id, day] = ({**row, "day": day}, change.state.m)

    def _remember(
        self, page: Page, reading: Reading, artifact_id: int, written: Row, row: Row | None
    ) -> None:
        """The page as load_artifacts would now find it."""
        depth = greatest(written["reading_depth"], None if row is None else row["reading_depth"])
        self.ground.rows[page.url_hash] = {**written, "deleted_at": None, "reading_depth": depth}
        if row is None and reading.bands is not None and written["duplicate_of"] is None:
            newcomer = _Newcomer(artifact_id, page.url_hash, reading.vector)
            for band in enumerate(reading.bands):
                self._newcomers[band].append(newcomer)

    def _end_if_due(
        self, item: Ready, row: Row | None, decision: Decision, artifact_id: int, seq: int
    ) -> None:
        is_text_new = row is not None and row["content_hash"] != item.reading.content_hash
        is_unassigned = decision.subspace_id is None and decision.assignment.assigned_by is None
        is_pooled = is_unassigned and self.ground.auto_subspaces
        may_found = is_pooled and self._may_found(item.reading.vector)
        is_move = decision.left_topic_id is not None or (row is not None and decision.is_arrival)
        if is_text_new or is_move or may_found:
            vector, was_known = item.reading.vector, row is not None
            self.after = After(artifact_id, vector, decision, seq, was_known, is_pooled)

    def _may_found(self, x: Vector) -> bool:
        """Could this page and two of the pool be a topic? The database says for sure (spaces/birth.py)."""
        pool = self.ground.pool
        if pool is None:
            return True
        near = self.calibration.novelty_item - DOUBT
        n_near = int((pool @ x >= near).sum()) + sum(float(one @ x) >= near for one in self._pooled)
        self._pooled.append(x)
        return n_near > 1


def _artifact(row: Row) -> Artifact:
    return Artifact(
        id=row["id"],
        subspace_id=row["subspace_id"],
        assigned_by=None if row["assigned_by"] is None else AssignedBy(row["assigned_by"]),
        level=EngagementLevel(row["engagement_level"]),
        content_hash=row["content_hash"],
        taught=row["taught_weight"],
    )


def _is_read(page: Page, known: Known, reading: Reading, row: Row | None) -> bool:
    """Is what we embedded really the text that will be there? Another capture may have come between."""
    brings_all = page.request.title is not None and page.request.content is not None
    return row is None or brings_all or row["content_hash"] in {reading.content_hash, known.content_hash}


def _return(page: Page, decision: Decision, artifact_id: int, signal_id: int) -> Row:
    assignment = decision.assignment
    return {
        "topic_id": decision.subspace_id,
        "cause": {"signal_id": signal_id, "artifact_ids": [artifact_id]},
        "numbers": {"similarity": assignment.similarity, "fit": assignment.fit},
        "occurred_at": page.occurred_at,
    }


def _already_captured(page: Page, row: Row, signal_id: int) -> Captured:
    return Captured(
        artifact_id=row["id"],
        signal_id=signal_id,
        is_new=False,
        message="Already captured: this very visit is known, nothing was added.",
        subspace_id=row["subspace_id"],
        assigned_by=row["assigned_by"],
        raw_margin=row["raw_margin"],
        fit=row["fit"] or 0.0,
        probability=row["probability"] or 0.0,
        engagement_level=row["engagement_level"],
        reading_depth=row["reading_depth"],
        embedding_used=False,
        embedded_fraction=row["embedded_fraction"],
        duplicate_of=row["duplicate_of"],
        adjusted=page.request.adjusted,
    )


def _captured(
    page: Page, reading: Reading, written: Row, decision: Decision, signal_id: int, *, is_new: bool
) -> dict[str, Any]:
    assignment = decision.assignment
    return {
        "artifact_id": written["id"],
        "signal_id": signal_id,
        "is_new": is_new,
        "message": "Captured." if is_new else "Known page: this visit was added to it.",
        "subspace_id": decision.subspace_id,
        "assigned_by": assignment.assigned_by,
        "raw_margin": assignment.margin,
        "fit": assignment.fit,
        "probability": assignment.probability,
        "engagement_level": decision.level,
        "reading_depth": page.depth,
        "embedding_used": reading.is_clients,
        "embedded_fraction": reading.fraction,
        "duplicate_of": written["duplicate_of"],
        "adjusted": page.request.adjusted,
    }
