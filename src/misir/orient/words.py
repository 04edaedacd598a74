"""Words that tell something: a text without its stop words, numbers and addresses (engine.md §5)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

STOP_WORDS: Final = frozenset(
    """
    a about above across actually after again against all almost alone along already also although always am
    among an and another any anybody anyone anything anyway are aren't around as at away back be became
    because become becomes been before behind being below beside besides best better between beyond both but
    by came can can't cannot come comes could couldn't did didn't do does doesn't doing don't done down due
    during each either else enough etc even ever every everybody everyone everything except far few first for
    from further gave get gets getting give given gives go goes going gone good got had hadn't has hasn't have
    haven't having he he'd he'll he's hello her here here's hers herself hi him himself his how how's however
    i i'd i'll i'm i've ie if in indeed inside instead into is isn't it it'd it'll it's its itself just keep
    kept knew know known knows last later least less let let's like little look looks lot lots made mainly
    make makes making many may maybe me mean means might mine more moreover most mostly much must mustn't my
    myself near nearly need needs neither never nevertheless new next no nobody none nor not nothing now
    nowhere of off often oh ok okay on once one ones only onto or other others otherwise ought our ours
    ourselves out over own per perhaps please possible quite rather really said same saw say says second see
    seem seems seen several shall shan't she she'd she'll she's should shouldn't simply since so some somebody
    someone something sometimes soon still such take taken takes than thank thanks that that's the their
    theirs them themselves then there there's therefore these they they'd they'll they're they've thing
    things think this those though three through throughout thus to together too took toward towards two under
    unless until up upon us use used uses using usually very via want wants was wasn't way ways we we'd we'll
    we're we've well went were weren't what what's whatever when where where's whether which while who who's
    whole whom whose why why's will with within without won't would wouldn't yes yet you you'd you'll you're
    you've your yours yourself yourselves
    com html http https org php www
    """.split()  # noqa: SIM905 - words are easier to read as words than as a list of literals
)
"""English function words, the commonest verbs, and the crumbs of web addresses; ours, folded."""

_ADDRESS = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]*://|\bwww\.)\S+"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|\b(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|html?)\b\S*",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_](?:[\w'’-]*\w)?(?:\+\+|#(?!\w))?")


@dataclass(frozen=True, slots=True)
class Word:
    """A telling word: as written, its key (words of one key count as one), its place in the text."""

    surface: str
    key: str
    start: int
    end: int


def without_addresses(text: str) -> str:
    """The text in its compatible spelling (NFKC), each URL and mail address replaced by a bar.

    >>> without_addresses("See https://example.org/a?b or ann@example.org.")
    'See | or |'
    """
    return _ADDRESS.sub("|", unicodedata.normalize("NFKC", text))


def fold_word(word: str) -> str:
    """The key of a word: case and the plural's s make no difference, nor does a possessive.

    The S-stemmer (Harman 1991, "How effective is suffixing?"): -ies → -y but not after e or a, -es → -e but
    not after a, e or o, -s → nothing but not after u or s; the first ending that fits decides. Words of at
    most three letters stay.

    >>> [fold_word(word) for word in ("Soils", "Berries", "Caches", "Class", "Gas", "Rust's")]
    ['soil', 'berry', 'cache', 'class', 'gas', 'rust']
    """
    key = word.casefold().replace("’", "'").removesuffix("'s")
    if len(key) <= 3 or not key.endswith("s"):
        return key
    if key.endswith("ies"):
        return key if key.endswith(("eies", "aies")) else key[:-3] + "y"
    if key.endswith("es"):
        return key if key.endswith(("aes", "ees", "oes")) else key[:-1]
    return key if key.endswith(("us", "ss")) else key[:-1]


def is_telling(word: str, max_chars: int) -> bool:
    """Is it worth naming something after? Not a stop word, a number, one letter, or a string of digits.

    It starts with a letter, has at most `max_chars` characters and no more digits than others.

    >>> [is_telling(word, 40) for word in ("soil", "The", "x", "2024", "utf8", "e3b0c442")]
    [True, False, False, False, True, False]
    """
    if not 1 < len(word) <= max_chars or not word[0].isalpha():
        return False
    n_digits = sum(char.isdigit() for char in word)
    return 2 * n_digits <= len(word) and word.casefold().replace("’", "'") not in STOP_WORDS


def telling_words(text: str, max_chars: int) -> Iterator[Word]:
    """The telling words of a text without addresses, in its order.

    >>> [word.surface for word in telling_words("The soil of 2024: clay soils in C++", 40)]
    ['soil', 'clay', 'soils', 'C++']
    """
    for found in _WORD.finditer(text):
        surface = found[0]
        if is_telling(surface, max_chars):
            yield Word(surface, fold_word(surface), *found.span())


def is_one_phrase(gap: str) -> bool:
    """Do the words on both sides of this gap belong together: nothing but spaces and stop words between?

    >>> is_one_phrase(" of the "), is_one_phrase(": "), is_one_phrase(" 1900 ")
    (True, False, False)
    """
    rest = _WORD.sub(lambda found: "" if found[0].casefold() in STOP_WORDS else found[0], gap)
    return not rest.strip()


def commonest(surfaces: Iterable[tuple[str, int]]) -> str:
    """The spelling written most often (spelling, count); of equals the one in lower case, then by alphabet.

    >>> commonest([("Soil", 2), ("soil", 2), ("SOIL", 1)])
    'soil'
    """
    return min(surfaces, key=lambda one: (-one[1], not one[0].islower(), one[0]))[0]
