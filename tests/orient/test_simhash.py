from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.simhash import MAX_CHARACTERS, bands

texts = st.text(max_size=400)
WORDS = [f"word{number}" for number in range(400)]


def hamming(first: str, second: str) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(bands(first), bands(second), strict=True))


@settings(deadline=None)
@given(texts)
def test_every_quarter_is_sixteen_bits_and_the_same_each_time(text: str) -> None:
    assert all(0 <= one < 2**16 for one in bands(text))
    assert bands(text) == bands(text)


@settings(deadline=None)
@given(st.text("abc \n.,", max_size=200))
def test_case_space_and_punctuation_make_no_difference(text: str) -> None:
    assert bands(text.upper().replace(" ", "  ").replace(".", " ; ")) == bands(text.replace(".", " "))


def test_a_long_text_with_one_word_changed_shares_a_quarter() -> None:
    text = " ".join(WORDS)
    for changed in (5, 100, 250, 390):
        other = " ".join([*WORDS[:changed], "another", *WORDS[changed + 1 :]])
        assert any(a == b for a, b in zip(bands(text), bands(other), strict=True)), changed


def test_other_texts_are_far_apart() -> None:
    assert hamming(" ".join(WORDS[:200]), " ".join(WORDS[200:])) > 16


def test_one_or_two_words_have_a_hash_too() -> None:
    assert bands("sea") != bands("wood") != bands("sea wood")
    assert bands("  ,. ") == (0, 0, 0, 0)


def test_what_is_beyond_the_bound_is_not_read() -> None:
    long = "tide " * MAX_CHARACTERS
    assert bands(long) == bands(long + "and a word more")
