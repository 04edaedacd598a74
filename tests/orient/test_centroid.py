import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from misir.orient.centroid import TopicState, alpha, seed, taught_difference, teach, untaught
from misir.orient.config import EngineConfig
from misir.orient.reading import EngagementLevel
from misir.orient.vectors import Vector, cosines, norms, to_half, unit
from misir.orient.weight import base_weight

CONFIG = EngineConfig()
D = 6
steady = settings(deadline=None, derandomize=True)
units = (
    arrays(np.float32, D, elements=st.floats(-1, 1, width=32))
    .filter(lambda v: np.linalg.norm(v) > 0.1)
    .map(unit)
)
levels = st.sampled_from(EngagementLevel)
weights = st.floats(0.01, 2.0)
signals = st.lists(st.tuples(units, weights), min_size=1, max_size=30)


def learn(state: TopicState, taught: list[tuple[Vector, float]]) -> TopicState:
    for x, w in taught:
        state = teach(state, x, w, CONFIG)
    return state


@steady
@given(units, weights, st.integers(0, 10))
def test_without_weight_the_topic_becomes_the_signal(x: Vector, w: float, n: int) -> None:
    state = teach(TopicState(np.zeros(D, dtype=np.float32), 0.0, n, 0.4), x, w, CONFIG)
    np.testing.assert_array_equal(state.m, x)
    assert (state.weight_sum, state.signal_count, state.coherence) == (w, n + 1, 0.4)


@steady
@given(signals)
def test_weight_and_count_lose_nothing(taught: list[tuple[Vector, float]]) -> None:
    state = learn(untaught(D), taught)
    assert state.signal_count == len(taught)
    assert state.weight_sum == pytest.approx(sum(w for _, w in taught))


@steady
@given(st.lists(st.tuples(units, st.floats(0.1, 1.0)), min_size=1, max_size=7), st.lists(units, min_size=1))
def test_early_learning_is_the_weighted_mean(
    taught: list[tuple[Vector, float]], markers: list[Vector]
) -> None:
    """While W + w ≤ 10 and w ≤ W (so the cap of 0.5 is not felt), with the seed as one item of weight 3."""
    mean_marker = np.mean(markers, axis=0)
    if norms(mean_marker) < 0.01:
        return
    start = seed(markers, CONFIG)
    state = learn(start, taught)
    vectors = np.stack([start.m, *(x for x, _ in taught)])
    expected = np.average(vectors, axis=0, weights=[3.0, *(w for _, w in taught)])
    np.testing.assert_allclose(state.m, expected, atol=1e-5)


@steady
@given(st.lists(st.tuples(units, st.floats(0.1, 1.0)), min_size=2, max_size=6), st.randoms())
def test_early_learning_knows_no_order(taught: list[tuple[Vector, float]], random: object) -> None:
    start = seed([taught[0][0]], CONFIG)
    shuffled = list(taught)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    np.testing.assert_allclose(learn(start, taught).m, learn(start, shuffled).m, atol=1e-5)


def test_late_learning_is_the_moving_average() -> None:
    state = TopicState(unit([1.0, 0.0]), 50.0, 40, 0.0)
    assert alpha(state, 1.0, 0.1, CONFIG) == pytest.approx(0.1)
    assert alpha(state, 2.0, 0.1, CONFIG) == pytest.approx(0.2)
    assert alpha(state, 0.2, 0.1, CONFIG) == pytest.approx(0.02)


def test_a_topic_has_its_own_learning_rate() -> None:
    state = TopicState(unit([1.0, 0.0]), 50.0, 40, 0.0)
    moved = teach(state, [0.0, 1.0], 1.0, CONFIG, learning_rate=0.25)
    np.testing.assert_allclose(moved.m, [0.75, 0.25])


@steady
@given(st.floats(0, 100), weights, st.integers(0, 20), st.floats(0, 1))
def test_alpha_is_a_fraction_capped_from_the_third_signal_on(
    weight_sum: float, w: float, n: int, learning_rate: float
) -> None:
    found = alpha(TopicState(unit([1.0, 0.0]), weight_sum, n, 0.0), w, learning_rate, CONFIG)
    assert 0 < found <= 1
    if n >= 3 and weight_sum > 0:
        assert found <= 0.5


@pytest.mark.parametrize(("n", "expected"), [(2, 2 / 2.5), (3, 0.5), (4, 0.5)])
def test_the_cap_begins_with_three_signals(n: int, expected: float) -> None:
    state = TopicState(unit([1.0, 0.0]), 0.5, n, 0.0)
    assert alpha(state, 2.0, 0.1, CONFIG) == pytest.approx(expected)


@steady
@given(st.lists(st.tuples(units, weights), min_size=1, max_size=30))
def test_the_length_never_exceeds_one(taught: list[tuple[Vector, float]]) -> None:
    assert norms(learn(untaught(D), taught).m) <= 1 + 1e-5
    assert norms(learn(untaught(D), [(to_half(x), w) for x, w in taught]).m) <= 1 + 2**-10


@steady
@given(units, levels, st.lists(levels, max_size=10))
def test_a_page_teaches_its_deepest_reading_once(
    x: Vector, level: EngagementLevel, more: list[EngagementLevel]
) -> None:
    state, taught, n_taught = seed([x], CONFIG), 0.0, 0
    for visit in [level] * 10 + more * 2:
        w = taught_difference(base_weight(visit, CONFIG), taught)
        state, taught, n_taught = teach(state, x, w, CONFIG), taught + w, n_taught + (w > 0)
    deepest = max(base_weight(visit, CONFIG) for visit in [level, *more])
    assert taught == pytest.approx(deepest)
    assert state.weight_sum == pytest.approx(3 + deepest)
    assert state.signal_count == n_taught <= len({level, *more})


@steady
@given(st.lists(st.floats(0.001, 5, allow_subnormal=False), min_size=4, max_size=4, unique=True))
def test_rounding_of_odd_weights_teaches_nothing(values: list[float]) -> None:
    latent, discovered, engaged, saturated = sorted(values)
    config = EngineConfig(
        base_weight_latent=latent,
        base_weight_discovered=discovered,
        base_weight_engaged=engaged,
        base_weight_saturated=saturated,
    )
    taught = 0.0
    for level in EngagementLevel:
        taught += taught_difference(base_weight(level, config), taught)
    assert taught_difference(saturated, taught) == 0


def test_the_last_bit_of_a_sum_is_not_a_lesson() -> None:
    assert 0.05 + (0.21 - 0.05) < 0.21
    assert taught_difference(0.21, 0.05 + (0.21 - 0.05)) == 0


@pytest.mark.parametrize("w", [0.0, -1.0])
def test_no_weight_teaches_nothing(w: float) -> None:
    state = seed([[1.0, 0.0]], CONFIG)
    assert teach(state, [0.0, 1.0], w, CONFIG) is state


def test_the_first_signal_does_not_overwrite_the_markers() -> None:
    taught = teach(seed([[1.0, 0.0]], CONFIG), [0.0, 1.0], 2.0, CONFIG)
    np.testing.assert_allclose(taught.m, [0.6, 0.4], atol=1e-7)
    assert cosines([1.0, 0.0], taught.centroid[None])[0] > 0.8


def test_a_cancelled_direction_is_kept_and_marked() -> None:
    state = teach(teach(untaught(2), [1.0, 0.0], 1.0, CONFIG), [-1.0, 0.0], 1.0, CONFIG)
    assert state.was_degenerate
    assert state.m.tolist() == [1.0, 0.0]
    assert (state.weight_sum, state.signal_count) == (2.0, 2)
    assert not teach(state, [0.0, 1.0], 1.0, CONFIG).was_degenerate


def test_a_topic_without_centroid_says_so() -> None:
    assert not untaught(3).has_centroid
    assert seed([[1.0, 0.0]], CONFIG).has_centroid
    with pytest.raises(ValueError, match="no direction"):
        _ = untaught(3).centroid


@pytest.mark.parametrize(
    ("markers", "message"), [([], "at least one marker"), ([[1.0, 0.0], [-1.0, 0.0]], "no direction")]
)
def test_a_seed_needs_a_direction(markers: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seed(markers, CONFIG)


@steady
@given(signals)
def test_state_is_single_precision_and_the_input_untouched(taught: list[tuple[Vector, float]]) -> None:
    start = seed([taught[0][0]], CONFIG)
    before = start.m.copy()
    assert learn(start, taught).m.dtype == np.float32
    np.testing.assert_array_equal(start.m, before)
