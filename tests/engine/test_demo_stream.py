"""The demo library as a stream whose content changes: Misir shows the change, the prototype's rule does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from misir.demo import TOPICS, read_documents
from misir.embed.embedder import Embedder
from misir.orient.vectors import cosines, unit

N_BEFORE, WITHIN = 40, 15


@pytest.fixture(scope="module")
def subjects(embedder: Embedder) -> dict[str, list[dict[str, str]]]:
    """Documents of the demo by the declared topic whose markers they are nearest to; most alike first."""
    centroids = np.stack(
        [
            unit(np.mean([embedder.embed_texts([m])[0].vector for m in markers], axis=0))
            for markers in TOPICS.values()
        ]
    )
    found: dict[str, list[tuple[float, dict[str, str]]]] = {name: [] for name in TOPICS}
    for document in read_documents():
        text = f"{document['title']}\n\n{document['content']}"
        similarities = cosines(embedder.embed_texts([text])[0].vector, centroids)
        best = int(similarities.argmax())
        found[list(TOPICS)[best]].append((float(similarities[best]), document))
    return {name: [one for _, one in sorted(rows, key=lambda row: -row[0])] for name, rows in found.items()}


PAIRS = [
    ("Networking and internet", "Dates and time"),
    ("Files and storage", "Testing and debugging"),
    ("Text and data formats", "Numbers and mathematics"),
]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_change_shows_within_fifteen_items_as_the_growth_of_the_right_topic(
    library_of_real: Callable[[], Any], subjects: dict[str, list[dict[str, str]]], before: str, after: str
) -> None:
    """In the demo library itself, where every subject is declared."""
    library = library_of_real()
    declared = [{"name": name, "markers": markers} for name, markers in TOPICS.items()]
    space = library.ask("POST", "/spaces", json={"name": "Demo", "subspaces": declared})["id"]
    read(library, space, subjects[before][:N_BEFORE])
    library.work()
    sibling = library.topics(space)[after]
    ids = read(library, space, subjects[after][:WITHIN])
    library.work()
    found = library.ask("GET", f"/spaces/{space}/artifacts", params={"subspace_id": sibling["id"]})
    assert len(ids & {one["id"] for one in found["artifacts"]}) >= 5
    grown = library.ask("GET", f"/subspaces/{sibling['id']}")
    assert grown["artifact_count"] - sibling["artifact_count"] >= 5
    assert library.differences() == []


def test_a_change_to_what_nobody_declared_shows_as_a_birth_that_names_it(
    library_of_real: Callable[[], Any], subjects: dict[str, list[dict[str, str]]]
) -> None:
    """Of all pairs of the demo's subjects about half show so; the others grow the declared topic next to them."""
    before, after = "Networking and internet", "Testing and debugging"
    library = library_of_real()
    declared = [{"name": name, "markers": markers} for name, markers in TOPICS.items() if name != after]
    space = library.ask("POST", "/spaces", json={"name": "Demo", "subspaces": declared})["id"]
    read(library, space, subjects[before][:N_BEFORE])
    library.work()
    known = {event["id"] for event in library.events(space)}
    ids = set[int]()
    for document in subjects[after][:WITHIN]:
        ids |= read(library, space, [document])
        library.work()
        fresh = [one for one in library.events(space) if one["id"] not in known and one["type"] == "born"]
        shown = [one for one in fresh if len(ids & {*one["cause"]["artifact_ids"]}) >= 2]
        if shown:
            break
    assert shown, f"nothing was shown within {WITHIN} items: {fresh}"
    named = {*shown[0]["cause"]["artifact_ids"]}
    assert len(named & ids) > len(named) / 2
    assert library.differences() == []


def read(library: Any, space: int, documents: list[dict[str, str]]) -> set[int]:
    """The ids of what was read, one by one."""
    pages = [{**document, "space_id": space, "engagement_level": "engaged"} for document in documents]
    return {library.ask("POST", "/capture", json=page)["artifact_id"] for page in pages}


def test_the_prototypes_rule_shows_nothing_of_it(
    embedder: Embedder, subjects: dict[str, list[dict[str, str]]]
) -> None:
    """First signal = centroid, then an average with gain 0.1, and a drift where one step turns it by 0.05."""
    stream = subjects["Networking and internet"][:N_BEFORE] + subjects["Testing and debugging"][:WITHIN]
    vectors = [embedder.embed_texts([f"{d['title']}\n\n{d['content']}"])[0].vector for d in stream]
    centroid, steps = vectors[0], []
    for x in vectors[1:]:
        moved = unit(0.9 * centroid + 0.1 * x)
        steps.append(1 - float(centroid @ moved))
        centroid = moved
    assert max(steps) < 0.05


@pytest.fixture
def library_of_real(
    api: httpx.Client, embedder: Embedder, in_process: Callable[..., Any], library_class: type[Any]
) -> Callable[[], Any]:
    """The same by-hand library, with the real model."""
    return lambda: library_class(api, embedder, in_process)
