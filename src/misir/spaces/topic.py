"""A topic as the engine sees it, read from its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from misir.orient.centroid import TopicState, untaught


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """A candidate: its learned state and its size."""

    id: int
    state: TopicState
    n_artifacts: int
    learning_rate: float
    is_dormant: bool = False


def read_topic(row: Mapping[str, Any], dimension: int) -> Topic:
    """From a row of load_topics; one without a centroid was taught nothing yet, whatever was placed in it."""
    m = untaught(dimension).m if row["centroid"] is None else row["centroid"].to_numpy()
    state = TopicState(m, row["weight_sum"], row["signal_count"], row["coherence"], row["placed_count"])
    is_dormant = row["state"] == "dormant"
    return Topic(row["id"], state, row["artifact_count"], row["learning_rate"], is_dormant=is_dormant)
