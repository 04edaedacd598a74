"""PURE: decisions as the rows that capture.sql writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import orjson
from pgvector import Vector as PgVector
from psycopg.types.json import Json

from misir.capture.decide import Decision, TopicChange
from misir.capture.page import Page, Reading
from misir.orient.reading import decay_rate
from misir.orient.simhash import N_BANDS
from misir.orient.vectors import Vector

Row = dict[str, Any]

RISING: Final = (
    "dwell_time_ms", "active_time_ms", "scroll_depth", "reading_depth", "reading_depth_client", "captured_at",
)  # fmt: skip
KEPT: Final = ("url", "title", "content", "learned_seq", "band_1", "band_2", "band_3", "band_4")


def as_json(rows: Sequence[Row]) -> Json:
    """Rows for json_to_recordset."""
    return Json(rows, dumps=_dumps)


def _dumps(rows: Any) -> bytes:
    return orjson.dumps(rows, default=_as_text, option=orjson.OPT_SERIALIZE_NUMPY)


def _as_text(value: Any) -> str:
    """A hash, as PostgreSQL reads bytes."""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError(f"{type(value).__name__} has no place in a row")


def artifact_row(
    artifact_id: int, page: Page, reading: Reading, decision: Decision, duplicate_of: int | None
) -> Row:
    """What the visit leaves of the page. `learned_seq` is for the caller to say."""
    request = page.request
    return {
        "id": artifact_id,
        "url": request.url,
        "normalized_url": page.normalized_url,
        "url_hash": page.url_hash,
        "domain": page.domain,
        "title": request.title,
        "content": request.content,
        "content_hash": reading.content_hash,
        "word_count": page.word_count,
        "content_source": page.source,
        "dwell_time_ms": round(request.dwell_time_ms),
        "active_time_ms": None if request.active_time_ms is None else round(request.active_time_ms),
        "scroll_depth": request.scroll_depth,
        "reading_depth": page.depth,
        "reading_depth_client": page.depth_client,
        "decay_rate": decay_rate(page.source),
        "metadata": {"reading_depth_differs": True} if page.is_depth_different else {},
        "captured_at": page.occurred_at,
        "embedded_fraction": reading.fraction,
        "duplicate_of": duplicate_of,
        **band_values(reading),
        **_placement(decision),
        "taught_weight": decision.taught_so_far,
    }


def _placement(decision: Decision) -> Row:
    """Where the page goes, and the numbers it was decided by."""
    assignment = decision.assignment
    return {
        "subspace_id": decision.subspace_id,
        "assigned_by": assignment.assigned_by,
        "engagement_level": decision.level,
        "similarity": assignment.similarity,
        "raw_margin": assignment.margin,
        "probability": assignment.probability,
        "fit": assignment.fit,
    }


def band_values(reading: Reading) -> dict[str, int | None]:
    """The quarters of the text's simhash; none where there is no text to compare."""
    quarters = reading.bands or (None,) * N_BANDS
    return {f"band_{number}": quarter for number, quarter in enumerate(quarters, 1)}


def merged_rows(first: Row, second: Row) -> Row:
    """Two visits of one page as if they had been written one after the other, as update_artifacts does it.

    >>> first = {"title": "A", "dwell_time_ms": 9, "metadata": {}, "fit": 0.1}
    >>> merged_rows(first, {"title": None, "dwell_time_ms": 4, "metadata": {"x": 1}, "fit": 0.2})
    {'title': 'A', 'dwell_time_ms': 9, 'metadata': {'x': 1}, 'fit': 0.2}
    """
    merged = {**first, **second, "metadata": first["metadata"] | second["metadata"]}
    for name in RISING:
        if name in merged:
            merged[name] = greatest(first.get(name), second.get(name))
    for name in KEPT:
        if name in merged and second.get(name) is None:
            merged[name] = first.get(name)
    return merged


def greatest(*values: Any) -> Any:
    """The largest of those that are there; None where none is.

    >>> greatest(None, 0.5, 0.25), greatest(None, None)
    (0.5, None)
    """
    return max((value for value in values if value is not None), default=None)


def signal_row(page: Page, decision: Decision, places: Mapping[str, int]) -> Row:
    """The log's entry; `places` are its id and seq, and the ids of its artifact and embedding."""
    request, assignment = page.request, decision.assignment
    return {
        **places,
        "session_id": request.session_id,
        "dwell_time_ms": round(request.dwell_time_ms),
        "active_time_ms": None if request.active_time_ms is None else round(request.active_time_ms),
        "event_hash": page.event_hash,
        "payload_hash": page.payload_hash,
        "signal_type": request.signal_type,
        "signal_magnitude": request.signal_magnitude,
        "client_teaches": request.updates_centroid,
        "occurred_at": page.occurred_at,
        **_placement(decision),
        "base_weight": decision.base_weight,
        "taught_weight": decision.taught_weight,
        "updates_centroid": assignment.updates_centroid,
        "matched_marker_ids": decision.matched_marker_ids,
        "none_probability": float(assignment.scores.probabilities[-1]),
        "candidates": [asdict(candidate) for candidate in decision.candidates],
        "candidate_count": len(assignment.scores.similarities),
        "withheld": [reason.name.lower() for reason in assignment.withheld],
    }


def topic_row(change: TopicChange, occurred_at: datetime) -> Row:
    """A topic's numbers; its centroid travels apart."""
    return {
        "topic_id": change.topic_id,
        "weight_sum": change.state.weight_sum,
        "signal_count": change.state.signal_count,
        "artifact_count": change.n_artifacts,
        "coherence": change.state.coherence,
        "placed_count": change.state.placed_count,
        "confidence": change.confidence,
        "is_taught": change.is_taught,
        "occurred_at": occurred_at,
    }


def centroids(of: Iterable[Vector | None]) -> list[PgVector | None]:
    return [None if m is None else PgVector(m) for m in of]
