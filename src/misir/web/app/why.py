"""PURE: why a number is what it is: its formula in words, what it rests on, of when, and of how many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from misir.orient.config import EngineConfig
from misir.spaces.schemas import Space, Subspace


@dataclass(frozen=True, slots=True)
class Why:
    """One figure explained. `sample` counts what it rests on, `dates` says of which time."""

    title: str
    meaning: str
    formula: str
    sample: str
    dates: str


def focus_of_space(space: Space, config: EngineConfig) -> Why:
    return Why(
        "Focus",
        "How well the topics of this space hold together.",
        "The mean confidence of its topics, larger ones counting more. A topic's confidence is how well each "
        f"new item agreed with it, times n / (n + {config.confidence_prior_count}) for its n items, so that "
        "few items cannot look sure.",
        f"{_count(space.subspace_count, 'topic')}, {_count(space.artifact_count, 'item')}; topics below "
        f"{config.min_artifacts} items are left out.",
        f"As of the last capture{_on(space.last_activity_at)}.",
    )


def fit_of_space(space: Space, config: EngineConfig) -> Why:
    return Why(
        "Fit",
        "How clearly the items of this space belong to the topics they are in.",
        "The mean of every item's fit. An item's fit is how much likelier its topic is than the next best "
        f"choice, 0 to 1: weak below {config.moderate_fit}, strong from {config.strong_fit}.",
        f"{_count(space.artifact_count, 'item')}.",
        f"Each item measured when it was placed; the last{_on(space.last_activity_at)}.",
    )


def pace_of_space(space: Space) -> Why:
    return Why(
        "Pace",
        "How much is read here.",
        "Different items that were captured or opened again within the last 7 days.",
        f"{_count(space.velocity, 'item')}.",
        "The 7 days up to now.",
    )


def shift_of_space(space: Space) -> Why:
    return Why(
        "Shift",
        "Whether what you read under a topic has changed, beyond the usual variety of an unchanged topic.",
        "The largest change of a topic within 7 days: how far its newest items are from those before, "
        "less what shuffling the same items would give.",
        f"{_count(space.subspace_count, 'topic')}.",
        "The 7 days up to now; a dash means that no topic shifted.",
    )


def confidence_of_topic(topic: Subspace, config: EngineConfig) -> Why:
    return Why(
        "Confidence",
        "How well the items of this topic agree with it.",
        "Mean agreement of each new item with the topic's centre, times "
        f"n / (n + {config.confidence_prior_count}) for its n items.",
        f"{_count(topic.artifact_count, 'item')}; below {config.min_artifacts} there is not enough data.",
        f"As of the last item it learned from{_on(topic.centroid_updated_at)}.",
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _on(moment: datetime | None) -> str:
    return "" if moment is None else f", {moment.day} {moment:%b %Y}"
