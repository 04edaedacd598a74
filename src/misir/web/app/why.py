"""PURE: why a number is what it is: its formula in words, what it rests on, of when, and of how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from misir.analytics.schemas import FocusWeek, GlobalAnalytics, MarginDistribution, SpaceAnalytics
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


def reasons_of_everything(found: GlobalAnalytics) -> dict[str, Why]:
    """Of each figure on the page of all spaces, by its place there."""
    today = f"As of {found.as_of.day} {found.as_of:%b %Y}, in the time zone {found.timezone}."
    overview = found.overview
    visits = sum(one.visit_count for one in found.time_allocation)
    return {
        "focus": Why(
            "Focus",
            "How well your topics hold together, all spaces taken together.",
            "The mean confidence of your topics, each counting by the weight of its items: how deeply they "
            "were read, how well they fit, and how fresh they are.",
            f"{_count(overview.focus_sample, 'item')} in topics that have enough data.",
            today,
        ),
        "time": Why(
            "Time by space",
            "Where your reading time went.",
            "For every visit the time the page was in use, or open where that is unknown; only where neither "
            "was measured, its words at 200 a minute, which is then called estimated.",
            f"{_count(visits, 'visit')}.",
            f"The last 90 days. {today}",
        ),
        "days": Why(
            "Days",
            "On which days you read.",
            "Different items that were read on each day.",
            f"{_count(sum(one.count for one in found.activity_heatmap), 'item')}, a day each.",
            f"The last 90 days. {today}",
        ),
        "pace": Why(
            "Pace",
            "How much you read now, against the week before.",
            "Different items of the last 7 days, and of the 7 before; it is called more or less only where "
            "chance alone would hardly make such a difference.",
            f"{_count(sum(one.count + one.count_before for one in found.pace_by_space), 'item')}.",
            f"The last 14 days. {today}",
        ),
        "intention": Why(
            "Intention against attention",
            "Whether what you read in a space is what you said it is for.",
            "Attention is the space's share of all weight read. Nearness compares the intention "
            "with the topics that were read, by how much each was: 0 as unrelated texts, 1 as a topic's own.",
            f"{_count(sum(one.sample_size for one in found.intentions), 'item')} in topics.",
            f"The last 30 days. {today}",
        ),
    }


def reasons_of_space(
    found: SpaceAnalytics, fits: MarginDistribution, weeks: Sequence[FocusWeek]
) -> dict[str, Why]:
    """Of each figure on a space's insights, by its place there."""
    today = f"As of {found.as_of.day} {found.as_of:%b %Y}."
    since = f"{_count(len(weeks), 'week')}, the last one going on. {today}"
    placed = weeks[-1].focus_sample if weeks else 0
    return {
        "focus": Why(
            "Focus over time",
            "Whether the topics of this space come to hold together better or worse.",
            "At the end of each week, the mean confidence of its topics by size. A dashed line marks a "
            "shift: a topic whose content changed.",
            f"{_count(placed, 'item')} in topics with enough data, at the end.",
            since,
        ),
        "clarity": Why(
            "Fit over time",
            "Whether new items belong clearly to a topic.",
            "The mean fit of what was placed in each week.",
            f"{_count(sum(one.clarity_sample for one in weeks), 'item')}.",
            since,
        ),
        "pace": Why(
            "Pace",
            "How much is read here.",
            "Different items read in each week.",
            f"{_count(sum(one.artifact_count for one in weeks), 'item')}, a week each.",
            since,
        ),
        "fits": Why(
            "Fit of the items",
            "How clearly the items belong to their topics, from 0 to 1.",
            "Items in a topic, counted in ten equal steps of fit.",
            f"{_count(fits.total, 'item')} in topics; {fits.unplaced_count} in none.",
            today,
        ),
        "depth": Why(
            "Depth",
            "How far you went into what is here.",
            "Each item counts at the deepest level it ever reached, by time and scrolling.",
            f"{_count(found.total_artifacts, 'item')}.",
            today,
        ),
        "reads": Why(
            "What shaped this space",
            "The items that weigh most in its topics now.",
            "Weight is depth times how near the item is to its topic times freshness. The share says how "
            "much of all that the topic was taught came from this one item.",
            f"{_count(found.total_artifacts, 'item')}.",
            today,
        ),
    }
