"""Three modes, filters, pages, and a model that is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from misir.embed.calibration import calibration_for
from misir.embed.models import MINILM, NOMIC
from misir.search.meaning import mapped_threshold

PAGES = {
    "csv": "Comma separated values, the format that spreadsheets and databases exchange.",
    "csv.DictReader": "Maps each row to a dictionary whose keys come from the first row of the file.",
    "socket": "Low-level networking: connect to another host, send and receive bytes.",
    "threading": "Run several flows of control at once inside one process, with locks between them.",
    "statistics": "Mean, median, variance and other figures of numeric data.",
}


@pytest.fixture
def library(api: httpx.Client) -> httpx.Client:
    space = api.post(
        "/api/v1/spaces",
        json={"name": "Python", "subspaces": [{"name": "Data", "markers": ["tabular data"]}]},
    )
    for name, text in PAGES.items():
        page = {
            "space_id": space.json()["id"],
            "url": f"https://d.example/{name}",
            "title": name,
            "content": text,
        }
        assert api.post("/api/v1/capture", json=page).status_code == 201
    return api


def titles(api: httpx.Client, q: str, **params: Any) -> list[str]:
    answer = api.get("/api/v1/search", params={"q": q, **params})
    assert answer.status_code == 200, answer.text
    return [hit["title"] for hit in answer.json()["results"]]


@pytest.mark.parametrize("mode", ["hybrid", "semantic"])
def test_meaning_finds_what_words_do_not(library: httpx.Client, mode: str) -> None:
    assert titles(library, "average of a list of measurements", mode=mode)[0] == "statistics"


@pytest.mark.parametrize("mode", ["hybrid", "keyword"])
@pytest.mark.parametrize("name", ["csv", "CSV", "DictReader", "csv.DictReader", "socket"])
def test_exact_names_come_first(library: httpx.Client, name: str, mode: str) -> None:
    first = titles(library, name, mode=mode)[0].lower()
    assert first == name.lower() or first.endswith(f".{name.lower()}")


def test_every_row_says_how_near_and_why(library: httpx.Client) -> None:
    answer = library.get("/api/v1/search", params={"q": "spreadsheets exchange"}).json()
    hit = answer["results"][0]
    assert hit["highlights"] == [
        "Comma separated values, the format that <mark>spreadsheets</mark> and databases <mark>exchange</mark>"
    ]
    assert hit["content_preview"] == PAGES["csv"]
    assert (hit["space_name"], answer["dimension_used"], answer["count"]) == (
        "Python",
        384,
        len(answer["results"]),
    )
    assert all(isinstance(one["similarity"], float) for one in answer["results"])


def test_passages_are_escaped(library: httpx.Client) -> None:
    page = {
        "space_id": 1,
        "url": "https://d.example/x",
        "title": "x",
        "content": "An <img src=x onerror=alert(1)> zebra",
    }
    library.post("/api/v1/capture", json=page)
    hit = library.get("/api/v1/search", params={"q": "zebra"}).json()["results"][0]
    assert hit["highlights"] == ["onerror=alert(1)&gt; <mark>zebra</mark>"]


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
def test_pages_follow_each_other_without_gap_or_repeat(library: httpx.Client, mode: str) -> None:
    query = {"q": "data of a file with values", "mode": mode, "threshold": 0, "limit": 100}
    whole = library.get("/api/v1/search", params=query).json()["results"]
    seen: list[int] = []
    cursor = None
    while True:
        page = library.get(
            "/api/v1/search", params=query | {"limit": 2} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [hit["artifact_id"] for hit in page["results"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [hit["artifact_id"] for hit in whole]
    assert len(set(seen)) == len(seen)


def test_filters_hold_in_every_mode(library: httpx.Client) -> None:
    other = library.post("/api/v1/spaces", json={"name": "Else"}).json()["id"]
    page = {
        "space_id": other,
        "url": "https://else.example/n",
        "title": "table notes",
        "content": "A file of values.",
    }
    library.post("/api/v1/capture", json=page | {"content_source": "note", "engagement_level": "engaged"})
    for mode in ("hybrid", "semantic", "keyword"):
        for narrow in (
            {"space_id": other},
            {"source": "note"},
            {"domain": "else.example"},
            {"engagement_level": "engaged"},
        ):
            assert titles(library, "values in a file", mode=mode, threshold=0, **narrow) == ["table notes"]
        assert titles(library, "values in a file", mode=mode, to="2020-01-01T00:00:00Z") == []
        topic = library.get("/api/v1/spaces/1/subspaces").json()[0]["id"]
        assert "table notes" not in titles(
            library, "values in a file", mode=mode, subspace_id=topic, threshold=0
        )


def test_post_takes_several_spaces(library: httpx.Client) -> None:
    other = library.post("/api/v1/spaces", json={"name": "Else"}).json()["id"]
    body = {"q": "csv", "space_ids": [1, other], "limit": 1}
    assert library.post("/api/v1/search", json=body).json()["results"][0]["title"] == "csv"
    assert library.post("/api/v1/search", json=body | {"space_ids": [1, 999]}).status_code == 404


def test_a_threshold_cuts_the_semantic_leg(library: httpx.Client) -> None:
    assert len(titles(library, "tables", mode="semantic", threshold=0)) > len(
        titles(library, "tables", mode="semantic")
    )
    assert titles(library, "tables", mode="semantic", threshold=1) == []


def test_thresholds_of_the_production_model_are_mapped(library: httpx.Client) -> None:
    ours, theirs = calibration_for(MINILM), calibration_for(NOMIC)
    assert mapped_threshold(None, ours) == ours.search_threshold
    assert mapped_threshold(theirs.mu, ours) == pytest.approx(ours.mu)
    assert mapped_threshold(theirs.tau, ours) == pytest.approx(ours.tau)
    assert mapped_threshold(0.6, theirs) == pytest.approx(0.6)


@pytest.mark.parametrize(
    "wrong", [{"q": ""}, {"q": "  "}, {}, {"q": "x", "limit": 0}, {"q": "x", "limit": 101}, {"q": "x", "threshold": 2},
              {"q": "x", "mode": "psychic"}, {"q": "x", "cursor": "???"}, {"q": "x" * 1001}, {"q": "x", "threshold": "NaN"}]
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_422(library: httpx.Client, wrong: dict[str, Any]) -> None:
    assert library.get("/api/v1/search", params=wrong).status_code == 422


@pytest.mark.parametrize(
    "q", ["'", "a & | ! b", "(((", '"unclosed', "-", "the of and", "🦉", "a:*b", "\\", "%s %(q)s"]
)
def test_no_query_breaks_the_search(library: httpx.Client, q: str) -> None:
    for mode in ("hybrid", "keyword", "semantic"):
        assert library.get("/api/v1/search", params={"q": q, "mode": mode}).status_code == 200


def test_without_a_model_words_still_answer_and_captures_wait(
    run_app: Callable[..., httpx.Client], library: httpx.Client, fakes: Any
) -> None:
    api = run_app(embedder=fakes.absent_embedder())
    answer = api.get("/api/v1/search", params={"q": "spreadsheets"}).json()
    assert (answer["mode_used"], answer["results"][0]["title"]) == ("keyword", "csv")
    assert "on holiday" in answer["notice"]
    assert api.get("/api/v1/search", params={"q": "x", "mode": "semantic"}).status_code == 503
    page = {"space_id": 1, "url": "https://d.example/new", "title": "new"}
    waiting = api.post("/api/v1/capture", json=page)
    assert (waiting.status_code, waiting.json()["pending"], waiting.json()["signal_id"]) == (202, True, None)
    assert api.get("/health/ready").status_code == 503
    assert api.get("/health").json() == {"status": "healthy"}
