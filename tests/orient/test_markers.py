from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.config import EngineConfig
from misir.orient.markers import marker_weight, matched_markers, phrases_in

CONFIG = EngineConfig()
MATCHED = datetime(2026, 1, 1, tzinfo=UTC)
steady = settings(deadline=None, derandomize=True)


@pytest.mark.parametrize(("weeks", "weight"), [(-1, 1.0), (0, 1.0), (1, 0.9), (2, 0.81), (1000, 0.01)])
def test_a_marker_fades_by_a_tenth_a_week(weeks: int, weight: float) -> None:
    assert marker_weight(MATCHED, MATCHED + timedelta(weeks=weeks), CONFIG) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("text", "phrase", "occurs"),
    [
        ("The Borrow Checker", "borrow checker", True),
        ("the borrow\n  checker", "Borrow checker", True),
        ("rusty", "rust", False),
        ("trust", "rust", False),
        ("rust_lang", "rust", False),
        ("trust in rust.", "rust", True),
        ("C++20 and c++", "C++", True),
        ("C++20", "C++", False),
        ("Straße", "STRASSE", True),
        ("cafe\u0301 culture", "Caf\u00e9", True),
        ("a.b", "a+b", False),
        ("anything", "", False),
        ("anything", "   ", False),
        ("", "word", False),
    ],
)
def test_phrases_are_whole_words(text: str, phrase: str, occurs: bool) -> None:
    assert phrases_in(text, [phrase]) == ((0,) if occurs else ())


@steady
@given(st.text(max_size=50), st.lists(st.text(max_size=10), max_size=5))
def test_any_text_and_any_phrase_are_fine(text: str, phrases: list[str]) -> None:
    found = phrases_in(text, phrases)
    assert list(found) == sorted(set(found))
    assert all(phrases[index].strip() for index in found)


@steady
@given(st.lists(st.sampled_from(["soil", "seed bank", "rot"]), unique=True), st.booleans())
def test_a_phrase_in_the_text_is_found(phrases: list[str], loud: bool) -> None:
    text = ", ".join(phrases)
    assert phrases_in(text.upper() if loud else text, phrases) == tuple(range(len(phrases)))


def test_a_marker_matches_by_phrase_or_by_meaning_and_counts_once() -> None:
    phrases = ["soil", "seeds", "stars", "loam"]
    assert matched_markers("Soil", phrases, [True, False, False, True]) == (0, 3)
