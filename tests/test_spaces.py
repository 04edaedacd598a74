"""Declaring spaces and reading them back."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

RICH = {
    "name": "  Marine biology ",
    "description": "Life in the sea",
    "intention": "Choose a thesis topic",
    "subspaces": [
        {"name": "Reefs", "markers": ["coral", "reef fish", "Coral"], "depth": 2, "suggested_study_order": 1},
        {
            "name": "Whales",
            "description": "Large mammals",
            "markers": ["whale song", "coral"],
            "prerequisites": ["Reefs"],
        },
        {"name": "Plankton"},
    ],
}


def make(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/spaces", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_space_comes_with_its_topics_and_markers(api: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    space = make(api, **RICH)
    assert (space["name"], space["subspace_count"], space["artifact_count"]) == ("Marine biology", 3, 0)
    assert space["confidence"] is None
    topics = api.get(f"/api/v1/spaces/{space['id']}/subspaces").json()
    assert [(t["name"], t["markers"]) for t in topics] == [
        ("Reefs", ["coral", "reef fish"]),
        ("Whales", ["coral", "whale song"]),
        ("Plankton", ["Plankton"]),
    ]
    assert not any(t["enough_data"] for t in topics)
    assert owner.execute("select count(*) from misir.marker").fetchone() == (4,)
    sources = owner.execute("select distinct source::text from misir.subspace_marker order by 1").fetchall()
    assert sources == [("suggested",), ("user_defined",)]


def test_the_log_begins_with_the_seeds(api: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    make(api, **RICH)
    rows = owner.execute("select seq, kind, payload from misir.correction order by seq").fetchall()
    assert [(seq, kind) for seq, kind, _ in rows] == [(1, "seed"), (2, "seed"), (3, "seed")]
    assert rows[0][2] == {"markers": ["coral", "reef fish"]}
    assert owner.execute("select next_seq from misir.space").fetchone() == (4,)


def test_a_seed_is_the_unit_mean_of_its_markers_and_weighs_three(api: httpx.Client, embedder: Any) -> None:
    space = make(api, name="S", subspaces=[{"name": "T", "markers": ["coral", "reef fish"]}])
    topic = api.get(f"/api/v1/spaces/{space['id']}/subspaces", params={"include": "centroid"}).json()[0]
    mean = np.mean([one.vector for one in embedder.embed_texts(["coral", "reef fish"])], axis=0)
    assert np.allclose(topic["centroid"], mean / np.linalg.norm(mean), atol=1e-6)


def test_all_phrases_of_a_space_are_embedded_in_one_call(run_app: Any, fakes: Any) -> None:
    embedder = fakes.embedder_of(coral=fakes.direction(1))
    calls = []
    original = embedder.embed_texts_batch

    async def counted(texts: list[str], *args: Any, **kwargs: Any) -> Any:
        calls.append(len(texts))
        return await original(texts, *args, **kwargs)

    embedder.embed_texts_batch = counted
    make(run_app(embedder=embedder), **RICH)
    assert calls == [5]  # four labels and the intention


def test_spaces_are_listed_whole_or_in_pages(api: httpx.Client) -> None:
    ids = [make(api, name=f"Space {number}")["id"] for number in range(5)]
    whole = api.get("/api/v1/spaces/").json()
    assert ([s["id"] for s in whole["spaces"]], whole["count"], whole["next_cursor"]) == (ids, 5, None)
    first = api.get("/api/v1/spaces", params={"limit": 3}).json()
    rest = api.get("/api/v1/spaces", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [s["id"] for s in first["spaces"] + rest["spaces"]] == ids
    assert rest["next_cursor"] is None
    assert api.get("/api/v1/spaces", params={"updated_since": "2999-01-01T00:00:00Z"}).json()["spaces"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"name": "S", "subspaces": [{"name": "T"}, {"name": " t "}]},
        {"name": "S", "subspaces": [{"name": "T", "markers": ["m"] * 51}]},
        {"name": "S", "subspaces": [{"name": f"T{n}"} for n in range(51)]},
        {"name": "S", "subspaces": "none"},
    ],
)
def test_a_space_that_makes_no_sense_is_422_and_leaves_nothing(
    api: httpx.Client, wrong: dict[str, Any]
) -> None:
    assert api.post("/api/v1/spaces", json=wrong).status_code == 422
    assert api.get("/api/v1/spaces").json()["count"] == 0


@pytest.mark.parametrize("path", ["/spaces/999", "/spaces/999/subspaces", "/spaces/999/artifacts"])
def test_an_absent_space_is_404(api: httpx.Client, path: str) -> None:
    answer = api.get(f"/api/v1{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_figures_of_a_space_follow_its_captures(api: httpx.Client) -> None:
    space = make(api, name="S", subspaces=[{"name": "Whales", "markers": ["whale", "whale song"]}])["id"]
    for number, read_at in enumerate(["2026-01-01T00:00:00Z", None, None]):
        page = {
            "space_id": space,
            "url": f"https://w.example/{number}",
            "title": f"The song of whale {number}",
        }
        api.post("/api/v1/capture", json=page | ({"captured_at": read_at} if read_at else {}))
    figures = api.get(f"/api/v1/spaces/{space}").json()
    assert (figures["artifact_count"], figures["velocity"]) == (3, 2)
    assert 0 < figures["avg_fit"] <= 1
    assert 0 < figures["confidence"] < 1
    assert figures["last_activity_at"] > "2026-06"
