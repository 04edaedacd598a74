"""PURE: why one item is where it is, and why a search found it: the numbers of a placement and of a match."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from misir.embed.calibration import Calibration
from misir.library.explain import Explanation
from misir.library.schemas import ArtifactDetail
from misir.orient.config import EngineConfig
from misir.search.schemas import Leg, Mode, SearchHit
from misir.web.app.why import Why
from misir.web.page import counted, day

N_VISITS: Final = 20
"""As many as an item's own answer has."""

LEGS: Final[dict[Leg, str]] = {
    "name": "it is called what you typed",
    "words": "its title or text has your words",
    "meaning": "its meaning is near to that of your question",
}


def reasons_of_item(
    item: ArtifactDetail, found: Explanation, config: EngineConfig, scale: Calibration, now: datetime
) -> dict[str, Why]:
    """Of each figure beside an item's text."""
    decision = found.decision
    measured = (
        f"Measured when it was captured, {day(decision.occurred_at)}, and again when its topics change."
    )
    considered = f"This item against {counted(decision.candidate_count, 'topic')}, and against none of them."
    raw = "" if item.raw_margin is None else f" The bare lead in cosine was {item.raw_margin:.3f}."
    return {
        "fit": Why(
            "Fit",
            "How clearly this item belongs to its topic.",
            "The probability of its topic less that of the next best choice, which may be none: "
            f"{_probability(found.probability)} is the topic's own. Weak below {config.moderate_fit}, strong "
            f"from {config.strong_fit}.{raw}",
            considered,
            measured,
        ),
        "nearness": Why(
            "Nearness to its topic",
            "How much its text means what the topic's centre means.",
            f"The cosine of the two vectors. Unrelated texts have {scale.mu:.2f} on average with this model, "
            f"a topic's own reach {scale.tau:.2f}; at {scale.novelty:.2f} a topic is as likely as none.",
            f"One text; {item.embedded_fraction:.0%} of it is in the vector.",
            measured,
        ),
        "weight": Why(
            "Weight today",
            "How much this item counts in figures about what you read.",
            f"How far you went into it ({_level(item, config):g}) times how near it is to its topic, times "
            "how fresh it is: pages of its kind keep a fixed share of their weight every "
            f"{config.retention_period_days:.0f} days.",
            counted(len(item.signals), "visit") + (" or more." if len(item.signals) == N_VISITS else "."),
            f"As of today, {day(now)}; read {day(item.captured_at)}.",
        ),
    }


def why_found(hit: SearchHit, mode: Mode, scale: Calibration, config: EngineConfig) -> Why:
    """Of one result: what spoke for it, and what the order follows."""
    return Why(
        "This result",
        f"It was found because {_and([LEGS[leg] for leg in hit.matched_by])}.",
        f"Nearness {hit.similarity:.2f} is the cosine of your question and its text: unrelated texts have "
        f"{scale.mu:.2f}, results by meaning begin at {scale.search_threshold:.2f}, a topic's own reach "
        f"{scale.tau:.2f}. {_order(mode, config)} Its place follows {hit.score:.2f}.",
        "One text, and every text of yours that was searched.",
        f"Now; it was last read {day(hit.captured_at)}.",
    )


def _order(mode: Mode, config: EngineConfig) -> str:
    if mode != "hybrid":
        return "The order is by meaning alone." if mode == "semantic" else "The order is by words alone."
    share = f"{config.meaning_share:.0%}"
    return f"Meaning makes {share} of the order and words the rest; an exact name goes before all."


def _level(item: ArtifactDetail, config: EngineConfig) -> float:
    weights = config.to_json()
    return weights[f"base_weight_{item.engagement_level.value}"]


def _probability(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _and(reasons: list[str]) -> str:
    """A list as people say it.

    >>> _and(["a"]), _and(["a", "b", "c"])
    ('a', 'a, b, and c')
    """
    if len(reasons) < 2:
        return "".join(reasons)
    return f"{', '.join(reasons[:-1])}{',' if len(reasons) > 2 else ''} and {reasons[-1]}"
