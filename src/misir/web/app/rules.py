"""PURE: the rules behind alerts and insights in words, with the numbers that this Misir judges by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from misir.insights.findings import Rule
from misir.orient.config import EngineConfig


@dataclass(frozen=True, slots=True)
class RuleInWords:
    """`said` names its thresholds as they are set; `numbers` are their names in the engine's config."""

    title: str
    said: str
    numbers: tuple[str, ...]


def rules_in_words(config: EngineConfig) -> dict[Rule, RuleInWords]:
    """Every rule, in the order in which people are told of them.

    >>> rules_in_words(EngineConfig(stagnation_days=21))[Rule.STAGNATION].said
    'Raised when nothing was read in a space for 21 days that was read in before.'
    """
    values: Mapping[str, int | float] = config.to_json()
    shares = {f"{name}_percent": f"{100 * value:.0f} %" for name, value in values.items()}
    plain = {name: f"{value:g}" for name, value in values.items()}
    return {rule: replace(words, said=words.said.format(**plain, **shares)) for rule, words in _RULES.items()}


_RULES: Final[Mapping[Rule, RuleInWords]] = {
    Rule.HIGH_DRIFT: RuleInWords(
        "A topic shifted",
        "Raised when a topic shifted within 7 days by more than is usual for you: beyond "
        "{notable_quantile_percent} of your own shifts, or by {notable_magnitude} while there are fewer "
        "than {notable_min_events} of them.",
        ("notable_quantile", "notable_magnitude", "notable_min_events"),
    ),
    Rule.LOW_MARGIN: RuleInWords(
        "Latest reading fits badly",
        "Raised when the mean fit of the last {low_margin_items} items of a space is below {moderate_fit}.",
        ("low_margin_items", "moderate_fit"),
    ),
    Rule.CONFIDENCE_DROP: RuleInWords(
        "A topic fell apart",
        "Raised when a topic's confidence fell by more than {confidence_drop} within 7 days, from at least "
        "{min_artifacts} items on.",
        ("confidence_drop", "min_artifacts"),
    ),
    Rule.INTENTION_GAP: RuleInWords(
        "Reading away from the intention",
        "Raised when a month's reading, of at least {intention_min_items} items, is nearer to other topics "
        "than to what the space is for.",
        ("intention_min_items",),
    ),
    Rule.VELOCITY_DROP: RuleInWords(
        "Less than usual",
        "Raised when a week has less than {velocity_drop_share_percent} of a month's usual items, where "
        "{velocity_min_mean} a week are usual and the space is {alert_min_days} days old.",
        ("velocity_drop_share", "velocity_min_mean", "alert_min_days"),
    ),
    Rule.BURST: RuleInWords(
        "More than usual",
        "Raised from {burst_items} items within 24 hours on, where that is more than on "
        "{burst_quantile_percent} of your days; after {alert_min_days} days of reading.",
        ("burst_items", "burst_quantile", "alert_min_days"),
    ),
    Rule.STAGNATION: RuleInWords(
        "Silence",
        "Raised when nothing was read in a space for {stagnation_days} days that was read in before.",
        ("stagnation_days", "min_artifacts"),
    ),
    Rule.ECHO: RuleInWords(
        "One source",
        "Raised when more than {echo_share_percent} of the last {echo_items} items come from one site; from"
        " {echo_min_items} items on.",
        ("echo_share", "echo_items", "echo_min_items"),
    ),
    Rule.NEVER_READ: RuleInWords(
        "Saved and never read",
        "Raised when items were saved more than {never_read_days} days ago and never opened.",
        ("never_read_days",),
    ),
    Rule.MERGE: RuleInWords(
        "Two topics that are one",
        "Raised when fewer than {merge_max_accuracy_percent} of the items of two topics lie nearest to "
        "their own; both have at least {merge_min_items} items.",
        ("merge_max_accuracy", "merge_min_items"),
    ),
    Rule.SPLIT: RuleInWords(
        "One topic that is two",
        "Raised when a topic's items fall into two groups of at least {split_min_half} that are clearly "
        "apart: a silhouette from {split_min_silhouette} on.",
        ("split_min_half", "split_min_silhouette"),
    ),
}
