"""PURE: what the client sent, read once into the terms the engine and the database use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from misir.capture.schemas import CaptureRequest
from misir.embed.text import document_text
from misir.orient.config import EngineConfig
from misir.orient.reading import (
    ContentSource,
    EngagementLevel,
    derive_level,
    expected_ms,
    is_depth_different,
    reading_depth,
)
from misir.orient.urls import WEB_SCHEMES, domain_of, normalise_url
from misir.orient.vectors import Vector

_OWN_SCHEMES = {"note": ContentSource.NOTE, "chat": ContentSource.CHAT}


@dataclass(frozen=True, slots=True)
class Page:
    """One visit. Hashes are SHA-256; `occurred_at` is the client's time of reading, else ours."""

    request: CaptureRequest
    normalized_url: str
    url_hash: bytes
    domain: str | None
    source: ContentSource
    word_count: int
    level: EngagementLevel
    depth: float | None
    depth_client: float | None
    is_depth_different: bool
    event_hash: bytes
    payload_hash: bytes
    occurred_at: datetime
    now: datetime

    @property
    def has_own_time(self) -> bool:
        """Did the client say when this was read?"""
        return self.request.captured_at is not None


@dataclass(frozen=True, slots=True)
class Known:
    """What the library held of this page before the capture; text and vector None where there is none."""

    title: str | None = None
    content: str | None = None
    content_hash: bytes | None = None
    word_count: int = 0
    source: ContentSource | None = None
    vector: Vector | None = None
    fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The text a capture leaves behind, and its vector: unit, (D,), rounded to half precision.

    bands: the quarters of the text's simhash; None where there is no text, or it was known before.
    """

    text: str
    content_hash: bytes
    vector: Vector
    fraction: float
    is_clients: bool
    bands: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A visit that wants in: the page, what was known of it, and the text and vector it leaves behind."""

    page: Page
    known: Known
    reading: Reading


def read_page(request: CaptureRequest, now: datetime, config: EngineConfig) -> Page:
    """Everything about the visit that needs no database: identity, level, depth, and the event's hashes."""
    normalized_url = normalise_url(request.url)
    source = _source(request, normalized_url)
    n_words = round(request.word_count) if request.word_count else count_words(request.content)
    depth = _depth(request, n_words, source, config)
    occurred_at = request.captured_at or now
    event_hash = hash_event(request)
    return Page(
        request=request,
        normalized_url=normalized_url,
        url_hash=hashlib.sha256(normalized_url.encode()).digest(),
        domain=domain_of(normalized_url),
        source=source,
        word_count=n_words,
        level=request.engagement_level or derive_level(_read_ms(request), request.scroll_depth, config),
        depth=depth,
        depth_client=request.reading_depth,
        is_depth_different=is_depth_different(request.reading_depth, depth, config),
        event_hash=event_hash,
        payload_hash=hashlib.sha256(event_hash + occurred_at.isoformat().encode()).digest(),
        occurred_at=occurred_at,
        now=now,
    )


def complete_page(page: Page, known: Known, config: EngineConfig) -> Page:
    """The visit, with what it left unsaid taken from what is known: the page's length and its source."""
    n_words = page.word_count or known.word_count
    is_source_said = "content_source" in page.request.model_fields_set
    source = page.source if is_source_said or known.source is None else known.source
    depth = _depth(page.request, n_words, source, config)
    differs = is_depth_different(page.depth_client, depth, config)
    return replace(page, word_count=n_words, source=source, depth=depth, is_depth_different=differs)


def _read_ms(request: CaptureRequest) -> float:
    return request.dwell_time_ms if request.active_time_ms is None else request.active_time_ms


def _depth(
    request: CaptureRequest, n_words: int, source: ContentSource, config: EngineConfig
) -> float | None:
    return reading_depth(
        _read_ms(request), request.scroll_depth, expected_ms(n_words, source, config), config
    )


def _source(request: CaptureRequest, normalized_url: str) -> ContentSource:
    """What the client said; else a note: or chat: address says it, and a local one is other."""
    scheme = normalized_url.partition(":")[0]
    if "content_source" in request.model_fields_set or scheme in WEB_SCHEMES:
        return request.content_source
    return _OWN_SCHEMES.get(scheme, ContentSource.OTHER)


def count_words(text: str | None) -> int:
    """Runs of anything but white space.

    >>> count_words("One, two: three."), count_words(None)
    (3, 0)
    """
    return len((text or "").split())


def hash_event(request: CaptureRequest) -> bytes:
    """SHA-256 of what happened: equal for a capture that was merely sent again (api.md, Capture)."""
    happened = [
        request.session_id,
        request.engagement_level,
        request.dwell_time_ms,
        request.active_time_ms,
        request.scroll_depth,
        request.signal_type,
        request.signal_magnitude,
        request.title,
        request.content,
        request.subspace_id,
        request.updates_centroid,
        request.captured_at and request.captured_at.isoformat(),
    ]
    digest = hashlib.sha256(orjson.dumps(happened))
    if request.vector is not None:
        digest.update(request.vector.tobytes())
    return digest.digest()


def merged_text(page: Page, known: Known) -> str:
    """The text the library will hold: a missing title or content never replaces a present one."""
    return document_text(page.request.title or known.title, page.request.content or known.content)


def hash_content(text: str, vector: Vector | None) -> bytes:
    """What the vector is of: the text, or, where there is none, the client's vector itself."""
    if text or vector is None:
        return hashlib.sha256(text.encode()).digest()
    return hashlib.sha256(b"vector:" + vector.tobytes()).digest()
