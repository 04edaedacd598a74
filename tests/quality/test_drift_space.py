from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("river", reason="River comes with the extra `quality`")

from misir.orient.vectors import Vector, unit
from misir.quality.drift_space import DriftingSpace, Sign, first_signs, make_reading, measure_spaces
from misir.quality.drift_streams import Order

D = 384


def around(direction: int, n: int, also: int | None = None) -> Vector:
    """n unit vectors around an axis, leaning to another: pairwise cosines of 0.5 within, as texts of a topic."""
    noise = np.random.default_rng(direction).normal(scale=0.04, size=(n, D))
    return unit(noise + np.eye(D)[direction] + (0.0 if also is None else 0.9 * np.eye(D)[also]))


TOPICS = {
    "own": around(0, 130),
    "new": around(1, 130, also=0),
    "third": around(2, 130),
    "fourth": around(3, 130),
}


@pytest.mark.parametrize("has_sibling", [True, False])
def test_a_reading_changes_to_the_nearest_other_label_for_good(has_sibling: bool) -> None:
    reading = make_reading(
        TOPICS, "own", Order.INDEPENDENT, np.random.default_rng(0), has_sibling=has_sibling
    )
    before, after = reading.labels[: reading.change], reading.labels[reading.change :]
    assert reading.new_label == "new"
    assert set(after) == {"new"}
    assert (before.count("own"), before.count("third"), before.count("fourth")) == (60, 20, 20)
    assert before.count("new") == (20 if has_sibling else 0)
    assert len(np.unique(reading.vectors, axis=0)) == len(reading.labels)


@pytest.mark.parametrize("has_sibling", [True, False])
def test_content_that_moves_on_shows_somewhere_in_the_space(has_sibling: bool) -> None:
    reading = make_reading(
        TOPICS, "own", Order.INDEPENDENT, np.random.default_rng(0), has_sibling=has_sibling
    )
    signs, n_false = first_signs(reading)
    assert n_false == 0
    assert signs
    assert min(signs.values()) <= 20
    if has_sibling:
        assert Sign.GROWTH in signs


def test_a_topic_of_a_space_drifts_and_its_anchor_moves() -> None:
    """A content so near that the texts stay in the topic, and yet another."""
    watched = DriftingSpace(is_consolidating=False)
    old, new = around(0, 60), unit(around(0, 130)[60:90] + 0.7 * np.eye(D)[5])
    drifted = [row for row, x in enumerate(np.concatenate([old, new])) if watched.capture(x)]
    assert len(drifted) == 1
    assert 60 < drifted[0] <= 75


def test_the_figures_say_how_each_change_showed() -> None:
    figures = measure_spaces({"corpus": TOPICS}, Order.SESSIONS, n_readings=2, seed=0)
    for variant in ("new to the space", "known to the space"):
        assert figures[variant]["n"] == 2
        assert sum(figures[variant]["first_sign"].values()) == round(2 * figures[variant]["recall"])
