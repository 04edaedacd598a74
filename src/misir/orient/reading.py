"""Reading: how deeply a page was read, and the words for level, source and decay (engine.md §1, §2).

Times are milliseconds. The enums' order is their meaning's order, lowest first; compare them by `rank`
or `max_level`, never by `<`, which compares the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from misir.orient.config import EngineConfig

MS_PER_MINUTE = 60_000
ROUNDING = 1e-9
"""Differences of binary fractions below this are rounding: 0.9 − 0.7 is 0.20."""


class EngagementLevel(StrEnum):
    """How far somebody went into a page; it only ever rises."""

    LATENT = "latent"
    DISCOVERED = "discovered"
    ENGAGED = "engaged"
    SATURATED = "saturated"

    @property
    def rank(self) -> int:
        """0 for latent to 3 for saturated."""
        return list(EngagementLevel).index(self)


class ContentSource(StrEnum):
    """Where a text came from."""

    WEB = "web"
    PDF = "pdf"
    VIDEO = "video"
    CHAT = "chat"
    NOTE = "note"
    OTHER = "other"


class DecayRate(StrEnum):
    """How fast a text loses weight with age, fastest first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


LEGACY_LEVELS: Mapping[str, EngagementLevel] = {
    "ambient": EngagementLevel.LATENT,
    "active": EngagementLevel.ENGAGED,
    "flow": EngagementLevel.SATURATED,
    "committed": EngagementLevel.SATURATED,
}
LEGACY_SOURCES: Mapping[str, ContentSource] = {
    "ai": ContentSource.CHAT,
    "document": ContentSource.PDF,
    "ebook": ContentSource.PDF,
    "upload": ContentSource.PDF,
    "manual": ContentSource.NOTE,
}
DECAY_RATES: Mapping[ContentSource, DecayRate] = {
    ContentSource.WEB: DecayRate.HIGH,
    ContentSource.CHAT: DecayRate.HIGH,
    ContentSource.VIDEO: DecayRate.MEDIUM,
    ContentSource.OTHER: DecayRate.MEDIUM,
    ContentSource.PDF: DecayRate.LOW,
    ContentSource.NOTE: DecayRate.LOW,
}

Word = TypeVar("Word", bound=StrEnum)


def parse_level(word: str) -> EngagementLevel:
    """The level a client's word means, older words included; else a ValueError naming the allowed ones.

    >>> parse_level("flow")
    <EngagementLevel.SATURATED: 'saturated'>
    """
    return _parse(word, EngagementLevel, LEGACY_LEVELS, "engagement_level")


def parse_source(word: str) -> ContentSource:
    """The source a client's word means, older words included; else a ValueError naming the allowed ones.

    >>> parse_source("ebook")
    <ContentSource.PDF: 'pdf'>
    """
    return _parse(word, ContentSource, LEGACY_SOURCES, "content_source")


def _parse(word: str, words: type[Word], legacy: Mapping[str, Word], field: str) -> Word:
    meanings = {member.value: member for member in words} | dict(legacy)
    meaning = meanings.get(word.strip().lower())
    if meaning is None:
        raise ValueError(f"{field} must be one of {', '.join(words)}; {word!r} is none of them.")
    return meaning


def decay_rate(source: ContentSource) -> DecayRate:
    """Fast (high) for web and chat, medium for video and other, low for pdf and note (engine.md §2).

    >>> decay_rate(ContentSource.NOTE).value
    'low'
    """
    return DECAY_RATES[source]


def max_level(*levels: EngagementLevel) -> EngagementLevel:
    """The deepest of the levels: a level never goes down (engine.md §1).

    >>> max_level(EngagementLevel.ENGAGED, EngagementLevel.LATENT).value
    'engaged'
    """
    return max(levels, key=lambda level: level.rank)


def derive_level(dwell_ms: float, scroll_depth: float, config: EngineConfig) -> EngagementLevel:
    """The level that time (ms ≥ 0) and scroll (0..1) show, when the client names none (engine.md §1).

    saturated: ≥ 10 min and scroll ≥ 0.9; engaged: ≥ 3 min and scroll ≥ 0.5; discovered: ≥ 30 s *or*
    scroll ≥ 0.1; else latent.

    >>> [derive_level(ms, 0.6, EngineConfig()).value for ms in (0, 180_000)]
    ['discovered', 'engaged']
    """
    if dwell_ms >= config.saturated_min_ms and scroll_depth >= config.saturated_min_scroll:
        return EngagementLevel.SATURATED
    if dwell_ms >= config.engaged_min_ms and scroll_depth >= config.engaged_min_scroll:
        return EngagementLevel.ENGAGED
    if dwell_ms >= config.discovered_min_ms or scroll_depth >= config.discovered_min_scroll:
        return EngagementLevel.DISCOVERED
    return EngagementLevel.LATENT


def expected_ms(
    word_count: int, source: ContentSource, config: EngineConfig, *, duration_ms: float | None = None
) -> float | None:
    """Time one full reading takes, in ms > 0; None when there is nothing to go by (engine.md §1).

    words · 60000 / 200 wpm, a pdf at 0.8 of that rate; a video takes its duration when that is given. 200 wpm
    is a careful pace: Brysbaert (2019) finds a mean of 238 wpm for silent reading of English non-fiction.

    >>> expected_ms(400, ContentSource.WEB, EngineConfig())
    120000.0
    >>> expected_ms(400, ContentSource.PDF, EngineConfig())
    150000.0
    >>> expected_ms(0, ContentSource.VIDEO, EngineConfig(), duration_ms=90_000)
    90000.0
    """
    if source is ContentSource.VIDEO and duration_ms:
        return float(duration_ms)
    if word_count <= 0:
        return None
    factor = config.pdf_rate_factor if source is ContentSource.PDF else 1.0
    return word_count * MS_PER_MINUTE / (config.words_per_minute * factor)


def time_ratio(read_ms: float, expected: float, config: EngineConfig) -> float:
    """min(1.5, read_ms / expected), both in ms, expected > 0: 0..1.5 (engine.md §1).

    >>> time_ratio(60_000, 120_000, EngineConfig()), time_ratio(10**9, 120_000, EngineConfig())
    (0.5, 1.5)
    """
    return min(config.max_time_ratio, read_ms / expected)


def reading_depth(
    read_ms: float, scroll_depth: float, expected: float | None, config: EngineConfig
) -> float | None:
    """min(1.5, 0.6 · time_ratio + 0.4 · scroll_depth): 0..1.5; None without an expected time (engine.md §1).

    read_ms is the active time where the client measured it, else the dwell time; scroll_depth is 0..1.
    Half the expected time and three quarters of the page: 0.6 · 0.5 + 0.4 · 0.75 = 0.6.

    >>> round(reading_depth(60_000, 0.75, 120_000, EngineConfig()), 6)
    0.6
    """
    if expected is None:
        return None
    time_part = config.time_share * time_ratio(read_ms, expected, config)
    return min(config.max_reading_depth, time_part + config.scroll_share * scroll_depth)


def is_depth_different(client: float | None, server: float | None, config: EngineConfig) -> bool:
    """Do the client's and our depth differ by more than 0.20? A flag, never a rejection (engine.md §1).

    >>> is_depth_different(0.9, 0.7, EngineConfig()), is_depth_different(0.91, 0.7, EngineConfig())
    (False, True)
    """
    if client is None or server is None:
        return False
    return abs(client - server) - config.depth_tolerance > ROUNDING
