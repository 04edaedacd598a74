from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient import groups
from misir.orient.config import EngineConfig
from misir.orient.groups import Graph, find_groups, modularity, neighbour_graph, resolution_for
from misir.orient.vectors import unit

steady = settings(deadline=None, derandomize=True)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    n = draw(st.integers(1, 9))
    pairs = draw(
        st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] < p[1]))
    )
    ends = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    weight = draw(st.lists(st.floats(0.1, 1), min_size=len(pairs), max_size=len(pairs)))
    return Graph(n, ends[:, 0], ends[:, 1], np.array(weight, dtype=np.float64))


def ring(n_cliques: int, size: int = 4) -> Graph:
    """Cliques of strong edges, each joined to the next by a weak one."""
    edges = [
        (c * size + a, c * size + b, 1.0)
        for c in range(n_cliques)
        for a in range(size)
        for b in range(a + 1, size)
    ]
    edges += [(c * size, (c + 1) * size, 0.1) for c in range(n_cliques - 1)]
    first, second, weight = zip(*edges, strict=True)
    return Graph(n_cliques * size, np.array(first), np.array(second), np.array(weight))


@steady
@given(graphs(), st.floats(0.5, 3), st.data())
def test_groups_are_never_worse_than_the_start_and_fixed_nodes_stay(
    graph: Graph, gamma: float, data: Any
) -> None:
    n = graph.n_nodes
    start = np.array(data.draw(st.lists(st.integers(0, n), min_size=n, max_size=n)))
    fixed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    found = find_groups(graph, start, fixed, gamma, 3)
    assert modularity(graph, found, gamma) >= modularity(graph, start, gamma) - 1e-9
    for a in np.flatnonzero(fixed):
        for b in np.flatnonzero(fixed):
            assert (found[a] == found[b]) == (start[a] == start[b])
    assert (found == find_groups(graph, start, fixed, gamma, 3)).all()
    _, first = np.unique(found, return_index=True)
    assert (np.diff(first) > 0).all()


@steady
@given(graphs(), st.floats(0.5, 3), st.data())
def test_modularity_is_the_sum_over_all_pairs(graph: Graph, gamma: float, data: Any) -> None:
    """Q = 1/2m · Σ over pairs in one group of (A_ij − γ·k_i·k_j/2m), Newman and Girvan's own form."""
    n = graph.n_nodes
    names = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    adjacency = np.zeros((n, n))
    adjacency[graph.first, graph.second] = adjacency[graph.second, graph.first] = graph.weight
    total = adjacency.sum()
    if not total:
        assert modularity(graph, names, gamma) == 0.0
        return
    degrees = adjacency.sum(axis=1)
    same = names[:, None] == names[None, :]
    expected = ((adjacency - gamma * np.outer(degrees, degrees) / total) * same).sum() / total
    assert modularity(graph, names, gamma) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n_cliques", [2, 3, 12])
def test_cliques_are_found_from_nothing(n_cliques: int) -> None:
    graph, n = ring(n_cliques), n_cliques * 4
    for passes in (1, 3):
        found = find_groups(graph, np.arange(n), np.zeros(n, dtype=bool), 1.0, passes)
        assert found.tolist() == np.repeat(np.arange(n_cliques), 4).tolist()


def test_a_higher_resolution_finds_more_groups() -> None:
    graph = ring(12)
    sizes = [
        len(set(find_groups(graph, np.arange(48), [False] * 48, gamma, 3).tolist()))
        for gamma in (0.05, 1.0, 12.0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_node_that_lost_its_edges_to_its_group_leaves_it() -> None:
    graph = Graph(5, np.array([0, 0, 1, 3]), np.array([1, 2, 2, 4]), np.ones(4))
    assert find_groups(graph, [0, 0, 0, 0, 1], [False] * 5, 1.0, 3).tolist() == [0, 0, 0, 1, 1]


def test_a_node_between_two_groups_it_hardly_knows_stands_alone() -> None:
    graph = Graph(
        9,
        np.array([0, 0, 0, 1, 1, 2, 4, 4, 5, 3, 7]),
        np.array([1, 2, 3, 2, 3, 3, 5, 6, 6, 8, 8]),
        np.array([1.0] * 9 + [0.01, 0.01]),
    )
    found = find_groups(graph, [0] * 9, [False] * 9, 3.0, 3)
    assert len(set(found.tolist())) > 2


def test_no_nodes_and_no_edges_are_no_problem() -> None:
    assert find_groups(neighbour_graph(np.empty((0, 2)), 3, 0.5), [], [], 1.0, 3).tolist() == []
    lonely = neighbour_graph([[1.0, 0.0]], 3, 0.5)
    assert find_groups(lonely, [7], [False], 1.0, 3).tolist() == [0]
    assert neighbour_graph([[1.0, 0.0]] * 3, 0, 0.5).weight.tolist() == []


def test_blocks_of_rows_give_the_graph_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit(np.random.default_rng(0).normal(size=(23, 6)))
    whole = neighbour_graph(rows, 4, 0.1)
    monkeypatch.setattr(groups, "ROWS_AT_ONCE", 5)
    parts = neighbour_graph(rows, 4, 0.1)
    assert (whole.first == parts.first).all()
    assert (whole.second == parts.second).all()
    assert np.allclose(whole.weight, parts.weight)


@steady
@given(st.integers(2, 12), st.integers(1, 12), st.floats(0.05, 0.9), st.integers(0, 99))
def test_an_edge_joins_what_is_among_the_others_nearest(n: int, k: int, floor: float, seed: int) -> None:
    rows = unit(np.random.default_rng(seed).normal(size=(n, 4)))
    similarities = rows.astype(np.float64) @ rows.T
    np.fill_diagonal(similarities, -np.inf)
    is_near = similarities >= np.sort(similarities, axis=1)[:, [-min(k, n - 1)]] - 1e-6
    expected = np.triu((is_near | is_near.T) & (similarities >= floor), 1)
    graph = neighbour_graph(rows, k, floor)
    assert {*zip(graph.first.tolist(), graph.second.tolist(), strict=True)} == {
        *zip(*map(list, map(np.ndarray.tolist, np.nonzero(expected))), strict=True)
    }
    assert np.allclose(graph.weight, similarities[graph.first, graph.second])


@steady
@given(st.integers(1, 10**6))
def test_resolution_grows_with_the_library_and_is_bounded(n: int) -> None:
    config = EngineConfig()
    assert 1.0 <= resolution_for(n, config) <= resolution_for(2 * n, config) <= config.max_resolution
