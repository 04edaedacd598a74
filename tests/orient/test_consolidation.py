from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from misir.orient.config import EngineConfig
from misir.orient.consolidation import Consolidation, consolidate
from misir.orient.vectors import Vector, unit

CONFIG = EngineConfig()
MODEL: Any = SimpleNamespace(novelty=0.4, novelty_item=0.5)
steady = settings(deadline=None, derandomize=True)


def blob(direction: int, n: int, spread: float = 0.3) -> Vector:
    """n unit vectors round an axis of 8 dimensions."""
    noise = np.random.default_rng(direction).normal(size=(n, 8)) * spread / np.sqrt(8)
    return unit(np.eye(8)[direction] + noise)


def look_again(
    vectors: Any, index: list[int], n_topics: int = 2, config: EngineConfig = CONFIG, **given_: Any
) -> Consolidation:
    n, d = np.asarray(vectors).shape
    values = {
        "is_movable": [True] * n,
        "priors": np.zeros((n_topics, d)),
        "prior_weights": [0.0] * n_topics,
        "is_pinned": [False] * n_topics,
    } | given_
    weights = values.pop("weights", [1.0] * n)
    return consolidate(vectors, weights, index, **values, calibration=MODEL, config=config)


TWO = np.concatenate([blob(0, 6), blob(1, 6)])
RIGHT = [0] * 6 + [1] * 6


def test_a_misplaced_item_goes_home_and_an_unassigned_one_joins() -> None:
    found = look_again(TWO, [0, 0, 0, 0, 1, -1, 1, 1, 1, 1, 1, 0])
    assert found.index.tolist() == RIGHT
    assert found.moved == (4, 5, 11)
    assert found.dissolved == ()


def test_what_is_right_stays_and_takes_one_round() -> None:
    found = look_again(TWO, RIGHT)
    assert (found.index.tolist(), found.moved, found.rounds) == (RIGHT, (), 1)


def test_rounds_are_limited() -> None:
    config = EngineConfig(consolidation_rounds=1, group_neighbours=0)
    assert look_again(TWO, [0, 0, 0, 0, 1, -1, 1, 1, 1, 1, 1, 0], config=config).rounds == 1


def test_rounds_end_where_nothing_moves() -> None:
    """Items between two fixed topics, one of them light: it draws nearer, item by item, and takes them all."""
    angles = [0.0] * 3 + [1.57] * 3 + [0.70, 0.75, 0.80, 0.85, 0.90, 0.95]
    rows = np.zeros((12, 8))
    rows[:, 0], rows[:, 1] = np.cos(angles), np.sin(angles)
    values = {"weights": [0.2] * 3 + [2.0] * 9, "is_movable": [False] * 6 + [True] * 6}

    def after(rounds: int) -> Consolidation:
        config = EngineConfig(group_neighbours=0, consolidation_rounds=rounds)
        return look_again(rows, [0] * 3 + [1] * 3 + [-1] * 6, config=config, **values)

    assert [after(rounds).rounds for rounds in (1, 2, 9)] == [1, 2, 4]
    assert after(1).index.tolist()[6:] == [0, 0, 1, 1, 1, 1]
    assert after(9).index.tolist()[6:] == [0] * 6


def test_an_item_far_from_everything_leaves() -> None:
    found = look_again(np.concatenate([TWO, blob(5, 1)]), [*RIGHT, 0])
    assert found.index[-1] == -1


def test_topics_below_three_items_dissolve_and_their_items_find_another() -> None:
    found = look_again(TWO, [0] * 6 + [1] * 4 + [2] * 2, n_topics=3)
    assert found.index.tolist() == RIGHT
    assert found.dissolved == (2,)


def test_items_placed_by_a_person_never_move_and_keep_their_topic_alive() -> None:
    index = [0] * 5 + [2] + [1] * 6
    found = look_again(TWO, index, n_topics=3, is_movable=[True] * 5 + [False] + [True] * 6)
    assert found.index.tolist() == index
    assert found.dissolved == ()


def test_one_item_that_a_person_placed_does_not_take_its_neighbours_along() -> None:
    rows = blob(0, 20)
    index = [1] + [0] * 19
    found = look_again(rows, index, is_movable=[False] + [True] * 19)
    assert found.index[0] == 1
    assert np.count_nonzero(found.index == 0) >= 15  # all but near copies of the one that was placed
    assert found.n_born == 0


def test_an_item_kept_out_by_a_person_stays_out() -> None:
    index = [-1, *RIGHT[1:]]
    assert look_again(TWO, index, is_movable=[False] + [True] * 11).index.tolist() == index


def test_a_pinned_topic_neither_loses_nor_gains() -> None:
    index = [0] * 4 + [1] * 2 + [1] * 4 + [0, -1]
    found = look_again(TWO, index, is_pinned=[False, True])
    assert found.index.tolist() == index


def test_a_pinned_topic_survives_without_items() -> None:
    assert look_again(TWO, RIGHT, n_topics=3, is_pinned=[False, False, True]).dissolved == ()


def test_a_declared_topic_draws_by_its_markers_and_never_dissolves() -> None:
    priors = np.eye(8)[[0, 1, 4]]
    found = look_again(TWO, [-1] * 12, n_topics=3, priors=priors, prior_weights=[3.0] * 3)
    assert found.index.tolist() == RIGHT
    assert found.dissolved == ()


def test_deeply_read_items_draw_more_than_glances() -> None:
    """Between two axes lies an item; the topic whose weights pull its centroid there gets it."""
    middle = unit(np.eye(8)[0] + np.eye(8)[1])
    rows = np.stack([*np.eye(8)[[0, 0, 0]], middle, *np.eye(8)[[1, 1, 1]], middle, middle])
    index = [0, 0, 0, 0, 1, 1, 1, 1, -1]
    # With fixed items round it, only the rounds place the last one: by the weighted centroids.
    given_ = {"is_movable": [False] * 8 + [True], "config": EngineConfig(group_neighbours=0)}
    assert look_again(rows, index, weights=[0.2, 0.2, 0.2, 2.0, 1, 1, 1, 0.2, 1], **given_).index[-1] == 0
    assert look_again(rows, index, weights=[1, 1, 1, 0.2, 0.2, 0.2, 0.2, 2.0, 1], **given_).index[-1] == 1


def test_new_topics_are_born_where_three_could_found_one() -> None:
    found = look_again(np.concatenate([TWO, blob(3, 3)]), [*RIGHT, -1, -1, -1])
    assert found.index.tolist() == [*RIGHT, 2, 2, 2]
    assert (found.n_born, found.moved) == (1, (12, 13, 14))


def test_a_topic_of_two_subjects_becomes_two_and_the_larger_keeps_its_number() -> None:
    rows = np.concatenate([blob(0, 6), blob(1, 8)])
    found = look_again(rows, [0] * 14, n_topics=1)
    assert found.index.tolist() == [1] * 6 + [0] * 8
    assert found.n_born == 1


def test_two_topics_of_one_subject_become_one() -> None:
    rows = np.concatenate([blob(0, 12), blob(1, 8)])
    found = look_again(rows, [0] * 5 + [2] * 7 + [1] * 8, n_topics=3)
    assert found.index.tolist() == [2] * 12 + [1] * 8
    assert found.dissolved == (0,)


def test_two_items_or_three_that_are_not_near_enough_found_nothing() -> None:
    assert look_again(np.concatenate([TWO, blob(3, 2)]), [*RIGHT, -1, -1]).n_born == 0
    apart = [unit(0.7 * np.eye(8)[3] + axis) for axis in np.eye(8)[[4, 5, 6]]]  # cosines of 1/3
    assert look_again(np.concatenate([TWO, apart]), [*RIGHT, -1, -1, -1]).n_born == 0


def test_where_topics_are_not_born_by_themselves_none_is() -> None:
    found = look_again(np.concatenate([TWO, np.eye(8)[[3, 3, 3]]]), [*RIGHT, -1, -1, -1], may_found=False)
    assert found.index.tolist() == [*RIGHT, -1, -1, -1]


def test_items_of_a_declared_topic_stay_its_even_when_another_group_forms() -> None:
    """Two declared topics are never merged, however near."""
    rows = np.concatenate([blob(0, 6), blob(0, 6)])
    priors = np.eye(8)[[0, 0]]
    found = look_again(rows, [0] * 6 + [1] * 6, priors=priors, prior_weights=[3.0, 3.0])
    assert found.dissolved == ()
    assert found.n_born == 0


def test_what_is_only_slightly_better_is_left_as_it_is() -> None:
    rows = np.concatenate([blob(0, 6), blob(1, 6)])
    stubborn = EngineConfig(regroup_gain=2.0, consolidation_rounds=1)
    assert look_again(rows, [0] * 6 + [1] * 6, config=stubborn).moved == ()


def test_a_space_without_topics_or_items_stays_as_it_is() -> None:
    lonely = np.eye(8)
    assert look_again(lonely, [-1] * 8, n_topics=0).index.tolist() == [-1] * 8
    assert look_again(np.empty((0, 8)), []).dissolved == (0, 1)


def test_unassigned_items_alone_found_the_first_topics() -> None:
    found = look_again(TWO, [-1] * 12, n_topics=0)
    assert found.index.tolist() == RIGHT
    assert found.n_born == 2


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    n, k = draw(st.integers(1, 10)), draw(st.integers(0, 4))
    rows = draw(arrays(np.float64, (n, 3), elements=st.floats(-1, 1)))
    rows[np.linalg.norm(rows, axis=1) < 0.1] = [1.0, 0.0, 0.0]
    flags = st.booleans()
    return {
        "vectors": unit(rows),
        "index": draw(st.lists(st.integers(-1, k - 1), min_size=n, max_size=n)),
        "n_topics": k,
        "weights": draw(st.lists(st.sampled_from([0.2, 0.5, 1.0, 2.0]), min_size=n, max_size=n)),
        "is_movable": draw(st.lists(flags, min_size=n, max_size=n)),
        "priors": np.tile([0.0, 0.0, 1.0], (k, 1)),
        "prior_weights": draw(st.lists(st.sampled_from([0.0, 3.0]), min_size=k, max_size=k)),
        "is_pinned": draw(st.lists(flags, min_size=k, max_size=k)),
    }


@steady
@given(spaces())
def test_promises_hold_in_any_space(space: dict[str, Any]) -> None:
    found = look_again(**space)
    before, after = np.array(space["index"]), found.index
    assert 1 <= found.rounds <= CONFIG.consolidation_rounds
    assert list(found.moved) == np.flatnonzero(before != after).tolist()
    assert set(range(space["n_topics"], space["n_topics"] + found.n_born)) <= set(after.tolist())
    assert all(-1 <= topic < space["n_topics"] + found.n_born for topic in after)
    for row, movable in enumerate(space["is_movable"]):
        assert movable or after[row] == before[row]
    for topic in range(space["n_topics"]):
        if space["is_pinned"][topic]:
            assert ((after == topic) == (before == topic)).all()
        if space["is_pinned"][topic] or space["prior_weights"][topic]:
            assert topic not in found.dissolved
        n_items = int((after == topic).sum())
        is_held = any(t == topic and not m for t, m in zip(before, space["is_movable"], strict=True))
        if topic in found.dissolved:
            assert n_items == 0
        elif not (space["is_pinned"][topic] or space["prior_weights"][topic] or is_held):
            assert n_items >= CONFIG.min_topic_items
    assert look_again(**space, may_found=False).n_born == 0
    again = look_again(**space)
    assert (again.index == after).all()


def test_a_topic_with_much_that_is_not_looked_at_leaves_the_others_whole() -> None:
    """Hundreds of older texts stand behind a prior; counted in the graph, they once left the rest in crumbs."""
    sides = np.eye(32)[np.repeat([0, 1, 2], 200)]
    rows = unit(sides + np.random.default_rng(1).normal(size=sides.shape) / np.sqrt(32))
    index = np.repeat([0, 1, 2], 200).tolist()
    for weight in (200.0, 5_000.0):
        weights = [weight, 3.0, 3.0]
        found = look_again(rows, index, n_topics=3, priors=np.eye(32)[[0, 1, 2]], prior_weights=weights)
        assert (found.n_born, found.moved, found.dissolved) == (0, (), ())
