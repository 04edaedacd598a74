"""A batch leaves, to the bit, what its items leave one by one; and asks as much for a hundred items as for ten."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

SEEDS = (2, 3, 5)
BEGIN = datetime.now(UTC)

TOPICS = (
    "select t.name, t.centroid::text, t.weight_sum, t.signal_count, t.artifact_count, t.coherence, t.placed_count, "
    "t.confidence, t.state, t.named_by, t.last_activity_at from misir.subspace t where t.space_id = %s order by t.id"
)
PAGES = (
    "select a.url, t.name, a.title, a.content, a.engagement_level, a.dwell_time_ms, a.scroll_depth, a.reading_depth, "
    "a.assigned_by, a.similarity, a.raw_margin, a.probability, a.fit, a.taught_weight, a.captured_at, a.metadata, "
    "a.band_1, d.url, a.learned_seq, a.content_hash, a.decay_rate, a.word_count from misir.artifact a "
    "left join misir.subspace t on t.id = a.subspace_id left join misir.artifact d on d.id = a.duplicate_of "
    "where a.space_id = %s order by a.id"
)
SIGNALS = (
    "select g.seq, a.url, t.name, g.similarity, g.raw_margin, g.probability, g.fit, g.taught_weight, g.withheld, "
    "g.updates_centroid, g.assigned_by, g.none_probability, g.candidate_count, e.vector::text, "
    "array(select m.label from misir.marker m where m.id = any(g.matched_marker_ids) order by 1) "
    "from misir.signal g join misir.artifact a on a.id = g.artifact_id join misir.embedding e on e.id = g.embedding_id "
    "left join misir.subspace t on t.id = g.subspace_id where g.space_id = %s order by g.seq"
)
CORRECTIONS = (
    "select c.seq, c.kind, array(select a.url from misir.artifact a where a.id = any(c.artifact_ids) order by a.id) "
    "from misir.correction c where c.space_id = %s order by c.seq"
)
RETURNS = (
    "select e.type, t.name, e.occurred_at from misir.subspace_event e join misir.subspace t on t.id = e.subspace_id "
    "where e.space_id = %s and e.type = 'returned' order by e.id"
)
PICTURES = (
    "select t.name, s.day, s.centroid::text, s.artifact_count, s.signal_count, s.confidence "
    "from misir.subspace_snapshot s join misir.subspace t on t.id = s.subspace_id where t.space_id = %s "
    "and t.named_by = 'user' order by 1, 2"
)
MARKERS = (
    "select m.label, l.last_matched_at from misir.subspace_marker l join misir.marker m on m.id = l.marker_id "
    "where l.space_id = %s order by 1"
)
EVERYTHING = (TOPICS, PAGES, SIGNALS, CORRECTIONS, RETURNS, PICTURES, MARKERS)


def state(owner: psycopg.Connection[Any], space: int) -> list[Any]:
    """Everything a space knows, by names and addresses instead of ids, and without the time of the test."""
    found = [owner.execute(query.encode(), [space]).fetchall() for query in EVERYTHING]
    return [[tuple(None if _is_now(value) else value for value in row) for row in rows] for rows in found]


def _is_now(value: Any) -> bool:
    return isinstance(value, datetime) and value > BEGIN


@pytest.fixture(scope="module")
def meanings() -> dict[str, tuple[float, ...]]:
    """Three declared topics, and three that nobody declared; a word between two of them."""
    known = {"sea": (1,), "wood": (0, 1), "city": (0, 0, 1), "shore": (0.8, 0.6)}
    return known | {"tea": (0, 0, 0, 1), "chess": (0, 0, 0, 0, 1), "moss": (0, 0.45, 0, 0, 0, 0.9)}


def visits(space: int, topics: dict[str, int], chance: random.Random) -> list[dict[str, Any]]:
    """Forty visits to twenty-two pages: most new, some again and deeper, some changed, some sent twice."""
    words = ["sea", "wood", "city", "shore", "tea", "chess", "moss", "tea", "unheard of"]
    found: list[dict[str, Any]] = []
    for number in range(40):
        page = chance.randrange(22)
        word = words[page % len(words)] if chance.random() < 0.9 else chance.choice(words)
        item: dict[str, Any] = {
            "space_id": space,
            "url": f"https://v.example/{page}",
            "title": f"{word} {page}",
            "dwell_time_ms": chance.choice([0, 40_000, 400_000]),
            "scroll_depth": chance.choice([0, 0.6, 1]),
        }
        if chance.random() < 0.5:
            item["content"] = f"{word} " + " ".join(f"w{n}" for n in range(40 + page % 3))
        if chance.random() < 0.7:
            item["captured_at"] = f"2026-01-{1 + number // 4 + chance.randrange(2):02}T10:{number:02}:00Z"
        if chance.random() < 0.15:
            item["subspace_id"] = topics[chance.choice(["sea", "wood", "plain"])]
        if chance.random() < 0.1:
            item["updates_centroid"] = False
        found.append(item)
        if chance.random() < 0.15:
            found.append(chance.choice(found))
    return found


def furnish(library: Any, owner: psycopg.Connection[Any], name: str) -> tuple[int, dict[str, int]]:
    """Three topics with a marker, one without, one asleep; one page in the trash and one that a person placed."""
    space = library.declare(name, "sea", "wood", "city")
    library.ask("POST", f"/spaces/{space}/subspaces", json={"name": "plain"})
    topics = {topic: row["id"] for topic, row in library.topics(space).items()}
    owner.execute("update misir.subspace set state = 'dormant' where id = %s", [topics["city"]])
    early = {"captured_at": "2025-12-01T00:00:00Z", "engagement_level": "engaged"}
    pages = [
        library.ask(
            "POST",
            "/capture",
            json={"space_id": space, "url": f"https://v.example/{n}", "title": word} | early,
        )["artifact_id"]
        for n, word in ((0, "sea 0"), (1, "wood 1"), (2, "sea 2"))
    ]
    library.ask("DELETE", f"/artifacts/{pages[1]}")
    library.ask("PATCH", f"/artifacts/{pages[2]}", json={"subspace_id": topics["plain"]})
    owner.execute(
        "update misir.artifact set deleted_at = '2026-01-01' where deleted_at is not null and space_id = %s",
        [space],
    )
    return space, topics


@pytest.mark.parametrize("seed", SEEDS)
def test_any_batch_leaves_what_one_by_one_leaves(
    library_of: Callable[..., Any], meanings: Any, owner: psycopg.Connection[Any], seed: int
) -> None:
    library = library_of(**meanings)
    found = []
    for is_batch in (False, True):
        space, topics = furnish(library, owner, f"Batch {is_batch}")
        items = visits(space, topics, random.Random(seed))  # noqa: S311
        if is_batch:
            answer = library.ask("POST", "/artifacts/batch", json={"artifacts": items})
            assert answer["failed"] == []
            said = answer["successful"]
        else:
            said = [library.ask("POST", "/capture", json=item) for item in items]
        told = [(one["is_new"], one["message"], one["fit"], one["reading_depth"]) for one in said]
        found.append([told, *state(owner, space)])
    for one_by_one, together in zip(*found, strict=True):
        assert one_by_one == together
    kinds = Counter(row[1] for row in found[0][4])
    assert kinds["adopt"] > 0
    assert kinds["restore"] == 1
    assert [row[:2] for row in found[0][5]] == [("returned", "city")]
    assert library.differences() == []


def test_all_but_the_same_text_in_one_batch_is_a_duplicate(library_of: Callable[..., Any]) -> None:
    library = library_of(sea=(1,), wood=(0, 1))
    space = library.declare("Reading", "sea")
    text = "sea " + " ".join(f"word{n}" for n in range(60))
    texts = [text, "wood " + text[4:], text, text + " more"]
    items = [
        {"space_id": space, "url": f"https://d.example/{n}", "content": one} for n, one in enumerate(texts)
    ]
    done = library.ask("POST", "/artifacts/batch", json={"artifacts": items})["successful"]
    first = done[0]["artifact_id"]
    assert [one["duplicate_of"] for one in done] == [None, None, first, first]
    assert library.differences() == []
