"""Streams of real texts whose content changes at a known item, for measuring drift.

Every stream is one topic's taught items in the order in which they were read, each a different text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np

from misir.orient.proposals import merge_accuracy
from misir.orient.vectors import Vector, unit
from misir.quality.corpora import Corpus, embed_corpus, load_corpora

ITEMS_PER_LABEL: Final = 200
"""At most so many texts of a label."""

MIN_ITEMS: Final = 120
"""Labels with fewer texts are left out: a long stream needs many."""

BEFORE: Final = (40, 80)
"""Items before a change, drawn evenly."""

AFTER: Final = 30
"""Items after a sudden change, and those over which a gradual one spreads."""

TAIL: Final = 15
"""Items after a gradual change is complete."""

SESSION_ITEMS: Final = 4
"""Mean length of a session, geometric."""


class Order(StrEnum):
    """How a topic's items follow each other."""

    INDEPENDENT = "independent draws"
    SESSIONS = "sessions"


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One topic's items in order.

    vectors: (n, D) unit vectors.
    changes: how many items came before each change; empty where nothing changes.
    told_apart: the share of both topics' texts that are nearer to their own topic's centroid (leave-one-out).
    """

    corpus: str
    vectors: Vector
    changes: tuple[int, ...]
    told_apart: float = 1.0


Topics = Mapping[str, Vector]
"""Label → its texts' vectors (n, D)."""


def load_topics(names: set[str], cache: Path) -> dict[str, Topics]:
    """The long labels of the named corpora, with their vectors, embedded once into `cache`."""
    found = (load for load in load_corpora(cache, ITEMS_PER_LABEL) if load.name in names)
    return {corpus.name: _embed_topics(corpus, cache) for corpus in map(_long_labels, found) if corpus.labels}


def _long_labels(corpus: Corpus) -> Corpus:
    rows = [i for i, label in enumerate(corpus.labels) if corpus.labels.count(label) >= MIN_ITEMS]
    titles, texts, labels = ([one[i] for i in rows] for one in (corpus.titles, corpus.texts, corpus.labels))
    return replace(corpus, titles=titles, texts=texts, labels=labels)


def _embed_topics(corpus: Corpus, cache: Path) -> Topics:
    vectors, labels = embed_corpus(corpus, cache), np.array(corpus.labels)
    return {label: vectors[labels == label] for label in sorted(set(corpus.labels))}


def nearest_other(topics: Topics) -> dict[str, str]:
    """Each label's nearest other label, by the cosine of their centroids."""
    labels = list(topics)
    centroids = unit(np.stack([topics[label].mean(axis=0) for label in labels]))
    cosines = centroids @ centroids.T - 2.0 * np.eye(len(labels))
    return {label: labels[int(row.argmax())] for label, row in zip(labels, cosines, strict=True)}


def in_order(vectors: Vector, order: Order, rng: np.random.Generator) -> Vector:
    """The items of a topic in random order, or in sessions: a random item and the unread ones nearest to it.

    Sessions of nearest neighbours are the hardest order for a detector of change: within one everything is
    about one thing, although the topic stays what it is.
    """
    if order is Order.INDEPENDENT:
        return vectors[rng.permutation(len(vectors))]
    unread, read = list(rng.permutation(len(vectors))), list[int]()
    while unread:
        first = unread.pop(0)
        n_more = min(len(unread), int(rng.geometric(1 / SESSION_ITEMS)) - 1)
        nearest = np.argsort(-(vectors[unread] @ vectors[first]), kind="stable")[:n_more]
        more = [unread[i] for i in nearest]
        read += [first, *more]
        unread = [item for item in unread if item not in more]
    return vectors[read]


Pair = tuple[Vector, Vector]
"""A topic's items in order, and those of the nearest other."""


def sudden(pair: Pair, rng: np.random.Generator) -> tuple[Vector, tuple[int, ...]]:
    """From one item to the next everything is about the other topic."""
    n_before = int(rng.integers(*BEFORE))
    return np.concatenate([pair[0][:n_before], pair[1][:AFTER]]), (n_before,)


def gradual(pair: Pair, rng: np.random.Generator) -> tuple[Vector, tuple[int, ...]]:
    """The share of the other topic grows from 0 to 1 over 30 items and stays there for 15."""
    n_before = int(rng.integers(*BEFORE))
    is_other = rng.random(AFTER + TAIL) < np.arange(1, AFTER + TAIL + 1) / AFTER
    own, other = iter(pair[0][n_before:]), iter(pair[1])
    mixed = [next(other) if one else next(own) for one in is_other]
    return np.concatenate([pair[0][:n_before], np.stack(mixed)]), (n_before,)


def returning(pair: Pair, _: np.random.Generator) -> tuple[Vector, tuple[int, ...]]:
    """50 items, 30 of the other topic, then 30 new ones of the first."""
    return np.concatenate([pair[0][:50], pair[1][:AFTER], pair[0][50:80]]), (50, 50 + AFTER)


def stationary(pair: Pair, _: np.random.Generator) -> tuple[Vector, tuple[int, ...]]:
    """All items of one topic."""
    return pair[0], ()


Kind = Callable[[Pair, np.random.Generator], tuple[Vector, tuple[int, ...]]]


def make_streams(
    corpora: Mapping[str, Topics], kind: Kind, order: Order, n_streams: int, seed: int
) -> list[Stream]:
    """So many streams of one kind, the topics of all corpora in turn."""
    rng = np.random.default_rng(seed)
    turns = [(name, label) for name, topics in corpora.items() for label in topics]
    nearest = {name: nearest_other(topics) for name, topics in corpora.items()}
    told_apart = {
        (name, label): merge_accuracy(corpora[name][label], corpora[name][nearest[name][label]])
        for name, label in turns
    }
    streams = []
    for i in range(n_streams):
        name, label = turns[i % len(turns)]
        topics = corpora[name]
        pair = (
            in_order(topics[label], order, rng),
            in_order(topics[nearest[name][label]], order, rng),
        )
        streams.append(Stream(name, *kind(pair, rng), told_apart[name, label]))
    return streams
