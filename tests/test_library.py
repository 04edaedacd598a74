"""Lists, details and corrections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

SEA, WOOD = "sea", "wood"


@pytest.fixture
def sea_and_wood(run_app: Callable[..., httpx.Client], fakes: Any) -> httpx.Client:
    """Two topics at right angles, and pages whose words say where they lie."""
    embedder = fakes.embedder_of(sea=fakes.direction(1), wood=fakes.direction(0, 1))
    api = run_app(embedder=embedder)
    topics = [{"name": "Sea", "markers": [SEA]}, {"name": "Wood", "markers": [WOOD]}]
    assert api.post("/api/v1/spaces", json={"name": "Nature", "subspaces": topics}).status_code == 201
    return api


def put(api: httpx.Client, name: str, text: str, space: int = 1, **more: Any) -> int:
    page = {"space_id": space, "url": f"https://n.example/{name}", "title": name, "content": text, **more}
    answer = api.post("/api/v1/capture", json=page)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["artifact_id"])


def topic(api: httpx.Client, name: str, space: int = 1) -> dict[str, Any]:
    topics = api.get(f"/api/v1/spaces/{space}/subspaces", params={"include": "centroid"}).json()
    return next(one for one in topics if one["name"] == name)


def same_topics(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return np.allclose(left["centroid"], right["centroid"], atol=1e-5) and all(
        left[key] == pytest.approx(right[key]) for key in ("artifact_count", "confidence")
    )


def test_the_newest_come_first_and_pages_follow_each_other(sea_and_wood: httpx.Client) -> None:
    ids = [put(sea_and_wood, str(number), f"sea {number}") for number in range(7)]
    assert [item["id"] for item in sea_and_wood.get("/api/v1/artifacts").json()] == ids[::-1]
    seen, cursor = [], ""
    while cursor is not None:
        page = sea_and_wood.get("/api/v1/artifacts", params={"limit": 3, "cursor": cursor}).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]


@pytest.mark.parametrize("cursor", ["nonsense", "W10", "WyJhIiwgMV0"])
def test_a_cursor_that_is_not_ours_is_422(sea_and_wood: httpx.Client, cursor: str) -> None:
    assert sea_and_wood.get("/api/v1/artifacts", params={"cursor": cursor}).status_code == 422


def test_a_list_never_carries_vectors_or_texts(sea_and_wood: httpx.Client) -> None:
    put(sea_and_wood, "a", "sea")
    item = sea_and_wood.get("/api/v1/artifacts").json()[0]
    assert not {"embedding", "vector", "content"} & set(item)
    assert item["margin"] == item["fit"]
    assert "centroid" in sea_and_wood.get("/api/v1/spaces/1/subspaces").json()[0]
    assert sea_and_wood.get("/api/v1/spaces/1/subspaces").json()[0]["centroid"] is None


def test_a_space_lists_its_artifacts_filtered_and_sorted(sea_and_wood: httpx.Client) -> None:
    wave = put(sea_and_wood, "wave", "sea waves", engagement_level="engaged", content_source="note")
    oak = put(sea_and_wood, "oak", "wood of an old oak", captured_at="2026-01-01T00:00:00Z")
    loose = put(sea_and_wood, "loose", "nothing of either")

    def ids(**params: Any) -> list[int]:
        answer = sea_and_wood.get("/api/v1/spaces/1/artifacts", params=params)
        assert answer.status_code == 200, answer.text
        assert answer.json()["count"] == len(answer.json()["artifacts"])
        return [item["id"] for item in answer.json()["artifacts"]]

    assert ids() == [loose, wave, oak]
    assert ids(sort="oldest") == [oak, wave, loose]
    assert ids(sort="margin_asc")[0] == loose
    assert ids(sort="fit_desc")[-1] == loose
    assert ids(subspace_id=topic(sea_and_wood, "Sea")["id"]) == [wave]
    assert ids(engagement_level=["engaged", "saturated"]) == [wave]
    assert ids(min_margin=0.5) == [wave, oak]
    assert ids(max_fit=0.5) == [loose]
    assert ids(source="note") == [wave]
    assert ids(domain="elsewhere.example") == []
    assert ids(**{"from": "2026-06-01T00:00:00Z"}) == [loose, wave]
    assert ids(to="2026-06-01T00:00:00Z") == [oak]
    assert ids(q="oak", sort="relevance") == [oak]


def test_a_page_past_the_end_is_empty_and_still_counts(sea_and_wood: httpx.Client) -> None:
    put(sea_and_wood, "a", "sea")
    answer = sea_and_wood.get("/api/v1/spaces/1/artifacts", params={"page": 9, "page_size": 2}).json()
    assert (answer["artifacts"], answer["count"], answer["page"]) == ([], 1, 9)


def test_the_detail_shows_the_log_and_what_is_similar(sea_and_wood: httpx.Client) -> None:
    first, second = put(sea_and_wood, "a", "sea"), put(sea_and_wood, "b", "sea sea")
    detail = sea_and_wood.get(f"/api/v1/artifacts/{first}").json()
    assert detail["content"] == "sea"
    assert detail["signals"][0]["taught_weight"] == pytest.approx(0.2)
    assert detail["similar"][0]["id"] == second
    assert detail["effective_weight"] == pytest.approx(0.2, abs=1e-3)
    assert [marker["label"] for marker in detail["markers"]] == [SEA]
    assert sea_and_wood.get(f"/api/v1/artifacts/{first}/similar").json() == detail["similar"]


def test_a_moved_page_counts_as_if_it_had_always_been_there(sea_and_wood: httpx.Client) -> None:
    put(sea_and_wood, "wave", "sea")
    stray = put(sea_and_wood, "stray", "sea sea wood")
    put(sea_and_wood, "oak", "wood")
    answer = sea_and_wood.patch(
        f"/api/v1/artifacts/{stray}", json={"subspace_id": topic(sea_and_wood, "Wood")["id"]}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["message"]
    moved = {name: topic(sea_and_wood, name) for name in ("Sea", "Wood")}
    assert {name: one["artifact_count"] for name, one in moved.items()} == {"Sea": 1, "Wood": 2}
    again = sea_and_wood.post(
        "/api/v1/spaces",
        json={
            "name": "Twin",
            "subspaces": [{"name": "Sea", "markers": [SEA]}, {"name": "Wood", "markers": [WOOD]}],
        },
    ).json()["id"]
    put(sea_and_wood, "wave", "sea", space=again)
    put(
        sea_and_wood,
        "stray",
        "sea sea wood",
        space=again,
        subspace_id=topic(sea_and_wood, "Wood", again)["id"],
    )
    put(sea_and_wood, "oak", "wood", space=again)
    assert same_topics(moved["Sea"], topic(sea_and_wood, "Sea", again))


def test_a_person_outranks_the_engine_for_good(sea_and_wood: httpx.Client) -> None:
    page = put(sea_and_wood, "wave", "sea")
    wood = topic(sea_and_wood, "Wood")["id"]
    sea_and_wood.patch(f"/api/v1/artifacts/{page}", json={"subspace_id": wood})
    again = {"space_id": 1, "url": "https://n.example/wave", "title": "wave", "content": "sea sea sea"}
    answer = sea_and_wood.post("/api/v1/capture", json=again).json()
    assert (answer["subspace_id"], answer["assigned_by"]) == (wood, "user")


def test_deleting_and_restoring_leaves_the_topics_as_they_were(sea_and_wood: httpx.Client) -> None:
    put(sea_and_wood, "a", "sea")
    alone = topic(sea_and_wood, "Sea")
    second = put(sea_and_wood, "b", "sea wood", subspace_id=topic(sea_and_wood, "Sea")["id"])
    both = topic(sea_and_wood, "Sea")
    assert not same_topics(alone, both)
    assert sea_and_wood.delete(f"/api/v1/artifacts/{second}").status_code == 200
    assert same_topics(topic(sea_and_wood, "Sea"), alone)
    assert sea_and_wood.delete(f"/api/v1/artifacts/{second}").status_code == 404
    assert sea_and_wood.get(f"/api/v1/artifacts/{second}").status_code == 404
    assert sea_and_wood.post(f"/api/v1/artifacts/{second}/restore").status_code == 200
    assert same_topics(topic(sea_and_wood, "Sea"), both)
    assert sea_and_wood.post(f"/api/v1/artifacts/{second}/restore").status_code == 200


def test_the_trash_is_invisible_to_every_read(sea_and_wood: httpx.Client) -> None:
    put(sea_and_wood, "kept", "sea")
    gone = put(sea_and_wood, "gone", "sea sea")
    sea_and_wood.delete(f"/api/v1/artifacts/{gone}")
    seen = [
        sea_and_wood.get("/api/v1/artifacts").text,
        sea_and_wood.get("/api/v1/spaces/1/artifacts").text,
        sea_and_wood.get("/api/v1/search", params={"q": "gone sea"}).text,
        sea_and_wood.get("/api/v1/search", params={"q": "gone", "mode": "keyword"}).text,
        sea_and_wood.get("/api/v1/artifacts/1/similar").text,
        sea_and_wood.get("/api/v1/capture").text,
    ]
    assert not [text for text in seen if "n.example/gone" in text]
    assert sea_and_wood.get("/api/v1/spaces/1").json()["artifact_count"] == 1


def test_moving_to_another_space(sea_and_wood: httpx.Client) -> None:
    other = sea_and_wood.post(
        "/api/v1/spaces", json={"name": "Else", "subspaces": [{"name": "Tides", "markers": ["sea"]}]}
    )
    other_id = other.json()["id"]
    page = put(sea_and_wood, "wave", "sea")
    before = topic(sea_and_wood, "Sea")["artifact_count"]
    answer = sea_and_wood.patch(f"/api/v1/artifacts/{page}", json={"space_id": other_id})
    assert answer.json()["space_id"] == other_id
    assert answer.json()["subspace_id"] == topic(sea_and_wood, "Tides", other_id)["id"]
    assert topic(sea_and_wood, "Sea")["artifact_count"] == before - 1
    assert topic(sea_and_wood, "Tides", other_id)["artifact_count"] == 1
    twin = put(sea_and_wood, "wave", "sea")
    clash = sea_and_wood.patch(f"/api/v1/artifacts/{twin}", json={"space_id": other_id})
    assert clash.status_code == 409
    assert str(page) in clash.json()["detail"]
    sea_and_wood.delete(f"/api/v1/artifacts/{page}")
    assert sea_and_wood.patch(f"/api/v1/artifacts/{twin}", json={"space_id": other_id}).status_code == 200
    assert sea_and_wood.post(f"/api/v1/artifacts/{page}/restore").status_code == 404


def test_a_patch_edits_what_it_names_and_nothing_else(sea_and_wood: httpx.Client) -> None:
    page = put(sea_and_wood, "wave", "sea")
    path = f"/api/v1/artifacts/{page}"
    assert sea_and_wood.patch(path, json={"title": "A wave"}).json()["title"] == "A wave"
    assert sea_and_wood.get(path).json()["content"] == "sea"
    assert sea_and_wood.patch(path, json={"title": None}).json()["title"] is None
    assert sea_and_wood.patch(path, json={"content": None}).status_code == 422
    assert sea_and_wood.patch(path, json={}).status_code == 422
    assert sea_and_wood.patch(path, json={"space_id": None}).status_code == 422
    assert (
        sea_and_wood.patch(path, json={"engagement_level": "engaged"}).json()["engagement_level"] == "engaged"
    )
    assert sea_and_wood.patch(path, json={"engagement_level": "latent"}).status_code == 409
    assert sea_and_wood.patch(path, json={"subspace_id": 999}).status_code == 404
    assert sea_and_wood.patch(path, json={"subspace_id": None}).json()["subspace_id"] is None
    assert topic(sea_and_wood, "Sea")["artifact_count"] == 0


def test_an_edited_text_is_found_by_its_new_words_and_meaning(sea_and_wood: httpx.Client) -> None:
    page = put(sea_and_wood, "page", "sea")
    sea_and_wood.patch(f"/api/v1/artifacts/{page}", json={"content": "wood carving"})
    for params in ({"q": "wood", "mode": "semantic"}, {"q": "carving", "mode": "keyword"}):
        assert [
            hit["artifact_id"] for hit in sea_and_wood.get("/api/v1/search", params=params).json()["results"]
        ] == [page]


def test_nothing_is_written_to_an_archived_space(
    sea_and_wood: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    page = put(sea_and_wood, "wave", "sea")
    owner.execute("update misir.space set archived_at = now()")
    assert (
        sea_and_wood.post(
            "/api/v1/capture", json={"space_id": 1, "url": "https://x.example", "title": "sea"}
        ).status_code
        == 409
    )
    assert sea_and_wood.patch(f"/api/v1/artifacts/{page}", json={"title": "x"}).status_code == 409
    assert sea_and_wood.get("/api/v1/spaces").json()["spaces"] == []
    assert sea_and_wood.get("/api/v1/spaces", params={"archived": True}).json()["count"] == 1


def test_a_page_that_left_with_its_text_stays_away_when_its_old_topic_is_rebuilt(
    sea_and_wood: httpx.Client,
) -> None:
    put(sea_and_wood, "page", "sea")
    other = put(sea_and_wood, "other", "sea sea")
    page = {"space_id": 1, "url": "https://n.example/page", "title": "page", "content": "wood"}
    assert (
        sea_and_wood.post("/api/v1/capture", json=page).json()["subspace_id"]
        == topic(sea_and_wood, "Wood")["id"]
    )
    sea_and_wood.delete(f"/api/v1/artifacts/{other}")
    assert {name: topic(sea_and_wood, name)["artifact_count"] for name in ("Sea", "Wood")} == {
        "Sea": 0,
        "Wood": 1,
    }


def test_a_page_taken_out_of_every_topic_stays_out(sea_and_wood: httpx.Client) -> None:
    page = put(sea_and_wood, "wave", "sea")
    sea_and_wood.patch(f"/api/v1/artifacts/{page}", json={"subspace_id": None})
    visit = {"space_id": 1, "url": "https://n.example/wave", "title": "wave", "content": "sea sea"}
    for _ in range(2):
        answer = sea_and_wood.post("/api/v1/capture", json=visit | {"dwell_time_ms": 5000}).json()
        assert (answer["subspace_id"], answer["assigned_by"]) == (None, "user")


def test_a_visit_that_does_not_say_what_the_page_is_changes_nothing_of_it(sea_and_wood: httpx.Client) -> None:
    page = put(sea_and_wood, "paper", "sea " * 400, content_source="pdf")
    visit = {"space_id": 1, "url": "https://n.example/paper", "title": "paper", "dwell_time_ms": 60_000}
    assert sea_and_wood.post("/api/v1/capture", json=visit).json()["reading_depth"] == pytest.approx(
        0.6 * 60 / 150
    )
    detail = sea_and_wood.get(f"/api/v1/artifacts/{page}").json()
    assert (detail["content_source"], detail["word_count"]) == ("pdf", 400)


def test_an_edited_text_changes_how_the_page_fits(sea_and_wood: httpx.Client) -> None:
    page = put(sea_and_wood, "page", "sea")
    assert sea_and_wood.patch(f"/api/v1/artifacts/{page}", json={"content": "wood sea"}).json()["fit"] < 0.5
    assert sea_and_wood.get(f"/api/v1/artifacts/{page}").json()["similarity"] == pytest.approx(
        0.5**0.5, abs=0.05
    )


def test_head_is_get_without_the_body(sea_and_wood: httpx.Client) -> None:
    answer = sea_and_wood.head("/api/v1/spaces")
    assert (answer.status_code, answer.content) == (200, b"")
