from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.config import EngineConfig
from misir.orient.reading import (
    ContentSource,
    DecayRate,
    EngagementLevel,
    decay_rate,
    derive_level,
    expected_ms,
    is_depth_different,
    max_level,
    parse_level,
    parse_source,
    reading_depth,
    time_ratio,
)

CONFIG = EngineConfig()
LATENT, DISCOVERED, ENGAGED, SATURATED = EngagementLevel
steady = settings(deadline=None, derandomize=True)
times = st.floats(0, 1e9)
fractions = st.floats(0, 1)


def test_the_order_of_levels_is_their_meaning() -> None:
    assert [level.rank for level in (LATENT, DISCOVERED, ENGAGED, SATURATED)] == [0, 1, 2, 3]


@pytest.mark.parametrize(("a", "b"), list(product(EngagementLevel, EngagementLevel)))
def test_a_level_never_goes_down(a: EngagementLevel, b: EngagementLevel) -> None:
    assert max_level(a, b).rank == max(a.rank, b.rank)


@pytest.mark.parametrize(
    ("word", "level"),
    [
        *((level.value, level) for level in EngagementLevel),
        ("ambient", LATENT),
        ("active", ENGAGED),
        ("flow", SATURATED),
        ("committed", SATURATED),
        (" Engaged ", ENGAGED),
    ],
)
def test_levels_and_their_older_words(word: str, level: EngagementLevel) -> None:
    assert parse_level(word) is level


@pytest.mark.parametrize(
    ("word", "source"),
    [
        *((source.value, source) for source in ContentSource),
        ("ai", ContentSource.CHAT),
        ("document", ContentSource.PDF),
        ("ebook", ContentSource.PDF),
        ("upload", ContentSource.PDF),
        ("manual", ContentSource.NOTE),
        ("WEB", ContentSource.WEB),
    ],
)
def test_sources_and_their_older_words(word: str, source: ContentSource) -> None:
    assert parse_source(word) is source


def test_an_unknown_word_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match="one of latent, discovered, engaged, saturated; 'bored'"):
        parse_level("bored")
    with pytest.raises(ValueError, match="one of web, pdf, video, chat, note, other; ''"):
        parse_source("")


def test_every_source_has_a_decay_rate() -> None:
    assert {source.value: decay_rate(source) for source in ContentSource} == {
        "web": DecayRate.HIGH,
        "chat": DecayRate.HIGH,
        "video": DecayRate.MEDIUM,
        "other": DecayRate.MEDIUM,
        "pdf": DecayRate.LOW,
        "note": DecayRate.LOW,
    }


@pytest.mark.parametrize(
    ("dwell_ms", "scroll", "level"),
    [
        (0, 0.0, LATENT),
        (29_999, 0.09, LATENT),
        (30_000, 0.0, DISCOVERED),
        (0, 0.1, DISCOVERED),
        (179_999, 1.0, DISCOVERED),
        (10**7, 0.49, DISCOVERED),
        (180_000, 0.5, ENGAGED),
        (599_999, 1.0, ENGAGED),
        (10**7, 0.89, ENGAGED),
        (600_000, 0.9, SATURATED),
    ],
)
def test_the_level_follows_time_and_scroll(dwell_ms: int, scroll: float, level: EngagementLevel) -> None:
    assert derive_level(dwell_ms, scroll, CONFIG) is level


@steady
@given(times, fractions, times, fractions)
def test_more_reading_never_means_a_lower_level(
    ms: float, scroll: float, more_ms: float, more: float
) -> None:
    deeper = derive_level(ms + more_ms, min(1.0, scroll + more), CONFIG)
    assert deeper.rank >= derive_level(ms, scroll, CONFIG).rank


def test_expected_time_by_source() -> None:
    for source in set(ContentSource) - {ContentSource.PDF}:
        assert expected_ms(200, source, CONFIG) == 60_000
    assert expected_ms(160, ContentSource.PDF, CONFIG) == 60_000


def test_only_a_video_goes_by_its_duration() -> None:
    assert expected_ms(200, ContentSource.VIDEO, CONFIG, duration_ms=5) == 5
    assert expected_ms(200, ContentSource.VIDEO, CONFIG, duration_ms=0) == 60_000
    assert expected_ms(200, ContentSource.WEB, CONFIG, duration_ms=5) == 60_000


@pytest.mark.parametrize("source", ContentSource)
def test_without_words_there_is_no_depth(source: ContentSource) -> None:
    assert expected_ms(0, source, CONFIG) is None
    assert reading_depth(60_000, 1.0, None, CONFIG) is None


@steady
@given(times, fractions, st.integers(1, 10**7))
def test_depth_is_bounded_and_rises(ms: float, scroll: float, words: int) -> None:
    expected = expected_ms(words, ContentSource.WEB, CONFIG)
    assert expected is not None
    depth, deeper = (reading_depth(t, scroll, expected, CONFIG) for t in (ms, ms + 1000))
    assert depth is not None
    assert deeper is not None
    assert 0 <= depth <= deeper <= 1.5
    assert 0 <= time_ratio(ms, expected, CONFIG) <= 1.5


def test_depth_stays_below_its_cap_whatever_the_shares() -> None:
    config = EngineConfig(time_share=1.0, scroll_share=1.0)
    assert reading_depth(10**9, 1.0, 60_000, config) == 1.5


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [(None, 0.5, False), (0.5, None, False), (0.7, 0.5, False), (0.9, 0.7, False), (0.5, 0.71, True)],
)
def test_a_difference_above_a_fifth_is_flagged(
    client: float | None, server: float | None, expected: bool
) -> None:
    assert is_depth_different(client, server, CONFIG) is expected
