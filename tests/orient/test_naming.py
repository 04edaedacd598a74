import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misir.orient.config import EngineConfig
from misir.orient.naming import UNNAMED, count_terms, keywords, rank_terms, telling_name, topic_name
from misir.orient.words import STOP_WORDS, fold_word, telling_words, without_addresses

CONFIG = EngineConfig()
steady = settings(deadline=None, derandomize=True)
vocabulary = st.sampled_from(
    "clay Clay soils worms compost Rust borrow checker the of 2024 | - PostgreSQL x".split()  # noqa: SIM905
)
sentences = st.lists(vocabulary, max_size=8).map(" ".join)
title_lists = st.lists(st.one_of(sentences, st.text(max_size=30)), max_size=5)
taken_names = st.lists(st.one_of(sentences, st.just(UNNAMED), st.text(max_size=10)), max_size=5)
libraries = st.dictionaries(st.integers(1, 4), st.lists(sentences, max_size=5), min_size=1, max_size=4)


# ---- a name at birth -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("titles", "name"),
    [
        (["Fall of Rome", "The fall of Rome", "Rome and its fall"], "Fall of Rome"),
        (["PostgreSQL locks", "Row locks in PostgreSQL", "Deadlocks"], "PostgreSQL locks"),
        (
            ["Waiting for several tasks", "A very long title on event loops in Python"],
            "Waiting for several tasks",
        ),
        (["Berries", "Berry picking", "Picking berries in June"], "Berry picking"),
        (["Tea - Wikipedia", "Coffee - Wikipedia", "Growing coffee"], "Coffee"),
        (["Ownership | Rust", "Borrowing | Rust"], "Ownership"),
        (["https://example.org/tea", "https://example.org/tea/green"], "https://example.org/tea"),
        (["2024", "", "42"], "2024"),
        (["日本の庭", "日本の庭"], "日本の庭"),
        (["the", "of"], "The"),
        (["", "  ", "\x00"], UNNAMED),
        ([], UNNAMED),
    ],
)
def test_a_topic_is_born_with_the_words_its_titles_share(titles: list[str], name: str) -> None:
    assert telling_name(titles) == name


def test_a_name_has_at_most_four_telling_words() -> None:
    long = "alpha bravo charlie delta echo foxtrot"
    assert telling_name([long, long]) == "Alpha bravo charlie delta"
    assert telling_name([long]) == "Alpha bravo charlie delta"


def test_words_of_different_titles_are_told_apart_by_a_comma() -> None:
    titles = ["clay pots", "pots and soil", "Soil", "clay"]
    assert telling_name(titles) == "Clay pots, soil"


def test_a_taken_name_gets_another_word_or_fewer_or_a_number() -> None:
    titles = ["clay soil", "clay soil"]
    assert telling_name(titles, taken=["CLAY  soil"]) == "Clay"
    assert telling_name(titles, taken=["clay soil", "clay"]) == "Clay soil (2)"
    assert telling_name([*titles, "worms"], taken=["clay soil"]) == "Clay soil, worms"
    assert telling_name([], taken=[UNNAMED, f"{UNNAMED} (2)"]) == f"{UNNAMED} (3)"


def test_a_name_is_cut_between_words() -> None:
    assert telling_name(["a" * 39 + " " + "b" * 39]) == "A" + "a" * 38
    assert telling_name(["1" * 100]) == "1" * CONFIG.name_max_chars


@steady
@given(title_lists, taken_names)
def test_a_first_name_is_readable_new_and_always_the_same(titles: list[str], taken: list[str]) -> None:
    name = telling_name(titles, taken)
    check_name(name, taken)
    assert telling_name(list(titles), set(taken)) == name


def check_name(name: str, taken: list[str]) -> None:
    assert name == " ".join(name.split())
    assert name
    assert name.isprintable()
    assert name.casefold() not in {other.casefold() for other in taken}
    assert len(name) <= CONFIG.name_max_chars + len(" (9)")
    told = list(telling_words(without_addresses(name), CONFIG.word_max_chars))
    assert len(told) <= max(CONFIG.name_max_words, CONFIG.name_max_chars // 2)


@steady
@given(st.lists(sentences, min_size=1, max_size=5))
def test_every_telling_word_of_a_name_is_from_a_title(titles: list[str]) -> None:
    name = telling_name(titles)
    told = {word.key for title in titles for word in telling_words(title, CONFIG.word_max_chars)}
    if told:
        assert {word.key for word in telling_words(name, CONFIG.word_max_chars)} <= told


# ---- keywords ------------------------------------------------------------------------------------

GARDEN = {
    1: ["Clay soil holds water.", "A clay soil needs compost", "clay soils and worms, worms, worms, worms"],
    2: ["Rust's borrow checker", "The borrow checker and water", "water in Rust"],
}


def test_keywords_are_what_sets_a_topic_apart() -> None:
    assert [term for term, _ in keywords(GARDEN, 1, 3)] == ["clay soil"]
    assert [term for term, _ in keywords(GARDEN, 2, 3)] == ["borrow checker", "Rust", "water"]


def test_one_long_document_does_not_name_its_topic() -> None:
    assert "worms" not in dict(keywords(GARDEN, 1, 10))
    assert keywords({1: GARDEN[1][2:]}, 1, 1)[0][0] == "worms"


def test_the_weight_is_class_based_tf_idf() -> None:
    found = dict(keywords({1: ["tea", "tea"], 2: ["tea", "cup cup", "cup"]}, 2, 5))
    assert found == {"cup": pytest.approx(3 / 4 * 0.693147, abs=1e-6)}  # ln(1 + 3/3)


def test_a_pair_stands_for_its_words_only_where_they_mostly_occur_in_it() -> None:
    texts = ["clay soil", "clay soil", "soil", "soil", "soil"]
    assert [term for term, _ in keywords({1: texts}, 1, 5)] == ["soil", "clay soil"]


def test_a_rare_pair_is_left_out() -> None:
    texts = ["clay soil", "clay soil", *["soil", "clay"] * 3]
    assert [term for term, _ in keywords({1: texts}, 1, 5)] == ["clay", "soil"]


def test_a_pair_does_not_reach_over_punctuation_or_stop_words() -> None:
    counts = count_terms({1: ["clay, soil", "clay of soil", "clay\nsoil", "soil soil"]})
    assert counts.in_topic[1]["clay soil"] == 1
    assert counts.in_topic[1]["soil soil"] == 0


@pytest.mark.parametrize("library", [{}, {1: []}, {1: ["", "the of 42"]}, {2: ["tea"]}, {1: [], 2: ["tea"]}])
def test_a_topic_without_words_has_no_keywords(library: dict[int, list[str]]) -> None:
    assert keywords(library, 1, 5) == []


def test_keywords_have_no_numbers_addresses_or_stop_words() -> None:
    texts = ["The 2024 tea at https://tea.example.org/pot and www.tea.org, ask ann@tea.org"] * 2
    assert [term for term, _ in keywords({1: texts}, 1, 9)] == ["tea", "ask"] or keywords({1: texts}, 1, 9)[
        0
    ][0]
    terms = {word for term, _ in keywords({1: texts}, 1, 9) for word in term.split()}
    assert terms == {"tea", "ask"}


@steady
@given(libraries, st.integers(0, 6))
def test_keywords_are_few_ordered_positive_and_of_the_topic(library: dict[int, list[str]], n: int) -> None:
    for topic_id, texts in library.items():
        found = keywords(library, topic_id, n)
        weights = [weight for _, weight in found]
        assert len(found) <= n
        assert all(weight > 0 for weight in weights)
        assert weights == sorted(weights, reverse=True)
        assert len({term.casefold() for term, _ in found}) == len(found)
        assert all(any(term in text for text in texts) for term, _ in found if " " not in term)
        assert not {term.casefold() for term, _ in found} & STOP_WORDS
        assert rank_terms(count_terms(library), topic_id, n) == found


@steady
@given(libraries)
def test_the_order_of_documents_makes_no_difference(library: dict[int, list[str]]) -> None:
    turned = {topic_id: texts[::-1] for topic_id, texts in reversed(library.items())}
    for topic_id in library:
        assert keywords(turned, topic_id, 5) == keywords(library, topic_id, 5)


# ---- a name from keywords ------------------------------------------------------------------------


def test_a_name_does_not_say_a_word_twice() -> None:
    found = [
        ("clay soil", 3.0),
        ("Soils", 2.0),
        ("worms", 1.0),
        ("  ", 0.5),
        ("clay pots", 0.5),
        ("tea", 0.1),
    ]
    assert topic_name(found) == "Clay soil, worms, tea"


def test_a_name_keeps_to_four_words() -> None:
    found = [("clay soil", 3.0), ("borrow checker", 2.0), ("worms", 1.0)]
    assert topic_name(found) == "Clay soil, borrow checker"


def test_a_taken_name_gives_way_to_a_shorter_one_then_to_the_next_keywords_then_to_a_number() -> None:
    found, taken = [("tea", 2.0), ("cup", 1.0)], ["TEA, cup", "tea"]
    assert topic_name(found, taken) == "Cup"
    assert topic_name(found, [*taken, "Cup"]) == "Tea, cup (2)"
    assert topic_name([], [UNNAMED]) == f"{UNNAMED} (2)"


@steady
@given(
    st.lists(st.tuples(st.one_of(sentences, st.text(max_size=10)), st.floats(0, 1)), max_size=5), taken_names
)
def test_a_later_name_is_readable_new_and_always_the_same(
    found: list[tuple[str, float]], taken: list[str]
) -> None:
    name = topic_name(found, taken)
    check_name(name, taken)
    assert topic_name(list(found), tuple(taken)) == name


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("Berries", "berry"),
        ("eies", "eies"),
        ("Shoes", "shoes"),
        ("trees", "trees"),
        ("caches", "cache"),
        ("soils", "soil"),
        ("bus", "bus"),
        ("virus", "virus"),
        ("glass", "glass"),
        ("author’s", "author"),
        ("STRASSE", "strasse"),
        ("C++", "c++"),
    ],
)
def test_plural_and_singular_have_one_key(word: str, key: str) -> None:
    assert fold_word(word) == key


@steady
@given(st.text(max_size=40))
def test_a_words_place_is_where_it_stands(text: str) -> None:
    for word in telling_words(text, CONFIG.word_max_chars):
        assert text[word.start : word.end] == word.surface
        assert word.key == fold_word(word.surface)
        assert word.surface.casefold() not in STOP_WORDS
