"""Groups of texts that are each other's nearest: modularity on the graph of neighbours (engine.md §5).

Louvain's method (Blondel et al. 2008), with what a library needs: nothing random, a start from the groups
there are, and texts that stay where a person put them.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from misir.orient.config import EngineConfig
from misir.orient.vectors import Floats

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ROWS_AT_ONCE = 1024
"""Rows of the similarity matrix held in memory together."""

LEAST_GAIN = 1e-9
"""Below it a gain is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Undirected: edge e joins node first[e] < second[e] with weight[e] > 0, each pair once."""

    n_nodes: int
    first: Rows
    second: Rows
    weight: Floats

    @property
    def degrees(self) -> Floats:
        """Sum of the weights at each node: (n,)."""
        ends = np.concatenate([self.first, self.second])
        return _sums(ends, np.tile(self.weight, 2), self.n_nodes)


def _sums(places: Rows, values: npt.ArrayLike, n_places: int) -> Floats:
    """Σ of the values at each place."""
    return np.bincount(places, np.asarray(values, dtype=np.float64), n_places).astype(np.float64)


def resolution_for(n_texts: int, config: EngineConfig) -> float:
    """γ = 1 up to 100 texts, 0.45 more each time the library doubles, at most 3.

    Who has read more tells finer topics apart; that their number grows with what was read is what
    vocabularies and species do too (Heaps 1978).

    >>> [round(resolution_for(n, EngineConfig()), 2) for n in (10, 100, 200, 400, 10**6)]
    [1.0, 1.0, 1.45, 1.9, 3.0]
    """
    doublings = max(0.0, math.log2(max(n_texts, 1) / config.fine_groups_from))
    return min(config.max_resolution, 1.0 + config.resolution_per_doubling * doublings)


def neighbour_graph(vectors: npt.ArrayLike, n_neighbours: int, floor: float) -> Graph:
    """Unit vectors (n, D) as a graph: an edge where one is among the other's nearest, weighted by cosine.

    Only cosines ≥ floor > 0 count, so that a text without a near one has no edge at all.

    >>> graph = neighbour_graph([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], 1, 0.5)
    >>> graph.first.tolist(), graph.second.tolist(), graph.weight.round(6).tolist()
    ([0, 1], [1, 2], [0.8, 0.6])
    """
    rows = np.asarray(vectors, dtype=np.float32)
    n_nodes, n_kept = len(rows), min(n_neighbours, len(rows) - 1)
    if n_kept < 1:
        nothing = np.zeros(0, dtype=np.int64)
        return Graph(n_nodes, nothing, nothing, np.zeros(0))
    parts = [_nearest(rows, start, n_kept) for start in range(0, n_nodes, ROWS_AT_ONCE)]
    ends = np.concatenate([part[0] for part in parts])
    lower, upper = ends.min(axis=1), ends.max(axis=1)
    keys, kept = np.unique(lower * n_nodes + upper, return_index=True)
    weight = np.concatenate([part[1] for part in parts])[kept].astype(np.float64)
    is_near = weight >= floor
    return Graph(n_nodes, keys[is_near] // n_nodes, keys[is_near] % n_nodes, weight[is_near])


def _nearest(rows: npt.NDArray[np.float32], start: int, n_kept: int) -> tuple[Rows, npt.NDArray[np.float32]]:
    """The n_kept nearest of each row of one block: pairs (e, 2) and their cosines (e,)."""
    block = np.arange(start, min(start + ROWS_AT_ONCE, len(rows)))
    similarities = rows[block] @ rows.T
    similarities[np.arange(len(block)), block] = -np.inf
    nearest = np.argpartition(-similarities, n_kept - 1, axis=1)[:, :n_kept]
    pairs = np.stack([np.repeat(block, n_kept), nearest.ravel()], axis=1)
    return pairs, np.take_along_axis(similarities, nearest, axis=1).ravel()


def modularity(graph: Graph, groups: npt.ArrayLike, resolution: float) -> float:
    """Q = Σ over groups of (share of the edges inside − γ · (share of the degrees)²): −γ..1.

    How much more weight lies inside groups (n,) than edges thrown at random would put there (Newman and
    Girvan 2004); γ > 1 asks for smaller groups (Reichardt and Bornholdt 2006). No edges: 0.

    >>> pairs = Graph(4, np.array([0, 2]), np.array([1, 3]), np.array([1.0, 1.0]))
    >>> modularity(pairs, [0, 0, 1, 1], 1.0), modularity(pairs, [0, 0, 0, 0], 1.0)
    (0.5, 0.0)
    """
    names = np.asarray(groups, dtype=np.int64)
    total = graph.weight.sum()
    if not total:
        return 0.0
    inside = graph.weight[names[graph.first] == names[graph.second]].sum() / total
    numbers = np.unique(names, return_inverse=True)[1]
    shares = _sums(numbers, graph.degrees, 0) / (2 * total)
    return float(inside - resolution * (shares**2).sum())


def find_groups(
    graph: Graph, start: npt.ArrayLike, is_fixed: npt.ArrayLike, resolution: float, passes: int
) -> Rows:
    """Groups (n,) of no lower modularity than `start` (n,), numbered from 0 in order of their first node.

    Fixed nodes (n,) stay together with those that started in their group, and apart from the fixed ones of
    another. Up to `passes` times: nodes move one by one to the neighbouring group that gains most, or out;
    then groups, as nodes of a smaller graph, do the same, until nothing gains.

    >>> square = Graph(4, np.array([0, 0, 1, 2]), np.array([1, 2, 3, 3]), np.array([1.0, 0.1, 0.1, 1.0]))
    >>> find_groups(square, [0, 1, 2, 3], [False] * 4, 1.0, 3).tolist()
    [0, 0, 1, 1]
    """
    groups, fixed = _numbered(np.asarray(start, dtype=np.int64)), np.asarray(is_fixed, dtype=bool)
    best = modularity(graph, groups, resolution)
    for _ in range(passes):
        found = _climb(graph, groups, fixed, resolution)
        quality = modularity(graph, found, resolution)
        if quality <= best + LEAST_GAIN:
            break
        groups, best = _numbered(found), quality
    return groups


def _numbered(groups: Rows) -> Rows:
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse], dtype=np.int64)


def _climb(graph: Graph, groups: Rows, fixed: Flags, resolution: float) -> Rows:
    """All levels once: move nodes, then the groups as nodes, and so on."""
    degrees = graph.degrees
    scale = resolution / max(2 * float(graph.weight.sum()), LEAST_GAIN)
    of_node = np.arange(graph.n_nodes)
    while True:
        moved = _numbered(np.array(_settle(graph, degrees, groups, fixed, scale), dtype=np.int64))
        of_node = moved[of_node]
        n_groups = int(moved.max(initial=-1)) + 1
        if n_groups == graph.n_nodes:
            return of_node
        graph, degrees, fixed = _merged(graph, degrees, fixed, moved, n_groups)
        groups = np.arange(n_groups)


def _merged(
    graph: Graph, degrees: Floats, fixed: Flags, groups: Rows, n_groups: int
) -> tuple[Graph, Floats, Flags]:
    """The graph whose nodes are the groups; a group with a fixed node is fixed."""
    ends = np.sort(np.stack([groups[graph.first], groups[graph.second]]), axis=0)
    is_between = ends[0] != ends[1]
    keys, inverse = np.unique((ends[0] * n_groups + ends[1])[is_between], return_inverse=True)
    weight = _sums(inverse, graph.weight[is_between], len(keys))
    holds_fixed = _sums(groups, fixed, n_groups) > 0
    merged = Graph(n_groups, keys // n_groups, keys % n_groups, weight)
    return merged, _sums(groups, degrees, n_groups), holds_fixed


def _settle(graph: Graph, degrees: Floats, groups: Rows, fixed: Flags, scale: float) -> list[int]:
    """Move single nodes while that gains; whoever has a neighbour that moved away is asked again.

    Gain of node v in group g: its edges into g − scale · degree(v) · volume(g), scale = γ/(2·total weight).
    """
    near = _neighbours(graph)
    degree: list[float] = degrees.tolist()
    group: list[int] = groups.tolist()
    volume: list[float] = _sums(groups, degrees, graph.n_nodes).tolist()
    n_in: list[int] = np.bincount(groups, minlength=graph.n_nodes).tolist()
    empty = [g for g in range(graph.n_nodes) if not n_in[g]]
    is_free = (~fixed).tolist()
    waiting = deque(v for v in range(graph.n_nodes) if is_free[v])
    is_waiting = is_free.copy()
    while waiting:
        v = waiting.popleft()
        is_waiting[v] = False
        own = group[v]
        volume[own] -= degree[v]
        target = _best_group(near[v], group, volume, own, scale * degree[v])
        if target < 0:
            target = own if n_in[own] == 1 else empty.pop()
        if target != own:
            n_in[own], n_in[target] = n_in[own] - 1, n_in[target] + 1
            if not n_in[own]:
                volume[own] = 0.0  # not what rounding left of it
                empty.append(own)
            group[v] = target
            for u, _ in near[v]:
                if is_free[u] and not is_waiting[u] and group[u] != target:
                    is_waiting[u] = True
                    waiting.append(u)
        volume[target] += degree[v]
    return group


def _best_group(
    near: list[tuple[int, float]], group: list[int], volume: list[float], own: int, cost: float
) -> int:
    """Where a node gains most: its own group unless another gains more, −1 for a group of its own."""
    links: dict[int, float] = {}
    for u, weight in near:
        links[group[u]] = links.get(group[u], 0.0) + weight
    best, most = own, links.get(own, 0.0) - cost * volume[own]
    for g, weight in links.items():
        gain = weight - cost * volume[g]
        if gain > most + LEAST_GAIN:
            best, most = g, gain
    return -1 if most < -LEAST_GAIN else best


def _neighbours(graph: Graph) -> list[list[tuple[int, float]]]:
    """Of each node its neighbours, ascending, and the weights."""
    near: list[list[tuple[int, float]]] = [[] for _ in range(graph.n_nodes)]
    edges = zip(graph.first.tolist(), graph.second.tolist(), graph.weight.tolist(), strict=True)
    for a, b, weight in edges:
        near[a].append((b, weight))
        near[b].append((a, weight))
    return near
