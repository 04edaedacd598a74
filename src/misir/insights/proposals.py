"""PURE: proposals to merge two topics or to split one (engine.md §5), with the request that does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np

from misir.insights.findings import Action, Finding, Row, Rule, Severity
from misir.orient.birth import similarity_matrix
from misir.orient.config import EngineConfig
from misir.orient.proposals import merge_accuracy, should_merge, should_split, silhouette, two_means
from misir.orient.vectors import Vector

Members = Mapping[int, tuple[Sequence[int], Vector]]
"""By topic: the ids of its newest members, and their vectors (n, D)."""


def propose(topics: Sequence[Row], members: Members, now: datetime, config: EngineConfig) -> list[Finding]:
    """Merges of nearest topics that cannot be told apart, and splits of topics with two sides."""
    known = [topic for topic in topics if topic["id"] in members]
    merges = [_merge(a, b, members, now) for a, b in _near_pairs(known) if _is_one(a, b, members, config)]
    splits = [finding for topic in known for finding in _split(topic, topics, members, now, config)]
    return merges + splits


def _near_pairs(topics: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Each topic with the nearest other of its space, once: (the smaller, which would go; the larger)."""
    for space_id in sorted({topic["space_id"] for topic in topics}):
        here = [t for t in topics if t["space_id"] == space_id and t["centroid"] is not None]
        if len(here) < 2:
            continue
        centroids = np.stack([topic["centroid"].to_numpy() for topic in here]).astype(np.float64)
        near = similarity_matrix(centroids, centroids)
        np.fill_diagonal(near, -np.inf)
        pairs = {tuple(sorted((row, int(column)))) for row, column in enumerate(near.argmax(axis=1))}
        for one, other in sorted(pairs):
            larger, smaller = sorted(
                (here[one], here[other]), key=lambda topic: (-topic["artifact_count"], topic["id"])
            )
            yield smaller, larger


def _is_one(a: Row, b: Row, members: Members, config: EngineConfig) -> bool:
    return not a["pinned"] and should_merge(members[a["id"]][1], members[b["id"]][1], config)


def _centroids_beside(topic: Row, topics: Sequence[Row]) -> list[Vector]:
    """Of the other topics of its space."""
    return [
        other["centroid"].to_numpy()
        for other in topics
        if other["space_id"] == topic["space_id"]
        and other["id"] != topic["id"]
        and other["centroid"] is not None
    ]


def _merge(a: Row, b: Row, members: Members, now: datetime) -> Finding:
    accuracy = merge_accuracy(members[a["id"]][1], members[b["id"]][1])
    ids = (*members[a["id"]][0], *members[b["id"]][0])
    low, high = sorted((a["id"], b["id"]))
    return Finding(
        rule=Rule.MERGE,
        key=f"merge:{low}:{high}",
        space_id=a["space_id"],
        subspace_id=a["id"],
        severity=Severity.LOW,
        headline=f"“{a['name']}” and “{b['name']}” look like one topic",
        description=f"Of {len(ids)} of their items only {accuracy:.0%} are nearer to their own topic than to "
        "the other.",
        trigger_value=accuracy,
        artifact_ids=ids,
        evidence={
            "accuracy": accuracy,
            "sample_size": len(ids),
            "topic_ids": [low, high],
            "to": now.isoformat(),
        },
        actions=(
            Action(
                f"Merge into “{b['name']}”",
                "merge",
                f"/api/v1/subspaces/{a['id']}/merge",
                "POST",
                {"into": b["id"]},
            ),
        ),
    )


def _split(
    topic: Row, topics: Sequence[Row], members: Members, now: datetime, config: EngineConfig
) -> Iterator[Finding]:
    ids, vectors = members[topic["id"]]
    if not should_split(vectors, config, _centroids_beside(topic, topics)):
        return
    labels = two_means(vectors, config)
    smaller = 1 if np.count_nonzero(labels) * 2 <= len(labels) else 0
    leaving = [artifact_id for artifact_id, label in zip(ids, labels, strict=True) if label == smaller]
    width = silhouette(vectors, labels)
    yield Finding(
        rule=Rule.SPLIT,
        key=f"split:{topic['id']}",
        space_id=topic["space_id"],
        subspace_id=topic["id"],
        severity=Severity.LOW,
        headline=f"“{topic['name']}” looks like two topics",
        description=f"Its newest {len(ids)} items fall into halves of {len(ids) - len(leaving)} and "
        f"{len(leaving)} (silhouette {width:.2f}).",
        trigger_value=width,
        artifact_ids=tuple(leaving),
        evidence={"silhouette": width, "sample_size": len(ids), "to": now.isoformat()},
        actions=(Action("Split it by meaning", "split", f"/api/v1/subspaces/{topic['id']}/split", "POST"),),
    )
