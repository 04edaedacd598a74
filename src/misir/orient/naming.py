"""Names of topics: from their founders' titles at birth, from their texts' keywords later (engine.md §5)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from misir.orient.config import EngineConfig
from misir.orient.words import (
    Word,
    commonest,
    fold_word,
    is_one_phrase,
    telling_words,
    without_addresses,
)

DEFAULTS: Final = EngineConfig()

UNNAMED: Final = "New topic"
"""What a topic is called whose titles and texts have no word."""

SITE_MARKS: Final = (" | ", " - ", " – ", " — ", " · ", " • ", " » ")
"""What stands between a page's title and the name of its site."""


# ---- a name at birth -----------------------------------------------------------------------------


def telling_name(titles: Sequence[str], taken: Collection[str] = (), config: EngineConfig = DEFAULTS) -> str:
    """A topic's first name: the words most of its founders' titles share, in a title's own order.

    At most `name_max_words` (4) telling words and `name_max_chars` (60) characters; never empty, never equal,
    case aside, to a name in `taken`; the same titles in the same order give the same name. A site's name at
    the end of several titles does not count. Without a shared word it is the beginning of the shortest title.

    >>> titles = ["Improving clay soils | Garden", "Clay soil and worms | Garden", "Worms at work"]
    >>> telling_name(titles), telling_name(titles, taken=["clay soil AND worms"])
    ('Clay soil and worms', 'Improving clay soils, worms')
    """
    heads = [without_addresses(head) for head in _without_sites(titles)]
    words = [list(telling_words(head, config.word_max_chars)) for head in heads]
    ranked = _rank_by_titles(words)
    shared = [key for key, n_titles in ranked if n_titles > 1]
    if not shared:
        return _free_name(_title_names(titles, heads, words, config), taken, config)
    others = [key for key, n_titles in ranked if n_titles == 1]
    return _free_name(
        (_compose(keys, heads, words) for keys in _choices(shared, others, config.name_max_words)),
        taken,
        config,
    )


def _without_sites(titles: Sequence[str]) -> list[str]:
    """Titles without an ending that several of them have, as sites append their name."""
    parts = [_split_site(title) for title in titles]
    n_titles = Counter(site.casefold() for head, site in parts if head and site)
    return [
        head if n_titles[site.casefold()] > 1 and head else title
        for title, (head, site) in zip(titles, parts, strict=True)
    ]


def _split_site(title: str) -> tuple[str, str]:
    cut, mark = max((title.rfind(mark), mark) for mark in SITE_MARKS)
    return (title, "") if cut < 0 else (title[:cut].strip(), title[cut + len(mark) :].strip())


def _rank_by_titles(words: Sequence[Sequence[Word]]) -> list[tuple[str, int]]:
    """(key, number of titles that have it), most first; of equals the one that comes first."""
    keys = [dict.fromkeys(word.key for word in title) for title in words]
    n_titles = Counter(key for title in keys for key in title)
    return sorted(n_titles.items(), key=lambda item: -item[1])


def _choices(shared: list[str], others: list[str], max_words: int) -> Iterator[list[str]]:
    """The words of the best name, then with one word more or exchanged, then fewer."""
    best = shared[:max_words]
    yield best
    for other in [*shared[max_words:], *others]:
        yield [*best[: max_words - 1], other]
    for n in range(len(best) - 1, 0, -1):
        yield best[:n]


def _compose(keys: Sequence[str], heads: Sequence[str], words: Sequence[Sequence[Word]]) -> str:
    """The chosen words as the title writes them that has most of them, the rest behind a comma."""
    index = max(range(len(words)), key=lambda i: (len({word.key for word in words[i]} & {*keys}), -i))
    parts = _phrases(_first_of_each(words[index], keys), heads[index])
    missing = [key for key in keys if key not in {word.key for word in words[index]}]
    for key in missing:
        spellings = Counter(word.surface for title in words for word in title if word.key == key)
        parts.append(commonest(spellings.items()))
    return ", ".join(parts)


def _first_of_each(words: Sequence[Word], keys: Sequence[str]) -> list[Word]:
    first = {word.key: word for word in reversed(words) if word.key in keys}
    return sorted(first.values(), key=lambda word: word.start)


def _phrases(words: Sequence[Word], text: str) -> list[str]:
    """Words that stand together in the text stay together, with the stop words between them."""
    spans = [[word.start, word.end] for word in words[:1]]
    for before, word in pairwise(words):
        if is_one_phrase(text[before.end : word.start]):
            spans[-1][1] = word.end
        else:
            spans.append([word.start, word.end])
    return [text[start:end] for start, end in spans]


def _title_names(
    titles: Sequence[str], heads: Sequence[str], words: Sequence[Sequence[Word]], config: EngineConfig
) -> Iterator[str]:
    """Beginnings of titles, fewest telling words first; titles without a telling word as they are."""
    told = [index for index, found in enumerate(words) if found]
    for index in sorted(told, key=lambda i: (len(words[i]), i)):
        yield ", ".join(_phrases(words[index][: config.name_max_words], heads[index]))
    yield from (title for title in titles if any(char.isalnum() for char in title))


# ---- keywords of a grown topic -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TermCounts:
    """What every topic of a space says, counted once for all its names.

    in_topic: times each term (one or two word keys) occurs in a topic; n_documents: in how many of its
    documents; spelled: how often each spelling was used for it there.
    """

    in_topic: Mapping[int, Counter[str]]
    n_documents: Mapping[int, Counter[str]]
    spelled: Mapping[int, Mapping[str, Counter[str]]]


def count_terms(
    documents_of_topics: Mapping[int, Sequence[str]], config: EngineConfig = DEFAULTS
) -> TermCounts:
    """Terms of each topic's documents: telling words, and two that stand side by side.

    >>> counts = count_terms({1: ["Clay soil.", "Soils and worms"]})
    >>> dict(counts.in_topic[1])
    {'clay': 1, 'soil': 2, 'clay soil': 1, 'worm': 1}
    """
    in_topic, n_documents, spelled = {}, {}, {}
    for topic_id, documents in documents_of_topics.items():
        totals: Counter[str] = Counter()
        spread: Counter[str] = Counter()
        spellings: dict[str, Counter[str]] = {}
        for document in documents:
            terms = list(_terms(document, config))
            totals.update(key for key, _ in terms)
            spread.update({key for key, _ in terms})
            for key, surface in terms:
                spellings.setdefault(key, Counter())[surface] += 1
        in_topic[topic_id], n_documents[topic_id], spelled[topic_id] = totals, spread, spellings
    return TermCounts(in_topic, n_documents, spelled)


def _terms(document: str, config: EngineConfig) -> Iterator[tuple[str, str]]:
    """(key, spelling) of each word and, behind its second word, of each pair with only a space between."""
    text = without_addresses(document)
    before: Word | None = None
    for word in telling_words(text, config.word_max_chars):
        yield word.key, word.surface
        if before is not None and text[before.end : word.start].isspace() and before.key != word.key:
            yield f"{before.key} {word.key}", f"{before.surface} {word.surface}"
        before = word


def keywords(
    documents_of_topics: Mapping[int, Sequence[str]], topic_id: int, n: int, config: EngineConfig = DEFAULTS
) -> list[tuple[str, float]]:
    """The n terms that set a topic apart from the others: (term, weight), heaviest first; may be fewer.

    Weight > 0 is c-TF-IDF (Grootendorst 2022, BERTopic): all documents of a topic are one, and
    w = tf/T · ln(1 + A/f), with tf the term's count in the topic, T that of all its terms, f the term's count
    in all topics, A the mean T. In one topic "soil" is 2 of 3 terms: 2/3 · ln(1 + 3/2) = 0.611:

    >>> [(term, round(weight, 3)) for term, weight in keywords({1: ["soil, worms", "soil"]}, 1, 1)]
    [('soil', 0.611)]
    """
    return rank_terms(count_terms(documents_of_topics, config), topic_id, n, config)


def rank_terms(
    counts: TermCounts, topic_id: int, n: int, config: EngineConfig = DEFAULTS
) -> list[tuple[str, float]]:
    """`keywords` of one topic, from terms counted before.

    Only terms of at least two documents, where there are any: one long page does not name its topic. A pair
    that makes up `phrase_share` (0.5) of a word's uses stands for that word; a rarer pair is left out.

    >>> counts = count_terms({1: ["clay soil", "Clay soil!"], 2: ["soil maps", "soil maps"]})
    >>> [term for term, _ in rank_terms(counts, 1, 5)]
    ['clay soil']
    """
    own = counts.in_topic.get(topic_id, Counter())
    if not own:
        return []
    everywhere: Counter[str] = Counter()
    for totals in counts.in_topic.values():
        everywhere.update(totals)
    mean_total = everywhere.total() / sum(1 for totals in counts.in_topic.values() if totals)
    weights = {
        term: own[term] / own.total() * math.log1p(mean_total / everywhere[term])
        for term in _candidates(own, counts.n_documents[topic_id], config)
    }
    best = sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:n]
    return [(commonest(counts.spelled[topic_id][term].items()), weight) for term, weight in best]


def _candidates(own: Counter[str], n_documents: Counter[str], config: EngineConfig) -> list[str]:
    """Terms worth weighing: of several documents, and no word beside the phrase that stands for it."""
    common = [term for term in own if n_documents[term] > 1] or list(own)
    pairs = [term.split(" ") for term in common if " " in term]
    phrases = {
        f"{first} {second}": {
            word for word in (first, second) if own[f"{first} {second}"] >= config.phrase_share * own[word]
        }
        for first, second in pairs
        if own[f"{first} {second}"] > 1
    }
    stood_for = {word for words in phrases.values() for word in words}
    return [term for term in common if (phrases.get(term) if " " in term else term not in stood_for)]


def topic_name(
    keywords: Sequence[tuple[str, float]], taken: Collection[str] = (), config: EngineConfig = DEFAULTS
) -> str:
    """A readable name from the best keywords (term, weight), heaviest first: at most 3 of them, 4 words.

    Never empty, never equal, case aside, to a name in `taken`; a word is not repeated, within
    `name_max_keywords` (3), `name_max_words` (4) and `name_max_chars` (60).

    >>> found = [("clay soil", 0.3), ("soils", 0.2), ("compost", 0.2), ("worms", 0.1)]
    >>> topic_name(found), topic_name(found, taken=["Clay soil, compost, worms"]), topic_name([])
    ('Clay soil, compost, worms', 'Clay soil, compost', 'New topic')
    """
    terms = [" ".join(term.split()) for term, _ in keywords if term.strip()]
    return _free_name(_keyword_names(terms, config), taken, config)


def _keyword_names(terms: Sequence[str], config: EngineConfig) -> Iterator[str]:
    """The best terms; then fewer of them; then the same from the second best on, and so forth."""
    for start in range(len(terms)):
        best = _fresh(terms[start:], config)
        for n in range(len(best), 0, -1):
            yield ", ".join(best[:n])


def _fresh(terms: Iterable[str], config: EngineConfig) -> list[str]:
    """Terms that say something the ones before them do not, up to the most that a name holds."""
    chosen: list[str] = []
    said: set[str] = set()
    for term in terms:
        words = {fold_word(word) for word in term.split(" ")}
        is_full = len(chosen) == config.name_max_keywords or len(said) + len(words) > config.name_max_words
        if not words & said and not is_full:
            chosen.append(term)
            said |= words
    return chosen


# ---- what every name keeps -----------------------------------------------------------------------


def _free_name(names: Iterable[str], taken: Collection[str], config: EngineConfig) -> str:
    """The first name nobody has; when all are taken, the first with the least number from 2."""
    used = {_folded(name) for name in taken}
    first = None
    for raw in names:
        name = _tidy(raw, config.name_max_chars)
        if name and _folded(name) not in used:
            return name
        first = first or name
    first = first or UNNAMED
    numbered = (f"{first} ({n})" for n in range(2, len(used) + 3))
    return next(name for name in (first, *numbered) if _folded(name) not in used)


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _tidy(name: str, max_chars: int) -> str:
    """One line, cut between words to `max_chars`, with a capital where its first word has none."""
    line = " ".join("".join(char if char.isprintable() else " " for char in name).split())
    first = line.split(" ")[0]
    if first.islower() and "://" not in first:
        line = line[:1].upper() + line[1:]
    if len(line) > max_chars:
        line = line[: max_chars + 1].rpartition(" ")[0] or line[:max_chars]
    return line.rstrip(" ,")
