"""Consolidation: the second look that mends what one pass placed before it knew better (engine.md §5)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from misir.orient.assign import Calibration
from misir.orient.birth import has_founders, similarity_matrix
from misir.orient.config import EngineConfig
from misir.orient.groups import Flags, Graph, Rows, find_groups, modularity, neighbour_graph, resolution_for
from misir.orient.vectors import Floats

UNASSIGNED = -1


@dataclass(frozen=True, slots=True, eq=False)
class Consolidation:
    """What a consolidation finds.

    index: (n,) the topic of each item afterwards, −1 for none; numbers from the number of given topics on
    are new topics, n_born of them; dissolved: topics that are no more, ascending; rounds: of reassignment;
    moved: rows whose topic is another than before, ascending.
    """

    index: Rows
    n_born: int
    dissolved: tuple[int, ...]
    rounds: int
    moved: tuple[int, ...]


def consolidate(
    vectors: npt.ArrayLike,
    weights: npt.ArrayLike,
    index: npt.ArrayLike,
    *,
    is_movable: npt.ArrayLike,
    priors: npt.ArrayLike,
    prior_weights: npt.ArrayLike,
    is_pinned: npt.ArrayLike,
    calibration: Calibration,
    config: EngineConfig,
    may_found: bool = True,
) -> Consolidation:
    """Re-look at where the items of a space belong; nothing random, so the same items give the same answer.

    Items: vectors (n, D) of length 1, attention weights (n,) ≥ 0, topic index (n,) with −1 for none, and
    which the engine may move. Topics: priors (k, D), the unit vectors of their markers or zeros, prior
    weights (k,) ≥ 0, and which are pinned (k,): those keep their items and get no others, and an item that
    is nearest to one stays where it was. `may_found`: may new topics arise?

    First `_regrouped` (groups of neighbours), then `_settled` (rounds of nearest centroid).

    >>> from types import SimpleNamespace
    >>> items = [[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 4
    >>> found = consolidate(items, [1.0] * 7, [0, 0, 0, -1, -1, 0, -1], is_movable=[True] * 7,
    ...     priors=[[0.0, 0.0]], prior_weights=[0.0], is_pinned=[False],
    ...     calibration=SimpleNamespace(novelty=0.4, novelty_item=0.5), config=EngineConfig())
    >>> found.index.tolist(), found.n_born, found.moved, found.dissolved
    ([0, 0, 0, 1, 1, 1, 1], 1, (3, 4, 5, 6), ())
    """
    before = np.asarray(index, dtype=np.int64)
    pinned, prior_weights = np.asarray(is_pinned, dtype=bool), np.asarray(prior_weights, dtype=np.float64)
    movable = np.asarray(is_movable, dtype=bool) & ~_at(pinned, before)
    lasting = pinned | (prior_weights > 0)
    lasting[before[~movable & (before >= 0)]] = True
    rows = np.asarray(vectors, dtype=np.float64)
    seeds = np.asarray(priors, dtype=np.float64).reshape(len(pinned), rows.shape[1]) * prior_weights[:, None]
    space = _Space(
        rows,
        np.asarray(weights, dtype=np.float64),
        before,
        movable,
        seeds,
        lasting,
        pinned,
        calibration,
        config,
    )
    now = _regrouped(space, may_found=may_found)
    n_born = max(0, int(now.max(initial=UNASSIGNED)) + 1 - len(pinned))
    grown = space.with_born(n_born)
    now, rounds = _settled(grown, now)
    return _result(grown, now, rounds, len(pinned))


@dataclass(frozen=True, slots=True, eq=False)
class _Space:
    """What stays the same. seeds: prior weight · prior, (k, D); lasting: topics that never dissolve."""

    vectors: Floats
    weights: Floats
    before: Rows
    movable: Flags
    seeds: Floats
    lasting: Flags
    pinned: Flags
    calibration: Calibration
    config: EngineConfig

    def with_born(self, n_born: int) -> _Space:
        more = np.zeros(n_born, dtype=bool)
        seeds = np.concatenate([self.seeds, np.zeros((n_born, self.seeds.shape[1]))])
        lasting, pinned = np.append(self.lasting, more), np.append(self.pinned, more)
        return replace(self, seeds=seeds, lasting=lasting, pinned=pinned)


def _at(flags: Flags, index: Rows) -> Flags:
    """The flag of each item's topic, False for none."""
    return np.asarray(np.append(flags, False)[index])


def _result(space: _Space, index: Rows, rounds: int, n_given: int) -> Consolidation:
    """Numbered without gaps: a new topic that did not survive the rounds was never born."""
    used = np.unique(index[index >= n_given])
    number = np.append(np.arange(len(space.lasting)), UNASSIGNED)
    number[used] = n_given + np.arange(len(used))
    index = number[index]
    is_gone = ~space.lasting[:n_given] & (np.bincount(index[index >= 0], minlength=n_given)[:n_given] == 0)
    return Consolidation(
        index=index,
        n_born=len(used),
        dissolved=tuple(int(topic) for topic in np.flatnonzero(is_gone)),
        rounds=rounds,
        moved=tuple(int(row) for row in np.flatnonzero(index != space.before)),
    )


# ---- groups --------------------------------------------------------------------------------------


def _regrouped(space: _Space, *, may_found: bool) -> Rows:
    """The topic of each item (n,) by groups of neighbours; numbers from k on are new topics.

    Nodes of the graph are the items, but for those of pinned topics and those a person keeps out, and a
    prior of each topic that has one. A prior's edges count as often as markers weigh, 3 times at most: it is
    near to all of its topic, and counted as the hundreds of older texts that it may stand for, it would
    outweigh the rest of the graph and leave all else in crumbs. Items that may not move, and
    markers, are fixed. A group keeps the number of the topic it shares most items with; one without is a new
    topic if it holds three items that could found one (`birth.py`), else unassigned.
    """
    items = np.flatnonzero(space.movable | ((space.before >= 0) & ~_at(space.pinned, space.before)))
    declared = np.flatnonzero(space.seeds.any(axis=1) & ~space.pinned)
    topics = np.append(space.before[items], declared)
    fixed = np.append(~space.movable[items], np.ones(len(declared), dtype=bool))
    graph = _graph(space, items, declared)
    topics = np.where(fixed | (graph.degrees > 0), topics, UNASSIGNED)
    groups = _groups(graph, topics, fixed, space.config)
    named = _named(groups, topics, fixed, _counts(space, items, declared))
    names = _with_founded(space, items, groups, named, may_found=may_found)
    index = space.before.copy()
    index[items] = np.where(fixed, topics, names[groups])[: len(items)]
    return index


def _counts(space: _Space, items: Rows, declared: Rows) -> Floats:
    """How many texts each node stands for: an item 1, a prior its weight."""
    return np.append(np.ones(len(items)), np.linalg.norm(space.seeds[declared], axis=1))


def _graph(space: _Space, items: Rows, declared: Rows) -> Graph:
    counts = _counts(space, items, declared)
    vectors = np.concatenate([space.vectors[items], space.seeds[declared]]) / counts[:, None]
    graph = neighbour_graph(vectors, space.config.group_neighbours, space.calibration.novelty)
    ties = np.minimum(counts, space.config.seed_weight)
    return replace(graph, weight=graph.weight * ties[graph.first] * ties[graph.second])


def _groups(graph: Graph, topics: Rows, fixed: Flags, config: EngineConfig) -> Rows:
    """The better of two climbs: from the topics there are, or, where clearly better, from nothing."""
    alone = int(topics.max(initial=UNASSIGNED)) + 1 + np.arange(len(topics))
    resolution = resolution_for(len(topics), config)
    starts = (np.where(topics >= 0, topics, alone), np.where(fixed, topics, alone))
    kept, fresh = (find_groups(graph, start, fixed, resolution, config.group_passes) for start in starts)
    gain = modularity(graph, fresh, resolution) - modularity(graph, kept, resolution)
    return fresh if gain > config.regroup_gain else kept


def _named(groups: Rows, topics: Rows, fixed: Flags, counts: Floats) -> Rows:
    """The topic of each group, −1 for none: the one it shares most with, each topic for one group only.

    But a group round fixed nodes may share its topic with another: a text that a person placed elsewhere
    must take neither its neighbours nor their topic's name along.
    """
    shared: dict[tuple[int, int], float] = defaultdict(float)
    for group, topic, count in zip(groups.tolist(), topics.tolist(), counts.tolist(), strict=True):
        shared[group, topic] += count
    claims = sorted(shared.items(), key=lambda one: (-one[1], one[0][1], one[0][0]))
    names = np.full(int(groups.max(initial=UNASSIGNED)) + 1, UNASSIGNED)
    is_bound = np.bincount(groups, fixed, len(names)) > 0
    taken: set[int] = set()
    for (group, topic), _ in claims:
        if names[group] == UNASSIGNED and topic != UNASSIGNED and (is_bound[group] or topic not in taken):
            names[group] = topic
            taken |= set() if is_bound[group] else {topic}
    return names


def _with_founded(space: _Space, items: Rows, groups: Rows, names: Rows, *, may_found: bool) -> Rows:
    """New numbers for groups without a topic that could have been born."""
    n_topics, names = len(space.pinned), names.copy()
    for group in np.flatnonzero(names < 0) if may_found else ():
        members = space.vectors[items[groups[: len(items)] == group]]
        if has_founders(members, space.calibration.novelty_item):
            names[group] = n_topics
            n_topics += 1
    return names


# ---- rounds --------------------------------------------------------------------------------------


def _settled(space: _Space, index: Rows) -> tuple[Rows, int]:
    """At most 5 rounds of spherical k-means (Dhillon and Modha 2001), with weights, priors and a way out.

    Centroid = unit(Σ w·x + prior weight · prior). An item below 0.75 λ leaves, one nearer to another topic
    by 0.02 goes there, an unassigned one within 0.75 λ joins. Topics below 3 items dissolve, unless pinned,
    with a prior, or holding an item that may not move.
    """
    now, rounds = index, 0
    while rounds < space.config.consolidation_rounds:
        rounds += 1
        previous = now
        now = _reassigned(space, _without_small(space, now))
        if (now == previous).all():
            break
    return _without_small(space, now), rounds


def _without_small(space: _Space, index: Rows) -> Rows:
    sizes = np.bincount(index[index >= 0], minlength=len(space.lasting))
    is_small = ~space.lasting & (sizes < space.config.min_topic_items)
    return np.where(_at(is_small, index), UNASSIGNED, index)


def _reassigned(space: _Space, index: Rows) -> Rows:
    """One round: each movable item to the topic it is nearest to, if near enough and nearer by enough."""
    if not len(space.seeds):
        return index
    similarities = similarity_matrix(space.vectors, _centroids(space, index))
    nearest, highest = similarities.argmax(axis=1), similarities.max(axis=1)
    own = np.where(index >= 0, np.take_along_axis(similarities, index[:, None], axis=1)[:, 0], -np.inf)
    keep = space.config.keep_share * space.calibration.novelty
    target = np.where(highest >= keep, nearest, UNASSIGNED)
    target = np.where(_at(space.pinned, target), space.before, target)
    is_content = (own >= keep) & (highest < own + space.config.switch_gain)
    return np.where(~space.movable | is_content, index, target)


def _centroids(space: _Space, index: Rows) -> Floats:
    """Σ w·x of each topic's items, added to its seed: (k, D)."""
    order = np.argsort(index, kind="stable")[np.count_nonzero(index < 0) :]
    topics, starts = np.unique(index[order], return_index=True)
    sums = space.seeds.copy()
    if len(topics):
        sums[topics] += np.add.reduceat(space.vectors[order] * space.weights[order, None], starts)
    return sums
