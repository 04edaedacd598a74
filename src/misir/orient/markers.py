"""Markers: a topic's phrases, how fresh they are and which of them a text matches (engine.md §4, §8)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from misir.orient.config import EngineConfig


def marker_weight(last_matched_at: datetime, now: datetime, config: EngineConfig) -> float:
    """max(0.01, 0.9^weeks since the last match): 0.01..1, computed when read (engine.md §8).

    Weeks are fractional; both times are aware; a match restores 1. A marker never matched counts from its
    creation.

    >>> from datetime import UTC
    >>> matched, now = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 15, tzinfo=UTC)
    >>> round(marker_weight(matched, now, EngineConfig()), 6)
    0.81
    """
    weeks = max(0.0, (now - last_matched_at) / timedelta(weeks=1))
    return max(config.marker_min_weight, float((1.0 - config.marker_weekly_decay) ** weeks))


def phrases_in(text: str, phrases: Sequence[str]) -> tuple[int, ...]:
    """Which phrases occur in the text as whole words? Their indices, ascending.

    Case, runs of white space and Unicode's composed or compatible spellings make no difference (NFKC and
    casefold, Unicode TR 15); a blank phrase never occurs.

    >>> phrases_in("Rust's BORROW  checker, not trust.", ["borrow checker", "rust", "us", "C++"])
    (0, 1)
    """
    haystack = _folded(text)
    return tuple(index for index, phrase in enumerate(phrases) if _occurs(_folded_phrase(phrase), haystack))


def matched_markers(text: str, phrases: Sequence[str], is_near: npt.ArrayLike) -> tuple[int, ...]:
    """Markers whose phrase occurs in the text or whose vector is near it: has cosine ≥ λ (engine.md §4).

    phrases and is_near (k,) go together; indices, ascending.

    >>> matched_markers("On soil.", ["soil", "seeds", "stars"], [False, True, False])
    (0, 1)
    """
    near = np.flatnonzero(np.asarray(is_near, dtype=bool))
    return tuple(sorted({*phrases_in(text, phrases), *near.tolist()}))


@lru_cache(maxsize=10_000)
def _folded_phrase(phrase: str) -> str:
    """The same phrases are looked for in every text."""
    return _folded(phrase)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _occurs(phrase: str, text: str) -> bool:
    if not phrase or phrase not in text:
        return False
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None
