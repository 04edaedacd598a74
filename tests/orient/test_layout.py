"""The map: near things lie near, and nothing moves without a reason."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from misir.orient.layout import (
    Layout,
    lay_out,
    place_around,
    place_between,
    register,
    smacof,
    target_distances,
)

Array = npt.NDArray[np.float64]


def unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def library(n_topics: int, n_items: int, seed: int) -> tuple[Array, Array]:
    """Items (n_topics · n_items, 384) of topics in six fields, alike within a field, as texts are; and whose they are."""
    chance = np.random.default_rng(seed)
    fields = unit(chance.normal(size=(6, 384)))
    topics = unit(fields[np.arange(n_topics) % 6] + chance.normal(size=(n_topics, 384)) / 384**0.5)
    of = np.repeat(np.arange(n_topics), n_items)
    return unit(topics[of] + 1.5 * chance.normal(size=(len(of), 384)) / 384**0.5), of


def centroids(items: Array, of: Array) -> Array:
    return unit(np.array([items[of == topic].mean(axis=0) for topic in np.unique(of)]))


def new_map(rows: Array) -> Layout:
    return lay_out(rows, np.full((len(rows), 2), np.nan))


def distances(points: Array) -> Array:
    return np.asarray(np.linalg.norm(points[:, None] - points[None], axis=-1))


def trustworthiness(apart: Array, points: Array, k: int = 5) -> float:
    """Venna and Kaski (2001): 1 when the k nearest on the map are among the k nearest in truth."""
    n = len(points)
    ranks = np.argsort(np.argsort(apart - np.eye(n), axis=1), axis=1)
    nearest = np.argsort(distances(points) - np.eye(n), axis=1)[:, 1 : k + 1]
    excess = np.maximum(np.take_along_axis(ranks, nearest, axis=1) - k, 0).sum()
    return float(1 - 2 / (n * k * (2 * n - 3 * k - 1)) * excess)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_neighbours_on_the_map_are_neighbours_in_meaning(seed: int) -> None:
    rows = centroids(*library(50, 20, seed))
    found = new_map(rows)
    assert trustworthiness(target_distances(rows), found.places) >= 0.95
    assert np.abs(found.places).max() == pytest.approx(0.85)
    assert 0 < found.stress < 0.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_did_not_change_hardly_moves(seed: int) -> None:
    """One item in twenty is new: in some topics, and three of them in a topic of their own."""
    items, of = library(50, 20, seed)
    before = new_map(centroids(items, of))
    chance = np.random.default_rng(seed + 100)
    more, more_of = library(50, 1, seed + 200)[0], chance.integers(0, 25, 50)
    more = unit(centroids(items, of)[more_of] + more)
    more[-3:], more_of[-3:] = unit(more[-1] + 0.1 * more[-3:]), 50
    rows = centroids(np.vstack([items, more]), np.concatenate([of, more_of]))
    known = np.vstack([before.places, [[np.nan, np.nan]]])
    after = lay_out(rows, known, before.scale)
    moved = np.linalg.norm(after.places[25:50] - before.places[25:50], axis=1)
    assert moved.mean() <= 0.05 * distances(before.places).max()
    assert after.scale == before.scale
    assert np.isfinite(after.places).all()
    assert trustworthiness(target_distances(rows), after.places) >= 0.95


def test_a_map_of_the_same_topics_is_the_same_map() -> None:
    rows = centroids(*library(30, 5, 4))
    first = new_map(rows)
    assert np.array_equal(new_map(rows).places, first.places)
    again = lay_out(rows, first.places, first.scale)
    assert np.abs(again.places - first.places).max() < 0.01


def test_a_map_that_was_turned_by_somebody_stays_turned() -> None:
    rows = centroids(*library(30, 5, 5))
    first = new_map(rows)
    turned = first.places @ np.array([[0.0, 1.0], [1.0, 0.0]])
    assert np.abs(lay_out(rows, turned, first.scale).places - turned).max() < 0.01


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_topics(n: int) -> None:
    found = new_map(np.eye(4)[:n])
    assert found.places.shape == (n, 2)
    assert np.isfinite(found.places).all()
    apart = distances(found.places)[np.triu_indices(n, 1)]
    assert apart == pytest.approx([apart.max()] * len(apart)) if n > 1 else True
    assert not (n > 1 and apart.min() < 1)


def test_identical_topics_and_those_without_a_direction() -> None:
    for rows in (
        np.ones((5, 8)),
        np.zeros((3, 8)),
        np.vstack([np.ones((3, 8)), np.zeros((1, 8)), np.eye(8)[:1]]),
    ):
        found = new_map(rows)
        assert np.isfinite(found.places).all()
        again = lay_out(rows, found.places, found.scale)
        assert np.isfinite(again.places).all()
        assert np.abs(again.places).max() <= 1
    assert np.array_equal(new_map(np.ones((5, 8))).places, np.zeros((5, 2)))


def test_two_new_topics_that_are_alike_part_when_they_differ() -> None:
    rows = np.vstack([np.eye(10)[:4], unit(np.eye(10)[0] + 0.9 * np.eye(10)[5:7])])
    first = new_map(rows[:4])
    found = lay_out(rows, np.vstack([first.places, np.full((2, 2), np.nan)]), first.scale)
    assert np.linalg.norm(found.places[4] - found.places[5]) > 0.05


def test_a_map_that_would_leave_its_frame_shrinks() -> None:
    rows = np.eye(6)
    found = lay_out(rows, np.vstack([new_map(rows[:2]).places, np.full((4, 2), np.nan)]), 50.0)
    assert np.abs(found.places).max() == pytest.approx(0.85)
    assert found.scale < 50


def test_very_many_topics_are_placed_between_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("misir.orient.layout.MAX_SCALED", 100)
    items, _ = library(60, 20, 6)
    rows = items[np.random.default_rng(0).permutation(len(items))][:300]
    found = new_map(rows)
    assert found.places.shape == (300, 2)
    assert np.abs(found.places).max() <= 1
    assert np.abs(place_between(rows[:20], rows[:100], found.places[:100]) - found.places[:20]).max() < 0.02


def test_scaling_never_gets_worse() -> None:
    chance = np.random.default_rng(7)
    targets = target_distances(chance.normal(size=(20, 5)))
    start = chance.normal(size=(20, 2))
    found, stress = smacof(targets, start)
    loss = ((targets - distances(found)) ** 2).sum() / (targets**2).sum()
    assert stress == pytest.approx(loss**0.5, rel=1e-3)
    assert loss < ((targets - distances(start)) ** 2).sum() / (targets**2).sum()


def test_registering_takes_back_any_move_turn_and_mirroring() -> None:
    points = np.random.default_rng(8).normal(size=(9, 2))
    angle = 1.1
    turn = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])
    known = np.arange(9) < 5
    assert np.abs(register(points @ turn + [3, -2], points, known) - points).max() < 1e-9


# ---- artifacts ----------------------------------------------------------------------------------------


def test_ten_thousand_artifacts_lie_around_their_topics() -> None:
    items, of = library(50, 200, 9)
    rows = centroids(items, of)
    places = new_map(rows).places
    found = place_around(items, of, rows, places, np.full((len(items), 2), np.nan))
    assert np.abs(found).max() <= 1
    to_own = np.linalg.norm(found - places[of], axis=1)
    to_next = np.sort(np.linalg.norm(found[:, None] - places[None], axis=-1), axis=1)
    assert to_own == pytest.approx(to_next[:, 0])  # nobody is nearer to another topic
    again = place_around(items, of, rows, places, found)
    assert np.abs(again - found).max() < 0.01


@pytest.mark.parametrize("n_before", [38, 20])
def test_artifacts_stay_where_they_were_when_others_come(n_before: int) -> None:
    """Of forty in each topic that many were there. A map that was mirrored stays mirrored."""
    items, of = library(10, 40, 10)
    rows = centroids(items, of)
    places = new_map(rows).places
    is_old = np.tile(np.arange(40) < n_before, 10)
    nowhere = np.full((len(items), 2), np.nan)
    old = place_around(items[is_old], of[is_old], rows, places, nowhere[is_old])
    old = places[of[is_old]] + (old - places[of[is_old]]) * [1.0, -1.0]
    known = nowhere.copy()
    known[is_old] = old
    found = place_around(items, of, rows, places, known)
    moved = np.linalg.norm(found[is_old] - old, axis=1).mean()
    assert moved <= (0.05 if n_before == 38 else 0.10) * distances(places).max()
    afresh = place_around(items, of, rows, places, nowhere)
    assert moved < 0.5 * np.linalg.norm(afresh[is_old] - old, axis=1).mean()


def test_artifacts_alike_in_a_topic_lie_together() -> None:
    chance = np.random.default_rng(11)
    axes = np.eye(384)
    halves = unit(np.vstack([axes[0] + 0.5 * axes[1], axes[0] - 0.5 * axes[1]]))
    items = unit(np.repeat(halves, 20, axis=0) + 0.2 * chance.normal(size=(40, 384)) / 384**0.5)
    found = place_around(items, np.zeros(40, int), axes[:1], [[0.0, 0.0]], np.full((40, 2), np.nan))
    assert np.sign(found[:20, 0]).tolist() == [-np.sign(found[20, 0])] * 20
    assert 0.15 < np.linalg.norm(found, axis=1).max() < 0.3


def test_artifacts_of_no_topic_lie_between_topics_and_one_alone_on_its_own() -> None:
    rows, places = np.eye(3), np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.6]])
    nowhere = np.full((3, 2), np.nan)
    found = place_around([[1, 1, 0], [0, 0, 1], [0, 0, 0]], [-1, 2, -1], rows, places, nowhere)
    assert np.abs(found[0]).max() < 0.05
    assert found[1].tolist() == [0.0, 0.6]
    assert np.isfinite(found[2]).all()
    assert place_between([[1.0, 0.0]], np.empty((0, 2)), np.empty((0, 2))).tolist() == [[0.0, 0.0]]
    assert place_around(np.empty((0, 3)), [], rows, places, np.empty((0, 2))).shape == (0, 2)
