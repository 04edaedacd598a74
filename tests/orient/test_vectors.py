import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from misir.orient.vectors import Vector, cosines, is_degenerate, norms, to_half, unit

steady = settings(deadline=None, derandomize=True)
components = st.floats(-1, 1, width=32)
vectors = arrays(np.float32, 8, elements=components).filter(lambda v: np.linalg.norm(v) > 0.01)
rows = arrays(np.float32, st.tuples(st.integers(0, 5), st.just(8)), elements=components)


@steady
@given(vectors)
def test_a_unit_vector_has_length_one_and_the_same_direction(v: Vector) -> None:
    assert unit(v).dtype == np.float32
    assert norms(unit(v)) == pytest.approx(1.0, abs=1e-6)
    assert cosines(v, unit(v)[None])[0] == pytest.approx(1.0, abs=1e-6)


def test_unit_works_row_by_row() -> None:
    v = np.array([[3.0, 4.0], [0.0, 2.0]])
    np.testing.assert_array_equal(unit(v), np.stack([unit(v[0]), unit(v[1])]))


@pytest.mark.parametrize("v", [[0.0, 0.0], [[1.0, 0.0], [0.0, 1e-8]]])
def test_a_vector_without_direction_is_refused(v: list[float]) -> None:
    with pytest.raises(ValueError, match="no direction"):
        unit(v)


@steady
@given(vectors)
def test_rounding_to_half_happens_once(v: Vector) -> None:
    half = to_half(v)
    assert half.dtype == np.float32
    np.testing.assert_array_equal(to_half(half), half)
    np.testing.assert_allclose(half, v, rtol=2**-11, atol=2**-25)


@steady
@given(vectors, rows, st.floats(0.01, 100))
def test_cosines_are_bounded_and_know_no_length(x: Vector, others: Vector, factor: float) -> None:
    found = cosines(x, others)
    assert found.shape == (len(others),)
    assert np.all((found >= -1) & (found <= 1))
    np.testing.assert_allclose(cosines(x * factor, others), found, atol=1e-5)


@steady
@given(vectors, rows)
def test_rows_do_not_influence_each_other(x: Vector, others: Vector) -> None:
    one_by_one = [cosines(x, row[None])[0] for row in others]
    np.testing.assert_allclose(cosines(x, others), one_by_one, atol=1e-12)


def test_what_has_no_direction_has_cosine_zero() -> None:
    assert cosines([0.0, 0.0], [[1.0, 0.0]]).tolist() == [0.0]
    assert cosines([1.0, 0.0], [[0.0, 0.0]]).tolist() == [0.0]


@pytest.mark.parametrize(("length", "expected"), [(0.0, True), (9e-7, True), (1.1e-6, False), (1.0, False)])
def test_degenerate_is_below_one_millionth(length: float, expected: bool) -> None:
    assert bool(is_degenerate([length, 0.0])) is expected
