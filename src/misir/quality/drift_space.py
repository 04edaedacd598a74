"""Drift end to end: a whole space reads on, and what its content does must show, as drift, a birth or growth.

Content that leaves a topic may found one of its own, or go to the sibling it belongs to, before the topic
itself has drifted (engine.md §6). Any of the three tells the reader, so any of the three counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

from misir.embed.calibration import CALIBRATIONS
from misir.embed.models import MINILM
from misir.orient.config import EngineConfig
from misir.orient.drift import detect_drift, shuffle_seed
from misir.orient.vectors import Vector
from misir.quality.drift_streams import AFTER, Order, Topics, in_order, nearest_other
from misir.quality.stream import Stream

CONFIG: Final = EngineConfig()
N_OWN: Final = 60
"""Items of the topic that will change."""

N_OTHERS: Final = 20
"""Items of each of two bystanders, and of the sibling where there is one."""

GROWN: Final = 3
"""A sibling has grown when it took so many of the newest `NEWEST` items."""

NEWEST: Final = 5


class Sign(StrEnum):
    """How a change of content shows."""

    DRIFT = "drift"
    BIRTH = "birth"
    GROWTH = "growth"


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What is read in a space: texts and their labels, and how many came before the change."""

    vectors: Vector
    labels: Sequence[str]
    change: int
    new_label: str


class DriftingSpace:
    """A space whose topics are asked for drift after every text that taught them, as the worker does it."""

    def __init__(self, *, is_consolidating: bool = True) -> None:
        self.space = Stream(CALIBRATIONS[MINILM.id], CONFIG, is_consolidating=is_consolidating)
        self._anchors: dict[int, int] = {}

    def capture(self, x: Vector) -> bool:
        """One text; has its topic drifted with it?"""
        topic_id = self.space.capture(x)
        row = len(self.space.levels) - 1
        if topic_id is None or not self.space.is_teaching[row]:
            return False
        rows = self._rows_since_anchor(topic_id)
        drift = detect_drift(self.space.vectors[rows], shuffle_seed(CONFIG.version, row), CONFIG)
        if drift is not None:
            self._anchors[topic_id] = rows[drift.anchor_row]
        return drift is not None

    def _rows_since_anchor(self, topic_id: int) -> list[int]:
        anchor, teaches = self._anchors.get(topic_id, 0), self.space.is_teaching
        return [row for row in self.space.topics[topic_id].members if row >= anchor and teaches[row]]


def make_reading(
    topics: Topics, label: str, order: Order, rng: np.random.Generator, *, has_sibling: bool
) -> Reading:
    """60 items of a label among those of two bystanders, then 30 of the nearest other label.

    With a sibling that label was read a little before, so that it has a topic of its own.
    """
    new = nearest_other(topics)[label]
    bystanders = rng.choice([one for one in topics if one not in {label, new}], 2, replace=False).tolist()
    counts = {label: N_OWN, **dict.fromkeys(bystanders, N_OTHERS)} | ({new: N_OTHERS} if has_sibling else {})
    ordered = {one: iter(in_order(topics[one], order, rng)) for one in [*counts, new]}
    before = [one for one, n in counts.items() for _ in range(n)]
    labels = [before[i] for i in rng.permutation(len(before))] + [new] * AFTER
    return Reading(np.stack([next(ordered[one]) for one in labels]), labels, len(before), new)


def first_signs(reading: Reading) -> tuple[dict[Sign, int], int]:
    """After how many new items each sign first showed; and the drift events before the change, all false."""
    watched, n_false, found = DriftingSpace(), 0, dict[Sign, int]()
    known: set[int] = set()
    for row, x in enumerate(reading.vectors):
        has_drifted = watched.capture(x)
        n_after = row + 1 - reading.change
        if n_after <= 0:
            n_false += has_drifted
            known = set(watched.space.topics)
            continue
        for sign in _signs(watched.space, reading, known, has_drifted=has_drifted):
            found.setdefault(sign, n_after)
    return found, n_false


def _signs(space: Stream, reading: Reading, known: set[int], *, has_drifted: bool) -> list[Sign]:
    signs = [Sign.DRIFT] if has_drifted else []
    newest = range(max(reading.change, len(space.levels) - NEWEST), len(space.levels))
    for topic_id in {topic for row in newest if (topic := space.topic_of(row)) is not None}:
        members = space.topics[topic_id].members
        if 2 * sum(reading.labels[row] == reading.new_label for row in members) <= len(members):
            continue
        if topic_id not in known:
            signs.append(Sign.BIRTH)
        elif sum(space.topic_of(row) == topic_id for row in newest) >= GROWN:
            signs.append(Sign.GROWTH)
    return signs


def measure_spaces(corpora: Mapping[str, Topics], order: Order, n_readings: int, seed: int) -> dict[str, Any]:
    """Recall and delay over whole spaces, with and without a sibling that the new content belongs to."""
    rng = np.random.default_rng(seed)
    turns = [(name, label) for name, topics in corpora.items() for label in topics if len(topics) >= 4]
    results: dict[str, Any] = {}
    for variant, has_sibling in (("new to the space", False), ("known to the space", True)):
        found = []
        for i in range(n_readings):
            name, label = turns[i % len(turns)]
            reading = make_reading(corpora[name], label, order, rng, has_sibling=has_sibling)
            found.append((*first_signs(reading), reading.change))
        results[variant] = _score(found)
    return results


def _score(found: Sequence[tuple[dict[Sign, int], int, int]]) -> dict[str, Any]:
    delays = [min(signs.values(), default=math.inf) for signs, _, _ in found]
    first = [min(signs, key=signs.__getitem__) for signs, _, _ in found if signs]
    median, p90 = (float(np.quantile(delays, share, method="inverted_cdf")) for share in (0.5, 0.9))
    return {
        "n": len(found),
        "recall": round(float(np.isfinite(delays).mean()), 3),
        "median_delay": int(median) if math.isfinite(median) else None,
        "p90_delay": int(p90) if math.isfinite(p90) else None,
        "first_sign": {str(sign): first.count(sign) for sign in Sign},
        "n_drift": sum(Sign.DRIFT in signs for signs, _, _ in found),
        "false_per_1000": round(1000 * sum(n for _, n, _ in found) / sum(n for _, _, n in found), 2),
    }
