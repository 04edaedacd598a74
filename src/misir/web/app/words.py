"""PURE: numbers in the words that people read: what the pages say instead of 0.62."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from misir.orient.confidence import confidence_label
from misir.orient.config import EngineConfig
from misir.orient.reading import EngagementLevel
from misir.spaces.schemas import Space

QUIET_DAYS: Final = 14
N_DOTS: Final = 5

LEVELS: Final = {
    EngagementLevel.LATENT: "Saved",
    EngagementLevel.DISCOVERED: "Skimmed",
    EngagementLevel.ENGAGED: "Read",
    EngagementLevel.SATURATED: "Studied",
}
"""How far somebody went into a page."""

SOURCES: Final = {
    "web": "Web page",
    "pdf": "PDF",
    "video": "Video",
    "chat": "Chat",
    "note": "Note",
    "other": "Other",
}

EVENTS: Final = {
    "born": "began",
    "renamed": "was renamed",
    "drifted": "shifted",
    "merged": "was merged",
    "split": "was split",
    "dormant": "fell asleep",
    "returned": "woke up again",
    "retired": "was retired",
    "reopened": "was opened again",
    "consolidated": "was tidied up",
    "reembedded": "was read again by another model",
}


CORRECTIONS: Final = {
    "adopt": "A topic was born of items that were in none",
    "move": "Moved",
    "delete": "Deleted",
    "restore": "Restored",
    "merge": "Topics merged",
    "split": "A topic split",
    "retire": "A topic retired",
    "consolidate": "Tidied up",
    "seed": "A topic declared",
    "marker": "A topic's phrases changed",
    "undo": "Undone",
}
"""Every kind of entry in a space's log that is no visit."""

ACTORS: Final = {"user": "you", "engine": "the engine", "admin": "an administrator"}


@dataclass(frozen=True, slots=True)
class Status:
    """How a space is doing, in two words, and why. `tone`: ok, watch or calm."""

    label: str
    tone: str
    because: str


def status_of(space: Space, now: datetime, config: EngineConfig) -> Status:
    """The first of these that holds: empty, quiet, shifting, young, and then what its focus says."""
    if not space.artifact_count or space.last_activity_at is None:
        return Status("Empty", "calm", "Nothing has been captured here yet.")
    if now - space.last_activity_at > timedelta(days=QUIET_DAYS):
        return Status("Quiet", "watch", f"Nothing new since {ago(space.last_activity_at, now)}.")
    if space.recent_drift is not None:
        return Status("Shifting", "watch", "A topic changed its content within the last 7 days.")
    if space.confidence is None:
        return Status(
            "Just starting", "calm", "No topic has enough items yet to say how well it holds together."
        )
    label = confidence_label(space.confidence, config).value
    if space.confidence >= config.moderate_confidence:
        return Status("On course", "ok", f"Its topics hold together: focus is {label}.")
    return Status("Forming", "calm", f"Its topics are still finding their shape: focus is {label}.")


def dots(value: float | None) -> int:
    """A share of 1 as filled dots of five: one for each fifth that was begun, as the words for focus have it.

    >>> [dots(value) for value in (None, 0.0, 0.01, 0.5, 1.0)]
    [0, 0, 1, 3, 5]
    """
    return min(N_DOTS, int(value * N_DOTS) + 1) if value else 0


def focus_in_words(value: float | None, config: EngineConfig) -> str:
    return "not enough data" if value is None else confidence_label(value, config).value


def fit_in_words(value: float | None, config: EngineConfig) -> str:
    """How clearly an item belongs to its topic.

    >>> [fit_in_words(value, EngineConfig()) for value in (None, 0.0, 0.1, 0.4, 0.9)]
    ['not enough data', 'fits nowhere yet', 'weak', 'moderate', 'strong']
    """
    if value is None:
        return "not enough data"
    if value == 0:
        return "fits nowhere yet"
    if value < config.moderate_fit:
        return "weak"
    return "moderate" if value < config.strong_fit else "strong"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, in whole units of a size that people use for it.

    >>> from datetime import UTC
    >>> now = datetime(2026, 3, 20, 12, tzinfo=UTC)
    >>> [ago(now - timedelta(hours=hours), now) for hours in (0, 5, 30, 480)]
    ['just now', '5 hours ago', 'yesterday', '3 weeks ago']
    """
    seconds = (now - moment).total_seconds()
    if seconds < 60:
        return "just now"
    if 86_400 <= seconds < 172_800:
        return "yesterday"
    return f"{_units(seconds)} ago"


def ahead(moment: datetime, now: datetime) -> str:
    """When something is due, as `ago` says when it was.

    >>> from datetime import UTC
    >>> now = datetime(2026, 3, 20, 12, tzinfo=UTC)
    >>> [ahead(now + timedelta(minutes=minutes), now) for minutes in (-3, 0, 5, 125)]
    ['now', 'now', 'in 5 minutes', 'in 2 hours']
    """
    seconds = (moment - now).total_seconds()
    return "now" if seconds < 60 else f"in {_units(seconds)}"


def _units(seconds: float) -> str:
    unit, length = next((unit, length) for until, unit, length in _UNITS if seconds < until)
    number = max(1, round(seconds / length)) if length > 86_400 else int(seconds // length)
    return f"{number} {unit}{'' if number == 1 else 's'}"


_UNITS: Final = (
    (3_600, "minute", 60),
    (86_400, "hour", 3_600),
    (14 * 86_400, "day", 86_400),
    (60 * 86_400, "week", 7 * 86_400),
    (730 * 86_400, "month", 30.4 * 86_400),
    (float("inf"), "year", 365 * 86_400),
)
"""Up to how many seconds which unit is used, and its length in seconds."""


def span(milliseconds: float) -> str:
    """A duration as people say it.

    >>> span(0), span(42_000), span(754_000), span(8_040_000)
    ('0 s', '42 s', '13 min', '2 h 14 min')
    """
    seconds = round(milliseconds / 1000)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
