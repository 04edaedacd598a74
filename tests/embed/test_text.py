from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from misir.embed.text import (
    MAX_PADDING,
    choose_windows,
    document_text,
    finish,
    layer_norm,
    merge_windows,
    plan_runs,
    pool_mean,
    to_unit,
)


@pytest.mark.parametrize(
    ("title", "content", "expected"),
    [
        ("T", "C", "T\n\nC"),
        (" T ", None, "T"),
        (None, "C\n", "C"),
        ("", "  ", ""),
    ],
)
def test_document_text(title: str | None, content: str | None, expected: str) -> None:
    assert document_text(title, content) == expected


@given(st.integers(0, 5000), st.integers(1, 300), st.integers(1, 8))
def test_windows_read_what_they_say(total: int, size: int, most: int) -> None:
    bounds, fraction = choose_windows(total, size, most)
    read = set().union(*(range(start, stop) for start, stop in bounds))
    assert len(bounds) <= most
    assert bounds[0][0] == 0
    assert all(0 <= start <= stop <= total and stop - start <= size for start, stop in bounds)
    assert fraction == pytest.approx(len(read) / total if total else 1.0)
    if len(bounds) > 1:
        assert bounds[-1][1] == total


@given(st.integers(1, 5000), st.integers(1, 300))
def test_more_windows_never_read_less(total: int, size: int) -> None:
    fractions = [choose_windows(total, size, most)[1] for most in range(1, 9)]
    assert fractions == sorted(fractions)


@given(st.lists(st.integers(1, 400), max_size=60), st.sampled_from([1, 64, 256]))
def test_runs_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    runs = plan_runs(lengths, budget)
    assert sorted(index for run in runs for index in run) == list(range(len(lengths)))
    for run in runs:
        longest, real = max(lengths[i] for i in run), sum(lengths[i] for i in run)
        padded = longest * len(run)
        assert len(run) == 1 or padded <= budget
        assert len(run) == 1 or padded - real <= MAX_PADDING * padded


def test_a_budget_of_one_runs_every_text_alone() -> None:
    assert [len(run) for run in plan_runs([3, 3, 3], 1)] == [1, 1, 1]


def test_padding_does_not_count_in_the_mean() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((2, 5, 4)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    pooled = pool_mean(hidden, mask)
    np.testing.assert_allclose(pooled, [hidden[0, :3].mean(0), hidden[1].mean(0)], rtol=1e-6)
    assert pooled.dtype == np.float32


def test_layer_norm_turns_no_vector_when_its_length_changes() -> None:
    vector = np.random.default_rng(0).standard_normal((1, 768)).astype(np.float32) + 0.5
    np.testing.assert_allclose(
        finish(vector, dimension=256, is_layer_normed=True),
        finish(to_unit(vector), dimension=256, is_layer_normed=True),
        atol=1e-6,
    )
    np.testing.assert_allclose(layer_norm(vector).mean(), 0, atol=1e-6)


def test_one_window_is_only_rounded_and_opposite_windows_are_refused() -> None:
    unit = to_unit(np.array([[3.0, 4.0]], np.float32))
    assert merge_windows(unit).tolist() == [float(np.float16(0.6)), float(np.float16(0.8))]
    with pytest.raises(FloatingPointError):
        merge_windows(np.concatenate([unit, -unit]))


@pytest.mark.parametrize("bad", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_vector_without_direction_is_refused(bad: list[float]) -> None:
    with pytest.raises(FloatingPointError):
        to_unit(np.array([bad], np.float32))
