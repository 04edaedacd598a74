import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from misir.plumbing.tally import WINDOW_MS, Tallies, Tally

SPENDS = st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 4)), max_size=120)


def spent(tally: Tally, hits: list[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    now_ms, admitted = 0, []
    for pause_ms, cost in hits:
        now_ms += pause_ms
        if tally.spend(now_ms, cost, limit=limit, share=limit)[0]:
            admitted.append((now_ms, cost))
    return admitted


@given(SPENDS, st.integers(1, 12))
def test_no_sixty_seconds_ever_admit_more_than_the_limit(hits: list[tuple[int, int]], limit: int) -> None:
    admitted = spent(Tally(), hits, limit)
    times = [at for at, _ in admitted]
    for first, (at, _) in enumerate(admitted):
        inside = admitted[first : bisect.bisect_left(times, at + WINDOW_MS)]
        assert sum(cost for _, cost in inside) <= limit


@given(SPENDS, st.integers(4, 12))
def test_waiting_as_long_as_told_is_enough_and_is_never_more_than_a_window(
    hits: list[tuple[int, int]], limit: int
) -> None:
    tally = Tally()
    spent(tally, hits, limit)
    now_ms = sum(pause for pause, _ in hits)
    allowed, _, wait_ms = tally.spend(now_ms, 4, limit=limit, share=limit)
    assert 0 <= wait_ms <= WINDOW_MS
    assert allowed or tally.spend(now_ms + wait_ms, 4, limit=limit, share=limit)[0]


def test_a_burst_gets_exactly_the_limit_and_everything_again_a_minute_later() -> None:
    tally = Tally()
    assert sum(tally.spend(i, 1, limit=100, share=100)[0] for i in range(600)) == 100
    assert not tally.spend(59_999, 1, limit=100, share=100)[0]
    assert sum(tally.spend(60_600 + i, 1, limit=100, share=100)[0] for i in range(600)) == 100


def test_all_or_nothing_and_looking_is_free() -> None:
    tally = Tally()
    assert tally.spend(0, 7, limit=10, share=10)[:2] == (True, 3)
    assert tally.spend(0, 4, limit=10, share=10)[:2] == (False, 3)
    assert tally.spend(0, 0, limit=10, share=10)[:2] == (True, 3)
    assert tally.spend(0, 11, limit=10, share=10) == (False, 3, WINDOW_MS)


def test_entries_stay_few_under_any_load() -> None:
    tally = Tally()
    for now_ms in range(0, 300_000, 50):
        tally.spend(now_ms, 1, limit=10**6, share=10**6)
    assert len(tally.entries) <= 61


def test_alone_it_admits_its_share_less_what_it_admitted_already() -> None:
    tally = Tally()
    tally.add(0, 10)
    assert sum(tally.spend(1, 1, limit=100, share=25)[0] for _ in range(100)) == 15
    tally = Tally()
    tally.saw(0, 98, 60_000)
    assert sum(tally.spend(1, 1, limit=100, share=25)[0] for _ in range(100)) == 2


def test_what_redis_must_hear() -> None:
    tally = Tally()
    tally.add(0, 5)
    tally.saw(0, 40, 60_000)
    assert tally.floor(1) == 40
    assert tally.spend(1, 3, limit=100, share=25)[0]
    assert (tally.floor(2), tally.take_debt(2), tally.take_debt(2)) == (40, 3, 0)
    assert tally.floor(59_000) == 40
    assert tally.floor(60_001) == 0
    tally.debt = 3
    assert tally.take_debt(70_000) == 0


@pytest.mark.parametrize("max_keys", [1, 10])
def test_keys_are_bounded_and_the_untouched_longest_go_first(max_keys: int) -> None:
    tallies = Tallies(max_keys)
    for i in range(100):
        tallies.of(f"k{i}", i).add(i, 1)
    assert len(tallies) == max_keys
    assert tallies.of("k99", 100).used == 1


def test_stale_keys_go() -> None:
    tallies = Tallies(1000)
    for i in range(100):
        tallies.of(f"k{i}", i)
    tallies.of("new", WINDOW_MS + 1000)
    assert len(tallies) == 1
