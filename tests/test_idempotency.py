"""Idempotency-Key: whatever is sent again is answered again, and done once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

REPLAYED = "Idempotency-Replayed"
CAPTURES = ("/capture", "/artifacts", "/artifacts/capture")


@pytest.fixture
def embedder(fakes: Any) -> Any:
    return fakes.embedder_of(sea=fakes.direction(1))


@pytest.fixture
def keyed(run_app: Callable[..., httpx.Client], embedder: Any) -> httpx.Client:
    return run_app(embedder=embedder)


def send(client: httpx.Client, path: str, key: str | None, body: dict[str, Any]) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(f"/api/v1{path}", json=body, headers=headers)


def page(space: int, url: str = "1", **more: Any) -> dict[str, Any]:
    return {"space_id": space, "url": f"https://x.example/{url}", "title": "sea", **more}


def count(owner: psycopg.Connection[Any], table: str) -> int:
    row = owner.execute(f"select count(*) from misir.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_what_is_sent_again_gets_the_same_bytes(keyed: httpx.Client, owner: psycopg.Connection[Any]) -> None:
    declared = {"name": "S", "subspaces": [{"name": "Sea", "markers": ["sea"]}]}
    first, again = (send(keyed, "/spaces", "k", declared) for _ in range(2))
    assert (first.status_code, again.status_code, first.content) == (201, 201, again.content)
    assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert keyed.get(f"/api/v1/spaces/{first.json()['id']}").json() == first.json()
    assert count(owner, "space") == 1
    space = first.json()["id"]
    for number, path in enumerate(CAPTURES):
        body = page(space, str(number))
        first, again = (
            send(keyed, path, "k", body) for _ in range(2)
        )  # the key of another route is another key
        assert (first.status_code, first.content) == (201, again.content)
        assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
        assert set(first.json()) == set(send(keyed, path, None, body).json())
        other = send(keyed, path, "k", body | {"title": "wood"})
        assert other.status_code == 422
        assert "Idempotency-Key" in other.json()["detail"]
        reordered = dict(reversed(body.items()))
        assert send(keyed, path, "k", reordered).headers[REPLAYED] == "true"
    batch = {"artifacts": [page(space, "b1"), page(space, "b2"), page(987_654)]}
    first, again = (send(keyed, "/artifacts/batch", "k", batch) for _ in range(2))
    assert (first.status_code, first.content) == (200, again.content)
    assert (first.headers.get(REPLAYED), again.headers.get(REPLAYED)) == (None, "true")
    assert send(keyed, "/artifacts/batch", "k", {"artifacts": [page(space)]}).status_code == 422
    assert count(owner, "signal") == len(CAPTURES) + 2


def test_a_batch_that_was_cut_off_is_done_to_its_end(
    keyed: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    space = send(keyed, "/spaces", None, {"name": "S"}).json()["id"]
    batch = {"artifacts": [page(space, str(n)) for n in range(3)]}
    first = send(keyed, "/artifacts/batch", "k", batch).json()
    # The process died before it could keep the answer, and after the first item only.
    owner.execute("update misir.idempotency_key set status = 0, body = ''")
    owner.execute("delete from misir.artifact where id > %s", [first["successful"][0]["artifact_id"]])
    assert send(keyed, "/artifacts/batch", "k", {"artifacts": [page(space, "9")]}).status_code == 422
    again = send(keyed, "/artifacts/batch", "k", batch)
    assert [one["is_new"] for one in again.json()["successful"]] == [False, True, True]
    assert again.headers.get(REPLAYED) is None
    assert send(keyed, "/artifacts/batch", "k", batch).content == again.content
    assert count(owner, "signal") == 3


def test_a_key_has_its_bounds(keyed: httpx.Client) -> None:
    assert send(keyed, "/spaces", "x" * 256, {"name": "S"}).status_code == 422
    assert send(keyed, "/spaces", "x" * 255, {"name": "S"}).status_code == 201
    ids = {send(keyed, "/spaces", "", {"name": "S"}).json()["id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_refusal_is_not_kept_and_a_day_later_the_key_is_new(
    keyed: httpx.Client, owner: psycopg.Connection[Any]
) -> None:
    space = send(keyed, "/spaces", None, {"name": "S"}).json()["id"]
    assert send(keyed, "/capture", "k", page(space, subspace_id=987)).status_code == 404
    assert count(owner, "idempotency_key") == 0
    assert send(keyed, "/capture", "k", page(space)).status_code == 201
    owner.execute("update misir.idempotency_key set created_at = now() - interval '25 hours'")
    later = send(keyed, "/capture", "k", page(space, "other"))
    assert (later.status_code, later.headers.get(REPLAYED)) == (201, None)
    assert count(owner, "idempotency_key") == 1


def test_fifty_at_once_over_two_processes_are_done_once(
    run_app: Callable[..., httpx.Client], embedder: Any, owner: psycopg.Connection[Any]
) -> None:
    clients = [run_app(embedder=embedder), run_app(embedder=embedder)]
    space = send(clients[0], "/spaces", None, {"name": "S"}).json()["id"]
    batch = {"artifacts": [page(space, f"b{n}") for n in range(3)]}
    for path, body in (("/capture", page(space)), ("/spaces", {"name": "Once"}), ("/artifacts/batch", batch)):
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda n: send(clients[n % 2], path, "k", body), range(50)))  # noqa: B023
        assert {one.status_code for one in answers} == {200 if path == "/artifacts/batch" else 201}
        assert len({one.content for one in answers}) == 1
        assert sum(REPLAYED not in one.headers for one in answers) == 1
    assert (count(owner, "signal"), count(owner, "space")) == (1 + 3, 2)
