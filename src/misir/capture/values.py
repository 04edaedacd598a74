"""PURE: a decision as the named values of the statements in capture.sql."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pgvector import HalfVector, Vector
from psycopg.types.json import Jsonb

from misir.capture.decide import Decision, TopicChange
from misir.capture.page import Page, Reading
from misir.orient.reading import decay_rate
from misir.orient.simhash import N_BANDS


def page_values(page: Page) -> dict[str, Any]:
    """What the visit says of the page."""
    request = page.request
    return {
        "space_id": request.space_id,
        "session_id": request.session_id,
        "url": request.url,
        "normalized_url": page.normalized_url,
        "url_hash": page.url_hash,
        "domain": page.domain,
        "title": request.title,
        "content": request.content,
        "word_count": page.word_count,
        "content_source": page.source,
        "dwell_time_ms": round(request.dwell_time_ms),
        "active_time_ms": None if request.active_time_ms is None else round(request.active_time_ms),
        "scroll_depth": request.scroll_depth,
        "reading_depth": page.depth,
        "reading_depth_client": page.depth_client,
        "decay_rate": decay_rate(page.source),
        "metadata": Jsonb({"reading_depth_differs": True} if page.is_depth_different else {}),
        "event_hash": page.event_hash,
        "payload_hash": page.payload_hash,
        "signal_type": request.signal_type,
        "signal_magnitude": request.signal_magnitude,
        "client_teaches": request.updates_centroid,
        "occurred_at": page.occurred_at,
        "now": page.now,
    }


def reading_values(reading: Reading) -> dict[str, Any]:
    return {
        "content_hash": reading.content_hash,
        "embedded_fraction": reading.fraction,
        "vector": HalfVector(reading.vector),
        **band_values(reading),
    }


def band_values(reading: Reading) -> dict[str, int | None]:
    """The quarters of the text's simhash; none where there is no text to compare."""
    quarters = reading.bands or (None,) * N_BANDS
    return {f"band_{number}": quarter for number, quarter in enumerate(quarters, 1)}


def placement_values(decision: Decision) -> dict[str, Any]:
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
        "base_weight": decision.base_weight,
        "taught_weight": decision.taught_weight,
        "taught_so_far": decision.taught_so_far,
        "updates_centroid": assignment.updates_centroid,
        "matched_marker_ids": list(decision.matched_marker_ids),
        "is_lesson_new": decision.is_placed or decision.starts_teaching,
        "none_probability": float(assignment.scores.probabilities[-1]),
        "candidates": Jsonb([asdict(candidate) for candidate in decision.candidates]),
        "candidate_count": len(assignment.scores.similarities),
        "withheld": [reason.name.lower() for reason in assignment.withheld],
    }


def topic_values(change: TopicChange) -> dict[str, Any]:
    return {
        "topic_id": change.topic_id,
        "centroid": Vector(change.state.m) if change.state.has_centroid else None,
        "weight_sum": change.state.weight_sum,
        "signal_count": change.state.signal_count,
        "artifact_count": change.n_artifacts,
        "coherence": change.state.coherence,
        "placed_count": change.state.placed_count,
        "confidence": change.confidence,
        "is_taught": change.is_taught,
    }
