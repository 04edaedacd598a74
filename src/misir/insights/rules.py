"""PURE: the rules behind alerts and insights (engine.md §11). Rows and a time in, findings out; no I/O.

A rule says what it saw (the pages, the dates, the size of the effect and of the sample), how much it matters,
and what a person can do about it. Where there is not enough to judge by, it says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from statistics import fmean
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from misir.insights.findings import Action, Finding, Row, Rule, Seen, Severity
from misir.orient.confidence import has_enough_data
from misir.orient.vectors import Vector, cosines

ONE_DAY: Final = timedelta(days=1)
MAX_NAMED: Final = 50
"""Most artifacts that a finding names; `sample_size` counts all."""


def judge(seen: Seen) -> list[Finding]:
    """Every rule over everything seen, in the order of spaces and rules."""
    reading = [
        finding
        for scene in seen.scenes
        for rule in (low_margin, velocity_drop, stagnation, burst, echo)
        for finding in rule(scene, seen)
    ]
    whole = (high_drift, confidence_drop, never_read, intention_gap)
    found = reading + [finding for rule in whole for finding in rule(seen)]
    return sorted(found, key=lambda one: (one.space_id, one.rule, one.key))


# ---- rules about a space -------------------------------------------------------------------------


def low_margin(scene: Row, seen: Seen) -> Iterator[Finding]:
    """The mean fit of the last 5 items is below 0.3; without what a person placed, and where topics are."""
    config = seen.config
    last = [item for item in seen.items_of(scene["id"]) if not item["is_settled"]][: config.low_margin_items]
    if len(last) < config.low_margin_items or not seen.topics_of(scene["id"]):
        return
    mean = fmean(item["fit"] for item in last)
    if mean >= config.moderate_fit:
        return
    ids = tuple(item["id"] for item in last)
    yield Finding(
        rule=Rule.LOW_MARGIN,
        key=f"low_margin:{scene['id']}",
        space_id=scene["id"],
        severity=Severity.MEDIUM,
        headline=f"The latest reading in “{scene['name']}” fits none of its topics well",
        description=f"The last {len(last)} items have a mean fit of {mean:.2f}; below "
        f"{config.moderate_fit:g} a fit is weak. A topic may be missing, or they belong elsewhere.",
        trigger_value=mean,
        artifact_ids=ids,
        evidence=_evidence(mean, config.moderate_fit, len(last), last[-1]["last_at"], last[0]["last_at"]),
        actions=(_look("Look at the weakest placements", scene["id"], "sort=fit_asc"),),
    )


def velocity_drop(scene: Row, seen: Seen) -> Iterator[Finding]:
    """Fewer items in 7 days than half the 30-day mean, which is at least 2 a week, and no stagnation."""
    config, now = seen.config, seen.now
    if scene["first_at"] is None or _is_silent(scene, seen):
        return
    days = min(30.0, (now - scene["first_at"]) / ONE_DAY)
    if days < config.alert_min_days:
        return
    mean = scene["n_month"] * 7 / days
    if mean < config.velocity_min_mean or scene["n_week"] >= config.velocity_drop_share * mean:
        return
    yield Finding(
        rule=Rule.VELOCITY_DROP,
        key=f"velocity_drop:{scene['id']}",
        space_id=scene["id"],
        severity=Severity.LOW,
        headline=f"You read less in “{scene['name']}” than usual",
        description=f"{scene['n_week']} items in the last 7 days; the mean of {days:.0f} days is {mean:.1f} "
        "a week.",
        trigger_value=float(scene["n_week"]),
        artifact_ids=_read_since(scene, seen, now - 7 * ONE_DAY),
        evidence=_evidence(
            scene["n_week"] / mean, config.velocity_drop_share, scene["n_month"], now - days * ONE_DAY, now
        )
        | {"items_this_week": scene["n_week"], "mean_per_week": mean},
        actions=(_look("See what came in last", scene["id"], "sort=recent"),),
    )


def stagnation(scene: Row, seen: Seen) -> Iterator[Finding]:
    """No item for 14 days, in a space that was read in before."""
    if not _is_silent(scene, seen):
        return
    last_at, days = scene["last_at"], (seen.now - scene["last_at"]) / ONE_DAY
    archive = Action("Archive the space", "archive", _space(scene["id"]), "PATCH", {"archived": True})
    last = seen.items_of(scene["id"])[:1]
    yield Finding(
        rule=Rule.STAGNATION,
        key=f"stagnation:{scene['id']}:{last_at.date().isoformat()}",
        space_id=scene["id"],
        severity=Severity.LOW,
        headline=f"Nothing new in “{scene['name']}” for {int(days)} days",
        description=f"The last item was read on {last_at.date().isoformat()}.",
        trigger_value=float(int(days)),
        artifact_ids=tuple(item["id"] for item in last),
        evidence=_evidence(days, seen.config.stagnation_days, 0, last_at, seen.now),
        actions=(archive, _look("See where you left off", scene["id"], "sort=recent")),
    )


def _is_silent(scene: Row, seen: Seen) -> bool:
    if scene["last_at"] is None or not has_enough_data(scene["n_known"], seen.config):
        return False
    return bool(seen.now - scene["last_at"] >= timedelta(days=seen.config.stagnation_days))


def burst(scene: Row, seen: Seen) -> Iterator[Finding]:
    """At least 5 items in 24 hours, and more than this person reads in all on nine days of ten."""
    config, n = seen.config, scene["n_day"]
    usual = _usual_day(seen)
    if usual is None or n < config.burst_items or n <= usual:
        return
    since = seen.now - ONE_DAY
    yield Finding(
        rule=Rule.BURST,
        key=f"burst:{scene['id']}",
        space_id=scene["id"],
        severity=Severity.MEDIUM,
        headline=f"{n} items in “{scene['name']}” within a day",
        description=f"On {config.burst_quantile:.0%} of your days you read at most {usual:g} in all.",
        trigger_value=float(n),
        artifact_ids=_read_since(scene, seen, since),
        evidence=_evidence(float(n), max(usual, float(config.burst_items)), n, since, seen.now)
        | {"usual_per_day": usual},
        actions=(_look("See what came in", scene["id"], "sort=recent"),),
    )


def _usual_day(seen: Seen) -> float | None:
    """What this person reads at most on nine days of ten, idle days included; None before two weeks."""
    if not seen.day_counts:
        return None
    first: date = seen.day_counts[0]["day"]
    n_days = ((seen.now - ONE_DAY).date() - first).days + 1
    if n_days < seen.config.alert_min_days:
        return None
    counts = [row["count"] for row in seen.day_counts]
    days = np.zeros(max(n_days, len(counts)))
    days[: len(counts)] = counts
    return float(np.quantile(days, seen.config.burst_quantile))


def echo(scene: Row, seen: Seen) -> Iterator[Finding]:
    """More than 80 % of the last 50 items (of at least 20) are from one domain."""
    config, items = seen.config, seen.items_of(scene["id"])[: seen.config.echo_items]
    domains = Counter(item["domain"] for item in items if item["domain"])
    if len(items) < config.echo_min_items or not domains:
        return
    domain, n = domains.most_common(1)[0]
    share = n / len(items)
    if share <= config.echo_share:
        return
    yield Finding(
        rule=Rule.ECHO,
        key=f"echo:{scene['id']}:{domain}",
        space_id=scene["id"],
        severity=Severity.LOW,
        headline=f"“{scene['name']}” rests on one source",
        description=f"{n} of the last {len(items)} items are from {domain}.",
        trigger_value=share,
        artifact_ids=tuple(item["id"] for item in items if item["domain"] == domain),
        evidence=_evidence(share, config.echo_share, len(items), items[-1]["last_at"], items[0]["last_at"])
        | {"domain": domain},
        actions=(_look(f"See what is from {domain}", scene["id"], f"domain={quote(domain)}"),),
    )


# ---- rules about topics and pages ----------------------------------------------------------------


def high_drift(seen: Seen) -> Iterator[Finding]:
    """A notable drift in the last 7 days; each is a cause of its own."""
    for row in seen.drifts:
        history = Action("See how the topic moved", "open", f"{_topic(row['subspace_id'])}/history")
        yield Finding(
            rule=Rule.HIGH_DRIFT,
            key=f"high_drift:{row['id']}",
            space_id=row["space_id"],
            subspace_id=row["subspace_id"],
            severity=Severity.LOW,
            headline=f"“{row['name']}” is about something else than it was",
            description=f"Its content moved by {row['magnitude']:.2f} beyond chance "
            f"({row['z']:.1f} deviations).",
            trigger_value=row["magnitude"],
            artifact_ids=tuple(row["artifact_ids"]),
            evidence=_evidence(
                row["magnitude"],
                seen.config.drift_threshold,
                len(row["artifact_ids"]),
                row["occurred_at"],
                seen.now,
            )
            | {"z": row["z"], "drift_event_id": row["id"]},
            actions=(history,),
        )


def confidence_drop(seen: Seen) -> Iterator[Finding]:
    """A topic's confidence fell by more than 0.2 in 7 days; both times it rested on at least 3 items."""
    for row in seen.confidences:
        drop = row["confidence_before"] - row["confidence"]
        smallest = min(row["artifact_count"], row["artifact_count_before"])
        if drop <= seen.config.confidence_drop or not has_enough_data(smallest, seen.config):
            continue
        came = _look("Look at what fits it least", row["space_id"], f"subspace_id={row['id']}&sort=fit_asc")
        day: date = row["day_before"]
        yield Finding(
            rule=Rule.CONFIDENCE_DROP,
            key=f"confidence_drop:{row['id']}",
            space_id=row["space_id"],
            subspace_id=row["id"],
            severity=Severity.MEDIUM,
            headline=f"“{row['name']}” holds together less than a week ago",
            description=f"Its confidence fell from {row['confidence_before']:.2f} to "
            f"{row['confidence']:.2f}.",
            trigger_value=drop,
            artifact_ids=tuple(row["artifact_ids"]),
            evidence=_evidence(drop, seen.config.confidence_drop, row["artifact_count"], day, seen.now)
            | {"before": row["confidence_before"], "after": row["confidence"]},
            actions=(came,),
        )


def never_read(seen: Seen) -> Iterator[Finding]:
    """Pages that are latent for 30 days: saved, and never looked into."""
    names = {scene["id"]: scene["name"] for scene in seen.scenes}
    for row in seen.never_read:
        ids, n = tuple(row["artifact_ids"]), row["count"]
        trash = Action(
            "Put them into the trash", "delete", "/api/v1/artifacts/bulk", "POST",
            {"action": "delete", "artifact_ids": list(ids)},
        )  # fmt: skip
        yield Finding(
            rule=Rule.NEVER_READ,
            key=f"never_read:{row['space_id']}",
            space_id=row["space_id"],
            severity=Severity.LOW,
            headline=f"{n} saved and never read in “{names[row['space_id']]}”",
            description=f"For at least {seen.config.never_read_days} days nobody has looked into "
            f"{'it' if n == 1 else 'them'}.",
            trigger_value=float(n),
            artifact_ids=ids,
            evidence=_evidence(float(n), 0.0, n, row["oldest_at"], seen.now),
            actions=(_look("Read them", row["space_id"], "engagement_level=latent&sort=oldest"), trash),
        )


def intention_gap(seen: Seen) -> Iterator[Finding]:
    """The mean of 30 days' reading is nearer to a topic that does not serve the intention than to it, or to
    any topic that serves it (cosine to the intention ≥ λ).
    """
    scenes = {scene["id"]: scene for scene in seen.scenes}
    for row in seen.readings:
        scene = scenes[row["space_id"]]
        topics = [topic for topic in seen.topics_of(scene["id"]) if topic["centroid"] is not None]
        if row["count"] < seen.config.intention_min_items or not topics or scene["intention_vector"] is None:
            continue
        gap = _gap(_plain(row["mean"]), _plain(scene["intention_vector"]), topics, seen.novelty)
        if gap is None:
            continue
        other, to_other, to_intention = gap
        ids = [
            item
            for item, topic in zip(row["artifact_ids"], row["topic_ids"], strict=True)
            if topic == other["id"]
        ]
        yield Finding(
            rule=Rule.INTENTION_GAP,
            key=f"intention_gap:{scene['id']}",
            space_id=scene["id"],
            subspace_id=other["id"],
            severity=Severity.MEDIUM,
            headline=f"You read past what “{scene['name']}” is for",
            description=f"The intention is “{_cut(scene['intention'])}”. The last 30 days are nearer to "
            f"“{other['name']}” ({to_other:.2f}) than to it ({to_intention:.2f}).",
            trigger_value=to_other - to_intention,
            artifact_ids=tuple(ids),
            evidence=_evidence(to_other - to_intention, 0.0, row["count"], seen.now - 30 * ONE_DAY, seen.now)
            | {"to_intention": to_intention, "to_topic": to_other, "topic_id": other["id"]},
            actions=(
                Action("See your topics", "open", f"{_space(scene['id'])}/subspaces"),
                _look("See what you read instead", scene["id"], f"subspace_id={other['id']}&sort=recent"),
            ),
        )


def _gap(
    reading: Vector, intention: Vector, topics: Sequence[Row], novelty: float
) -> tuple[Row, float, float] | None:
    """The topic that drew the reading away, its cosine to the reading, and the intention's; None: no gap."""
    centroids = np.stack([_plain(topic["centroid"]) for topic in topics])
    serves = cosines(intention, centroids) >= novelty
    near = cosines(reading, centroids)
    to_intention = float(cosines(reading, intention[None])[0])
    if serves.all():
        return None
    index = int(np.argmax(np.where(serves, -np.inf, near)))
    best_of_purpose = max(to_intention, float(np.max(near[serves], initial=-1.0)))
    if near[index] <= best_of_purpose:
        return None
    return topics[index], float(near[index]), to_intention


# ---- what they share -----------------------------------------------------------------------------


def _evidence(
    effect: float, threshold: float, sample_size: int, since: date | datetime, until: datetime
) -> dict[str, Any]:
    return {
        "effect": effect,
        "threshold": threshold,
        "sample_size": sample_size,
        "from": since.isoformat(),
        "to": until.isoformat(),
    }


def _read_since(scene: Row, seen: Seen, since: datetime) -> tuple[int, ...]:
    return tuple(item["id"] for item in seen.items_of(scene["id"]) if item["last_at"] > since)[:MAX_NAMED]


def _plain(vector: Any) -> Vector:
    return np.asarray(vector.to_numpy() if hasattr(vector, "to_numpy") else vector, dtype=np.float32)


def _cut(text: str, most: int = 100) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _space(space_id: int) -> str:
    return f"/api/v1/spaces/{space_id}"


def _topic(topic_id: int) -> str:
    return f"/api/v1/subspaces/{topic_id}"


def _look(label: str, space_id: int, query: str) -> Action:
    return Action(label, "open", f"{_space(space_id)}/artifacts?{query}")
