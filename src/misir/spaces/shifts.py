"""What a correction did to the topics it touched: each one's standing before and after."""

from __future__ import annotations

from collections.abc import Iterable

from misir.orient.confidence import has_enough_data
from misir.orient.config import EngineConfig
from misir.spaces.corrections import Logged
from misir.spaces.schemas import Standing, TopicChange


def changes_of(corrections: Iterable[Logged]) -> list[TopicChange]:
    """By topic, in the order of their ids: before the first of these corrections and after the last."""
    changes: dict[int, TopicChange] = {}
    for shift in (shift for logged in corrections for shift in logged.shifts):
        after = _standing(shift.confidence, shift.artifact_count)
        earlier = changes.get(shift.topic_id)
        before = (
            earlier.before if earlier else _standing(shift.confidence_before, shift.artifact_count_before)
        )
        changes[shift.topic_id] = TopicChange(
            subspace_id=shift.topic_id, name=shift.name, before=before, after=after
        )
    return [changes[topic_id] for topic_id in sorted(changes)]


def _standing(confidence: float, n_artifacts: int) -> Standing:
    enough = has_enough_data(n_artifacts, EngineConfig())
    return Standing(confidence=confidence, artifact_count=n_artifacts, enough_data=enough)
